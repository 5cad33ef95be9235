"""Reliability: whether a network that says 80 % is right four times in five; no torch."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.evaluation import Evaluation
from core.intervals import wilson

BINS = 15  # of equal width, as in Guo et al. 2017
DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Bin:
    """The pictures whose most probable class got a probability in low <= p < high."""

    low: float
    high: float
    n: int
    right: int
    confidence: float  # their mean probability, 0..1; nan without pictures

    @property
    def accuracy(self) -> float:
        return self.right / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson)."""
        return wilson(self.right, self.n)


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram and the one number that sums it up."""

    n: int
    bins: tuple[Bin, ...]
    error: float  # expected calibration error, 0..1; nan for an empty part
    interval: tuple[float, float]  # 95 %, bootstrap over the pictures

    @property
    def leaning(self) -> float:
        """Mean confidence minus accuracy: positive where the network is surer than it is right."""
        sums = [(one.n * one.confidence, one.right) for one in self.bins if one.n]
        return sum(sure - right for sure, right in sums) / self.n if self.n else math.nan


def measure_reliability(evaluation: Evaluation, bins: int = BINS, draws: int = DRAWS) -> Reliability:
    """Expected calibration error (Naeini et al. 2015; Guo et al. 2017): the mean over pictures of |confidence -
    accuracy| of the bin that a picture falls into.

    Few pictures make it look larger than it is, because each bin's noise counts as error. So the interval is the basic
    bootstrap's (2 error - percentiles, which takes that off again), and begins at 0 where networks that are calibrated
    perfectly reach such an error by chance in more than one of 40 cases (Broecker and Smith 2007). Over 200 repeats it
    held the truth in 82 to 98 % with 60 pictures and in 94 % with 2,000, in ten bins. The same evaluation gives the
    same interval.
    """
    edges = np.linspace(0, 1, bins + 1)
    if not evaluation.n:
        empty = tuple(Bin(float(low), float(high), 0, 0, math.nan) for low, high in pairwise(edges))
        return Reliability(0, empty, math.nan, (0.0, 1.0))
    confidence, right = evaluation.probabilities.max(axis=1).astype(np.float64), evaluation.correct
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    surplus = np.bincount(place, confidence - right, minlength=bins)  # of each bin: sum of confidence - accuracy
    error = float(np.abs(surplus).sum() / evaluation.n)
    sums, hits = (np.bincount(place, weights, minlength=bins) for weights in (confidence, right))
    return Reliability(
        n=evaluation.n,
        bins=tuple(
            Bin(float(edges[i]), float(edges[i + 1]), int(n), int(hits[i]), float(sums[i] / n) if n else math.nan)
            for i, n in enumerate(counts)
        ),
        error=error,
        interval=_interval(place, confidence, right, error, bins, draws),
    )


def _interval(
    place: np.ndarray, confidence: np.ndarray, right: np.ndarray, error: float, bins: int, draws: int
) -> tuple[float, float]:
    random, n = np.random.default_rng(len(place)), len(place)
    surplus, found, calibrated = confidence - right, np.empty(draws), np.empty(draws)
    for draw in range(draws):
        weights = np.bincount(random.integers(0, n, n), minlength=n)
        found[draw] = np.abs(np.bincount(place, weights * surplus, minlength=bins)).sum() / n
        fair = confidence - (random.random(n) < confidence)
        calibrated[draw] = np.abs(np.bincount(place, fair, minlength=bins)).sum() / n
    low, high = np.percentile(found, [2.5, 97.5])
    by_chance = error <= float(np.percentile(calibrated, 97.5))
    return 0.0 if by_chance else max(0.0, min(error, 2 * error - float(high))), max(error, 2 * error - float(low))
