"""A child process that speaks in blocks of bytes: how samples are drawn and CIFAR-10 is read beside the server.

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
# a pool of threads is memory that nobody uses
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def start_child(module: str, *arguments: str) -> Iterator[IO[bytes]]:
    """Run python -m MODULE ARGUMENTS and hand out its stdout; leaving the block ends the process."""
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
    pipe.write(struct.pack("<I", len(content)) + content)


def read_block(pipe: IO[bytes]) -> bytes:
    """One block of a child's output. Raises RuntimeError where the child ended before it."""
    head = pipe.read(4)
    length = struct.unpack("<I", head)[0] if len(head) == 4 else -1
    content = pipe.read(length) if length >= 0 else b""
    if len(content) != length:
        raise RuntimeError("a child process ended before its work was done; its last words are on stderr")
    return content


def wait_briefly() -> None:
    """Ask OpenMP's threads to go to sleep soon when they wait for each other; acts where torch is loaded after this.

    By itself a thread of libgomp spins for milliseconds. On a quiet machine nobody sees it. Where somebody else takes
    a core, the thread that is waited for has none, and the spinning keeps it from getting one: on two busy cores a
    step of 3.5 ms became one of 600 ms, and 25 to 110 with this. On quiet ones nothing is lost (3.2 to 3.5 ms). Which
    numbers come out does not change.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def usable_cores() -> int:
    """Processors that this process may run on: fewer than there are in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
