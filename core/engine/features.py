"""The features that a frozen backbone extracts from every picture of a store, computed once and kept for later runs.

features/<hash of pictures, backbone and normalisation>/features.npy   float32 (N, F), memory-mapped; row i is picture i
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.config import RunConfig
from core.data.pictures.preprocess import Preprocess
from core.data.storage import wait_for
from core.data.store.batches import RESIDENT_BYTES, Part, normalise
from core.data.store.store import TensorStore
from core.disk import DRAFT, sync_folder
from core.engine.evaluate import evaluation_batch
from core.errors import UserMistake
from core.locks import process_lock
from core.progress import Clock, Progress
from core.settings import features_root, free_space

SCHEMA = 1
HEADER_BYTES = 128


def uses_fixed_features(config: RunConfig) -> bool:
    """Whether a picture has the same features in every epoch: the backbone is frozen and no picture is augmented, in
    training or, by flip test-time augmentation, in evaluation."""
    model = config.model
    return (
        model.name in ("pretrained", "transfer")
        and model.trainable == "head"
        and not config.train.augment
        and not model.flip_tta
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
    path = features_path(backbone, store)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = process_lock(path.with_suffix(".lock"), thread_local=False)
    for seconds in wait_for(lock):  # a second run waits for the first
        yield Progress("waiting", seconds, 0, None)
    try:
        if not path.exists() or path.stat().st_size != HEADER_BYTES + len(store.images) * 4 * width:
            yield from _run_over(backbone.eval(), width, store, device, path)
    finally:
        lock.release()


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


def _run_over(
    backbone: nn.Module, width: int, store: TensorStore, device: torch.device, path: Path
) -> Iterator[Progress]:
    count, side = len(store.images), store.preprocess.image_size
    partial, row_bytes, at_once = path.with_suffix(DRAFT), 4 * width, evaluation_batch(side)
    _check_room(count * row_bytes)
    backbone.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    done = (max(0, partial.stat().st_size - HEADER_BYTES) // row_bytes if partial.exists() else 0) // at_once * at_once
    clock = Clock()
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        file.write(_header(count, width))
        file.truncate(HEADER_BYTES + done * row_bytes)
        file.seek(0, 2)
        for first in range(done, count, at_once):
            pictures = np.array(store.images[first : first + at_once])
            file.write(np.ascontiguousarray(features_of(backbone, pictures, store.preprocess, device)).tobytes())
            done = first + len(pictures)
            if clock.ticks():
                file.flush()
                yield Progress("features", done, count, clock.seconds_left(done, count))
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def _header(count: int, width: int) -> bytes:
    """The head of an .npy file of float32 (count, width), of a length that does not depend on them."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {width}), }}".encode()
    header = header.ljust(HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def _check_room(needed: int) -> None:
    free = free_space(features_root())
    if free is not None and free < needed + 2**26:
        raise UserMistake(
            f"The features of these pictures take {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB free. "
            "Free some space, e.g. by emptying the trash: python -m core runs empty-trash"
        )
