"""TensorStore: every picture of a dataset as the network receives it, memory-mapped, with its label and its part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.backbones.registry import normalisation_of
from core.config import DataConfig, ModelConfig
from core.data.datasets.dataset import Dataset, Refused, disk_troubles, find_dataset
from core.data.duplicates.duplicates import find_duplicates, read_duplicates
from core.data.pictures.decode_pool import decode
from core.data.pictures.preprocess import Preprocess
from core.data.splits import split_indices
from core.data.storage import (
    HEADER_BYTES,
    close_images,
    create_images,
    fingerprint_of,
    has_store,
    place_store,
    read_rows,
    root_lock,
    staging,
    store_folder,
    wait_for,
)
from core.data.versions.versions import drawn_before, earlier_versions, rows_in
from core.disk import read_json
from core.errors import UserMistake
from core.locks import process_lock
from core.progress import Clock, Progress
from core.settings import load_limits, stores_root

COPIED = 1024  # pictures that are taken over in one go


@dataclass(frozen=True)
class TensorStore:
    """Row i of every field is the same picture."""

    images: np.ndarray  # uint8 (N, 3, S, S), memory-mapped, read-only
    labels: np.ndarray  # int64 (N,), index into classes
    names: Sequence[str]  # read from the disk when the first one is asked for
    groups: np.ndarray  # int64 (N,): duplicates of one another share a number; all differ where none were searched
    classes: tuple[str, ...]
    parts: dict[str, np.ndarray]  # "train", "val", "test": int64, sorted, disjoint
    refused: tuple[Refused, ...]
    fingerprint: str
    preprocess: Preprocess
    dataset: str

    def __post_init__(self) -> None:
        n = len(self.images)
        assert len(self.labels) == len(self.names) == len(self.groups) == n, (n, len(self.labels), len(self.names))


def load_store(data: DataConfig, model: ModelConfig | None = None) -> TensorStore:
    """open_store() of the dataset that `data` names. Raises UserMistake for an unknown one, and as open_store()."""
    return open_store(find_dataset(data.dataset), data, model)


def open_store(dataset: Dataset, data: DataConfig, model: ModelConfig | None = None) -> TensorStore:
    """The pictures of `dataset`, preprocessed and split as `data` says; made first where the store is missing.

    `model` decides the normalisation, which travels with the store to training, evaluation and the model's card. Pixels
    and fingerprint are the same for all networks. Raises UserMistake for a split without training or test pictures.
    """
    for _ in build_store(dataset, data):
        pass
    store = _open(dataset, preprocess_of(data), data)
    return store if model is None else replace(store, preprocess=preprocess_of(data, model))


def build_store(dataset: Dataset, data: DataConfig) -> Iterator[Progress]:
    """Make the store of `dataset` that `data` asks for, and find duplicates where the split keeps them together.

    What is there is not made again. Closing the generator leaves nothing behind.
    """
    yield from _make(dataset, preprocess_of(data))
    if data.duplicates == "together" and data.split == "stratified":
        yield from find_duplicates_of(dataset)
    yield Progress("done", dataset.used, dataset.used, 0.0, dataset)


def find_duplicates_of(dataset: Dataset) -> Iterator[Progress]:
    """Find the duplicates among the pictures unless read_duplicates() has them already. Phase "comparing"."""
    if read_duplicates(dataset) is None:
        yield from _make(dataset, Preprocess())
        fingerprint = fingerprint_of(dataset.content_hash, Preprocess())
        yield from find_duplicates(dataset, store_folder(fingerprint) / "images.npy", _kept(dataset, fingerprint))


def open_images(dataset: Dataset, preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Every picture, whatever its part: uint8 (N, 3, S, S), memory-mapped, and int64 (N,), the dataset's row of each.

    The store is made first where it is missing.
    """
    for _ in _make(dataset, preprocess):
        pass
    fingerprint = fingerprint_of(dataset.content_hash, preprocess)
    images = np.load(store_folder(fingerprint) / "images.npy", mmap_mode="r", allow_pickle=False)
    return images, _kept(dataset, fingerprint)


def _make(dataset: Dataset, preprocess: Preprocess) -> Iterator[Progress]:
    fingerprint = fingerprint_of(dataset.content_hash, preprocess)
    if not has_store(fingerprint):
        stores_root().mkdir(parents=True, exist_ok=True)
        lock = process_lock(stores_root() / f"{fingerprint}.lock", thread_local=False)
        for seconds in wait_for(lock):  # a second one waits for the first
            yield Progress("waiting", seconds, 0, None)
        try:
            if not has_store(fingerprint):
                yield from _build(dataset, preprocess, fingerprint)
        finally:
            lock.release()


def split_dataset(dataset: Dataset, data: DataConfig) -> dict[str, np.ndarray]:
    """The rows (int64) of "train", "val" and "test" as `data` splits them; reads no picture.

    Duplicates that were not searched yet do not count, which moves a few pictures and hardly ever a number.
    """
    found = read_duplicates(dataset) if data.duplicates == "together" else None
    groups = None if found is None else found.groups
    return split_indices(dataset.labels, dataset.given_parts, data, groups, drawn_before(dataset, data, groups))


def count_parts(dataset: Dataset, data: DataConfig) -> dict[str, int]:
    """Pictures in "train", "val" and "test" as `data` splits them; reads no picture and makes no store."""
    return {part: len(rows) for part, rows in split_dataset(dataset, data).items()}


def store_fingerprint(dataset: Dataset, data: DataConfig) -> str:
    """The fingerprint of `dataset` preprocessed as `data` says, by which a run knows its pictures again.

    A run whose fingerprint this is was made for exactly these pictures, whatever the dataset is called.
    """
    return fingerprint_of(dataset.content_hash, preprocess_of(data))


