"""Silence: for how long a worker has neither said nor done anything. A stopped or deadlocked one does neither."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from core.settings import Limits

_LOOK_SECONDS = 1.0
_AT_WORK = 0.02  # of a processor: what counts as working; waiting threads take less
_UNHEARD = 3  # who computes without a word is given this many times as long when it is asked to stop


@dataclass
class Silence:
    """Counts while it is asked to look, on a clock that stands still while the machine sleeps."""

    folder: Path  # of the run: what the worker writes there is its sign of life
    pid: int
    wordless: float = 0.0  # seconds in which it wrote nothing
    idle: float = 0.0  # seconds in which it wrote nothing and computed nothing
    _looked: float = field(default_factory=lambda: time.monotonic())
    _written: tuple[int, ...] = ()
    _computed: float = 0.0

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        # a machine that slept, or a supervisor that was itself stopped, has not waited for all that time
        passed, self._looked = min(now - self._looked, 2 * _LOOK_SECONDS), now
        written, computed = self._last_writing(), self._seconds_computed()
        self.wordless = 0.0 if written != self._written else self.wordless + passed
        works = computed - self._computed > _AT_WORK * passed
        self.idle = 0.0 if works or not self.wordless else self.idle + passed
        self._written, self._computed = written, computed

    def reason_to_end(self, stop_asked: bool, limits: Limits) -> str:
        """Why it should be ended now, the beginning of a sentence; "" while one can wait."""
        if self.wordless > limits.silence_end_seconds:
            return f"Training had not responded for {_minutes(limits.silence_end_seconds)}, so it was ended"
        patience = limits.silence_stop_seconds
        if stop_asked and (self.idle > patience or self.wordless > _UNHEARD * patience):
            return "Training did not respond when it was asked to stop, so it was ended"
        return ""

    def _last_writing(self) -> tuple[int, ...]:
        """When each file of the run was last written, and how large it is: one that grows is a sign of life too."""
        found = []
        for folder in (self.folder, self.folder / "checkpoint"):
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name != "stop":  # that is not the worker's
                        with suppress(OSError):
                            told = entry.stat()
                            found += [told.st_mtime_ns, told.st_size]
        return tuple(sorted(found))

    def _seconds_computed(self) -> float:
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)


def is_stopped(pid: int) -> bool:
    """Whether the process was halted (SIGSTOP, Ctrl-Z): then only SIGKILL reaches it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
