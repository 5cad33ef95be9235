"""What pictures are like on average: the mean picture and the mean colour of each class, and the channels."""

from dataclasses import dataclass

import numpy as np

from core.data.images import copy_rows

MOST = 100_000  # pictures that are looked at; of more, as many evenly spaced ones
CHUNK = 2048  # pictures at a time: 6 MB at 32 pixels


@dataclass(frozen=True)
class Averages:
    """K classes, S pixels a side; every number is from 0 (dark) to 1."""

    counts: np.ndarray  # int64 (K,): pictures of each class that were looked at
    pictures: np.ndarray  # float64 (K, 3, S, S): the mean picture of each class; 0 where it has none
    colours: np.ndarray  # float64 (K, 3): the mean colour of each class
    mean: np.ndarray  # float64 (3,): red, green and blue over all pixels of all pictures
    std: np.ndarray  # float64 (3,)

    @property
    def n(self) -> int:
        return int(self.counts.sum())


def measure_averages(images: np.ndarray, labels: np.ndarray, classes: int) -> Averages:
    """images: uint8 (N, 3, S, S), may be memory-mapped; labels: int64 (N,), from 0 to classes - 1."""
    rows = np.arange(len(images))
    if len(rows) > MOST:
        rows = np.linspace(0, len(images) - 1, MOST).astype(np.int64)
    sums = np.zeros((classes, *images.shape[1:]), np.int64)
    squares = np.zeros(3, np.int64)
    for start in range(0, len(rows), CHUNK):
        chosen = rows[start : start + CHUNK]
        piece, of = copy_rows(images, chosen), labels[chosen]
        for label in np.unique(of):
            sums[label] += piece[of == label].sum(axis=0, dtype=np.int64)
        squares += np.square(piece, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.int64)
    counts = np.bincount(labels[rows], minlength=classes)
    pictures = sums / np.maximum(1, counts)[:, None, None, None] / 255
    pixels = max(1, len(rows)) * images.shape[2] * images.shape[3]
    mean = sums.sum(axis=(0, 2, 3)) / pixels
    std = np.sqrt(np.maximum(0, squares / pixels - mean**2))
    return Averages(counts, pictures, pictures.mean(axis=(2, 3)), mean / 255, std / 255)
