"""RunFinding: one sentence that follows from the numbers of a run, and the facts that rules read. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from core.data.datasets.dataset import Dataset, find_dataset
from core.data.duplicates.duplicates import read_duplicates
from core.data.quality.shortcuts import Shortcuts
from core.data.store.store import split_dataset
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.dataset_runs import is_run_on
from core.intervals import difference_of_shares, wilson
from core.reliability import Reliability, measure_reliability
from core.rows import EpochRow
from core.runs.run import Run

Page = Literal["train", "data", "quality", "confusion", "pictures", "folds"]


@dataclass(frozen=True)
class Suggestion:
    """What to try: a page, and of Train the settings to change in those of the run (dotted field -> value)."""

    label: str
    page: Page
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFinding:
    """A sentence with its figures. The sentence may hold names that people gave: escape it on a page."""

    rule: str
    sentence: str
    figures: Mapping[str, Any]  # what the sentence is made of: counts, and fractions 0..1
    weight: float  # how much it matters, 0 .. 100
    run: str = ""  # id of the run that it is about; "" for one about two of them
    suggestion: Suggestion | None = None

    def to_json(self) -> dict[str, Any]:
        return {"rule": self.rule, "sentence": self.sentence, "figures": dict(self.figures)}


@dataclass(frozen=True)
class RunFacts:
    """Everything that the rules about one run read, each of it from the disk."""

    run: Run
    test: Evaluation  # with at least one picture
    train: Evaluation | None = None
    val: Evaluation | None = None
    epochs: tuple[EpochRow, ...] = ()
    shortcuts: Shortcuts | None = None  # what colour, brightness and size alone score on the run's split
    leaked: np.ndarray | None = None  # bool (n,): test pictures that are duplicates of training pictures; None: unknown

    @property
    def right(self) -> int:
        return int(self.test.correct.sum())

    @cached_property
    def calibration(self) -> Reliability:
        return measure_reliability(self.test)

    @cached_property
    def gap(self) -> tuple[float, tuple[float, float]] | None:
        """Training minus test accuracy and its 95 % interval; None without predictions for the training part."""
        if self.train is None or not self.train.n:
            return None
        right = int(self.train.correct.sum())
        interval = difference_of_shares(self.right, self.test.n, right, self.train.n)
        return self.train.accuracy - self.test.accuracy, interval


def read_facts(run: Run, shortcuts: Shortcuts | None = None) -> RunFacts:
    """The stored facts of a finished run. UserMistake where it has no predictions for a test part."""
    test = run.evaluation("test")
    if test is None or not test.n:
        raise UserMistake(
            f"run {run.id} has no predictions for a test part; python -m core evaluate {run.id} makes them"
        )
    return RunFacts(
        run=run,
        test=test,
        train=_answers(run, "train"),
        val=_answers(run, "val"),
        epochs=tuple(run.epochs()),
        shortcuts=shortcuts,
        leaked=_leaked(run, test),
    )


def _answers(run: Run, part: str) -> Evaluation | None:
    try:
        return run.evaluation(part)
    except UserMistake:  # damaged: the rules that need them are silent
        return None


def dataset_of(run: Run) -> Dataset | None:
    """The pictures that the run was made for; None where they are gone or others by now."""
    try:
        dataset = find_dataset(run.config.data.dataset)
    except UserMistake:
        return None
    return dataset if is_run_on(dataset, run) else None


def _leaked(run: Run, test: Evaluation) -> np.ndarray | None:
    dataset = dataset_of(run)
    found = None if dataset is None else read_duplicates(dataset)
    if dataset is None or found is None:
        return None
    return np.isin(test.indices, found.test_leakage(split_dataset(dataset, run.config.data)))


def of(right: int, n: int) -> str:
    """'92.7 % of 1,080'."""
    return f"{100 * right / n:.1f} % of {n:,}" if n else "none"


def with_interval(right: int, n: int) -> str:
    """'9 of 12, 75 % [47-91]'."""
    low, high = wilson(right, n)
    return f"{right:,} of {n:,}, {100 * right / n:.0f} % [{100 * low:.0f}-{100 * high:.0f}]"


def points(interval: tuple[float, float]) -> str:
    """'95 % interval 3.1 to 9.8'."""
    return f"95 % interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
