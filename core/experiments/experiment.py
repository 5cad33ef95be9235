"""Experiment: a base, the settings that it is compared with, and the runs that this takes; on disk, without torch.

A person writes plan.json and the empty file stop; the supervisor gives the line one run after the other (`feed`) and
notes them in runs.jsonl; a child of it measures times (core/experiments/timing.py). What an experiment has found
follows from these files whenever it is asked for (core/experiments/with_without.py).
"""

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.config import RunConfig, change_config, check_with_data
from core.data.dataset import find_dataset
from core.data.store import count_parts, pictures_now
from core.disk import append_line, read_json, read_lines, write_json
from core.errors import UserMistake
from core.experiments.components import Component, Setting, base_for, settings_for
from core.experiments.plans import Plans
from core.runs.deeds import TITLE_CHARACTERS, hide_run, rename_run, resume_run
from core.runs.probes import find_probe, is_wanted, known_speed
from core.runs.process import ProcessMark
from core.runs.queue import submit
from core.runs.run import Run, ask_to_stop, create_run, list_runs, now, open_run, read_launch
from core.settings import runs_root

Status = Literal["waiting", "measuring", "running", "stopped", "done"]
SCHEMA_VERSION = 1
MOST_SEEDS = 20
MOST_SETTINGS = 40
TIMING_SECONDS = 45.0  # that measuring one setting takes, before any was measured
START_SECONDS = 4.0  # of a run besides its epochs, before any was trained: start and evaluation
MOST_ATTEMPTS = 3  # of a run whose process was killed
EXPERIMENTS = Plans("experiment")


