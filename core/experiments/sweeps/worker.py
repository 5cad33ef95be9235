"""run_trials: the process that trains a sweep's trials, and how the supervisor begins and settles it."""

import itertools
import json
import math
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cluster.connection import ClusterMistake, ask_places
from core.cluster.settings import read_cluster, uses_cluster
from core.config import RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.disk import write_json
from core.errors import UserMistake
from core.experiments.sweeps.at_once import KILLED, STOPPED, run_at_once
from core.experiments.sweeps.ranges import Range
from core.experiments.sweeps.spec import SweepSpec
from core.experiments.sweeps.sweep import SWEEPS, Sweep, open_sweep
from core.experiments.sweeps.trials import (
    SECONDS,
    SweepTrial,
    count_used,
    open_study,
    sum_seconds,
    trials_in,
    values_of,
)
from core.fields import value_of
from core.probes.at_once import AT_ONCE, LONG_SECONDS, measure_at_once, noted_at_once, read_at_once
from core.runs.actions import TITLE_CHARACTERS, hide_run, rename_run
from core.runs.process import ProcessMark, request_stop, stop_requested, write_launch
from core.runs.requester import requester_for
from core.runs.run import Run
from core.settings import must_have_room
from core.submit import create_checked_run

if TYPE_CHECKING:
    import optuna


DRAWS = 50  # of values that were tried already, before a sweep ends
NOTHING_NEW = "No values were found that had not been tried."


def next_sweep() -> Path | None:
    """The folder of the oldest sweep that still has something to do."""
    return SWEEPS.oldest_at_work()


def begin_sweep(folder: Path, mark: ProcessMark) -> None:
    """Note the process that works at the sweep in `folder`."""
    write_launch(folder, mark, role="sweep")


def settle_sweep(folder: Path, gave_way: bool) -> None:
    """Once its process is gone: one that ended of itself before it was done is not begun again and again."""
    (folder / "launch.json").unlink(missing_ok=True)
    if folder.exists() and not gave_way and not stop_requested(folder) and not (folder / "done").exists():
        write_json(folder / "done", {"message": "Its process ended before it was done; its log has the details."})


def run_trials(folder: Path) -> None:
    """Train trial after trial until the budget or the number of trials is reached, or somebody asks to stop."""
    sweep, message = open_sweep(folder), ""
    study = open_study(sweep)
    _enqueue_first(sweep.plan, study)
    try:
        while _wait_for_room(folder) and not _is_used_up(sweep.plan, study):
            if message := _all_tried(sweep.plan, study):
                break
            cluster = read_cluster()
            at_once = ask_places(cluster) if cluster else _ask_at_once(sweep, study)
            if cluster or at_once > 1:
                if _train_at_once(sweep, study, at_once, cluster is not None):
                    continue
                message = _all_tried(sweep.plan, study) or ("" if _is_used_up(sweep.plan, study) else NOTHING_NEW)
                break
            _run_trial(sweep, study)
    except UserMistake as mistake:
        message = str(mistake)
    if not stop_requested(folder):
        write_json(folder / "done", {"message": message})


def _train_at_once(sweep: Sweep, study: "optuna.Study", at_once: int, in_cluster: bool) -> bool:
    """Train trials here or in the cluster until none comes any more; whether to go on in the other place, as a cluster
    was named or taken away meanwhile."""
    try:
        run_at_once(study, at_once, partial(_begin_trial, sweep, study, in_cluster), in_cluster)
    except ClusterMistake:
        if uses_cluster():
            raise
        _enqueue_first(sweep.plan, study)
    return uses_cluster() != in_cluster


def _ask_at_once(sweep: Sweep, study: "optuna.Study") -> int:
    """How many trials train at once; asked after the first one, which tells whether the others take long."""
    known = noted_at_once(sweep.folder)
    ended = [one for one in trials_in(study) if one.status == "complete"]
    if known is None and len(ended) == 1:
        left = min(sweep.plan.budget_seconds, ended[0].seconds * (sweep.plan.trials - 1))
        known = read_at_once(sweep.plan.base)
        if known is None and left > LONG_SECONDS:
            known = measure_at_once(sweep.plan.base)
        if known is not None:
            write_json(sweep.folder / AT_ONCE, asdict(known))
    return known.runs if known else 1


