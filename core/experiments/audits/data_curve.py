"""Data-size curve: the test accuracy after learning from 5 to 100 % of the training part, and what more would be worth.

python -m core curve --data NAME --preset quick
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.store.store import TensorStore, load_store, store_fingerprint
from core.errors import UserMistake
from core.experiments.ablation.spread import Spread, fit_prior, interval
from core.experiments.audits.kept_trials import KeptTrials, kept_trials
from core.experiments.audits.trial_task import TrialTask
from core.intervals import wilson
from core.presets import fit_to
from core.progress import Progress
from core.runs.run import Run
from core.submit import fitted_config

SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
SEEDS = 3
PHASE = "training"  # of its Progress
LEAST = 2  # pictures of a class
LAST = 4  # points that the extrapolation goes by
DRAWS = 2000


@dataclass(frozen=True)
class Point:
    """One size of the training part."""

    pictures: int
    right: tuple[int, ...]  # of each seed
    n: int  # test pictures

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return sum(self.right) / (len(self.right) * self.n)


@dataclass(frozen=True)
class Next:
    """What more pictures would be worth."""

    pictures: int  # more than there are
    gain: float  # accuracy, a fraction
    interval: tuple[float, float]  # 95 %


@dataclass(frozen=True)
class DataCurve:
    """The points of the curve, fewest pictures first."""

    points: tuple[Point, ...]

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """95 % of each point, over seeds and test pictures; the spread of seeds is pooled over the points."""
        spreads = [_spread(point) for point in self.points]
        prior = fit_prior(spreads)
        found = [interval(spread, prior) for spread in spreads]
        return [(max(0.0, one.low), min(1.0, one.high)) for one in found]

    @property
    def next(self) -> Next:
        """By a power law of the error, c n^-b, through the last points (Hestness et al. 2017); its interval by drawing
        the spread of seeds and the test pictures anew."""
        points = self.points[-LAST:]
        more = _round(self.points[-1].pictures / 5)
        random = np.random.default_rng(len(points) * points[-1].n)
        spreads = [_spread(point) for point in points]
        prior = fit_prior([_spread(point) for point in self.points])
        sd = [_sd(spread, prior.df, prior.variance) for spread in spreads]
        accuracies = np.array([point.accuracy for point in points])
        # the same test pictures at every size: what is easy in them moves all points together
        together = np.sqrt(accuracies * (1 - accuracies) / points[-1].n) * random.standard_normal((DRAWS, 1))
        drawn = accuracies + together + np.array(sd) * random.standard_normal((DRAWS, len(points)))
        sizes = np.array([point.pictures for point in points], np.float64)
        gains = np.array([_gain(sizes, one, more) for one in drawn])
        low, high = np.percentile(gains, [2.5, 97.5])
        gain = _gain(sizes, accuracies, more)
        return Next(more, gain, (min(float(low), gain), max(float(high), gain)))

    def to_json(self) -> dict[str, Any]:
        following = self.next
        return {
            "points": [
                {"pictures": point.pictures, "accuracy": point.accuracy, "interval": interval_of_point}
                for point, interval_of_point in zip(self.points, self.intervals, strict=True)
            ],
            "next": {"pictures": following.pictures, "gain": following.gain, "interval": following.interval},
        }


@dataclass(frozen=True)
class CurveSettings:
    """What is trained: settings, and how they suit a smaller training part."""

    config: RunConfig
    at_size: Callable[[int, int], RunConfig]  # (training pictures, seed) -> settings
    how: str  # tells questions with one config apart


def of_preset(data_name: str, preset_name: str, changes: Mapping[str, Any] | None = None) -> CurveSettings:
    """A preset, fitted to each size. UserMistake for an unknown dataset, preset or setting."""
    dataset, settings = find_dataset(data_name), dict(changes or {})

    def at_size(size: int, seed: int) -> RunConfig:
        return fitted_config(preset_name, dataset, settings | _without_val(seed), lambda *_: size)

    return CurveSettings(fitted_config(preset_name, dataset, settings), at_size, preset_name)


def of_run(run: Run) -> CurveSettings:
    """The settings of a run; where they came from a preset that fits itself, fitted to each size."""
    return CurveSettings(
        run.config, lambda size, seed: change_config(fit_to(run.config, size), _without_val(seed)), "run"
    )


def _without_val(seed: int) -> dict[str, Any]:
    """No early stopping, for which there are no pictures."""
    return {"train.seed": seed, "train.patience": 0}


def measure_curve(
    settings: CurveSettings, shares: Sequence[float] = SHARES, seeds: int = SEEDS
) -> Iterator[Progress | DataCurve]:
    """Train on parts of the training part, stratified, each with several seeds; the test part stays. Yields how far it
    is, in per cent of a training, and the curve at last. What was trained before is not trained again.

    UserMistake for a training part with fewer than LEAST pictures of a class at all but one of the shares.
    """
    store = load_store(settings.config.data, settings.config.model)
    sizes, test = _sizes(store, shares), store.parts["test"]
    tasks = [
        TrialTask(
            _name(size, seed),
            settings.at_size(size, seed),
            {"train": _drawn(store, share, seed), "val": test[:0], "test": test},
        )
        for share, size in sizes
        for seed in range(seeds)
    ]
    answers = yield from _kept(settings).run(tasks, store, PHASE)
    right = [int(one.correct.sum()) for one in answers]
    yield DataCurve(
        tuple(
            Point(size, tuple(right[place * seeds : (place + 1) * seeds]), len(test))
            for place, (_, size) in enumerate(sizes)
        )
    )


def read_curve(settings: CurveSettings) -> DataCurve | None:
    """What measure_curve has found as it is usually asked; None where something is missing. UserMistake as there."""
    store, kept = load_store(settings.config.data), _kept(settings)
    points = []
    for _, size in _sizes(store, SHARES):
        answers = [kept.read(_name(size, seed)) for seed in range(SEEDS)]
        found = [one for one in answers if one is not None and one.n]
        if len(found) < SEEDS:
            return None
        points.append(Point(size, tuple(int(one.correct.sum()) for one in found), found[0].n))
    return DataCurve(tuple(points))


def _kept(settings: CurveSettings) -> KeptTrials:
    data = settings.config.data
    fingerprint = store_fingerprint(find_dataset(data.dataset), data)
    return kept_trials("curve", settings.config, fingerprint, settings.how)


def _name(size: int, seed: int) -> str:
    return f"{size}-pictures-{seed}"


def _sizes(store: TensorStore, shares: Sequence[float]) -> list[tuple[float, int]]:
    """(share, pictures) of each point, from the first one on that has LEAST pictures of every class."""
    labels = store.labels[store.parts["train"]]
    smallest = int(np.bincount(labels, minlength=len(store.classes)).min())
    found = {len(_drawn(store, share, 0)): share for share in shares if round(share * smallest) >= LEAST}
    if len(found) < 2:
        raise UserMistake(
            f"{store.dataset!r} has too few training pictures for a curve: the smallest class has {smallest}"
        )
    return [(share, size) for size, share in sorted(found.items())]


def _drawn(store: TensorStore, share: float, seed: int) -> np.ndarray:
    """Sorted rows: of each class this share of its training pictures; with one seed a smaller part lies in a larger."""
    random, rows = np.random.default_rng([seed, 5]), store.parts["train"]
    chosen = []
    for label in range(len(store.classes)):
        members = random.permutation(rows[store.labels[rows] == label])
        chosen.append(members[: round(share * len(members))])
    return np.sort(np.concatenate(chosen))


def _spread(point: Point) -> Spread:
    """What chance does to the mean accuracy of a point."""
    shares = np.array(point.right) / point.n
    low, high = wilson(round(sum(point.right) / len(point.right)), point.n)
    pictures = ((high - low) / 2 / 1.96) ** 2
    between = max(float(shares.var(ddof=1)), 1e-8) if len(shares) > 1 else math.nan
    return Spread(point.accuracy, len(shares), between, pictures, point.n)


def _sd(spread: Spread, df: float, variance: float) -> float:
    """Standard deviation of the mean over the seeds."""
    own = spread.seeds - 1
    if own + df == 0:
        return 0.0
    between = 0.0 if own == 0 else spread.between
    return math.sqrt((df * variance + own * between) / (df + own) / spread.seeds)


def _gain(sizes: np.ndarray, accuracies: np.ndarray, more: int) -> float:
    """By how much the error falls from the last size to `more` beyond it, on the line through the logarithms."""
    errors = np.log(np.clip(1 - accuracies, 1e-3, 1.0))
    slope, start = np.polyfit(np.log(sizes), errors, 1)
    last, then = (math.exp(start + slope * math.log(size)) for size in (sizes[-1], sizes[-1] + more))
    return last - then


def _round(number: float) -> int:
    """To one digit, at least 1: 1,027 -> 1,000."""
    if number < 1:
        return 1
    ten = 10 ** math.floor(math.log10(number))
    return round(number / ten) * ten
