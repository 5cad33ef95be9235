"""Shortcuts: what colour, brightness and picture size alone tell of the classes, on the same split as a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.config import DataConfig
from core.data.dataset import Dataset
from core.data.sizes import picture_sizes
from core.data.store import load_store, split_dataset
from core.evaluation import wilson

Property = Literal["colour", "brightness", "size"]
Verdict = Literal["explains", "helps", "nothing"]
MOST = (
    10_000  # pictures that are learnt from, and as many that are tested on; more move the result by less than a point
)
SHADES = 4  # a colour histogram has 4 x 4 x 4 cells
CLEAR = 0.10  # how far above the majority class a property must surely be before it may be called a shortcut
NEAR = 0.8  # of what the network gains over the majority class: from there on a property explains most of it
UNEVEN = (
    0.05  # by which always answering the largest class beats chance, before the mean of the classes is told as well
)
HALF = 0.5  # of the way from the majority class to 100 %, where no network is known yet


@dataclass(frozen=True)
class Score:
    """Answers on the test pictures."""

    name: str
    by_class: tuple[tuple[int, int], ...]  # right and asked of each class that was tested

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
        """95 %, Wilson."""
        return wilson(self.right, self.n)

    @property
    def balanced(self) -> float:
        """Mean of the accuracies of the classes, 0..1."""
        return sum(right / n for right, n in self.by_class) / len(self.by_class)

    @property
    def balanced_surely(self) -> float:
        """Mean of the lower ends of the classes' intervals: the mean of the classes is hardly ever below it."""
        return sum(wilson(right, n)[0] for right, n in self.by_class) / len(self.by_class)


@dataclass(frozen=True)
class Shortcuts:
    """What each property alone scores, next to answers that look at nothing."""

    scores: tuple[Score, ...]  # one a property, in the order of Property
    majority: Score  # always the class with the most training pictures
    chance: float  # 1 / classes
    learnt_from: int  # pictures that the scores were learnt from
    of_train: int  # training pictures that there are
    of_test: int
    one_size: tuple[int, int] | None  # width and height, where all pictures have the same

    @property
    def uneven(self) -> bool:
        """Whether the accuracy of all test pictures and that of the mean class tell different stories."""
        return self.majority.accuracy - self.chance > UNEVEN

    def verdict(self, score: Score, network: tuple[int, int] | None = None) -> Verdict:
        """What a score says about the classes; network: (right, n) of a trained one.

        "explains": its interval lies wholly more than CLEAR above the majority class, and it reaches NEAR of what the
        network gains over the majority class, or HALF of the way to 100 % where no network is known.
        "helps": its interval lies wholly above the majority class. "nothing": it does not. In an uneven set the mean of
        the classes counts as well, against chance.
        """
        floor = max(self.majority.accuracy, self.chance)
        low = score.interval[0]
        if network is not None and network[1]:
            near = score.accuracy - floor >= NEAR * (network[0] / network[1] - floor)
            explains = near and low > floor + CLEAR
        else:
            explains = low > floor + max(CLEAR, HALF * (1 - floor))
        if self.uneven:  # where 90 % are of one class, no property can be much better: the classes' mean can
            surely = score.balanced_surely
            explains = explains or surely > self.chance + max(CLEAR, HALF * (1 - self.chance))
            low = max(low, floor + surely - self.chance)
        return "explains" if explains else "helps" if low > floor else "nothing"

    def worst(self, network: tuple[int, int] | None = None) -> Score | None:
        """The property that explains the classes best, if one explains them."""
        found = [score for score in self.scores if self.verdict(score, network) == "explains"]
        return max(found, key=lambda score: score.right, default=None)


