"""Dataset statistics: mean picture and mean colour of each class, mean and standard deviation of each channel."""

from dataclasses import dataclass

import numpy as np

from core.data.storage import copy_rows

MOST = 100_000  # pictures that are measured; of more, as many evenly spaced ones
CHUNK = 2048  # pictures that are read at once: 6 MB at 32 pixels


@dataclass(frozen=True)
class DatasetStatistics:
    """Of K classes and S pixels a side; every mean and deviation is between 0 (dark) and 1."""

    counts: np.ndarray  # int64 (K,): measured pictures of each class
    mean_pictures: np.ndarray  # float64 (K, 3, S, S): 0 for a class without pictures
    mean_colours: np.ndarray  # float64 (K, 3)
    mean: np.ndarray  # float64 (3,): red, green and blue over all pixels of all pictures
    std: np.ndarray  # float64 (3,): the same

    @property
    def n(self) -> int:
        """Measured pictures."""
        return int(self.counts.sum())


def measure_statistics(images: np.ndarray, labels: np.ndarray, classes: int) -> DatasetStatistics:
    """Statistics of images uint8 (N, 3, S, S), which may be memory-mapped; labels: int64 (N,), 0 to classes - 1."""
    rows = np.arange(len(images))
    if len(rows) > MOST:
        rows = np.linspace(0, len(images) - 1, MOST).astype(np.int64)
    sums = np.zeros((classes, *images.shape[1:]), np.int64)
    squares = np.zeros(3, np.int64)
    for start in range(0, len(rows), CHUNK):
        chosen = rows[start : start + CHUNK]
        piece, own = copy_rows(images, chosen), labels[chosen]
        for label in np.unique(own):
            sums[label] += piece[own == label].sum(axis=0, dtype=np.int64)
        squares += np.square(piece, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.int64)
    counts = np.bincount(labels[rows], minlength=classes)
    mean_pictures = sums / np.maximum(1, counts)[:, None, None, None] / 255
    pixels = max(1, len(rows)) * images.shape[2] * images.shape[3]
    mean = sums.sum(axis=(0, 2, 3)) / pixels
    std = np.sqrt(np.maximum(0, squares / pixels - mean**2))
    return DatasetStatistics(counts, mean_pictures, mean_pictures.mean(axis=(2, 3)), mean / 255, std / 255)
