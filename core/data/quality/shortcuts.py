"""Shortcut baselines: how well colour, brightness or picture size alone predict the classes, on a run's split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.datasets.sizes import picture_sizes
from core.data.store.store import open_store, split_dataset
from core.intervals import wilson

Property = Literal["colour", "brightness", "size"]
Verdict = Literal["explains", "helps", "nothing"]
MOST = 10_000  # training pictures, and as many test pictures; more move the result by less than a point
SHADES = 4  # a colour histogram has 4 x 4 x 4 cells
CLEAR = 0.10  # a shortcut's interval is above the accuracy of the majority class by more than this
NEAR = 0.8  # a property that gains this share of the network's gain over the majority class explains most of it
UNEVEN = 0.05  # where the majority class beats chance by more, the balanced accuracy counts as well
HALF = 0.5  # of the way from the majority class to 100 %, used where no network is known yet


@dataclass(frozen=True)
class Score:
    """Correct predictions on the test pictures."""

    name: str
    by_class: tuple[tuple[int, int], ...]  # (correct, pictures) of each class that has test pictures

    @property
    def right(self) -> int:
        return sum(right for right, _ in self.by_class)

    @property
    def n(self) -> int:
        return sum(n for _, n in self.by_class)

    @property
    def accuracy(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson), 0..1."""
        return wilson(self.right, self.n)

    @property
    def balanced(self) -> float:
        """Balanced accuracy: the mean of the classes' accuracies, 0..1."""
        return sum(right / n for right, n in self.by_class) / len(self.by_class)

    @property
    def balanced_low(self) -> float:
        """Mean of the lower ends of the classes' intervals, a cautious lower end for the balanced accuracy."""
        return sum(wilson(right, n)[0] for right, n in self.by_class) / len(self.by_class)


@dataclass(frozen=True)
class Shortcuts:
    """What each property alone scores, and the majority class and chance for comparison."""

    scores: tuple[Score, ...]  # of each property, in the order of Property
    majority: Score  # predicting always the class with the most training pictures
    chance: float  # 1 / classes
    learnt_from: int  # training pictures that were used
    of_train: int  # training pictures that there are
    of_test: int  # test pictures that there are
    one_size: tuple[int, int] | None  # width and height in pixels if all pictures have the same

    @property
    def uneven(self) -> bool:
        """Whether classes are so unequal that accuracy and balanced accuracy differ."""
        return self.majority.accuracy - self.chance > UNEVEN

    def verdict(self, score: Score, network: tuple[int, int] | None = None) -> Verdict:
        """How far a score explains the classes; network: (correct, pictures) of a trained one.

        "explains": its interval is more than CLEAR above the majority class, and it reaches NEAR of what the network
        gains over the majority class, or HALF of the way to 100 % where no network is known. "helps": its interval is
        above the majority class. "nothing": otherwise. In an uneven dataset the balanced accuracy counts as well,
        against chance.
        """
        floor = max(self.majority.accuracy, self.chance)
        low = score.interval[0]
        if network is not None and network[1]:
            near = score.accuracy - floor >= NEAR * (network[0] / network[1] - floor)
            explains = near and low > floor + CLEAR
        else:
            explains = low > floor + max(CLEAR, HALF * (1 - floor))
        if self.uneven:  # where 90 % are of one class, no accuracy can be much better, but a balanced accuracy can
            balanced = score.balanced_low
            explains = explains or balanced > self.chance + max(CLEAR, HALF * (1 - self.chance))
            low = max(low, floor + balanced - self.chance)
        return "explains" if explains else "helps" if low > floor else "nothing"

    def worst(self, network: tuple[int, int] | None = None) -> Score | None:
        """Of the properties that explain the classes, the one with the highest score; None where none does."""
        found = [score for score in self.scores if self.verdict(score, network) == "explains"]
        return max(found, key=lambda score: score.right, default=None)


