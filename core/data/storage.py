"""Stores on disk: writing images.npy, moving a finished store into place, and sweeping unfinished work."""

import contextlib
import hashlib
import io
import json
import mmap
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock, Timeout

from core.data.pictures.preprocess import Preprocess
from core.disk import read_json, sync_folder, write_json
from core.errors import UserMistake
from core.locks import ProcessLock, process_lock
from core.settings import datasets_root, stores_root

STAGING = ".staging-"
SCHEMA = 1
WAITING_SECONDS = 1.0  # for a lock, between two reports of waiting


@lru_cache(maxsize=1024)  # pages compare every run with a dataset
def fingerprint_of(content_hash: str, preprocess: Preprocess) -> str:
    """The name of the store of these pictures, preprocessed this way: a SHA-256, 64 hexadecimal digits."""
    key = json.dumps([SCHEMA, content_hash, preprocess.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()


def store_folder(fingerprint: str) -> Path:
    return stores_root() / fingerprint


def images_header(count: int, size: int) -> bytes:
    """The header of an .npy file of `count` pictures, HEADER_BYTES long whatever the count."""
    header = io.BytesIO()
    shape = (count, 3, size, size)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    assert len(header.getvalue()) == HEADER_BYTES, len(header.getvalue())
    return header.getvalue()


HEADER_BYTES = 128


def create_images(path: Path, size: int) -> None:
    """Write an images.npy with no pictures; the decoding processes write their rows behind its header."""
    path.write_bytes(images_header(0, size))


def close_images(path: Path, size: int, rows: np.ndarray, written: int) -> None:
    """Keep `rows` (int64) of the `written` ones in that order, correct the header, and flush to the disk."""
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + written * 3 * size * size)  # a refused last row may never have been written
        file.write(images_header(written, size))
    if not np.array_equal(rows, np.arange(written)):
        ordered = path.with_suffix(".sorted")
        with path.open("rb") as every, ordered.open("wb") as file:
            file.write(images_header(len(rows), size))
            for first in range(0, len(rows), 1024):
                file.write(read_rows(every, HEADER_BYTES, 3 * size * size, rows[first : first + 1024]))
        ordered.replace(path)
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def read_rows(file: IO[bytes], start: int, row_bytes: int, rows: np.ndarray) -> bytes:
    """The bytes of `rows` (int64) of a file whose rows begin at `start`, in that order; runs of rows are read at once.

    Read and not mapped, so that a file of gigabytes does not end up in the memory of this process.
    """
    content = []
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        file.seek(start + int(run[0]) * row_bytes)
        content.append(file.read(len(run) * row_bytes))
    return b"".join(content)


def copy_rows(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """images[rows] (rows: int64 (n,)) as a copy. Raises UserMistake where the mapped file was cut short.

    Of a memory map all rows are requested in one go, because one page fault after the other waits for the disk. The
    pages are released afterwards: they stay in the system's cache, but a store of 3 GB would else count as memory of
    every process that has read it once.
    """
    mapped = getattr(images, "_mmap", None)
    if mapped is None or not len(rows) or not hasattr(mmap, "MADV_WILLNEED"):
        return images[rows]
    if (left := mapped.size()) < len(mapped):  # to read beyond it would end the process (SIGBUS)
        raise UserMistake(
            f"the stored pictures were cut short while they were read ({left:,} of {len(mapped):,} bytes are left); "
            "start again: they are made anew from the originals, which stay as they are"
        )
    start = images.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    size = int(np.prod(images.shape[1:])) * images.itemsize
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
    ends = rows[[*starts[1:] - 1, -1]] + 1
    pages = (start + rows[starts] * size) // mmap.PAGESIZE * mmap.PAGESIZE
    for page, length in zip(pages.tolist(), (start + ends * size - pages).tolist(), strict=True):
        mapped.madvise(mmap.MADV_WILLNEED, page, length)
    copied = images[rows]
    mapped.madvise(mmap.MADV_DONTNEED)
    return copied


def place_store(
    folder: Path, fingerprint: str, content_hash: str, preprocess: Preprocess, refused: list[list[Any]]
) -> None:
    """Move a finished `folder` with images.npy to its place; a store that is there already stays.

    refused: [row of the dataset, name, reason] of each picture that could not be read this way.
    """
    images = np.load(folder / "images.npy", mmap_mode="r")
    document = {
        "schema_version": SCHEMA,
        "content_hash": content_hash,
        "preprocess": preprocess.model_dump(mode="json"),
        "count": len(images),
        "refused": refused,
    }
    del images
    write_json(folder / "store.json", document)
    target = store_folder(fingerprint)
    target.parent.mkdir(parents=True, exist_ok=True)
    if has_store(fingerprint):
        shutil.rmtree(folder)
        return
    if target.exists():  # damaged: an image file of another length
        target.replace(target.with_name(f"{STAGING}{secrets.token_hex(8)}"))
    folder.replace(target)
    sync_folder(target.parent)


def has_store(fingerprint: str) -> bool:
    """Whether the store is there and images.npy has the length that store.json gives."""
    folder = store_folder(fingerprint)
    try:
        document = read_json(folder / "store.json")
        size = document["preprocess"]["image_size"]
        return (folder / "images.npy").stat().st_size == HEADER_BYTES + document["count"] * 3 * size * size
    except (OSError, ValueError, KeyError, TypeError):
        return False


# ------------------------------------------------------------------------------------------------- staging


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """A new folder for work in progress, removed at the end if it is still there. Sweeps what killed processes left."""
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{STAGING}{secrets.token_hex(8)}"
    owner = process_lock(_lock_of(folder), thread_local=False)
    with root_lock():
        sweep()
        owner.acquire(timeout=0)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        owner.release()
        _lock_of(folder).unlink(missing_ok=True)


def wait_for(lock: FileLock) -> Iterator[int]:
    """Acquire the lock; yields the seconds of waiting so far, once a second, while another process holds it."""
    began = time.monotonic()
    while True:
        try:
            lock.acquire(timeout=WAITING_SECONDS)
            return
        except Timeout:
            yield round(time.monotonic() - began)


def root_lock() -> ProcessLock:
    """Held for the moments in which folders appear, move or go; never while pictures are read. UserMistake where a
    halted process holds it."""
    datasets_root().mkdir(parents=True, exist_ok=True)
    return process_lock(datasets_root() / ".lock", thread_local=False)


def sweep() -> None:
    """Remove staging folders whose owner is gone, and stores without a dataset. The caller holds root_lock()."""
    for root in (datasets_root(), stores_root()):
        for folder in root.glob(f"{STAGING}*"):
            if folder.suffix == ".lock":
                if not folder.with_suffix("").exists():
                    _remove_if_free(folder, None)
                continue
            _remove_if_free(_lock_of(folder), folder)
    _remove_orphans()


def _remove_orphans() -> None:
    """Remove stores of pictures that are in no dataset: an import was killed between placing the two."""
    known = set()
    for path in datasets_root().glob("*/dataset.json"):
        try:
            known.add(read_json(path)["content_hash"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # a damaged dataset may own any of the stores
    remove_stores(lambda content_hash: content_hash not in known)


def remove_stores(is_unused: Callable[[str], bool]) -> None:
    """Remove every store whose content hash is unused."""
    for path in stores_root().glob("*/store.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if is_unused(read_json(path)["content_hash"]):
                shutil.rmtree(path.parent, ignore_errors=True)


def _remove_if_free(lock: Path, folder: Path | None) -> None:
    owner = process_lock(lock, thread_local=False)
    try:
        owner.acquire(timeout=0)
    except Timeout:
        return
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    owner.release()
    lock.unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")
