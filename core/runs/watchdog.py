"""Watchdog: for how long a worker has written no file and used no processor, as a halted or deadlocked one does."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from core.settings import Limits

_SECONDS_BETWEEN_CHECKS = 1.0
_BUSY_SHARE = 0.02  # of a processor, from which on a process counts as computing; waiting threads use less
_COMPUTING_FACTOR = 3  # one that computes without writing gets this many times as long when it is asked to stop


@dataclass
class Watchdog:
    """Counts seconds from check to check; time in which the machine slept does not count."""

    folder: Path  # of the run: what the worker writes there is its sign of life
    pid: int
    seconds_since_write: float = 0.0  # seconds without a write
    idle: float = 0.0  # seconds without a write and without computing
    _checked: float = field(default_factory=lambda: time.monotonic())
    _written: tuple[int, ...] = ()
    _computed: float = 0.0

    def check(self) -> None:
        now = time.monotonic()
        if now - self._checked < _SECONDS_BETWEEN_CHECKS:
            return
        # after a sleep of the machine, or of the supervisor itself, the time between does not count
        passed, self._checked = min(now - self._checked, 2 * _SECONDS_BETWEEN_CHECKS), now
        written, computed = self._last_writing(), self._seconds_computed()
        self.seconds_since_write = 0.0 if written != self._written else self.seconds_since_write + passed
        works = computed - self._computed > _BUSY_SHARE * passed
        self.idle = 0.0 if works or not self.seconds_since_write else self.idle + passed
        self._written, self._computed = written, computed

    def reason_to_end(self, stopping: bool, limits: Limits) -> str:
        """Why the worker should be ended now, the beginning of a sentence; "" while it may go on."""
        if self.seconds_since_write > limits.watchdog_end_seconds:
            return f"Training had not responded for {_minutes(limits.watchdog_end_seconds)}, so it was ended"
        most = limits.watchdog_stop_seconds
        if stopping and (self.idle > most or self.seconds_since_write > _COMPUTING_FACTOR * most):
            return "Training did not respond when it was asked to stop, so it was ended"
        return ""

    def _last_writing(self) -> tuple[int, ...]:
        """mtime in ns and size of each file of the run; one that grows is a sign of life too."""
        found = []
        for folder in (self.folder, self.folder / "checkpoint"):
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name != "stop":  # which the worker does not write
                        with suppress(OSError):
                            stat = entry.stat()
                            found += [stat.st_mtime_ns, stat.st_size]
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
