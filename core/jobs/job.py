"""A background job: work in a process of its own that outlives the page which began it, and the files of its folder.

launch.json     whoever starts it: the process
stop            whoever cancels it: an empty file
progress.json   the process: how far it is and how it ended
log.txt         what the process printed
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from core.disk import read_json, write_json
from core.errors import UserMistake
from core.incidents import report_incident
from core.locks import give_back, hold_for_life, process_lock
from core.progress import Progress
from core.runs.process import is_at_work, mark_process, stop_requested, work_lock, write_launch
from core.settings import atelier_home

Status = Literal["starting", "running", "done", "stopped", "refused", "failed", "lost"]
ROOT = Path(__file__).resolve().parent.parent.parent
NICENESS = 10  # of os.nice
_STARTING_SECONDS = 10.0  # between making a folder and starting its process
_SECONDS_BETWEEN_REPORTS = 0.25


@dataclass(frozen=True)
class JobStatus:
    """How far a job is, or how it ended."""

    status: Status = "starting"  # "refused": by a UserMistake; "lost": its process is gone
    phase: str = ""  # as in Progress
    done: int = 0
    total: int = 0  # 0 where it is not known
    seconds_left: float | None = None
    message: str = ""  # why it did not end well, one sentence
    stop_requested: bool = False

    @property
    def is_live(self) -> bool:
        return self.status in ("starting", "running")

    @property
    def share(self) -> float:
        """What is done, 0..1; 0 where the total is not known."""
        return min(1.0, self.done / self.total) if self.total else 0.0


_checked_status = TypeAdapter(JobStatus).validate_python


class StopRequested(Exception):
    """Somebody asked the job to stop."""


# ---------------------------------------------------------------------------------- for whoever starts and reads it


@contextmanager
def start_lock(root: Path) -> Iterator[None]:
    """Held while somebody decides whether a job below `root` may start, and starts it: four clicks start one.

    UserMistake where another process holds it for long.
    """
    root.mkdir(parents=True, exist_ok=True)
    with process_lock(root / ".lock", _STARTING_SECONDS):
        yield


def launch_job(folder: Path, *arguments: str, **environment: str) -> None:
    """Run python -m `arguments` in a process that outlives this one; `folder` gets launch.json and log.txt."""
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=os.environ | {"ATELIER_HOME": str(atelier_home())} | environment,  # it may be relative to our folder
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # the server may end; what was begun is finished
        )
    mark = mark_process(process.pid)
    if folder.exists():  # else the job is over, and has removed its folder
        write_launch(folder, mark, role="job")


def read_status(folder: Path, lost: str) -> JobStatus:
    """How far the job in `folder` is; `lost` is the message for a process that is gone without an end."""
    status = _read_progress(folder)
    if status.is_live and not has_process(folder):
        status = _read_progress(folder)  # it may have ended between the two reads
        if status.is_live:
            status = replace(status, status="lost", message=lost)
    return replace(status, stop_requested=stop_requested(folder))


def has_process(folder: Path) -> bool:
    """Whether the process of launch.json lives; without the file, whether it may be about to start."""
    if (folder / "launch.json").exists():
        return is_at_work(folder)
    try:
        age = time.time() - folder.stat().st_mtime  # far below 0 where the clock was set back since then
        return abs(age) < _STARTING_SECONDS
    except FileNotFoundError:
        return False


def read_fields(folder: Path) -> dict[str, Any]:
    """progress.json; nothing where it is missing or damaged."""
    try:
        return dict(read_json(folder / "progress.json"))
    except (OSError, ValueError, TypeError):
        return {}


def _read_progress(folder: Path) -> JobStatus:
    known = JobStatus.__dataclass_fields__
    try:
        return _checked_status({name: value for name, value in read_fields(folder).items() if name in known})
    except ValidationError:  # as good as not there
        return JobStatus()


# ----------------------------------------------------------------------------------------------- for its process


class JobWriter:
    """How the process of a job writes progress.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failure = "This failed"  # the beginning of the message after a fault of the program
        self._fields: dict[str, Any] = {}
        self._reported = 0.0  # time.monotonic() of the last progress

    def write(self, **fields: Any) -> None:
        """Change fields of progress.json, those of JobStatus or a job's own, at once."""
        self._fields |= fields
        write_json(self.folder / "progress.json", self._fields)

    def follow(self, steps: Iterator[Progress]) -> Progress | None:
        """Run a piece of work to its end and write how far it is, a few times a second; its last progress.

        StopRequested as soon as somebody asks the job to stop; the work is closed then.
        """
        last = None
        with closing(steps):  # type: ignore[type-var]
            for last in steps:
                if stop_requested(self.folder):
                    raise StopRequested
                if time.monotonic() - self._reported > _SECONDS_BETWEEN_REPORTS:
                    self._reported = time.monotonic()
                    self.write(phase=last.phase, done=last.done, total=last.total, seconds_left=last.seconds_left)
        return last


def run_and_remove(folder: Path, work: Callable[[JobWriter], None]) -> int:
    """run_job for a job of which only a failure stays: the exit code is 0 only where it is done or was cancelled, and
    the folder gone."""
    if run_job(folder, work) not in ("done", "stopped"):
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def step_aside() -> None:
    """Called by the process of a job that nobody waits for: trainings and pages go first."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)


def run_job(folder: Path, work: Callable[[JobWriter], None]) -> Status:
    """Do the work of a job and write how it ended: "done", "stopped", "refused" by a UserMistake, or "failed" by a
    fault, whose traceback is in the log under the incident number of the message."""
    writer, end = JobWriter(folder), {"status": "done"}
    writer.write(status="running")
    hold_for_life(work_lock(folder))
    try:
        work(writer)
    except StopRequested:
        end = {"status": "stopped", "message": "Cancelled; nothing was kept."}
    except UserMistake as mistake:
        end = {"status": "refused", "message": str(mistake)}
    except Exception as error:
        number = report_incident(error)
        end = {"status": "failed", "message": f"{writer.failure} (incident {number}, see the log)."}
    writer.write(**end)
    give_back(work_lock(folder))
    status: Status = end["status"]  # type: ignore[assignment]
    return status
