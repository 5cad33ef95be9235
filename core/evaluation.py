"""Evaluation: the predictions of a network for every picture of one part, and its metrics. No torch."""

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.intervals import wilson

Measure = Literal["evaluation", "paper"]
Which = Literal["last", "best"]  # model of a run; best: the one with the lowest loss on the validation part
MEASURES: tuple[Measure, ...] = ("evaluation", "paper")


@dataclass(frozen=True)
class Evaluation:
    """The predictions for one part, in store order for measure "evaluation"."""

    part: str  # "train" | "val" | "test"
    measure: Measure  # "paper": first two pictures of each batch, batch statistics
    classes: tuple[str, ...]
    indices: np.ndarray  # int64 (n,) into the store
    labels: np.ndarray  # int64 (n,)
    probabilities: np.ndarray  # float32 (n, classes), rows sum to 1
    seconds: float = 0.0
    model: Which = "last"  # whose predictions they are

    def __post_init__(self) -> None:
        n = len(self.indices)
        assert self.labels.shape == (n,), (self.labels.shape, n)
        assert self.probabilities.shape == (n, len(self.classes)), (self.probabilities.shape, n, self.classes)

    @property
    def n(self) -> int:
        return len(self.labels)

    @property
    def predictions(self) -> np.ndarray:
        """int64 (n,): the class with the highest probability; the first one on a tie."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        return self.predictions == self.labels

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, 0..1; nan for an empty part."""
        return float(self.correct.mean()) if self.n else math.nan

    @property
    def counts(self) -> np.ndarray:
        """int64 (classes,): pictures of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def confusion(self) -> np.ndarray:
        """int64 (classes, classes): row = true class, column = predicted class."""
        k = len(self.classes)
        return np.bincount(self.labels * k + self.predictions, minlength=k * k).reshape(k, k)

    @property
    def per_class(self) -> np.ndarray:
        """float64 (classes,): accuracy of each class; nan where a class has no picture."""
        with np.errstate(invalid="ignore"):
            return np.diag(self.confusion) / self.counts

    @property
    def mean_class_accuracy(self) -> float:
        """Mean of the per-class accuracies over the classes that have pictures (the paper's "mean")."""
        per_class = self.per_class
        return float(np.nanmean(per_class)) if np.isfinite(per_class).any() else math.nan

    @property
    def precision(self) -> np.ndarray:
        """float64 (classes,): of the pictures that were predicted as a class, the share that are of it; nan where no
        picture was."""
        with np.errstate(invalid="ignore"):
            return np.diag(self.confusion) / self.confusion.sum(axis=0)

    @property
    def f1(self) -> np.ndarray:
        """float64 (classes,): harmonic mean of precision and recall (the accuracy of the class), as scikit-learn has
        it: 0 where a class has pictures and none is found; nan where it has none."""
        confusion = self.confusion
        both = confusion.sum(axis=0) + self.counts
        with np.errstate(invalid="ignore"):
            return np.where(self.counts > 0, 2 * np.diag(confusion) / both, np.nan)

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have pictures, 0..1; nan for an empty part."""
        return float(np.nanmean(self.f1)) if self.n else math.nan

    @property
    def majority(self) -> float:
        """The accuracy of always predicting the largest class of this part, 0..1; nan for an empty part."""
        return int(self.counts.max()) / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return wilson(int(self.correct.sum()), self.n)

    @property
    def chance(self) -> float:
        """The accuracy of guessing: 1 / classes."""
        return 1 / len(self.classes)

    @property
    def beats_chance(self) -> bool:
        """Whether the 95 % interval of the accuracy lies wholly above guessing."""
        return self.interval[0] > self.chance

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            part=np.array(self.part),
            measure=np.array(self.measure),
            classes=np.array(self.classes, dtype=np.str_),
            indices=self.indices,
            labels=self.labels,
            probabilities=self.probabilities.astype(np.float32),
            seconds=np.array(self.seconds),
            model=np.array(self.model),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Evaluation":
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            return cls(
                part=str(saved["part"]),
                measure=str(saved["measure"]),  # type: ignore[arg-type]
                classes=tuple(str(name) for name in saved["classes"]),
                indices=saved["indices"],
                labels=saved["labels"],
                probabilities=saved["probabilities"],
                seconds=float(saved["seconds"]),
                model=str(saved["model"]) if "model" in saved else "last",  # type: ignore[arg-type]  # as in 0.1.0
            )
