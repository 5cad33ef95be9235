"""Processes that work in a folder: which one does (launch.json), and the request to stop it (the empty file stop)."""

import multiprocessing
import os
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from core.disk import read_json, write_json
from core.locks import is_held

_FORMER_ROLES = {"asker": "requester"}  # as version 0.1.0 wrote them


@dataclass(frozen=True)
class ProcessMark:
    """A process named so that it can be found again: by its id and its start time, because ids are used again."""

    pid: int
    started: str  # on Linux boot id and ticks since boot (a change of the clock does not move them), else seconds

    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie and a stranger with the same id do not count."""
        return self.started != "" and start_of(self.pid) == self.started

    def to_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ProcessMark":
        return cls(pid=int(value["pid"]), started=str(value["started"]))


class Launch(NamedTuple):
    """Which process works in a folder: launch.json."""

    role: str  # of a run: "requester" until it starts, then "worker"; else "job", "probe", "timing" or "sweep"
    process: ProcessMark
    attempt: int | None = None  # of a run
    supervised: bool = False  # of a run: whether the supervisor trains it


def read_launch(folder: Path) -> Launch | None:
    """What launch.json says; None where it is missing or damaged."""
    try:
        stored = read_json(folder / "launch.json")
        role, attempt = str(stored.get("role", "job")), stored.get("attempt")
        return Launch(
            role=_FORMER_ROLES.get(role, role),
            process=ProcessMark.from_json(stored),
            attempt=None if attempt is None else int(attempt),
            supervised=bool(stored.get("supervised")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_launch(
    folder: Path, process: ProcessMark, role: str, attempt: int | None = None, supervised: bool = False
) -> None:
    launch: dict[str, Any] = {"role": role, **process.to_json()}
    if attempt is not None:
        launch |= {"attempt": attempt, "supervised": supervised}
    write_json(folder / "launch.json", launch)


def is_at_work(folder: Path) -> bool:
    """Whether the process of launch.json lives: as this system lists it, or, where it runs in another container, as
    the lock says that it holds."""
    launch = read_launch(folder)
    return launch is not None and (launch.process.is_alive() or is_held(work_lock(folder)))


def work_lock(folder: Path) -> Path:
    """The lock that the process which works in `folder` holds for as long as it lives."""
    return folder / "worker.lock"


def request_stop(folder: Path) -> None:
    (folder / "stop").touch()


def stop_requested(folder: Path) -> bool:
    return (folder / "stop").exists()


def end_with_parent() -> None:
    """In a thread of a child process: end it as soon as the process that began it is gone."""
    # not PR_SET_PDEATHSIG: that fires when the thread that started the child ends, not the process
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def mark_process(pid: int | None = None) -> ProcessMark:
    """The mark of process `pid`, by default of this one; the mark of a process that is gone is never alive."""
    pid = os.getpid() if pid is None else pid
    return ProcessMark(pid, start_of(pid))


def start_of(pid: int) -> str:
    """When process `pid` started, as a string that only compares equal to itself; "" where it does not run."""
    try:
        return _start_on_linux(pid) if Path("/proc/self/stat").exists() else _start_elsewhere(pid)
    except (OSError, psutil.Error, IndexError):
        return ""


def _start_on_linux(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()  # the command in brackets may hold spaces and brackets itself
    if fields[0] in "ZX":  # ended, only its parent has not waited for it yet
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}"


def _start_elsewhere(pid: int) -> str:
    process = psutil.Process(pid)
    return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
