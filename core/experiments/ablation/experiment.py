"""Experiment: a comparison and its runs as they lie on disk, read as a frozen snapshot. No torch.

actions.py writes plan.json and the empty file stop; the supervisor queues one run after the other (feed.py) and notes
them in runs.jsonl; a child of it measures times (timing.py). What an experiment has found follows from these files
whenever it is read (effects.py).
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, model_validator

from core.config import RunConfig, change_config
from core.disk import read_json, read_lines
from core.documents import Unreadable, read_document
from core.errors import UserMistake
from core.experiments.ablation.components import Variant
from core.experiments.ablation.spec import SCHEMA_VERSION, TIMING_SECONDS, ExperimentSpec
from core.experiments.folders import SpecFolders
from core.probes.at_once import LONG_SECONDS, AtOnce, noted_at_once
from core.runs.process import is_at_work, stop_requested
from core.runs.run import Run, open_run
from core.settings import runs_root

Status = Literal["waiting", "measuring", "running", "stopped", "done"]
START_SECONDS = 4.0  # of a run besides its epochs, before any was trained: start and evaluation
MOST_ATTEMPTS = 3  # of a run whose process was killed
DECIDED = "it was decided before"  # why a run was not needed
EXPERIMENTS = SpecFolders("experiment")
_FORMER_KEYS = {"setting": "variant"}  # of a line of runs.jsonl in version 0.1.0


class _TimingLine(BaseModel):
    """A line of timing.jsonl: the seconds a picture of both arms, or why there are none."""

    key: str
    took: float = 0.0
    pictures: int | None = None
    base: tuple[tuple[float, float], ...] = ()
    other: tuple[tuple[float, float], ...] = ()
    why: str = ""

    @model_validator(mode="after")
    def _has_pictures(self) -> "_TimingLine":
        if (self.base or self.other) and not self.pictures:
            raise ValueError("seconds of no pictures")
        return self


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: a variant with a seed."""

    variant: Variant
    seed: int
    run: Run | None = None  # None before it was made, and where there is none
    why: str = ""  # there is none
    handled_at: str = ""  # ISO 8601, UTC: when the supervisor last dealt with it; "" before that
    handled_times: int = 0
    retry: bool = False  # however its run ends: it was about to stop for a reason that has gone

    @property
    def config(self) -> RunConfig:
        return change_config(self.variant.config, {"train.seed": self.seed + self.variant.seed_offset})

    @property
    def is_done(self) -> bool:
        return self.run is not None and self.run.state.status == "done"

    @property
    def is_active(self) -> bool:
        return self.run is not None and self.run.state.is_live

    @property
    def is_stopping(self) -> bool:
        return self.run is not None and self.is_active and self.run.stop_requested

    def is_settled(self, resumed: str) -> bool:
        """Whether nothing more is to be done for it; what ended badly before somebody resumed is tried again."""
        if self.is_done or self.why == DECIDED:
            return True
        if not self.handled_at or self.is_active or self.retry:
            return False
        if self.run is not None and self.run.state.status == "lost" and self.run.state.attempt < MOST_ATTEMPTS:
            return False
        return max(self.handled_at, self.run.state.updated if self.run else "") >= resumed


