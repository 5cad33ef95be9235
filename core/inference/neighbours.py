"""Neighbours: the training pictures that a run's network sees as most like a picture.

for step in build_run_features(run): ...         # of run_features.py, once a model: minutes for a large network
neighbours = load_neighbours(run)                # UserMistake where that was not done, or the dataset is gone
neighbours.nearest(prediction.features, prediction.received)
"""

from dataclasses import dataclass

import numpy as np

from core.data.store.store import TensorStore
from core.errors import UserMistake
from core.evaluation import Which
from core.inference.own_pictures import dataset_of, store_of
from core.inference.run_features import RunFeatures, open_run_features
from core.runs.run import Run

AT_ONCE = 8192  # training pictures that are compared in one go: 42 MB of 1,280 features
TIED = 1e-3  # of the length of the features: they differ by so much between batches and devices
COMPARED_BYTES = 2**24  # of pictures with the same features, of which the pixels decide


@dataclass(frozen=True)
class Neighbour:
    """A training picture near another picture in feature space. Its names are data: escape them on a page."""

    row: int  # in the run's store
    dataset_row: int  # in its dataset, for Dataset.original
    file: str  # its name as it was given
    class_name: str
    distance: float  # between the features, in units of the mean length of the training features; 0 is the same picture


@dataclass(frozen=True)
class Neighbours:
    features: RunFeatures
    store: TensorStore
    dataset_rows: np.ndarray  # int64 (N,): the dataset's row of each picture of the store
    squares: np.ndarray  # float32 (n,): squared length of the features of each training picture

    def nearest(self, features: np.ndarray, received: np.ndarray | None = None, count: int = 8) -> list[Neighbour]:
        """The `count` nearest training pictures, nearest first; fewer where there are fewer.

        features: float32 (F,) of a Prediction; received: uint8 (3, S, S), its pixels, which decide where features are
        the same. So a picture of the training part finds itself first, or an exact duplicate.
        """
        distances = self._distances(features)
        order = np.argsort(distances, kind="stable")
        if received is not None:
            order = self._by_pixels(order, distances, received)
        unit = self._length()
        return [self._neighbour(int(place), float(distances[place]) / unit) for place in order[:count]]

    def _distances(self, features: np.ndarray) -> np.ndarray:
        """float64 (n,): Euclidean."""
        found = np.empty(len(self.squares))
        for first in range(0, len(found), AT_ONCE):
            block = self.features.features[first : first + AT_ONCE, : self.features.width]
            found[first : first + AT_ONCE] = ((block - features[: self.features.width]) ** 2).sum(1)
        return np.sqrt(found)

    def _length(self) -> float:
        return float(np.sqrt(self.squares.mean())) or 1.0

    def _by_pixels(self, order: np.ndarray, distances: np.ndarray, received: np.ndarray) -> np.ndarray:
        """The order with the pictures whose features tie with the nearest ones sorted by their pixels."""
        tied = int((distances <= distances[order[0]] + TIED * self._length()).sum())
        first = order[: min(tied, max(1, COMPARED_BYTES // received.nbytes))]
        pixels = self.store.images[self.features.rows[first]].astype(np.int16)
        difference = np.abs(pixels - received.astype(np.int16)).sum((1, 2, 3))
        return np.concatenate([first[np.argsort(difference, kind="stable")], order[len(first) :]])

    def _neighbour(self, place: int, distance: float) -> Neighbour:
        row = int(self.features.rows[place])
        return Neighbour(
            row=row,
            dataset_row=int(self.dataset_rows[row]),
            file=str(self.store.names[row]),
            class_name=self.store.classes[int(self.features.labels[place])],
            distance=distance,
        )


def load_neighbours(run: Run, which: Which | None = None) -> Neighbours:
    """The neighbours among the training pictures of that model of the run (None: of the used one).

    UserMistake where build_run_features has not been run for its weights, where there is no model, and where the
    dataset is gone or another one by now.
    """
    features = open_run_features(run, which)
    if features is None:
        raise UserMistake(f"The training pictures of run {run.id} have not been compared yet.")
    store = store_of(run, which)
    squares = np.concatenate(
        [
            (features.features[first : first + AT_ONCE, : features.width] ** 2).sum(1)
            for first in range(0, len(features.features), AT_ONCE)
        ]
    )
    return Neighbours(features, store, dataset_of(run)[1], squares)