def measure_shortcuts(
    dataset: Dataset, data: DataConfig, report: Callable[[int, int], None] = lambda done, total: None
) -> Shortcuts:
    """Train a logistic regression on each property, standardised, and score it on the test part of `data`.

    Colours and brightness are of the 32-pixel store, sizes of the originals. A part with more than MOST pictures is
    sampled by the split's seed. `report` is called with (steps done, steps). Raises UserMistake as open_store does.
    """
    usual = data.model_copy(update={"image_size": 32, "fit": "crop", "duplicates": "ignore"})
    store = open_store(dataset, usual)
    complete = len(store.images) == dataset.used  # a store that was made again may lack what newer limits refuse
    parts = split_dataset(dataset, data) if complete else store.parts
    train, test = (_sample(parts[part], data.seed) for part in ("train", "test"))
    used, kept = np.sort(np.concatenate([train, test])), np.concatenate([train, test])
    labels, steps = store.labels, 2 * len(EXTRACTORS) + 1
    report(0, steps)
    images = store.images[used]
    sizes = picture_sizes(dataset, used) if complete else None
    place = np.searchsorted(used, kept)
    scores = []
    for number, (name, extract) in enumerate(EXTRACTORS.items()):
        features = extract(images, sizes)
        report(2 * number + 1, steps)
        predictions = _fit_and_predict(features[place[: len(train)]], labels[train], features[place[len(train) :]])
        scores.append(_score(name, predictions, labels[test]))
        report(2 * number + 2, steps)
    most = np.bincount(labels[parts["train"]], minlength=len(store.classes)).argmax()
    majority = _score("majority", np.full(len(test), most), labels[test])
    report(steps, steps)
    return Shortcuts(
        scores=tuple(scores),
        majority=majority,
        chance=1 / len(store.classes),
        learnt_from=len(train),
        of_train=len(parts["train"]),
        of_test=len(parts["test"]),
        one_size=_one_size(sizes),
    )


def _sample(rows: np.ndarray, seed: int) -> np.ndarray:
    """At most MOST of the rows, drawn at random, so that classes keep their proportions."""
    if len(rows) <= MOST:
        return rows
    return np.sort(np.random.default_rng([seed, MOST]).choice(rows, MOST, replace=False))


def _colour(images: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    return colour_histogram(images)


def colour_histogram(images: np.ndarray) -> np.ndarray:
    """float64 (N, 64) of images uint8 (N, 3, H, W): root of the fraction of pixels in each cell of an RGB histogram.

    The square root makes rare colours count: 4 pixels of 1,024 differ from none as much as 36 from 16.
    """
    cells = SHADES**3
    fractions = np.empty((len(images), cells))
    for start in range(0, len(images), 512):
        piece = images[start : start + 512].reshape(-1, 3, images.shape[2] * images.shape[3])
        shade = piece >> 6  # 256 values in 4 shades
        cell = (shade[:, 0] * SHADES + shade[:, 1]) * SHADES + shade[:, 2]
        flat = cell + cells * np.arange(len(piece))[:, None]
        counts = np.bincount(flat.ravel(), minlength=cells * len(piece)).reshape(-1, cells)
        fractions[start : start + 512] = counts / cell.shape[1]
    return np.sqrt(fractions)


def _brightness(images: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    """float64 (N, 2): mean luminance (Rec. 601) and its square, which separates a middle class from both ends."""
    mean = images.reshape(len(images), 3, -1).mean(axis=2) @ np.array([0.299, 0.587, 0.114])
    return _with_squares(mean[:, None] / 255)


def _size(images: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    """float64 (N, 6): logarithms of width, height and width / height, and their squares.

    File sizes are left out: they depend on how much there is to see, which is no trivial property.
    """
    if sizes is None:
        return np.zeros((len(images), 1))
    wide, high = np.log(np.maximum(sizes, 1)).T
    return _with_squares(np.stack([wide, high, wide - high], axis=1))


EXTRACTORS: dict[Property, Callable[[np.ndarray, np.ndarray | None], np.ndarray]] = {
    "colour": _colour,
    "brightness": _brightness,
    "size": _size,
}


def _with_squares(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=0)
    return np.hstack([centred, centred**2])


def _fit_and_predict(features: np.ndarray, labels: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """int64 (M,): the classes that a logistic regression on features (N, F) predicts for `tested` (M, F)."""
    from sklearn.linear_model import LogisticRegression  # a second to import: only where it is used

    mean, spread = features.mean(axis=0), features.std(axis=0)
    varies = spread > 1e-9
    if not varies.any() or len(np.unique(labels)) < 2:  # nothing separates the classes: predict the majority
        return np.full(len(tested), np.bincount(labels).argmax())
    scaled, scaled_tested = (((rows - mean) / np.where(varies, spread, 1))[:, varies] for rows in (features, tested))
    model = LogisticRegression(max_iter=200, tol=1e-3).fit(scaled, labels)
    return model.predict(scaled_tested).astype(np.int64)


def _score(name: str, predictions: np.ndarray, labels: np.ndarray) -> Score:
    counts = np.bincount(labels)
    right = np.bincount(labels[predictions == labels], minlength=len(counts))
    return Score(name, tuple((int(r), int(n)) for r, n in zip(right, counts, strict=True) if n))


def _one_size(sizes: np.ndarray | None) -> tuple[int, int] | None:
    if sizes is None or not len(sizes) or (sizes != sizes[0]).any():
        return None
    return int(sizes[0, 0]), int(sizes[0, 1])