def read_fingerprint(data: DataConfig) -> tuple[str, int]:
    """(store_fingerprint, number of pictures) of the dataset that `data` names, as it is now."""
    dataset = find_dataset(data.dataset)
    return store_fingerprint(dataset, data), dataset.used


def preprocess_of(data: DataConfig, model: ModelConfig | None = None) -> Preprocess:
    """How pictures are preprocessed; with `model` also its normalisation, which is no part of a store's name."""
    preprocess = Preprocess(image_size=data.image_size, fit=data.fit)
    if model is None:
        return preprocess
    mean, std = normalisation_of(model)
    return preprocess.model_copy(update={"mean": mean, "std": std})


def _build(dataset: Dataset, preprocess: Preprocess, fingerprint: str) -> Iterator[Progress]:
    clock, done = Clock(), 0
    refusals: dict[int, str] = {}
    with disk_troubles(), staging(stores_root()) as folder:
        images = folder / "images.npy"
        create_images(images, preprocess.image_size)
        yield Progress("reading", 0, dataset.used, None)
        known = _copy_known(dataset, preprocess, images)
        rows, done = np.flatnonzero(~known), int(known.sum())
        for outcomes in decode(dataset.tasks(rows), dataset.packs, images, HEADER_BYTES, preprocess, load_limits()):
            refusals.update((row, refusal) for row, refusal, _ in outcomes if refusal is not None)
            done += len(outcomes)
            if clock.ticks():
                yield Progress("reading", done, dataset.used, clock.seconds_left(done, dataset.used))
        yield Progress("saving", done, dataset.used, None)
        kept = np.setdiff1d(np.arange(dataset.used), np.fromiter(refusals, np.int64, len(refusals)))
        close_images(images, preprocess.image_size, kept, dataset.used)
        refused = [[row, dataset.names[row], reason] for row, reason in sorted(refusals.items())]
        with root_lock():
            place_store(folder, fingerprint, dataset.content_hash, preprocess, refused)


def _copy_known(dataset: Dataset, preprocess: Preprocess, images: Path) -> np.ndarray:
    """Copy what the store of an earlier version has: bool (used,), the pictures that need not be read again."""
    size = 3 * preprocess.image_size**2
    for earlier in earlier_versions(dataset):
        fingerprint = fingerprint_of(earlier.content_hash, preprocess)
        if not has_store(fingerprint):
            continue
        kept = _kept(earlier, fingerprint)
        at = np.full(earlier.used + 1, -1, np.int64)  # row -1: pictures that the earlier version does not have
        at[kept] = np.arange(len(kept))
        source = at[rows_in(earlier, dataset)]
        known = np.flatnonzero(source >= 0)
        with (store_folder(fingerprint) / "images.npy").open("rb") as every, images.open("r+b") as file:
            for first in range(0, len(known), COPIED):
                rows = known[first : first + COPIED]
                pixels = read_rows(every, HEADER_BYTES, size, source[rows])
                for begin, row in zip(range(0, len(pixels), size), rows.tolist(), strict=True):
                    file.seek(HEADER_BYTES + row * size)
                    file.write(pixels[begin : begin + size])
        return source >= 0
    return np.zeros(dataset.used, bool)


def _open(dataset: Dataset, preprocess: Preprocess, data: DataConfig) -> TensorStore:
    fingerprint = fingerprint_of(dataset.content_hash, preprocess)
    folder = store_folder(fingerprint)
    refused: list[list[Any]] = read_json(folder / "store.json")["refused"]
    labels, given_parts = dataset.labels, dataset.given_parts
    names: Sequence[str] = dataset.names
    found = read_duplicates(dataset)
    groups = np.arange(dataset.used, dtype=np.int64) if found is None else found.groups
    before = drawn_before(dataset, data, groups)
    if refused:
        kept = _kept(dataset, fingerprint)
        labels, given_parts, names = labels[kept], given_parts[kept], [names[row] for row in kept]
        before = None if before is None else before[kept]
        groups = np.unique(groups[kept], return_inverse=True)[1].astype(np.int64)
    parts = split_indices(labels, given_parts, data, groups, before)
    check_parts(parts, dataset, data)
    return TensorStore(
        images=np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False),
        labels=labels,
        names=names,
        groups=groups,
        classes=dataset.classes,
        parts=parts,
        refused=(*dataset.refused, *(Refused(name, reason) for _, name, reason in refused)),
        fingerprint=fingerprint,
        preprocess=preprocess,
        dataset=dataset.name,
    )


def _kept(dataset: Dataset, fingerprint: str) -> np.ndarray:
    """int64: the dataset's row of each picture in a store; pictures that this store refused are not in it."""
    refused = read_json(store_folder(fingerprint) / "store.json")["refused"]
    return np.setdiff1d(np.arange(dataset.used, dtype=np.int64), [row for row, _, _ in refused])


def check_parts(parts: dict[str, np.ndarray], dataset: Dataset, data: DataConfig) -> None:
    """UserMistake for a split (rows of each part) that leaves nothing to train or to test on."""
    ignoring = ", or set duplicates to ignore, if they are duplicates of one another"
    otherwise = ignoring if data.duplicates == "together" else ""
    for part, purpose in (("train", "to learn from"), ("test", "to test on")):
        if not len(parts[part]):
            raise UserMistake(
                f"{dataset.name!r} has too few pictures: the split leaves none {purpose}; add some or change the "
                f"shares{otherwise}"
            )
