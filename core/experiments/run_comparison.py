"""Runs compared on one test part: pair by pair, and all of them in tiers instead of ranks. No torch.

python -m core compare RUN RUN...
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from core.data.datasets.dataset import Dataset, find_dataset
from core.data.store.store import store_fingerprint
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.runs.run import Run
from core.significance import ALPHA, PairedAnswers, compare_paired, holm, tiers


@dataclass(frozen=True)
class Pair:
    """Two of the compared runs, by their places among them; `answers.difference` is that of b minus that of a."""

    a: int
    b: int
    answers: PairedAnswers
    corrected: float  # p-value after Holm's correction for all pairs

    @property
    def differs(self) -> bool:
        """Whether they are told apart, the number of pairs considered."""
        return self.corrected < ALPHA


@dataclass(frozen=True)
class RunComparison:
    """Two or more runs that answered the same test pictures."""

    runs: tuple[Run, ...]
    evaluations: tuple[Evaluation, ...]
    pairs: tuple[Pair, ...]
    tiers: tuple[int, ...]  # of each run, 1 the best

    @property
    def correction(self) -> str:
        """How many comparisons were made, and what that does to the p-values, in a sentence."""
        if len(self.pairs) == 1:
            return "One comparison: its p-value needs no correction."
        return (
            f"{len(self.pairs)} comparisons: two runs are told apart only where the p-value stays below {ALPHA:g} "
            "after Holm's correction for that many, so that one false difference among all of them is as rare as that."
        )

    def to_json(self) -> dict[str, Any]:
        """p_value is that of the pair alone; tiers and `correction` go by Holm's."""
        return {
            "runs": [
                {"run": run.id, "n": one.n, "accuracy": one.accuracy, "interval": one.interval, "tier": tier}
                for run, one, tier in zip(self.runs, self.evaluations, self.tiers, strict=True)
            ],
            "pairs": [
                {
                    "a": self.runs[pair.a].id,
                    "b": self.runs[pair.b].id,
                    "n": pair.answers.n,
                    "only_a": pair.answers.only_a,
                    "only_b": pair.answers.only_b,
                    "p_value": pair.answers.p_value,
                    "difference": pair.answers.difference,
                    "interval": pair.answers.interval,
                }
                for pair in self.pairs
            ],
            "correction": self.correction,
        }


def compare_runs(runs: Sequence[Run], evaluations: Sequence[Evaluation]) -> RunComparison:
    """Compare runs by their evaluations of the test part, one each. UserMistake for fewer than two different runs, for
    an empty test part, and where the test parts hold different pictures."""
    if len({run.id for run in runs}) < 2 or len({run.id for run in runs}) < len(runs):
        raise UserMistake("compare needs two or more different runs")
    for run, evaluation in zip(runs[1:], evaluations[1:], strict=True):
        if why := why_not_comparable(runs[0], evaluations[0], run, evaluation):
            raise UserMistake(why)
    if not evaluations[0].n:
        raise UserMistake(f"the test part of run {runs[0].id} is empty")
    right = [_right(evaluation) for evaluation in evaluations]
    answers = {(a, b): compare_paired(right[a], right[b]) for a, b in combinations(range(len(runs)), 2)}
    corrected = dict(zip(answers, holm([one.p_value for one in answers.values()]), strict=True))
    return RunComparison(
        runs=tuple(runs),
        evaluations=tuple(evaluations),
        pairs=tuple(Pair(a, b, one, corrected[a, b]) for (a, b), one in answers.items()),
        tiers=tuple(tiers([evaluation.accuracy for evaluation in evaluations], corrected)),
    )


def why_not_comparable(
    one: Run, answers: Evaluation, other: Run, other_answers: Evaluation, find: Callable[[str], Dataset] = find_dataset
) -> str:
    """Why two runs' answers are not about the same test pictures, a sentence; "" where they are. find: for pages, which
    have the datasets at hand."""
    which = f"runs {one.id} and {other.id} have other test parts"
    if one.fingerprint != other.fingerprint and not _is_same_dataset(one, other, find):
        names = one.config.data.dataset, other.config.data.dataset
        of = f"{names[0]!r} and {names[1]!r}" if names[0] != names[1] else f"two states of {names[0]!r}"
        return f"{which}, of {of}: their accuracies cannot be compared picture by picture"
    rows, other_rows = np.sort(answers.indices), np.sort(other_answers.indices)
    if len(rows) != len(other_rows) or not np.array_equal(rows, other_rows):
        common = len(np.intersect1d(rows, other_rows))
        return f"{which}: of {len(rows):,} and {len(other_rows):,} pictures {common:,} are the same"
    return ""


def _is_same_dataset(one: Run, other: Run, find: Callable[[str], Dataset]) -> bool:
    """Whether both were made for the same pictures, prepared in different ways, such as in another size."""
    try:
        dataset = find(one.config.data.dataset)
    except UserMistake:  # it is gone, and with it what could say so
        return False
    return all(run.fingerprint == store_fingerprint(dataset, run.config.data) for run in (one, other))


def _right(evaluation: Evaluation) -> np.ndarray:
    """bool (n,): right or not, in the order of the store's rows."""
    return evaluation.correct[np.argsort(evaluation.indices)]