def measure_shortcuts(
    dataset: Dataset, data: DataConfig, tell: Callable[[int, int], None] = lambda done, total: None
) -> Shortcuts:
    """Learn the classes from each property with a logistic regression, standardised, and test on unseen pictures.

    Colours are those of the 32-pixel store, sizes those of the originals. Above MOST pictures a part is sampled, as the
    split's seed draws it. `tell` hears how many of the steps are done. Raises UserMistake as load_store does.
    """
    usual = data.model_copy(update={"image_size": 32, "fit": "crop", "copies": "ignore"})
    store = load_store(usual)
    whole = len(store.images) == dataset.used  # a store made anew may lack pictures that newer limits refuse
    parts = split_dataset(dataset, data) if whole else store.parts
    train, test = (_sample(parts[part], data.seed) for part in ("train", "test"))
    used, kept = np.sort(np.concatenate([train, test])), np.concatenate([train, test])
    labels, steps = store.labels, 2 * len(TAKERS) + 1
    tell(0, steps)
    images = store.images[used]
    sizes = picture_sizes(dataset, used) if whole else None
    place = np.searchsorted(used, kept)
    scores = []
    for number, (name, take) in enumerate(TAKERS.items()):
        features = take(images, sizes)
        tell(2 * number + 1, steps)
        answers = _learn(features[place[: len(train)]], labels[train], features[place[len(train) :]])
        scores.append(_score(name, answers, labels[test]))
        tell(2 * number + 2, steps)
    most = np.bincount(labels[parts["train"]], minlength=len(store.classes)).argmax()
    majority = _score("majority", np.full(len(test), most), labels[test])
    tell(steps, steps)
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
    """At most MOST of the rows, each as likely as the others, so that classes keep their shares."""
    if len(rows) <= MOST:
        return rows
    return np.sort(np.random.default_rng([seed, MOST]).choice(rows, MOST, replace=False))


def _colour(images: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    return colour_shares(images)


def colour_shares(images: np.ndarray) -> np.ndarray:
    """float64 (N, 64): the square root of the share of pixels in each cell of a coarse RGB histogram.

    The root makes a rare colour count: 4 pixels of 1,024 differ from none as much as 36 from 16.
    """
    cells = SHADES**3
    shares = np.empty((len(images), cells))
    for start in range(0, len(images), 512):
        piece = images[start : start + 512].reshape(-1, 3, images.shape[2] * images.shape[3])
        shade = piece >> 6  # 256 values in 4 shades
        cell = (shade[:, 0] * SHADES + shade[:, 1]) * SHADES + shade[:, 2]
        flat = cell + cells * np.arange(len(piece))[:, None]
        counts = np.bincount(flat.ravel(), minlength=cells * len(piece)).reshape(-1, cells)
        shares[start : start + 512] = counts / cell.shape[1]
    return np.sqrt(shares)


def _brightness(images: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    """float64 (N, 2): mean luminance (Rec. 601) and its square, so that a middle class is told from both ends."""
    mean = images.reshape(len(images), 3, -1).mean(axis=2) @ np.array([0.299, 0.587, 0.114])
    return _with_squares(mean[:, None] / 255)


def _size(images: np.ndarray, sizes: np.ndarray | None) -> np.ndarray:
    """float64 (N, 6): logarithms of width, height and width / height, and their squares. Bytes of a file are left out:
    they tell how it was saved and how much there is to see, which is no trivial property."""
    if sizes is None:
        return np.zeros((len(images), 1))
    wide, high = np.log(np.maximum(sizes, 1)).T
    return _with_squares(np.stack([wide, high, wide - high], axis=1))


TAKERS: dict[Property, Callable[[np.ndarray, np.ndarray | None], np.ndarray]] = {
    "colour": _colour,
    "brightness": _brightness,
    "size": _size,
}


def _with_squares(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=0)
    return np.hstack([centred, centred**2])


def _learn(features: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The classes that a logistic regression answers for `asked`, int64."""
    from sklearn.linear_model import LogisticRegression  # a second to import: only where it is used

    mean, spread = features.mean(axis=0), features.std(axis=0)
    varies = spread > 1e-9
    if not varies.any() or len(np.unique(labels)) < 2:  # nothing to tell classes apart by: the majority class
        return np.full(len(asked), np.bincount(labels).argmax())
    scaled, questions = (((rows - mean) / np.where(varies, spread, 1))[:, varies] for rows in (features, asked))
    model = LogisticRegression(max_iter=200, tol=1e-3).fit(scaled, labels)
    return model.predict(questions).astype(np.int64)


def _score(name: str, answers: np.ndarray, labels: np.ndarray) -> Score:
    asked = np.bincount(labels)
    right = np.bincount(labels[answers == labels], minlength=len(asked))
    return Score(name, tuple((int(r), int(n)) for r, n in zip(right, asked, strict=True) if n))


def _one_size(sizes: np.ndarray | None) -> tuple[int, int] | None:
    if sizes is None or not len(sizes) or (sizes != sizes[0]).any():
        return None
    return int(sizes[0, 0]), int(sizes[0, 1])