def _begin_trial(
    sweep: Sweep, study: "optuna.Study", in_cluster: bool, underway: float
) -> "tuple[optuna.Trial, Run] | None":
    """The next trial and its run, which trains beside others; None where there is none now. underway: seconds of the
    trials at work."""
    import optuna

    running = [one for one in trials_in(study) if one.status == "running"]
    used = _is_used_up(sweep.plan, study, len(running), underway)
    if used or uses_cluster() != in_cluster or not _wait_for_room(sweep.folder) or _all_tried(sweep.plan, study):
        return None
    _check_pictures(sweep)
    asked = _ask_new(sweep, study)
    if asked is None:
        return None
    trial, values = asked
    try:
        return trial, _create_trial_run(sweep, change_config(sweep.plan.base, values), trial, None if in_cluster else 1)
    except UserMistake as mistake:  # e.g. the network cannot be: that is an answer too
        trial.set_user_attr("why", str(mistake))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return _begin_trial(sweep, study, in_cluster, underway)


def _enqueue_first(plan: SweepSpec, study: "optuna.Study") -> None:
    """What a killed process has left is tried again; a new study begins with the base, so the best is never worse."""
    import optuna

    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(values_of(trial))
    if not study.trials:
        study.enqueue_trial(_base_values(plan), skip_if_exists=True)


def _wait_for_room(folder: Path) -> bool:
    """Waits for room on the disk, without which trial after trial would fail; False once somebody asks to stop."""
    while not stop_requested(folder):
        try:
            must_have_room()
            return True
        except UserMistake:
            time.sleep(1.0)
    return False


def _is_used_up(plan: SweepSpec, study: "optuna.Study", running: int = 0, underway: float = 0.0) -> bool:
    """Whether no further trial fits, as long as the longest one so far; running: trials at work, underway: seconds."""
    trials = trials_in(study)
    longest = max((one.seconds for one in trials if one.status == "complete"), default=0.0)
    spent = sum_seconds(trials) + underway
    return count_used(trials) + running >= plan.trials or spent + longest > plan.budget_seconds


def _all_tried(plan: SweepSpec, study: "optuna.Study") -> str:
    """A sentence where every combination of an all-categorical space has an answer, else ""."""
    if not all(one.choices for one in plan.ranges):
        return ""
    if _untried(plan, study):
        return ""
    return f"All {math.prod(len(one.choices) for one in plan.ranges)} combinations of these values were tried."


def _untried(plan: SweepSpec, study: "optuna.Study") -> dict[str, Any]:
    """The first combination of an all-categorical space without an answer or a trial at work; {} without any."""
    if not all(one.choices for one in plan.ranges):
        return {}
    answered = {_key(one.values) for one in trials_in(study) if _is_answered(one) or one.status == "running"}
    fields = [one.field for one in plan.ranges]
    combinations = itertools.product(*(one.choices for one in plan.ranges))
    values = (dict(zip(fields, chosen, strict=True)) for chosen in combinations)
    return next((one for one in values if _key(one) not in answered), {})


def _is_answered(one: SweepTrial) -> bool:
    """Whether its values would give the same again: it ended, or failed by itself."""
    return one.status in ("complete", "pruned") or (one.status == "fail" and one.why not in ("", STOPPED, KILLED))


