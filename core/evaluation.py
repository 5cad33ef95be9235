"""Evaluation: what a network answered for every picture of one part, and the numbers that follow. No torch."""

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Measure = Literal["evaluation", "paper"]
MEASURES: tuple[Measure, ...] = ("evaluation", "paper")


@dataclass(frozen=True)
class Evaluation:
    """Answers for the pictures of one part, in store order for measure "evaluation"."""

    part: str  # "train" | "val" | "test"
    measure: Measure  # "paper": first two pictures of each batch, batch statistics
    classes: tuple[str, ...]
    indices: np.ndarray  # int64 (n,) into the store
    labels: np.ndarray  # int64 (n,)
    probabilities: np.ndarray  # float32 (n, classes), rows sum to 1
    seconds: float = 0.0

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
        """Share of pictures answered rightly, 0..1; nan for an empty part."""
        return float(self.correct.mean()) if self.n else math.nan

    @property
    def counts(self) -> np.ndarray:
        """int64 (classes,): pictures a class."""
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
    def interval(self) -> tuple[float, float]:
        return wilson(int(self.correct.sum()), self.n)

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
            )


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % score interval of a share right/n (Wilson 1927): stays in 0..1 and is honest for small n."""
    if n == 0:
        return 0.0, 1.0
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)