class Plan(BaseModel):
    """What was asked for: plan.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA_VERSION
    created: str  # ISO 8601, UTC
    base: Setting
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    budget_seconds: float | None = None  # None: as long as it takes
    content_hash: str  # of the dataset's pictures
    notes: tuple[str, ...] = ()  # what was arranged for it, in sentences

    @property
    def dataset(self) -> str:
        return self.base.config.data.dataset

    @property
    def title(self) -> str:
        """Holds the dataset's name: escape it on a page."""
        count, seeds = len(self.settings), len(self.seeds)
        return (
            f"{self.base.config.preset} on {self.dataset}: {count} component{'s' * (count != 1)}, "
            f"{seeds} seed{'s' * (seeds != 1)}"
        )

    @property
    def both(self) -> tuple[Setting, ...]:
        return (self.base, *self.settings)


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: a setting with a seed."""

    setting: Setting
    seed: int
    run: Run | None = None  # None before it was made, and where there is none
    why: str = ""  # there is none
    asked: str = ""  # ISO 8601, UTC: when the supervisor last dealt with it; "" before that
    times: int = 0  # that it did
    again: bool = False  # however its run ends: it was about to stop for a reason that has gone

    @property
    def config(self) -> RunConfig:
        return change_config(self.setting.config, {"train.seed": self.seed + self.setting.apart})

    @property
    def is_done(self) -> bool:
        return self.run is not None and self.run.state.status == "done"

    @property
    def is_active(self) -> bool:
        return self.run is not None and not self.run.state.ended

    @property
    def is_stopping(self) -> bool:
        return self.run is not None and self.is_active and (self.run.folder / "stop").exists()

    def is_settled(self, resumed: str) -> bool:
        """Whether nothing more is to be done for it; what ended badly before somebody resumed is tried again."""
        if self.is_done:
            return True
        if not self.asked or self.is_active or self.again:
            return False
        if self.run is not None and self.run.state.status == "lost" and self.run.state.attempt < MOST_ATTEMPTS:
            return False
        return max(self.asked, self.run.state.updated if self.run else "") >= resumed


@dataclass(frozen=True)
class Experiment:
    """An experiment as it was when it was read; read it again for news."""

    id: str
    folder: Path
    plan: Plan
    cells: tuple[Cell, ...]  # seed by seed, the base first
    timings: dict[str, dict[str, Any]] = field(default_factory=dict)  # key of a setting -> line of timing.jsonl
    status: Status = "waiting"
    resumed: str = ""
    timing_given_up: bool = False

    @property
    def title(self) -> str:
        """Holds the dataset's name: escape it on a page."""
        return self.plan.title

    @property
    def ended(self) -> bool:
        return self.status in ("done", "stopped")

    def of(self, setting: Setting) -> list[Cell]:
        return [cell for cell in self.cells if cell.setting.key == setting.key]

    @property
    def untimed(self) -> list[Setting]:
        return [] if self.timing_given_up else [one for one in self.plan.settings if one.key not in self.timings]

    @property
    def spent(self) -> float:
        """Seconds of measuring and of its own runs; one that was there before costs nothing."""
        own = [cell.run for cell in self.cells if cell.run and cell.run.created >= self.plan.created]
        measured = sum(float(line.get("took", 0.0)) for line in self.timings.values())
        return measured + sum(seconds_of(run) for run in own)

    def expected(self, setting: Setting) -> float:
        """Seconds that a run of this setting takes: as its finished ones, else by its epochs as they were timed."""
        known = self._seconds.get(setting.key)
        if known:
            return sum(known) / len(known)
        epoch = self._epoch_seconds(setting)
        if epoch is not None:
            return START_SECONDS + epoch * setting.config.train.epochs
        others = [seconds for of_one in self._seconds.values() for seconds in of_one]
        return sum(others) / len(others) if others else START_SECONDS

    @cached_property
    def _seconds(self) -> dict[str, list[float]]:
        """Key of a setting -> what its finished runs took."""
        found: dict[str, list[float]] = {}
        for cell in self.cells:
            if cell.is_done and cell.run:
                found.setdefault(cell.setting.key, []).append(seconds_of(cell.run))
        return found

    def _epoch_seconds(self, setting: Setting) -> float | None:
        for key, line in self.timings.items():
            side = "other" if key == setting.key else "base" if setting.key == self.plan.base.key else ""
            if side and line.get(side):
                return float(sum(map(sum, line[side])) / (2 * len(line[side])) * line["pictures"])
        return None

    @property
    def to_do(self) -> list[Cell]:
        """The cells that are still to be trained inside the budget, in order; the rest of them is `cut`."""
        return self._allotted[0]

    @property
    def cut(self) -> list[Cell]:
        """The cells for which the budget does not suffice."""
        return self._allotted[1]

    @cached_property
    def _allotted(self) -> tuple[list[Cell], list[Cell]]:
        """A seed is begun only where all its runs fit into the budget, so that every setting has as many; the first
        one goes as far as the budget does."""
        kept: list[Cell] = []
        left_out: list[Cell] = []
        budget = self.plan.budget_seconds
        after = self.spent + sum(TIMING_SECONDS for _ in self.untimed)
        for number, seed in enumerate(self.plan.seeds):
            open_cells = [cell for cell in self.cells if cell.seed == seed and not cell.is_settled(self.resumed)]
            begun = any(cell.asked for cell in self.cells if cell.seed == seed)
            costs = sum(self.expected(cell.setting) for cell in open_cells)
            if budget is not None and number and not begun and after + costs > budget:
                left_out += open_cells
                continue
            for cell in open_cells:
                if budget is not None and after >= budget and not cell.is_active:
                    left_out.append(cell)
                    continue
                kept.append(cell)
                after += self.expected(cell.setting)
        return kept, left_out

    @property
    def progress(self) -> tuple[int, int]:
        """(done, all) of its measurements and runs; what the budget cuts does not count."""
        left = len(self.to_do) + len(self.untimed)
        whole = len(self.cells) - len(self.cut) + (0 if self.timing_given_up else len(self.plan.settings))
        return whole - left, whole

    @property
    def at_work(self) -> str:
        """What it does just now, in a few words; "" where it waits or has ended. Holds no person's words."""
        active = next((cell for cell in self.cells if cell.is_active), None)
        if active is not None and active.run is not None:
            state = active.run.state
            epoch = f", epoch {state.epoch} of {state.epochs}" if state.epoch else ""
            return f"{active.setting.title}, seed {active.seed}{epoch}"
        if self.status == "measuring":
            with suppress(OSError, ValueError, KeyError, TypeError):
                told = read_json(self.folder / "progress.json")
                return f"{told['message']}, {told['done']} of {told['total']}"
        return ""

    @property
    def seconds_left(self) -> float:
        runs = sum(max(0.0, self.expected(cell.setting) - _underway(cell)) for cell in self.to_do)
        return runs + TIMING_SECONDS * len(self.untimed)


