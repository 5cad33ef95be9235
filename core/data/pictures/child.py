"""Child processes that answer in blocks of bytes: they draw samples, read CIFAR-10 and search duplicates.

Plain subprocesses: multiprocessing would run the page's own script again in each child.
"""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import core

ROOT = Path(core.__file__).resolve().parent.parent  # where python -m core... is found
# an unused pool of threads is wasted memory
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def start_child(module: str, *arguments: str) -> Iterator[IO[bytes]]:
    """Run python -m MODULE ARGUMENTS and give its stdout; leaving the block ends the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is for the caller, who ends this process
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        process.communicate()


def write_block(pipe: IO[bytes], content: bytes) -> None:
    """Write one block: its length in 4 bytes, then its content."""
    pipe.write(struct.pack("<I", len(content)) + content)


def read_block(pipe: IO[bytes]) -> bytes:
    """The next block of a child's output. RuntimeError where the child ended before it."""
    head = pipe.read(4)
    length = struct.unpack("<I", head)[0] if len(head) == 4 else -1
    content = pipe.read(length) if length >= 0 else b""
    if len(content) != length:
        raise RuntimeError("a child process ended before its work was done; stderr has its traceback")
    return content


def wait_briefly() -> None:
    """Make OpenMP's threads sleep soon when they wait for each other; has to be called before torch is loaded.

    By default a thread of libgomp spins for milliseconds. Where another program takes a core, the spinning keeps the
    thread that is waited for from getting one: on two busy cores a step of 3.5 ms took 600 ms, and 25 to 110 with this.
    On a quiet machine nothing is lost (3.2 to 3.5 ms). Results do not change.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def usable_cores() -> int:
    """Cores that this process may run on: in a container or under taskset fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
