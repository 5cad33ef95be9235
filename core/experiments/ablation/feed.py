"""feed: what the supervisor does for an experiment, which is to queue one run of it after the other. No torch."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.cluster.settings import read_places, uses_cluster
from core.data.datasets.dataset import find_dataset
from core.data.store.store import store_fingerprint
from core.disk import append_line
from core.errors import UserMistake
from core.experiments.ablation.effects import decided_variants
from core.experiments.ablation.experiment import DECIDED, EXPERIMENTS, Cell, Experiment, open_experiment
from core.experiments.dataset_runs import find_finished
from core.probes.probes import is_wanted
from core.runs.actions import TITLE_CHARACTERS, hide_run, rename_run, resume_run
from core.runs.process import ProcessMark, stop_requested, write_launch
from core.runs.queue import submit
from core.runs.requester import requester_for
from core.runs.run import Run, list_runs
from core.runs.state import now
from core.submit import create_checked_run


def next_experiment() -> Path | None:
    """The folder of the oldest experiment that still has something to do; None where there is none."""
    return EXPERIMENTS.oldest_at_work()


def wants_timing(folder: Path) -> bool:
    """Whether there is something to measure before its runs; of a damaged experiment there is not."""
    try:
        experiment = open_experiment(folder)
        return bool(experiment.untimed) or experiment.asks_at_once
    except UserMistake:
        return False


def begin_timing(folder: Path, mark: ProcessMark) -> None:
    """Note the process that measures times for the experiment in `folder`."""
    write_launch(folder, mark, role="timing")


def settle_timing(folder: Path, gave_way: bool) -> None:
    """Once its process is gone: where it ended of itself before it was done, measuring is given up."""
    (folder / "launch.json").unlink(missing_ok=True)
    if not gave_way and folder.exists() and not stop_requested(folder) and wants_timing(folder):
        (folder / "untimed").touch()


def feed(folder: Path) -> bool:
    """Queue the next run of the experiment, or note that there is none; whether something was done.

    The queue is empty when this is called, and as many runs are at work as train at once at most: so nobody waits
    behind more than these.
    """
    try:
        experiment = open_experiment(folder)
    except UserMistake:
        (folder / "done").touch()  # damaged: nobody can go on with it
        return False
    active = experiment.active
    if uses_cluster():
        if len(active) >= read_places():
            return False
    elif len(active) >= experiment.runs_at_once or any(not cell.run or not cell.run.threads for cell in active):
        return False  # also where somebody trains one of them without the queue, on all cores
    cell = next((cell for cell in experiment.to_do if not cell.is_active), None)
    if cell is not None and experiment.plan.until_decided and any(one.seed != cell.seed for one in active):
        return False  # a seed is begun when the ones before it have their answers
    if cell is not None and _skip_decided(experiment, cell):
        return True
    if cell is None and active:
        return False
    if cell is None and _take_up_again(experiment):
        return True
    if cell is None:
        (folder / "done").touch()
        return False
    _queue(experiment, cell)
    return True


def _skip_decided(experiment: Experiment, cell: Cell) -> bool:
    """Before a seed is begun, note that its runs of decided variants are not needed, and the base's where all are."""
    begun = any(one.handled_at for one in experiment.cells if one.seed == cell.seed)
    if not experiment.plan.until_decided or begun or cell.seed == experiment.plan.seeds[0]:
        return False
    decided = decided_variants(experiment)
    if len(decided) == len(experiment.plan.variants):
        decided.append(experiment.plan.base.key)
    skipped = [one for one in experiment.to_do if one.seed == cell.seed and one.variant.key in decided]
    for one in skipped:
        _note(experiment.folder, one, None, DECIDED)
    return bool(skipped)


def _take_up_again(experiment: Experiment) -> bool:
    """Give a seed more to each variant that was sure when seeds were begun without it and is not any more, because the
    spread of all components has turned out to be wider; whether there is one."""
    if not experiment.plan.until_decided:
        return False
    decided, base = decided_variants(experiment), experiment.plan.base
    again: dict[str, Cell] = {}  # variant -> the first seed that it was spared
    for cell in experiment.cells:
        if cell.why == DECIDED and cell.variant.key not in (*decided, base.key):
            again.setdefault(cell.variant.key, cell)
    seeds = {cell.seed for cell in again.values()}
    spared = [cell for cell in experiment.cells_of(base) if cell.why == DECIDED and cell.seed in seeds]
    mark_for_retry(experiment.folder, [*spared, *again.values()])
    return bool(again)


def _queue(experiment: Experiment, cell: Cell) -> None:
    """Queue the run of a cell, or note why there is none."""
    try:
        run = _run_for(experiment, cell)
    except UserMistake as mistake:
        _note(experiment.folder, cell, None, str(mistake))
        return
    _note(experiment.folder, cell, run)
    if run.state.is_live and is_wanted(experiment.folder):
        try:
            submit(run)
        except UserMistake as mistake:  # the queue takes nothing, and has removed the run
            _note(experiment.folder, cell, None, str(mistake))


def _note(folder: Path, cell: Cell, run: Run | None, why: str = "", **more: Any) -> None:
    """Append a line to runs.jsonl."""
    line = {"variant": cell.variant.key, "seed": cell.seed, "run": run.id if run else None, "why": why}
    append_line(folder / "runs.jsonl", line | {"at": now()} | more)


def go_on_later(run_id: str) -> None:
    """Called by a supervisor that has to end: the next one goes on with the run that it stops for that reason."""
    for folder in EXPERIMENTS.folders():
        with suppress(OSError, UserMistake):  # a damaged one
            cells = open_experiment(folder).cells
            mark_for_retry(folder, [cell for cell in cells if cell.run and cell.run.id == run_id])


def mark_for_retry(folder: Path, cells: Iterable[Cell]) -> None:
    """Note that these are not settled, however their runs may end now."""
    for cell in cells:
        _note(folder, cell, cell.run, again=True)


def _run_for(experiment: Experiment, cell: Cell) -> Run:
    """The run that was there already, the one that goes on, or a new one."""
    config = cell.config
    dataset = find_dataset(config.data.dataset)
    if dataset.content_hash != experiment.plan.content_hash:
        raise UserMistake(f"The dataset {dataset.name!r} changed since the experiment began; start a new one")
    fingerprint = store_fingerprint(dataset, config.data)
    if cell.run is not None and cell.run.state.status in ("stopped", "lost"):
        return resume_run(cell.run, fingerprint, dataset.used)
    finished = find_finished(config, fingerprint, list_runs())
    if finished is not None:
        return finished
    key = f"{experiment.id} {cell.variant.key} {cell.seed} {cell.handled_times}"
    threads = experiment.at_once.threads if experiment.at_once else None
    run = create_checked_run(config, requester_for(experiment.plan.owner), key, threads)
    title = f"{cell.variant.title}, seed {cell.seed}: experiment {experiment.id[-4:]}"
    return hide_run(rename_run(run, title[:TITLE_CHARACTERS]))
