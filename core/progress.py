"""Progress of a long piece of work, and the clock that says when to report it."""

import time
from dataclasses import dataclass
from typing import Any

TICK_SECONDS = 0.2  # between two reports of progress


@dataclass(frozen=True)
class Progress:
    """How far a long piece of work is: `done` of `total` pictures; total is 0 where it is not known."""

    phase: str  # "listing", "reading", "saving", "comparing", "done", ...; "waiting" for a process that does the same
    done: int  # while waiting: seconds
    total: int
    seconds_left: float | None
    dataset: Any = None  # the Dataset, on the last one of an import; this module knows no room


def describe_pictures(progress: Progress) -> str:
    """What happens to the pictures of a run before its first epoch, in a sentence."""
    if progress.phase == "features":
        return f"The backbone extracts the features of each picture: {progress.done:,} of {progress.total:,}."
    if progress.phase == "teacher":
        return f"The teacher answers for each training picture: {progress.done:,} of {progress.total:,}."
    if progress.phase == "waiting":
        return f"Another process is reading these pictures; this run waits for it, since {progress.done:,} s."
    return f"{progress.phase.capitalize()} the pictures: {progress.done:,} of {progress.total:,}."


class Clock:
    """When the next report of progress is due, and the seconds left at the speed so far."""

    def __init__(self) -> None:
        self.start = self.last = time.monotonic()

    def ticks(self) -> bool:
        """Whether TICK_SECONDS have passed since the last report; if so, the next interval begins."""
        now = time.monotonic()
        if now - self.last < TICK_SECONDS:
            return False
        self.last = now
        return True

    def seconds_left(self, done: int, total: int) -> float | None:
        """None in the first half second, and while nothing is done or `total` is unknown."""
        elapsed = time.monotonic() - self.start
        return elapsed * (total - done) / done if 0 < done <= total and elapsed > 0.5 else None
