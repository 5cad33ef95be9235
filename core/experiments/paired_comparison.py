"""Paired comparison of two ways of training, a pair of runs a seed: the difference in accuracy with its interval."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AccuracyCheck:
    """Test accuracies of two ways, a pair a seed."""

    n: int  # test pictures
    baseline: tuple[float, ...]
    ours: tuple[float, ...]
    difference: float  # mean of ours - baseline
    interval: tuple[float, float]  # 95 %, paired t over the seeds

    @property
    def equal(self) -> bool:
        return self.interval[0] <= 0 <= self.interval[1]


def compare(n: int, baseline: list[float], ours: list[float]) -> AccuracyCheck:
    """Accuracies of pairs of runs on `n` test pictures, with the mean of ours - baseline and its 95 % interval."""
    from scipy import stats  # half a second to import: only where it is used

    differences = np.array(ours) - np.array(baseline)
    mean = float(differences.mean())
    half = 0.0
    if len(differences) > 1:
        half = float(stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5)
    return AccuracyCheck(n, tuple(baseline), tuple(ours), mean, (mean - half, mean + half))
