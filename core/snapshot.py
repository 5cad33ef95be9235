"""Snapshot: predictions for a few pictures, and the first layer, of a network in training. No torch."""

import io
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Snapshot:
    """A network in training at one moment. Pages draw it; nothing is decided by it."""

    part: str  # "val" | "test": where the pictures are from; never "train"
    epoch: int  # the current one, from 1
    step: int  # iterations done in the whole run
    indices: np.ndarray  # int64 (n,) into the store: the same pictures in every snapshot of a run
    labels: np.ndarray  # int64 (n,)
    probabilities: np.ndarray  # float32 (n, classes), rows sum to 1; evaluation mode
    # float32 (filters, channels, height, width): weights of the first convolution; (0, 0, 0, 0) where there is none
    filters: np.ndarray
    first_filters: np.ndarray  # the same before the first step
    all_filters: int = 0  # of that convolution, of which `filters` are the first; 0: not known, as in 0.1.0

    def __post_init__(self) -> None:
        n = len(self.indices)
        assert self.indices.shape == self.labels.shape == (n,), (self.indices.shape, self.labels.shape)
        assert self.probabilities.ndim == 2 and len(self.probabilities) == n, (self.probabilities.shape, n)
        assert self.filters.ndim == 4, self.filters.shape
        assert self.filters.shape == self.first_filters.shape, (self.filters.shape, self.first_filters.shape)

    @property
    def predictions(self) -> np.ndarray:
        """int64 (n,): the class with the highest probability; the first one on a tie."""
        return self.probabilities.argmax(axis=1)

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        np.savez(  # not compressed: it is written every two seconds
            buffer,
            part=np.array(self.part),
            epoch=np.array(self.epoch),
            step=np.array(self.step),
            indices=self.indices,
            labels=self.labels,
            probabilities=self.probabilities,
            filters=self.filters,
            first_filters=self.first_filters,
            all_filters=np.array(self.all_filters),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Snapshot":
        """The way back; ValueError and others of numpy's where the content is not one."""
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            return cls(
                part=str(saved["part"]),
                epoch=int(saved["epoch"]),
                step=int(saved["step"]),
                indices=saved["indices"],
                labels=saved["labels"],
                probabilities=saved["probabilities"],
                filters=saved["filters"],
                first_filters=saved["first_filters"],
                all_filters=int(saved["all_filters"]) if "all_filters" in saved else 0,
            )
