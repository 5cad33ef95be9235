"""keep_rows: numbers that are computed once for each picture and kept on the disk; whoever is broken off goes on."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from core.data.storage import wait_for
from core.disk import DRAFT, sync_folder
from core.locks import process_lock
from core.progress import Clock, Progress
from core.settings import features_root, must_fit

HEADER_BYTES = 128

Compute = Callable[[int, int], np.ndarray]  # (first, end) -> float32 (end - first, width)


def has_rows(path: Path, count: int, width: int) -> bool:
    """Whether the file is there as a whole."""
    return path.exists() and path.stat().st_size == HEADER_BYTES + count * 4 * width


def keep_rows(path: Path, count: int, width: int, at_once: int, compute: Compute, phase: str) -> Iterator[Progress]:
    """Write the .npy file `path`, float32 (count, width), unless it is there; of the same file one process at a time.

    compute: asked for `at_once` rows, at the end for what is left. Closing the generator keeps what is done; the next
    call continues there. UserMistake where the disk has no room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = process_lock(path.with_suffix(".lock"), thread_local=False)
    for seconds in wait_for(lock):  # a second run waits for the first
        yield Progress("waiting", seconds, 0, None)
    try:
        if not has_rows(path, count, width):
            yield from _write(path, count, width, at_once, compute, phase)
    finally:
        lock.release()


def _write(path: Path, count: int, width: int, at_once: int, compute: Compute, phase: str) -> Iterator[Progress]:
    partial, row_bytes = path.with_suffix(DRAFT), 4 * width
    must_fit(features_root(), count * row_bytes, "What is kept of these pictures takes")
    done = (max(0, partial.stat().st_size - HEADER_BYTES) // row_bytes if partial.exists() else 0) // at_once * at_once
    clock = Clock()
    with partial.open("r+b" if partial.exists() else "w+b") as file:
        file.write(_header(count, width))
        file.truncate(HEADER_BYTES + done * row_bytes)
        file.seek(0, 2)
        for first in range(done, count, at_once):
            done = min(count, first + at_once)
            file.write(np.ascontiguousarray(compute(first, done)).tobytes())
            if clock.ticks():
                file.flush()
                yield Progress(phase, done, count, clock.seconds_left(done, count))
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def _header(count: int, width: int) -> bytes:
    """The head of an .npy file of float32 (count, width), of a length that does not depend on them."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {width}), }}".encode()
    header = header.ljust(HEADER_BYTES - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
