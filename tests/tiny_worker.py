"""Workers for the tests of the supervisor: they keep the promises of core.train.train_run without training."""

import os
import sys
import time
from pathlib import Path

from core.runs.writer import RunWriter
from tests.test_run import row


def count(folder: Path) -> None:
    """A step every 20 ms for 20 seconds, unless asked to stop."""
    pen = RunWriter(folder)
    pen.starting()
    for step in range(1, 1000):
        pen.append(row(step))
        pen.running(epoch=step, step=step)
        print("step", step, flush=True)
        if pen.stop_asked():
            return pen.finish("stopped")
        time.sleep(0.02)
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
