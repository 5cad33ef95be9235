"""SnapshotWriter: a snapshot of the network in training about every two seconds, for a small share of the time."""

import math
import time
from collections.abc import Callable
from typing import Protocol

from core.rows import EpochRow, IterationRow, TickRow
from core.runs.writer import RunWriter
from core.snapshot import Snapshot

SECONDS_BETWEEN_SNAPSHOTS = 2.0
SHARE_OF_SNAPSHOTS = 0.005  # of the time: of a large network they are taken less often


class Place(Protocol):
    """A TrainState, as far as it says which step it is."""

    @property
    def epoch(self) -> int: ...

    @property
    def step(self) -> int: ...


class SnapshotWriter:
    def __init__(self, snapshot: Callable[[int, int], Snapshot], writer: RunWriter, start: Place | None) -> None:
        """snapshot: of the network at (epoch, step). start: where a training goes on; None for its beginning."""
        self.snapshot, self.writer = snapshot, writer
        self.began, self.taken_at = time.monotonic(), -math.inf
        self.spent: float | None = None  # seconds that they took; the first one warms up and is not counted
        self.epoch, self.step = (start.epoch, start.step) if start else (1, 0)

    def note(self, row: IterationRow | TickRow | EpochRow) -> None:
        """Take one if it is time. A tick comes every 0.4 s: a short step never waits for it."""
        self.epoch, self.step = row.epoch, row.step
        now = time.monotonic()
        allowed = SHARE_OF_SNAPSHOTS * (now - self.began)
        if now - self.taken_at >= SECONDS_BETWEEN_SNAPSHOTS and (self.spent or 0.0) <= allowed:
            self.take()

    def take(self) -> None:
        """Take and write one."""
        began = time.monotonic()
        self.writer.save_snapshot(self.snapshot(self.epoch, self.step))
        self.taken_at = time.monotonic()
        self.spent = 0.0 if self.spent is None else self.spent + self.taken_at - began
