"""Map: the pictures of a dataset laid out in a plane, so that like ones lie near each other."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.dataset import Clock, Dataset, Progress
from core.data.preprocess import Preprocess
from core.data.shortcuts import colour_shares
from core.data.store import open_images
from core.disk import write_atomic
from core.errors import UserMistake

# uint8 (B, 3, S, S) -> float (B, F): what the pictures are compared by
Features = Callable[[np.ndarray], np.ndarray]

LOOKS = "looks"  # the name of the map that needs no network
VERSION = 1  # of how it is drawn: a file of another one is made anew
MOST = 2000  # pictures that are laid out; more would hide each other
SEED = 0
NEAR = 8
DIRECTIONS = 32  # of the features that are kept: the others are mostly noise
FEWEST = 12  # pictures from which on t-SNE has something to say
STAGES, STEPS = 4, 250  # one with exaggeration, then three without


@dataclass(frozen=True)
class Map:
    """n pictures; row i of every field is the same one."""

    rows: np.ndarray  # int64 (n,): of the dataset, sorted
    places: np.ndarray  # float32 (n, 2): 0..1
    near: np.ndarray  # int32 (n, NEAR or fewer): the most alike pictures, nearest first, as indices into rows

    def alike(self, labels: np.ndarray) -> tuple[int, int]:
        """Of all nearest pictures: how many have the label of theirs, and how many there are. labels: int64 (n,)."""
        same = labels[self.near] == labels[:, None]
        return int(same.sum()), same.size


def read_map(dataset: Dataset, of: str = LOOKS) -> Map | None:
    """What make_map has drawn; None where it was not yet, or the file is damaged or not of these pictures."""
    try:
        with np.load(_path(dataset, of), allow_pickle=False) as stored:
            if (str(stored["content_hash"]), int(stored["version"])) != (dataset.content_hash, VERSION):
                return None
            found = Map(stored["rows"], stored["places"], stored["near"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if _is_whole(found, dataset.used) else None


def make_map(
    dataset: Dataset, features: Features | None = None, preprocess: Preprocess | None = None, of: str = LOOKS
) -> Iterator[Progress]:
    """Lay the pictures out and keep that beside the dataset, unless it is there: read_map() then has it.

    features: by what they are compared, of pictures received by `preprocess`; without both, colours and shapes at 32
    pixels. of: LOOKS or the id of the run whose features they are. UserMistake where none can be read.
    """
    if read_map(dataset, of) is not None:
        return
    images, kept = open_images(dataset, preprocess or Preprocess())
    chosen = np.arange(len(kept))
    if len(chosen) > MOST:
        chosen = np.sort(np.random.default_rng([SEED, MOST]).choice(len(kept), MOST, replace=False))
    if not len(chosen):
        raise UserMistake(f"no picture of {dataset.name!r} can be read any more, so there is nothing to lay out")
    pieces, clock = [], Clock()
    for start in range(0, len(chosen), 50):
        pieces.append((features or looks)(images[chosen[start : start + 50]]))
        done = min(start + 50, len(chosen))
        yield Progress("reading", done, len(chosen), clock.seconds_left(done, len(chosen)))
    points = _directions(np.concatenate(pieces))
    places = points[:, :2]
    for stage, placed in enumerate(_placed(points), start=1):
        places = placed
        yield Progress("placing", stage, STAGES, clock.seconds_left(stage, STAGES))
    _keep(dataset, of, Map(kept[chosen], _unit(places), _nearest(points)))


def looks(images: np.ndarray) -> np.ndarray:
    """float64 (N, 256): how much of each of 64 colours, and the picture at 8 x 8 pixels, of uint8 (N, 3, 32, 32).

    Either weighs as much: the shares' roots are a vector of length 1, the pixels' deviations from grey are made one.
    """
    small = images.reshape(len(images), 3, 8, 4, 8, 4).mean(axis=(3, 5)).reshape(len(images), -1) - 127.5
    small /= np.maximum(1e-9, np.linalg.norm(small, axis=1, keepdims=True))
    return np.hstack([colour_shares(images), small])


def _directions(features: np.ndarray) -> np.ndarray:
    """float64 (n, DIRECTIONS or fewer): the features along the directions in which they differ most (PCA)."""
    centred = features.astype(np.float64) - features.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = (u * s)[:, :DIRECTIONS]
    return points if points.shape[1] > 1 else np.hstack([points, np.zeros_like(points)])


def _placed(points: np.ndarray) -> Iterator[np.ndarray]:
    """t-SNE (van der Maaten and Hinton 2008) from the first two directions on, told after each of its stages."""
    from sklearn.manifold import TSNE  # a second to import: only where it is used

    n = len(points)
    if n < FEWEST:
        return
    places = points[:, :2] / max(1e-9, points[:, 0].std()) * 1e-4
    rate = max(50.0, n / 48)
    for stage in range(STAGES):
        # scikit-learn has a momentum of 0.5 in a first stage of 250 steps, and 0.8 after it. Each of ours is a first
        # one; without exaggeration a longer step makes up for that.
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
    """int32 (n, NEAR or fewer): the other points, nearest first."""
    squares = (points**2).sum(axis=1)
    distances = squares[:, None] - 2 * points @ points.T + squares
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, : min(NEAR, len(points) - 1)].astype(np.int32)


def _unit(places: np.ndarray) -> np.ndarray:
    low, high = places.min(axis=0), places.max(axis=0)
    return ((places - low) / np.maximum(1e-9, high - low)).astype(np.float32)


def _path(dataset: Dataset, of: str) -> Path:
    assert re.fullmatch(r"[a-z0-9]+", of), of  # LOOKS or an id that the program made
    return dataset.folder / f"map-{of}.npz"


def _keep(dataset: Dataset, of: str, found: Map) -> None:
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


def _is_whole(found: Map, used: int) -> bool:
    """Whether the arrays fit together and to a dataset of so many pictures."""
    n = len(found.rows)
    if found.places.shape != (n, 2) or found.near.ndim != 2 or len(found.near) != n or not n:
        return False
    if found.rows.dtype != np.int64 or found.near.dtype != np.int32 or not np.isfinite(found.places).all():
        return False
    ends = (
        found.rows.min() >= 0,
        found.rows.max() < used,
        found.near.min(initial=0) >= 0,
        found.near.max(initial=0) < n,
    )
    return bool(all(ends) and (np.diff(found.rows) > 0).all())