def plan_experiment(
    base: RunConfig, components: Iterable[Component], seeds: int = 3, budget_seconds: float | None = None
) -> Plan:
    """What an experiment would consist of; writes nothing.

    The seeds are that of the base and the next ones. Every run has the base's split; with the same seed it draws the
    same first weights, as far as the networks are alike, and sees the pictures in the same order. UserMistake for a
    component that changes nothing in this base, for settings that do not go with the pictures, and for numbers out
    of range.
    """
    components = list(components)
    if not components:
        raise UserMistake("an experiment needs at least one component to switch")
    if len(components) > MOST_SETTINGS:
        raise UserMistake(f"{len(components)} components are too many for one experiment; at most {MOST_SETTINGS}")
    if not 1 <= seeds <= MOST_SEEDS:
        raise UserMistake(f"{seeds} seeds: an experiment has 1 to {MOST_SEEDS}")
    if budget_seconds is not None and budget_seconds <= 0:
        raise UserMistake("the budget must be more than nothing")
    dataset = find_dataset(base.data.dataset)
    written = base_for(change_config(base, {"data.dataset": dataset.name}), components)
    settings = settings_for(written, components)
    counted = cache(count_parts)  # most settings share their pictures
    for setting in settings:
        check_with_data(setting.config.train, counted(setting.config.data))
    notes = []
    if written.model.name != base.model.name:
        notes.append("The base's network is written as the family cnn, which as given is the paper's network.")
    return Plan(
        created=now(),
        base=Setting(key="base", title="Base", config=written),
        settings=tuple(settings),
        seeds=tuple(written.train.seed + number for number in range(seeds)),
        budget_seconds=budget_seconds,
        content_hash=dataset.content_hash,
        notes=tuple(notes),
    )


def estimate_seconds(plan: Plan) -> float | None:
    """What all of it would take, by the base's speed as it was measured or as finished runs needed it; None where
    neither is known. A setting may be slower or faster."""
    config = plan.base.config
    probe = find_probe("speed", config, pictures_now(config.data)[0])
    answer = probe.answer if probe is not None else None
    answer = answer or known_speed(config, count_parts(config.data))
    if answer is None:
        return None
    return TIMING_SECONDS * len(plan.settings) + float(answer["seconds"]) * len(plan.both) * len(plan.seeds)


def create_experiment(plan: Plan) -> Experiment:
    """Write an experiment; whoever creates one calls ensure_supervisor(), which then works at it."""
    return open_experiment(EXPERIMENTS.write(plan))


def list_experiments() -> list[Experiment]:
    """Every readable experiment, newest first."""
    found = []
    for folder in reversed(EXPERIMENTS.folders()):
        with suppress(OSError, ValueError):  # UserMistake is a ValueError
            found.append(open_experiment(folder))
    return found


def list_plans() -> list[tuple[str, Plan]]:
    """(id, plan) of every experiment, newest first, without a look at its runs: for a picker."""
    found = []
    for folder in reversed(EXPERIMENTS.folders()):
        with suppress(OSError, ValueError):
            found.append((folder.name, _read_plan(folder)))
    return found


def read_experiment(experiment_id: str) -> Experiment:
    """The experiment with that id, a unique beginning or ending of it, or "latest"; else UserMistake."""
    return open_experiment(EXPERIMENTS.find(experiment_id))


def open_experiment(folder: Path) -> Experiment:
    """The experiment in `folder`. UserMistake where it cannot be read as one."""
    plan = _read_plan(folder)
    cells = tuple(_cells(folder, plan))
    return Experiment(
        id=folder.name,
        folder=folder,
        plan=plan,
        cells=cells,
        timings={line["key"]: line for line in _lines(folder / "timing.jsonl", "key")},
        status=_status(folder, cells),
        resumed=_resumed(folder),
        timing_given_up=(folder / "untimed").exists(),
    )


