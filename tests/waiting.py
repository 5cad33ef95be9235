"""Waiting for what other processes and threads do, long enough for a machine that is busy with other things."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 240.0  # seconds; only a claim that never comes true takes them
Found = TypeVar("Found")


def wait_until(claim: Callable[[], Found], said: Callable[[], object] = lambda: "", every: float = 0.02) -> Found:
    """What `claim` finds, as soon as it is true; `said` tells in a failure how things stand."""
    end = time.monotonic() + PATIENCE
    while not (found := claim()):
        assert time.monotonic() < end, f"it never came true: {said()}"
        time.sleep(every)
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process, a dead one that nobody has waited for included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
