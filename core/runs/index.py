"""RunIndex: every run below one folder, each read again only when something in its folder has changed."""

import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserMistake
from core.runs.run import Run, is_run_id, newest_first, open_run

_UNSETTLED_NS = 2_000_000_000  # some disks stamp in steps of two seconds: two changes in one step look like one
_LIVE_SECONDS = 0.5  # a run that has not ended may have lost its process without a change on the disk


@dataclass(frozen=True)
class _Entry:
    run: Run | None  # None for a damaged folder
    damage: str  # why it cannot be read, a sentence; "" where it can
    stamp: int  # the folder's mtime in ns, taken before the run was read
    read_ns: int  # when, on the clock that stamps files
    read: float  # when, time.monotonic()

    def holds(self, stamp: int) -> bool:
        if stamp != self.stamp or self.read_ns - self.stamp < _UNSETTLED_NS:
            return False
        ended = self.run is not None and self.run.state.ended
        return ended or time.monotonic() - self.read < _LIVE_SECONDS


class RunIndex:
    """What list_runs() gives, for callers that ask again and again; threads may share it.

    A folder's mtime changes with each file in it that is replaced, and core/disk.py replaces all that is read here.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._entries: dict[str, _Entry] = {}
        self._listed: list[Run] = []
        self._checked = -math.inf  # time.monotonic()
        self._lock = threading.Lock()

    def runs(self, seconds: float = 0.0) -> list[Run]:
        """Every readable run, newest first; a run whose process is gone reads as "lost" within half a second.

        What was found up to `seconds` ago is given again: enough for a caller on a clock.
        """
        with self._lock:
            if time.monotonic() - self._checked < seconds:
                return list(self._listed)
            self._checked = time.monotonic()
            stamps = self._stamps()
            changed = [run_id for run_id in self._entries if run_id not in stamps]
            for run_id in changed:
                del self._entries[run_id]
            for run_id, stamp in stamps.items():
                entry = self._entries.get(run_id)
                if entry is None or not entry.holds(stamp):
                    self._entries[run_id] = self._read(run_id, stamp)
                    changed.append(run_id)
            if changed:
                self._listed = newest_first(entry.run for entry in self._entries.values() if entry.run)
            return list(self._listed)

    def damage(self) -> list[str]:
        """A sentence about each folder that could not be read when runs() was last asked."""
        with self._lock:
            return [entry.damage for _, entry in sorted(self._entries.items()) if entry.damage]

    def _stamps(self) -> dict[str, int]:
        stamps = {}
        try:
            with os.scandir(self.root) as folders:
                for folder in folders:
                    if is_run_id(folder.name):
                        try:
                            stamps[folder.name] = folder.stat().st_mtime_ns
                        except OSError:
                            continue  # deleted between listing and stat
        except FileNotFoundError:
            pass  # no run yet
        return stamps

    def _read(self, run_id: str, stamp: int) -> _Entry:
        read_ns, read = time.time_ns(), time.monotonic()
        try:
            return _Entry(open_run(self.root / run_id), "", stamp, read_ns, read)
        except UserMistake as mistake:
            return _Entry(None, str(mistake), stamp, read_ns, read)
