"""Whether networks differ, asked about the same pictures: two of them, or more in tiers; no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.intervals import bootstrap_difference

ALPHA = 0.05  # below it a difference is called one


@dataclass(frozen=True)
class PairedAnswers:
    """Two networks asked about the same n pictures."""

    n: int
    only_a: int  # pictures that the first network alone answers correctly
    only_b: int  # pictures that the second network alone answers correctly
    p_value: float  # exact McNemar test, two-sided

    @property
    def difference(self) -> float:
        """Accuracy of the second network minus that of the first, -1..1."""
        return (self.only_b - self.only_a) / self.n if self.n else 0.0

    @property
    def differs(self) -> bool:
        return self.p_value < ALPHA

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference, by a paired bootstrap over the pictures."""
        return bootstrap_difference(self.only_a, self.only_b, self.n)


def compare_paired(correct_a: np.ndarray, correct_b: np.ndarray) -> PairedAnswers:
    """Bool (n,) each, row for row the same picture. ValueError where the lengths differ."""
    if len(correct_a) != len(correct_b):
        raise ValueError(f"{len(correct_a)} answers against {len(correct_b)}: not the same pictures")
    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    return PairedAnswers(len(correct_a), only_a, only_b, mcnemar(only_a, only_b))


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided p-value of the exact McNemar test: if the networks are equally good, each picture that only one of them
    answers correctly is a fair coin (McNemar 1947; exact binomial form)."""
    from scipy import stats  # half a second to import: only where it is used

    discordant = only_a + only_b
    return float(stats.binomtest(only_a, discordant).pvalue) if discordant else 1.0


def mcnemar_least_n(only_a: int, only_b: int, n: int) -> int:
    """About how many pictures the test part would need for this difference to be told from chance, at the same shares
    of discordant answers: n (z_0.975 / z)^2 with z = |b - a| / sqrt(a + b), the normal form of the test."""
    if only_a == only_b:
        return 0
    z = abs(only_b - only_a) / (only_a + only_b) ** 0.5
    return max(n, round(n * (1.959964 / z) ** 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being so many (Holm 1979), in the order given: called a difference below ALPHA, the
    chance of even one false one among them stays below ALPHA."""
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def tiers(accuracies: Sequence[float], corrected: Mapping[tuple[int, int], float]) -> list[int]:
    """The tier of each network, 1 the best; corrected: (i, j), i < j -> p-value after holm().

    A tier ends only where every network above is told apart from every one below, so two that cannot be told apart
    always share one. Two of one tier may still differ, where others between them join them.
    """
    order = sorted(range(len(accuracies)), key=lambda at: -accuracies[at])
    found, tier = [0] * len(accuracies), 1
    for place, at in enumerate(order):
        above, below = order[:place], order[place:]
        if above and all(corrected[min(a, b), max(a, b)] < ALPHA for a in above for b in below):
            tier += 1
        found[at] = tier
    return found