def stop_experiment(experiment: Experiment) -> str:
    """Stop it; the run at work keeps what it has learnt and goes on when the experiment is resumed. In one sentence."""
    if experiment.status == "done":
        return f"Experiment {experiment.id} has ended already."
    (experiment.folder / "stop").touch()
    for cell in open_experiment(experiment.folder).cells:
        if cell.run is not None and cell.is_active:
            with suppress(UserMistake):  # deleted in this moment
                ask_to_stop(cell.run)
    return f"Experiment {experiment.id} was asked to stop. What it has found so far is kept."


def resume_experiment(experiment: Experiment) -> Experiment:
    """Go on with an experiment, and try again what has failed or was stopped. The caller ensures a supervisor."""
    find_dataset(experiment.plan.dataset)  # UserMistake where it is gone
    write_json(experiment.folder / "resumed", {"at": now()})
    _try_again(experiment.folder, [cell for cell in open_experiment(experiment.folder).cells if cell.is_stopping])
    for name in ("stop", "done", "untimed"):
        (experiment.folder / name).unlink(missing_ok=True)
    return open_experiment(experiment.folder)


def delete_experiment(experiment: Experiment) -> None:
    """Remove an experiment that has ended; its runs stay. UserMistake while it is at work."""
    if not experiment.ended:
        stop = f"python -m core experiment stop {experiment.id}"
        raise UserMistake(f"Experiment {experiment.id} is at work. Stop it first: {stop}")
    if any(cell.is_active for cell in experiment.cells):
        raise UserMistake(f"Experiment {experiment.id} is still stopping. Try again in a moment.")
    shutil.rmtree(experiment.folder)


def seconds_of(run: Run) -> float:
    """From the start of a run's process to its end, or to now."""
    try:
        began = (run.folder / "launch.json").stat().st_mtime
    except OSError:
        return 0.0
    if run.state.status == "queued":
        return 0.0
    ended = (
        datetime.fromisoformat(run.state.updated).timestamp() if run.state.ended and run.state.updated else time.time()
    )
    return max(0.0, ended - began)


# -------------------------------------------------------------------------------------------- for the supervisor


def next_experiment() -> Path | None:
    """The folder of the oldest experiment that still has something to do; None where there is none."""
    return EXPERIMENTS.oldest_at_work()


def wants_timing(folder: Path) -> bool:
    """Whether there is something to measure before its runs; of a damaged experiment there is not."""
    try:
        return bool(open_experiment(folder).untimed)
    except UserMistake:
        return False


def begin_timing(folder: Path, mark: ProcessMark) -> None:
    write_json(folder / "launch.json", {"role": "timing", **mark.to_json()})


def settle_timing(folder: Path, gave_way: bool) -> None:
    """Once its process is gone: where it ended of itself before it was done, measuring is given up."""
    (folder / "launch.json").unlink(missing_ok=True)
    if not gave_way and folder.exists() and not (folder / "stop").exists() and wants_timing(folder):
        (folder / "untimed").touch()


def feed(folder: Path) -> bool:
    """Put the next run of the experiment into the line, or note that there is none; whether something was done.

    The line is empty when this is called, so nobody waits behind more than one run of an experiment.
    """
    try:
        experiment = open_experiment(folder)
    except UserMistake:
        (folder / "done").touch()  # damaged: nobody can go on with it
        return False
    if any(cell.is_active for cell in experiment.cells):
        return False  # somebody trains one of them without the line
    cell = next(iter(experiment.to_do), None)
    if cell is None:
        (folder / "done").touch()
        return False
    line: dict[str, Any] = {"setting": cell.setting.key, "seed": cell.seed, "run": None, "why": ""}
    try:
        run = _run_for(experiment, cell)
        line["run"] = run.id
    except UserMistake as mistake:
        line["why"] = str(mistake)
    append_line(folder / "runs.jsonl", line | {"at": now()})
    if line["run"] and not run.state.ended and is_wanted(folder):
        try:
            submit(run)
        except UserMistake as mistake:  # the line takes nothing, and has removed the run
            append_line(folder / "runs.jsonl", line | {"run": None, "why": str(mistake), "at": now()})
    return True


def go_on_later(run_id: str) -> None:
    """Called by a supervisor that is told to end: the run that it stops for that reason goes on with the next one."""
    for folder in EXPERIMENTS.folders():
        with suppress(OSError, UserMistake):  # a damaged one
            _try_again(folder, [cell for cell in open_experiment(folder).cells if cell.run and cell.run.id == run_id])


