"""The features that a frozen backbone extracts from every picture of a store, computed once and kept for later runs.

features/<hash of pictures, backbone and normalisation>/features.npy   float32 (N, F), memory-mapped; row i is picture i
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.config import RunConfig
from core.data.pictures.preprocess import Preprocess
from core.data.store.batches import RESIDENT_BYTES, Part, normalise
from core.data.store.store import TensorStore
from core.engine.evaluate import evaluation_batch
from core.engine.kept_rows import keep_rows
from core.progress import Progress
from core.settings import features_root

SCHEMA = 1


def uses_fixed_features(config: RunConfig) -> bool:
    """Whether a picture has the same features in every epoch: the backbone is frozen and no picture is augmented, in
    training or, by test-time augmentation, in evaluation."""
    model = config.model
    return (
        model.name in ("pretrained", "transfer")
        and model.trainable == "head"
        and not config.train.augment
        and not (model.flip_tta or model.crop_tta)
    )


def features_path(backbone: nn.Module, store: TensorStore) -> Path:
    """The file of the features, which may not exist yet: named by the hash of all that they depend on."""
    key = json.dumps([SCHEMA, store.fingerprint, store.preprocess.model_dump(mode="json"), hash_of(backbone)])
    return features_root() / hashlib.sha256(key.encode()).hexdigest() / "features.npy"


def hash_of(backbone: nn.Module) -> str:
    """SHA-256 of a network's weights and running statistics."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def build_features(backbone: nn.Module, width: int, store: TensorStore, device: torch.device) -> Iterator[Progress]:
    """Run the backbone, in evaluation mode, over every picture, unless that was done before. Phase "features".

    Closing the generator keeps what is done; the next call continues there. `width` is the number of features.
    UserMistake where the disk has no room for them.
    """
    backbone.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compute(first: int, end: int) -> np.ndarray:
        return features_of(backbone, np.array(store.images[first:end]), store.preprocess, device)

    path, at_once = features_path(backbone, store), evaluation_batch(store.preprocess.image_size)
    yield from keep_rows(path, len(store.images), width, at_once, compute, "features")


def open_features(backbone: nn.Module, store: TensorStore) -> np.ndarray:
    """float32 (N, F), memory-mapped, after build_features."""
    features: np.ndarray = np.load(features_path(backbone, store), mmap_mode="r", allow_pickle=False)
    return features


def feature_part(features: np.ndarray, store: TensorStore, part: str, device: torch.device) -> Part:
    """store.parts[part] with features (n, F) in place of pictures: nothing is left to normalise."""
    chosen = store.parts[part]
    held: torch.Tensor | np.ndarray = features
    if len(chosen) * features[:1].nbytes <= RESIDENT_BYTES:
        held = torch.from_numpy(features[chosen]).to(device)
    return Part(
        images=held,
        labels=torch.from_numpy(store.labels[chosen]).to(device),
        indices=torch.from_numpy(np.ascontiguousarray(chosen)).to(device),
        preprocess=store.preprocess,
        device=device,
    )


@torch.no_grad()
def features_of(backbone: nn.Module, pictures: np.ndarray, preprocess: Preprocess, device: torch.device) -> np.ndarray:
    """uint8 (B, 3, S, S) -> float32 (B, F)."""
    images = torch.from_numpy(pictures).permute(0, 2, 3, 1).contiguous().to(device)
    features: np.ndarray = backbone(normalise(images, preprocess)).float().cpu().numpy()
    return features
