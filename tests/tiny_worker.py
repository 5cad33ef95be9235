"""Workers for the tests of the supervisor, which keep the promises of core.train.train_run, and one that does train."""

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

from core.runs.writer import RunWriter
from tests.core.runs.test_run import row


def count(folder: Path) -> None:
    """A step every 20 ms for 20 seconds, unless asked to stop."""
    pen = RunWriter(folder)
    pen.starting()
    for step in range(1, 1000):
        pen.append(row(step))
        pen.running(epoch=step, step=step)
        print("step", step, flush=True)
        if pen.stop_requested():
            return pen.finish("stopped")
        time.sleep(0.02)
    pen.finish("done")


def save_slowly(folder: Path) -> None:
    """Until it is asked to stop; then 4 seconds in which it says something now and then."""
    pen = RunWriter(folder)
    pen.starting()
    pen.running(epoch=1, step=1)
    while not pen.stop_requested():
        pen.running(step=1)
        time.sleep(0.02)
    for _ in range(8):
        time.sleep(0.5)
        pen.running(message="Saving.")
    pen.finish("stopped", "saved after 4 s")


def hang(folder: Path) -> None:
    """A step, and then a lock that nobody gives back."""
    pen = RunWriter(folder)
    pen.starting()
    pen.running(epoch=1, step=1)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def shout(folder: Path) -> None:
    """A thousand lines of a thousand characters, and a second for the supervisor to look at them."""
    pen = RunWriter(folder)
    pen.starting()
    for line in range(1000):
        print(f"line {line} ".ljust(999, "."), flush=True)
    time.sleep(1)
    print("the last words", flush=True)
    pen.finish("done")


def finish(folder: Path) -> None:
    pen = RunWriter(folder)
    pen.starting()
    pen.running()
    pen.finish("done", f"parent {os.getppid()}")


def crash(folder: Path) -> None:
    RunWriter(folder).starting()
    print("about to crash", file=sys.stderr, flush=True)
    os.abort()


def leave(folder: Path) -> None:
    RunWriter(folder).starting()
    raise RuntimeError("the reason")


def train(folder: Path, seconds: float = 0.0) -> None:
    """core.train.train_run, saving at every tick and every end of an epoch; killed after `seconds` of work if not 0."""
    import core.train
    from core.engine import fit

    os.sched_getaffinity = lambda _: {0}  # one thread, as in the tests' own process
    fit.SECONDS_A_TICK = 0.0
    core.train.SECONDS_IN_AN_EPOCH, core.train.SHARE_OF_SAVING = 0.0, math.inf
    signal.setitimer(signal.ITIMER_PROF, seconds)  # its signal ends the process at once, wherever it is
    core.train.train_run(folder)
