"""Catalogue: every run of one atelier_home(), each read again only once something in its folder has changed."""

import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from core.runs.run import Run, is_run_id, newest_first, open_run

_UNSETTLED_NS = 2_000_000_000  # some disks stamp in steps of two seconds: two changes in one step look like one
_LIVE_SECONDS = 0.5  # a run that has not ended may have lost its process without a change on the disk


@dataclass(frozen=True)
class _Entry:
    run: Run | None  # None for a damaged folder
    stamp: int  # the folder's mtime in ns, looked at before the run was read
    read_ns: int  # when, on the clock that stamps files
    read: float  # when, time.monotonic()

    def holds(self, stamp: int) -> bool:
        if stamp != self.stamp or self.read_ns - self.stamp < _UNSETTLED_NS:
            return False
        ended = self.run is not None and self.run.state.ended
        return ended or time.monotonic() - self.read < _LIVE_SECONDS


class Catalogue:
    """What list_runs() tells, for whoever asks again and again; may be shared by threads.

    A folder's own stamp moves with each file in it that is replaced, and core/disk.py replaces all that is read here.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._entries: dict[str, _Entry] = {}
        self._listed: list[Run] = []
        self._looked = -math.inf  # time.monotonic()
        self._lock = threading.Lock()

    def runs(self, seconds: float = 0.0) -> list[Run]:
        """Every readable run, newest first; a run whose process is gone reads as "lost" within half a second.

        What was found up to `seconds` ago will do for a clock that looks again soon.
        """
        with self._lock:
            if time.monotonic() - self._looked < seconds:
                return list(self._listed)
            self._looked = time.monotonic()
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

    def _stamps(self) -> dict[str, int]:
        stamps = {}
        try:
            with os.scandir(self.root) as folders:
                for folder in folders:
                    if is_run_id(folder.name):
                        try:
                            stamps[folder.name] = folder.stat().st_mtime_ns
                        except OSError:
                            continue  # deleted between the two looks
        except FileNotFoundError:
            pass  # no run yet
        return stamps

    def _read(self, run_id: str, stamp: int) -> _Entry:
        read_ns, read = time.time_ns(), time.monotonic()
        try:
            return _Entry(open_run(self.root / run_id), stamp, read_ns, read)
        except (OSError, ValueError):  # UserMistake is a ValueError
            return _Entry(None, stamp, read_ns, read)