def _run_for(experiment: Experiment, cell: Cell) -> Run:
    """The run that was there already, the one that goes on, or a new one."""
    config = cell.config
    dataset = find_dataset(config.data.dataset)
    if dataset.content_hash != experiment.plan.content_hash:
        raise UserMistake(f"The dataset {dataset.name!r} changed since the experiment began; start a new one")
    fingerprint, pictures = pictures_now(config.data)
    if cell.run is not None and cell.run.state.status in ("stopped", "lost"):
        return resume_run(cell.run, fingerprint, pictures)
    finished = find_finished(config, fingerprint)
    if finished is not None:
        return finished
    key = f"{experiment.id} {cell.setting.key} {cell.seed} {cell.times}"
    run = create_run(config, fingerprint, dataset.classes, key=key)
    words = f"{cell.setting.title}, seed {cell.seed}: experiment {experiment.id[-4:]}"
    return hide_run(rename_run(run, words[:TITLE_CHARACTERS]))


def find_finished(config: RunConfig, fingerprint: str) -> Run | None:
    """The newest finished run of exactly these settings on these pictures."""
    for run in list_runs():
        if run.state.status == "done" and run.fingerprint == fingerprint and _plain(run.config) == _plain(config):
            return run
    return None


def _plain(config: RunConfig) -> RunConfig:
    """The name of the preset decides nothing."""
    return config.model_copy(update={"preset": ""})


# ---------------------------------------------------------------------------------------------------- on the disk


def _read_plan(folder: Path) -> Plan:
    try:
        told = read_json(folder / "plan.json")
        if told["schema_version"] > SCHEMA_VERSION:
            raise UserMistake(f"Experiment {folder.name} was made by a newer version of Atelier.")
        return Plan.model_validate(told)
    except FileNotFoundError as error:
        raise UserMistake(f"The files of experiment {folder.name} are gone from disk.") from error
    except UserMistake:
        raise
    except (ValueError, KeyError, TypeError) as error:  # no JSON, or not of this form
        raise UserMistake(f"Experiment {folder.name} is damaged: its plan.json cannot be read.") from error


def _cells(folder: Path, plan: Plan) -> Iterable[Cell]:
    told: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in _lines(folder / "runs.jsonl", "setting", "seed", "why", "at"):
        told.setdefault((line["setting"], line["seed"]), []).append(line)
    for seed in plan.seeds:
        for setting in plan.both:
            lines = told.get((setting.key, seed), [])
            if not lines:
                yield Cell(setting, seed)
                continue
            last, run = lines[-1], None
            why = str(last["why"])
            if last.get("run"):
                try:
                    run = open_run(runs_root() / str(last["run"]))
                except (OSError, ValueError):
                    why = f"its run {last['run']} was deleted"
            yield Cell(setting, seed, run, why, str(last["at"]), len(lines), bool(last.get("again")))


def _status(folder: Path, cells: tuple[Cell, ...]) -> Status:
    if (folder / "stop").exists():
        return "stopped"
    if (folder / "done").exists():
        return "done"
    if any(cell.is_active for cell in cells):
        return "running"
    launch = read_launch(folder)
    return "measuring" if launch is not None and launch[1].is_alive() else "waiting"


def _underway(cell: Cell) -> float:
    return seconds_of(cell.run) if cell.run is not None and cell.is_active else 0.0


def _lines(path: Path, *needed: str) -> list[dict[str, Any]]:
    """The rows that have these fields; a damaged one is as good as not there."""
    try:
        rows = read_lines(path)
    except (OSError, ValueError):
        return []
    return [row for row in rows if isinstance(row, dict) and all(isinstance(row.get(n), (str, int)) for n in needed)]


def _resumed(folder: Path) -> str:
    try:
        return str(read_json(folder / "resumed")["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _try_again(folder: Path, cells: Iterable[Cell]) -> None:
    """Note that these are not settled, however their runs may end now."""
    for cell in cells:
        line = {"setting": cell.setting.key, "seed": cell.seed, "run": cell.run.id if cell.run else None, "why": ""}
        append_line(folder / "runs.jsonl", line | {"at": now(), "again": True})
