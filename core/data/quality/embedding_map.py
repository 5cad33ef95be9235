"""Embedding map: the pictures of a dataset as points in a plane, similar ones near each other (t-SNE)."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.datasets.dataset import Dataset
from core.data.pictures.preprocess import Preprocess
from core.data.quality.shortcuts import colour_histogram
from core.data.store.store import open_images
from core.disk import write_atomic
from core.errors import UserMistake
from core.progress import Clock, Progress

# uint8 (B, 3, S, S) -> float (B, F): the features that are compared
Features = Callable[[np.ndarray], np.ndarray]

APPEARANCE = "looks"  # on disk: the map of colours and shapes, which needs no network
VERSION = 1  # of the method: a file of another version is made again
MOST = 2000  # pictures on a map; more would hide each other
SEED = 0
NEAR = 8  # neighbours of a picture
DIRECTIONS = 32  # principal components that are kept: the others are mostly noise
FEWEST = 12  # pictures for t-SNE; fewer are placed by their first two principal components
STAGES, STEPS = 4, 250  # one with exaggeration, then three without


@dataclass(frozen=True)
class EmbeddingMap:
    """n pictures in a plane; row i of every field is the same picture."""

    rows: np.ndarray  # int64 (n,): of the dataset, sorted
    places: np.ndarray  # float32 (n, 2): x and y, 0..1
    near: np.ndarray  # int32 (n, NEAR or fewer): the nearest neighbours by features, nearest first, indices into rows

    def count_same_class(self, labels: np.ndarray) -> tuple[int, int]:
        """(neighbours with the label of their picture, all neighbours), over all pictures; labels: int64 (n,)."""
        same = labels[self.near] == labels[:, None]
        return int(same.sum()), same.size


def read_map(dataset: Dataset, of: str = APPEARANCE) -> EmbeddingMap | None:
    """The map that make_map has stored; None where there is none, it is damaged or of other pictures."""
    try:
        with np.load(_path(dataset, of), allow_pickle=False) as stored:
            if (str(stored["content_hash"]), int(stored["version"])) != (dataset.content_hash, VERSION):
                return None
            found = EmbeddingMap(stored["rows"], stored["places"], stored["near"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if _is_whole(found, dataset.used) else None


def make_map(
    dataset: Dataset, features: Features | None = None, preprocess: Preprocess | None = None, of: str = APPEARANCE
) -> Iterator[Progress]:
    """Make the map and store it in the dataset's folder for read_map(), unless it is there.

    features: of pictures that were preprocessed by `preprocess`; without both, describe_appearance() at 32 pixels. of:
    APPEARANCE, or the id of the run whose features they are. UserMistake where no picture can be read.
    """
    if read_map(dataset, of) is not None:
        return
    images, kept = open_images(dataset, preprocess or Preprocess())
    chosen = np.arange(len(kept))
    if len(chosen) > MOST:
        chosen = np.sort(np.random.default_rng([SEED, MOST]).choice(len(kept), MOST, replace=False))
    if not len(chosen):
        raise UserMistake(f"no picture of {dataset.name!r} can be read any more, so there is nothing to map")
    pieces, clock = [], Clock()
    for start in range(0, len(chosen), 50):
        pieces.append((features or describe_appearance)(images[chosen[start : start + 50]]))
        done = min(start + 50, len(chosen))
        yield Progress("reading", done, len(chosen), clock.seconds_left(done, len(chosen)))
    points = _project(np.concatenate(pieces))
    places = points[:, :2]
    for stage, placed in enumerate(_place(points), start=1):
        places = placed
        yield Progress("placing", stage, STAGES, clock.seconds_left(stage, STAGES))
    _store(dataset, of, EmbeddingMap(kept[chosen], _scale(places), _nearest(points)))


def describe_appearance(images: np.ndarray) -> np.ndarray:
    """Features float64 (N, 256) of images uint8 (N, 3, 32, 32): colour_histogram() and the picture at 8 x 8 pixels.

    Both weigh the same: the histogram has length 1, and the pixels' deviations from grey are scaled to length 1.
    """
    small = images.reshape(len(images), 3, 8, 4, 8, 4).mean(axis=(3, 5)).reshape(len(images), -1) - 127.5
    small /= np.maximum(1e-9, np.linalg.norm(small, axis=1, keepdims=True))
    return np.hstack([colour_histogram(images), small])


def _project(features: np.ndarray) -> np.ndarray:
    """float64 (n, DIRECTIONS or fewer, at least 2): the features on their first principal components."""
    centred = features.astype(np.float64) - features.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = (u * s)[:, :DIRECTIONS]
    return points if points.shape[1] > 1 else np.hstack([points, np.zeros_like(points)])


def _place(points: np.ndarray) -> Iterator[np.ndarray]:
    """t-SNE (van der Maaten and Hinton 2008), initialised by PCA: float (n, 2) after each of its stages."""
    from sklearn.manifold import TSNE  # a second to import: only where it is used

    n = len(points)
    if n < FEWEST:
        return
    places = points[:, :2] / max(1e-9, points[:, 0].std()) * 1e-4
    rate = max(50.0, n / 48)
    for stage in range(STAGES):
        # scikit-learn has a momentum of 0.5 in the first 250 steps and 0.8 after them. Each of our stages is a first
        # one for it; without exaggeration a larger learning rate makes up for that.
        stage_of = TSNE(
            init=places.astype(np.float32),
            perplexity=min(30.0, (n - 1) / 3),
            early_exaggeration=1.0 if stage else 12.0,
            learning_rate=2.5 * rate if stage else rate,
            max_iter=STEPS,
            random_state=SEED,
        )
        places = stage_of.fit_transform(points.astype(np.float32))
        yield places


def _nearest(points: np.ndarray) -> np.ndarray:
    """int32 (n, NEAR or fewer): the nearest other points, nearest first."""
    squares = (points**2).sum(axis=1)
    distances = squares[:, None] - 2 * points @ points.T + squares
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, : min(NEAR, len(points) - 1)].astype(np.int32)


def _scale(places: np.ndarray) -> np.ndarray:
    """The places scaled to 0..1 in both directions, float32 (n, 2)."""
    low, high = places.min(axis=0), places.max(axis=0)
    return ((places - low) / np.maximum(1e-9, high - low)).astype(np.float32)


def _path(dataset: Dataset, of: str) -> Path:
    assert re.fullmatch(r"[a-z0-9]+", of), of  # APPEARANCE or an id that the program made
    return dataset.folder / f"map-{of}.npz"


def _store(dataset: Dataset, of: str, found: EmbeddingMap) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        content_hash=np.array(dataset.content_hash),
        version=np.array(VERSION),
        rows=found.rows,
        places=found.places,
        near=found.near,
    )
    write_atomic(_path(dataset, of), buffer.getvalue())


def _is_whole(found: EmbeddingMap, used: int) -> bool:
    """Whether the arrays fit each other and a dataset of `used` pictures."""
    n = len(found.rows)
    if found.places.shape != (n, 2) or found.near.ndim != 2 or len(found.near) != n or not n:
        return False
    if found.rows.dtype != np.int64 or found.near.dtype != np.int32 or not np.isfinite(found.places).all():
        return False
    in_bounds = (
        found.rows.min() >= 0,
        found.rows.max() < used,
        found.near.min(initial=0) >= 0,
        found.near.max(initial=0) < n,
    )
    return bool(all(in_bounds) and (np.diff(found.rows) > 0).all())
