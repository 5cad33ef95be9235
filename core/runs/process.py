"""A process named so that it can be found again: its id and its start time, because ids are used again."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class ProcessMark:
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


def mark_process(pid: int | None = None) -> ProcessMark:
    """The mark of process `pid`, of this one by default; of one that is gone the mark is never alive."""
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
    if fields[0] in "ZX":  # ended, only its parent has not looked yet
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}"


def _start_elsewhere(pid: int) -> str:
    process = psutil.Process(pid)
    return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
