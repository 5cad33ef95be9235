"""What it saves to compute the features of a frozen backbone once: python -m core bench features NAME

The same head is trained on the same pictures, with the backbone in every epoch and on features computed once. Speed
does not depend on what the weights are: where they are not here, random ones stand in.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch

from core.backbones.registry import must_be_known, natural_side, read_backbone
from core.config import DataConfig, ModelConfig, TrainConfig
from core.data.datasets.dataset import Dataset
from core.data.pictures.decode_pool import receive_in_child
from core.data.pictures.picture import Refusal
from core.data.store.batches import load_part
from core.data.store.store import TensorStore, preprocess_of
from core.engine.features import feature_part, features_of
from core.engine.fit import fit
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.models.build import build_model
from core.models.transfer import TransferModel
from core.rows import EpochRow

AT_ONCE = 16  # pictures, as many as an evaluation of 224 pixels takes


@dataclass(frozen=True)
class FrozenFeatures:
    """Seconds of training a last layer both ways."""

    backbone: str
    pictures: int
    epochs: int  # that both ways are compared over
    epoch_seconds: float  # with the backbone in it, the median of those that were measured
    once_seconds: float  # for the features of every picture
    head_seconds: float  # for all epochs of the head on the features

    @property
    def ratio(self) -> float:
        """How many times longer all epochs take with the backbone in each, everything counted."""
        return self.epochs * self.epoch_seconds / (self.once_seconds + self.head_seconds)

    @property
    def later_ratio(self) -> float:
        """The same for every later run, which finds the features on disk."""
        return self.epochs * self.epoch_seconds / self.head_seconds


def bench_features(
    dataset: Dataset, backbone: str, pictures: int, epochs: int, hardware: Hardware, measured: int = 1
) -> FrozenFeatures:
    """Train a head on `pictures` of a dataset both ways; of the slow way `measured` epochs are timed, warmed up."""
    must_be_known(backbone)
    model_config = ModelConfig(name="pretrained", backbone=backbone)
    side = natural_side(model_config)
    assert side is not None, backbone
    data = DataConfig(image_size=side)
    store = _some_pictures(dataset, pictures, data, model_config)
    classes, train = len(store.classes), TrainConfig(epochs=epochs, optimizer="adam")
    model = build_model(model_config, classes, side, load_weights=read_backbone(backbone) is not None)
    assert isinstance(model, TransferModel), model
    model.to(device=hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    features_of(model.backbone, np.array(store.images[:AT_ONCE]), store.preprocess, hardware.device)  # chooses kernels
    part, short = load_part(store, "train", hardware.device), train.model_copy(update={"epochs": measured})
    slow = [row.seconds for row in fit(model, part, None, classes, short, hardware) if isinstance(row, EpochRow)]
    began = time.perf_counter()
    blocks = range(0, len(store.images), AT_ONCE)
    features = np.concatenate(
        [
            features_of(
                model.backbone, np.array(store.images[first : first + AT_ONCE]), store.preprocess, hardware.device
            )
            for first in blocks
        ]
    )
    once = time.perf_counter() - began
    began = time.perf_counter()
    for _ in fit(model.head, feature_part(features, store, "train", hardware.device), None, classes, train, hardware):
        pass
    head = time.perf_counter() - began
    return FrozenFeatures(backbone, len(store.images), epochs, float(np.median(slow)), once, head)


def _some_pictures(dataset: Dataset, count: int, data: DataConfig, model: ModelConfig) -> TensorStore:
    """A store in memory of so many pictures, evenly from all over the dataset; all of them train."""
    preprocess = preprocess_of(data, model)
    rows = np.unique(np.linspace(0, dataset.used - 1, min(count, dataset.used)).astype(int))
    received = receive_in_child([dataset.original(int(row)) for row in rows], preprocess)
    readable = {place: picture for place, picture in enumerate(received) if not isinstance(picture, Refusal)}
    kept = list(readable)
    if len(kept) < 2:
        raise UserMistake(f"{dataset.name!r} has too few pictures that can be read at {data.image_size} pixels")
    nothing = np.zeros(0, np.int64)
    return TensorStore(
        images=np.stack(list(readable.values())),
        labels=dataset.labels[rows[kept]],
        names=[dataset.names[int(rows[place])] for place in kept],
        groups=np.arange(len(kept)),
        classes=dataset.classes,
        parts={"train": np.arange(len(kept)), "val": nothing, "test": nothing},
        refused=(),
        fingerprint="",
        preprocess=preprocess,
        dataset=dataset.name,
    )
