"""RunFeatures: the features of every training picture of a run (FeatureNetwork), computed once and kept.

novelty/<run>-<16 digits of its weights>/features.npy   float32 (n, F), memory-mapped: training picture by picture
                                         pictures.npz   rows int64 (n,) in the store, labels int64 (n,), first_width
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.config import RunConfig
from core.data.datasets.dataset import disk_troubles
from core.data.store.batches import normalise
from core.data.store.store import TensorStore
from core.disk import draft_path
from core.engine.evaluate import evaluation_batch
from core.engine.features import features_path, uses_fixed_features
from core.evaluation import Which
from core.inference.feature_network import FeatureNetwork
from core.inference.own_pictures import store_of
from core.inference.predictor import load_model
from core.models.transfer import TransferModel
from core.progress import Clock, Progress
from core.runs.run import Run
from core.settings import must_fit, novelty_root

FEATURES, PICTURES = "features.npy", "pictures.npz"


@dataclass(frozen=True)
class RunFeatures:
    """Row i of every field is the same training picture."""

    features: np.ndarray  # float32 (n, F), memory-mapped
    rows: np.ndarray  # int64 (n,) into the run's store
    labels: np.ndarray  # int64 (n,), index into the run's classes
    first_width: int  # of the F numbers, the last ones: what the first convolution makes of the picture

    @property
    def width(self) -> int:
        """Of the F numbers, the first ones: what the last layer is given."""
        return int(self.features.shape[1]) - self.first_width


class RunNetwork:
    """The network of a run and its own pictures, to be asked for features.

    UserMistake where the run has no model, or its dataset is gone or another one by now."""

    def __init__(self, run: Run, which: Which) -> None:
        self.store = store_of(run, which)
        model = load_model(run, which)
        self._network = FeatureNetwork(model)
        self.first_width = self._network.first_width
        self._known = _known_features(run.config, model, self.store)

    @torch.no_grad()
    def answer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (B, 3, S, S), a batch -> probabilities float32 (B, classes), features float32 (B, F)."""
        logits, features = self._network(self._normalised(images))
        return logits.float().softmax(1).numpy(), features.numpy()

    def _normalised(self, images: np.ndarray) -> torch.Tensor:
        pictures = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        return normalise(pictures, self.store.preprocess)

    def blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """The features of the pictures at `rows` of the store, int64 (n,), block by block: float32 (B, F)."""
        at_once = evaluation_batch(self.store.preprocess.image_size)
        for first in range(0, len(rows), at_once):
            block = rows[first : first + at_once]
            images = self.store.images[block]
            if self._known is None:
                yield self.answer(images)[1]
            else:
                maps = self._network.first_layer(self._normalised(images)).numpy()
                yield np.concatenate([self._known[block], maps], 1)


def measured_folder(run: Run, which: Which | None = None) -> Path:
    """Where the features of a model's training pictures are kept with what follows from them; it may not be there yet.
    UserMistake where there is no model."""
    return novelty_root() / f"{run.id}-{run.weights_sha256(which or run.used_model)[:16]}"


def open_run_features(run: Run, which: Which | None = None) -> RunFeatures | None:
    """What build_run_features has kept; None where that is missing or damaged."""
    folder = measured_folder(run, which)
    try:
        features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
        with np.load(folder / PICTURES, allow_pickle=False) as kept:
            found = RunFeatures(features, kept["rows"], kept["labels"], int(kept["first_width"]))
    except Exception:  # numpy and zipfile have many errors for a file that is not theirs; it is made again
        return None
    fits = features.ndim == 2 and features.dtype == np.float32 and len(features) > 0
    return found if fits and found.rows.shape == found.labels.shape == (len(features),) else None


def build_run_features(run: Run, which: Which | None = None, network: RunNetwork | None = None) -> Iterator[Progress]:
    """Compute and keep the features unless they are there. Phase "features", in pictures.

    Closing the generator leaves nothing behind. UserMistake as RunNetwork, and where the disk has no room.
    """
    which = which or run.used_model
    folder = measured_folder(run, which)
    if open_run_features(run, which) is not None:
        return
    network = network or RunNetwork(run, which)
    draft = draft_path(folder)
    with disk_troubles():
        novelty_root().mkdir(parents=True, exist_ok=True)
        draft.mkdir()
        try:
            yield from _write(network, draft)
            shutil.rmtree(folder, ignore_errors=True)  # damaged, or it would have been opened
            try:
                draft.rename(folder)
            except OSError:
                if open_run_features(run, which) is None:  # else somebody has just made the same
                    raise
            _sweep_older(run)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _write(network: RunNetwork, draft: Path) -> Iterator[Progress]:
    rows, clock, done = network.store.parts["train"], Clock(), 0
    kept: np.ndarray | None = None
    for block in network.blocks(rows):
        if kept is None:
            needed = 4 * len(rows) * block.shape[1]
            must_fit(novelty_root(), needed, "The features of the training pictures take")
            shape = (len(rows), block.shape[1])
            kept = np.lib.format.open_memmap(draft / FEATURES, "w+", np.float32, shape)
        kept[done : done + len(block)] = block
        done += len(block)
        if clock.ticks():
            yield Progress("features", done, len(rows), clock.seconds_left(done, len(rows)))
    assert isinstance(kept, np.memmap), "a run has training pictures"
    kept.flush()
    np.savez(draft / PICTURES, rows=rows, labels=network.store.labels[rows], first_width=network.first_width)


def _known_features(config: RunConfig, model: torch.nn.Module, store: TensorStore) -> np.ndarray | None:
    """What training has kept of every picture of a frozen backbone, float32 (N, F): the same numbers; else None."""
    if not uses_fixed_features(config) or not isinstance(model, TransferModel):
        return None
    with suppress(OSError, ValueError):
        known = np.load(features_path(model.backbone, store), mmap_mode="r", allow_pickle=False)
        if known.shape == (len(store.images), model.head.in_features):
            return np.asarray(known)
    return None


def _sweep_older(run: Run) -> None:
    """Remove what was kept of weights that the run no longer has."""
    current = {measured_folder(run, which) for which, there in _models(run) if there}
    for folder in novelty_root().glob(f"{run.id}-*"):
        if folder not in current and not folder.name.endswith(".draft"):
            shutil.rmtree(folder, ignore_errors=True)


def _models(run: Run) -> list[tuple[Which, bool]]:
    return [("last", run.has_model), ("best", run.has_best_model)]