@dataclass(frozen=True)
class Experiment:
    """An experiment as it was when it was read; read it again for news."""

    id: str
    folder: Path
    plan: ExperimentSpec
    cells: tuple[Cell, ...]  # seed by seed, the base first
    timings: dict[str, dict[str, Any]] = field(default_factory=dict)  # key of a variant -> line of timing.jsonl
    status: Status = "waiting"
    resumed: str = ""
    timing_given_up: bool = False
    at_once: AtOnce | None = None  # how many runs train at once; None: one, because nothing was measured

    @property
    def title(self) -> str:
        """Holds the dataset's name: escape it on a page."""
        return self.plan.title

    @property
    def ended(self) -> bool:
        return self.status in ("done", "stopped")

    def cells_of(self, variant: Variant) -> list[Cell]:
        return [cell for cell in self.cells if cell.variant.key == variant.key]

    @property
    def untimed(self) -> list[Variant]:
        return [] if self.timing_given_up else [one for one in self.plan.variants if one.key not in self.timings]

    @property
    def asks_at_once(self) -> bool:
        """Whether to measure how many of its runs train at once: before the first of them, where they take long."""
        if self.at_once is not None or self.timing_given_up or any(cell.handled_at for cell in self.cells):
            return False
        return sum(self.expected_seconds(cell.variant) for cell in self.cells) > LONG_SECONDS

    @property
    def runs_at_once(self) -> int:
        return self.at_once.runs if self.at_once else 1

    @property
    def active(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_active]

    @property
    def spent(self) -> float:
        """Seconds of measuring and of its own runs; one that was there before costs nothing."""
        own = [cell.run for cell in self.cells if cell.run and cell.run.created >= self.plan.created]
        measured = sum(float(line.get("took", 0.0)) for line in self.timings.values())
        return measured + sum(self._cost(run) for run in own)

    def _cost(self, run: Run) -> float:
        """Seconds that a run keeps the machine busy: of one that trains beside others its share."""
        return seconds_of(run) / (self.runs_at_once if run.threads else 1)

    def expected_seconds(self, variant: Variant) -> float:
        """What a run of this variant takes: as its finished ones, else by its epochs as they were timed, else as the
        base was estimated before it began."""
        known = self._finished_seconds.get(variant.key)
        if known:
            return sum(known) / len(known)
        of_base = self._finished_seconds.get(self.plan.base.key)
        base = sum(of_base) / len(of_base) if of_base else self.plan.base_seconds
        epoch, base_epoch = self._epoch_seconds(variant), self._epoch_seconds(self.plan.base)
        if epoch is not None:
            epochs = variant.config.train.epochs
            if base and base_epoch:  # what a run of the base takes besides its epochs, a variant takes as well
                return max(0.0, base - base_epoch * self.plan.base.config.train.epochs) + epoch * epochs
            return START_SECONDS + epoch * epochs
        others = [seconds for of_one in self._finished_seconds.values() for seconds in of_one]
        return sum(others) / len(others) if others else base or START_SECONDS

    @cached_property
    def _finished_seconds(self) -> dict[str, list[float]]:
        """Key of a variant -> what its finished runs took."""
        found: dict[str, list[float]] = {}
        for cell in self.cells:
            if cell.is_done and cell.run:
                found.setdefault(cell.variant.key, []).append(self._cost(cell.run))
        return found

    def _epoch_seconds(self, variant: Variant) -> float | None:
        for key, line in self.timings.items():
            arm = "other" if key == variant.key else "base" if variant.key == self.plan.base.key else ""
            if arm and line.get(arm):
                return float(sum(map(sum, line[arm])) / (2 * len(line[arm])) * line["pictures"])
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
        """A seed is begun only where all its runs fit into the budget, so that every variant has as many; the first
        one goes as far as the budget does."""
        kept: list[Cell] = []
        left_out: list[Cell] = []
        budget = self.plan.budget_seconds
        after = self.spent + sum(TIMING_SECONDS for _ in self.untimed)
        for number, seed in enumerate(self.plan.seeds):
            open_cells = [cell for cell in self.cells if cell.seed == seed and not cell.is_settled(self.resumed)]
            begun = any(cell.handled_at for cell in self.cells if cell.seed == seed)
            costs = sum(self.expected_seconds(cell.variant) for cell in open_cells)
            if budget is not None and number and not begun and after + costs > budget:
                left_out += open_cells
                continue
            for cell in open_cells:
                if budget is not None and after >= budget and not cell.is_active:
                    left_out.append(cell)
                    continue
                kept.append(cell)
                after += self.expected_seconds(cell.variant)
        return kept, left_out

    @property
    def progress(self) -> tuple[int, int]:
        """(done, total) of its measurements and runs; what the budget cuts does not count."""
        left = len(self.to_do) + len(self.untimed)
        total = len(self.cells) - len(self.cut) + (0 if self.timing_given_up else len(self.plan.variants))
        return total - left, total

    @property
    def at_work(self) -> str:
        """What it does just now, in a few words; "" where it waits or has ended. Holds no name that a person gave."""
        if self.active:
            return "; ".join(_underway_text(cell) for cell in self.active)
        if self.status == "measuring":
            with suppress(OSError, ValueError, KeyError, TypeError):
                progress = read_json(self.folder / "progress.json")
                return f"{progress['message']}, {progress['done']} of {progress['total']}"
        return ""

    @property
    def seconds_left(self) -> float:
        runs = sum(max(0.0, self.expected_seconds(cell.variant) - self._underway(cell)) for cell in self.to_do)
        return runs + TIMING_SECONDS * len(self.untimed)

    def _underway(self, cell: Cell) -> float:
        return self._cost(cell.run) if cell.run is not None and cell.is_active else 0.0


