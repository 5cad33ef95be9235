"""Preemption: SIGTERM takes the machine away from a run. It saves its place, and the same command goes on from there.

Slurm, Kubernetes and spot machines send it some seconds before they end a process.
"""

import signal
from contextlib import suppress
from pathlib import Path

from core.runs.process import request_stop

FILE = "preempted"  # in the run's folder: its end was nobody's wish
EXIT_CODE = 75  # of sysexits.h: try again


def stop_on_sigterm(folder: Path) -> None:
    """From now on SIGTERM asks the run in `folder` to stop, without the evaluations for which there is no time."""

    def leave(*_: object) -> None:
        with suppress(OSError):  # the run was deleted: its next write says so
            (folder / FILE).touch()
            request_stop(folder)

    signal.signal(signal.SIGTERM, leave)


def is_preempted(folder: Path) -> bool:
    """Whether the machine was taken away from the run, and nobody has gone on with it yet."""
    return (folder / FILE).exists()


def forget_preemption(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)
