"""OtherLoad: how busy other programs keep the processors while something is measured. No torch."""

import os
import time

import psutil


class OtherLoad:
    """Counts from when it is made: with others at work everything takes longer than on a quiet machine."""

    def __init__(self) -> None:
        self.began, self.own, self.busy = time.perf_counter(), time.process_time(), _busy_seconds()

    def share(self, of_children: float = 0.0) -> float:
        """0..1 of all processors since the beginning; of_children: seconds that they worked for our own processes."""
        wall = (time.perf_counter() - self.began) * (os.cpu_count() or 1)
        own = time.process_time() - self.own + of_children
        return max(0.0, min(1.0, (_busy_seconds() - self.busy - own) / wall))


def _busy_seconds() -> float:
    """Seconds that all processors together have worked since the machine was started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