def list_experiments() -> list[Experiment]:
    """Every readable experiment, newest first."""
    return scan_experiments()[0]


def scan_experiments() -> tuple[list[Experiment], list[str]]:
    """Every readable experiment, newest first, and a sentence about each that is damaged."""
    return EXPERIMENTS.scan(open_experiment)


def scan_specs() -> tuple[dict[str, ExperimentSpec], list[str]]:
    """Id -> plan of every experiment, newest first, without reading its runs; and a sentence about each that is
    damaged."""
    found, damage = EXPERIMENTS.scan(lambda folder: (folder.name, _read_plan(folder)))
    return dict(found), damage


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
        timings={str(line["key"]): line for line in _lines(folder / "timing.jsonl", "key") if _is_timing(line)},
        status=_status(folder, cells),
        resumed=_resumed(folder),
        timing_given_up=(folder / "untimed").exists(),
        at_once=noted_at_once(folder),
    )


def seconds_of(run: Run) -> float:
    """From the start of a run's process to its end, or to the last sign of life.

    Of runs that version 0.1.0 trained by the dates of their files, which move where the clock is set."""
    began = run.started_at
    if began is None or run.state.status == "queued":
        return 0.0
    if run.state.process_seconds:
        return run.state.process_seconds
    ended = (
        datetime.fromisoformat(run.state.updated).timestamp() if run.state.ended and run.state.updated else time.time()
    )
    return max(0.0, ended - began)


def _read_plan(folder: Path) -> ExperimentSpec:
    try:
        return read_document(folder / "plan.json", ExperimentSpec, SCHEMA_VERSION)
    except FileNotFoundError as error:
        raise UserMistake(f"The files of experiment {folder.name} are gone from disk.") from error
    except Unreadable as error:
        raise UserMistake(f"Experiment {folder.name} cannot be used: its {error}.") from error


def _cells(folder: Path, plan: ExperimentSpec) -> Iterable[Cell]:
    lines: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in _lines(folder / "runs.jsonl", "variant", "seed", "why", "at"):
        lines.setdefault((line["variant"], line["seed"]), []).append(line)
    for seed in plan.seeds:
        for variant in plan.arms:
            yield _cell(variant, seed, lines.get((variant.key, seed), []))


def _cell(variant: Variant, seed: int, lines: list[dict[str, Any]]) -> Cell:
    """As the last of its lines in runs.jsonl says."""
    if not lines:
        return Cell(variant, seed)
    last, run = lines[-1], None
    why = str(last["why"])
    if last.get("run"):
        try:
            run = open_run(runs_root() / str(last["run"]))
        except (OSError, ValueError):
            why = f"its run {last['run']} was deleted"
    return Cell(variant, seed, run, why, str(last["at"]), len(lines), bool(last.get("again")))


def _status(folder: Path, cells: tuple[Cell, ...]) -> Status:
    if stop_requested(folder):
        return "stopped"
    if (folder / "done").exists():
        return "done"
    if any(cell.is_active for cell in cells):
        return "running"
    return "measuring" if is_at_work(folder) else "waiting"


def _underway_text(cell: Cell) -> str:
    state = cell.run.state if cell.run else None
    epoch = f", epoch {state.epoch} of {state.epochs}" if state and state.epoch else ""
    return f"{cell.variant.title}, seed {cell.seed}{epoch}"


def _lines(path: Path, *needed: str) -> list[dict[str, Any]]:
    """The rows that have these keys; a damaged one is as good as not there."""
    try:
        rows = read_lines(path)
    except (OSError, ValueError):
        return []
    rows = [{_FORMER_KEYS.get(key, key): value for key, value in row.items()} for row in rows if isinstance(row, dict)]
    return [row for row in rows if all(isinstance(row.get(key), (str, int)) for key in needed)]


def _is_timing(line: dict[str, Any]) -> bool:
    """Whether the values of a line of timing.jsonl have the form that the sums need."""
    try:
        _TimingLine.model_validate(line)
    except ValidationError:
        return False
    return True


def _resumed(folder: Path) -> str:
    try:
        return str(read_json(folder / "resumed")["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