def _key(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _ask_new(sweep: Sweep, study: "optuna.Study") -> "tuple[optuna.Trial, dict[str, Any]] | None":
    """A trial with values that none before it had; None where the sampler finds none in many tries.

    Values that were tried are the same run again, bit for bit: the study is given their answer without training."""
    import optuna

    for _ in range(DRAWS):
        at_work = [one for one in trials_in(study) if one.status == "running"]
        if at_work and all(one.choices for one in sweep.plan.ranges) and not _untried(sweep.plan, study):
            return None
        trial = study.ask()
        values = {one.field: _suggest(trial, one) for one in sweep.plan.ranges}
        before = next((one for one in trials_in(study) if _is_same(one, trial, values)), None)
        if before is None:
            return trial, values
        trial.set_user_attr("same_as", before.number)
        if before.accuracy is not None and before.status == "complete":
            study.tell(trial, before.accuracy)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if left := _untried(sweep.plan, study):
            study.enqueue_trial(left)
    return None


def _is_same(one: SweepTrial, trial: "optuna.Trial", values: dict[str, Any]) -> bool:
    begun = _is_answered(one) or one.status == "running"
    return one.number < trial.number and begun and _key(one.values) == _key(values)


def _run_trial(sweep: Sweep, study: "optuna.Study") -> None:
    import optuna

    _check_pictures(sweep)
    asked = _ask_new(sweep, study)
    if asked is None:
        raise UserMistake(NOTHING_NEW)
    trial, values = asked
    began = time.monotonic()
    try:
        config = change_config(sweep.plan.base, values)
        accuracy, pruned = _train(_create_trial_run(sweep, config, trial), trial)
    except UserMistake as mistake:  # e.g. it diverged, or the network cannot be: that is an answer too
        trial.set_user_attr("why", str(mistake))
        trial.set_user_attr(SECONDS, time.monotonic() - began)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    trial.set_user_attr(SECONDS, time.monotonic() - began)
    if pruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    elif accuracy is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, accuracy)


def _check_pictures(sweep: Sweep) -> None:
    dataset = find_dataset(sweep.plan.base.data.dataset)
    if dataset.content_hash != sweep.plan.content_hash:
        raise UserMistake(f"The dataset {dataset.name!r} changed since the sweep began; start a new one")


def _create_trial_run(sweep: Sweep, config: RunConfig, trial: "optuna.Trial", threads: int | None = None) -> Run:
    run = create_checked_run(config, requester_for(sweep.plan.owner), threads=threads)
    run = hide_run(rename_run(run, f"trial {trial.number}: sweep {sweep.id[-4:]}"[:TITLE_CHARACTERS]))
    trial.set_user_attr("run", run.id)
    return run


def _train(run: Run, trial: "optuna.Trial") -> tuple[float | None, bool]:
    """(last validation accuracy, whether it was pruned). UserMistake where the run fails or is stopped by others."""
    from core.rows import EpochRow
    from core.train import train_rows

    accuracy, pruned, epoch = None, False, 0
    for row in train_rows(run.folder):
        if not isinstance(row, EpochRow) or row.val_accuracy is None:
            continue
        accuracy, epoch = row.val_accuracy, row.epoch
        trial.report(accuracy, epoch)
        if trial.should_prune() and epoch < run.config.train.epochs:
            pruned = True
            request_stop(run.folder)
    if not pruned and epoch < run.config.train.epochs:  # by a person, or because the disk is short
        raise UserMistake(STOPPED)
    return accuracy, pruned


def _suggest(trial: "optuna.Trial", one: Range) -> Any:
    if one.choices:
        return trial.suggest_categorical(one.field, one.choices)
    assert one.low is not None and one.high is not None, one
    if one.integer:
        return trial.suggest_int(one.field, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(one.field, one.low, one.high, log=one.log)


def _base_values(plan: SweepSpec) -> dict[str, Any]:
    """The base's own values, as far as they lie in the ranges; Optuna draws the others."""
    values: dict[str, Any] = {}
    for one in plan.ranges:
        value = value_of(plan.base, one.field)
        if one.choices:
            word = next(
                (word for word in one.choices if change_config(plan.base, {one.field: word}) == plan.base), None
            )
            values |= {} if word is None else {one.field: word}
        elif one.low is not None and one.high is not None and one.low <= value <= one.high:
            values[one.field] = value
    return values
