"""The queue and the supervisor that trains what waits in it: submit, limits, positions, one supervisor a home."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.disk import disk_trouble, read_json, rotate, write_json
from core.errors import UserMistake
from core.locks import is_held
from core.people import must_be_own
from core.runs.process import ProcessMark, mark_process, read_launch
from core.runs.queue_entries import add_queue_entry, move_queue_entry, queue_lock, waiting_ids
from core.runs.requester import Requester
from core.runs.run import Run, open_run
from core.runs.state import must_exist, read_stored_state
from core.settings import Limits, atelier_home, load_limits, runs_root

WORKER = "core.train.train_run"  # a name: core.train imports torch, and this room must not
IDLE_SECONDS = 600.0
_NAMING_SECONDS = 5.0  # until a supervisor that has just begun, or whose file was damaged, has written its file
_START_SECONDS = 60.0  # a cold disk takes its time to load Python's libraries


@dataclass(frozen=True)
class SupervisorHandle:
    """The process that takes queued runs in order."""

    pid: int | None  # None where it runs but cannot be named: it has just started, or is in another container
    started: str = ""

    def is_alive(self) -> bool:
        return (
            ProcessMark(self.pid, self.started).is_alive() if self.pid is not None else is_held(supervisor_lock_path())
        )


def submit(run: Run) -> int:
    """Put a run at the end of the queue and return its position, 1 for the next one, 0 where it has begun.

    Submitting it again changes nothing, also when it trains already. UserMistake where the queue is full, or has
    enough runs of this requester; a run that was never trained is then removed.
    """
    with queue_lock():
        must_exist(run.folder)
        if run.id not in waiting_ids():
            launch = read_launch(run.folder)
            if read_stored_state(run.folder).status != "queued" or (launch and launch.role == "worker"):
                return 0
            try:
                refuse_if_full(run.requester)
            except UserMistake:
                if run.state.attempt == 1:  # a later attempt has a model to lose
                    shutil.rmtree(run.folder, ignore_errors=True)
                raise
            add_queue_entry(run.id)
        return waiting_ids().index(run.id) + 1


def refuse_if_full(requester: Requester | None = None) -> None:
    """UserMistake where the queue takes no more runs, or no more of this requester. Under queue_lock."""
    reason = why_queue_is_full(requester)
    if reason:
        raise UserMistake(f"{reason} This run was not added. Try again when one of them has started, or cancel one.")


def why_queue_is_full(requester: Requester | None) -> str:
    """Why the queue takes no more runs of this person, or where nobody signs in of this browser session (None: of the
    command line), in a sentence; "" where it does."""
    waiting, limits = waiting_ids(), load_limits()
    if len(waiting) >= limits.queue_length:
        return f"The queue is full: {len(waiting)} waiting, {limits.queue_length} may wait."
    if requester is None:
        return ""
    own = sum(run.requester is not None and _is_same(run.requester, requester) for run in _readable(waiting))
    if own >= limits.queue_per_person:
        return f"You have {own} runs waiting, {limits.queue_per_person} may, so that others have their turn."
    return ""


def _is_same(one: Requester, other: Requester) -> bool:
    """Whether both are one person; who is not signed in is known by the browser tab."""
    return one.person == other.person if one.person or other.person else one.session == other.session


def waiting_runs() -> list[Run]:
    """The waiting runs, the next one first."""
    return list(_readable(waiting_ids()))


def queue_position(run: Run) -> int | None:
    """1 for the run that is next, None for one that does not wait."""
    waiting = waiting_ids()
    return waiting.index(run.id) + 1 if run.id in waiting else None


def move_in_queue(run: Run, position: int) -> None:
    """Give a waiting run another position, 1 for the next one; a run that does not wait is left as it is. UserMistake
    where somebody would overtake other people's runs."""
    with queue_lock():
        must_be_own(run.owner, f"Run {run.id}")
        waiting = waiting_ids()
        overtaken = waiting[max(0, position - 1) : waiting.index(run.id)] if run.id in waiting else []
        for other in _readable(overtaken):
            must_be_own(other.owner, f"Run {other.id}, which waits before it,")
        move_queue_entry(run.id, position)


def ensure_supervisor(worker: str = WORKER, idle_seconds: float = IDLE_SECONDS) -> SupervisorHandle:
    """The living supervisor of this atelier_home(), started here if there is none; it outlives this process.

    `worker` is the dotted name of the function that trains a run folder. Raises RuntimeError with the end of its log
    where the supervisor does not come up, UserMistake where the disk is full or read-only.
    """
    heartbeat()
    handle = _named(find_supervisor())
    if handle is not None:
        return handle
    try:
        process = start_supervisor(worker, idle_seconds)
    except OSError as error:
        mistake = disk_trouble(error, atelier_home(), "What was saved before is kept. Free some space, then train.")
        raise mistake or error from error
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        handle = _named(find_supervisor())  # ours, or one that another process started in the same moment
        if handle is not None:
            return handle
        if process.poll() is not None:
            if process.poll() == 0 and is_held(supervisor_lock_path()):
                return SupervisorHandle(None)  # one lives, although nobody knows its supervisor.json
            break
        time.sleep(0.02)
    raise RuntimeError(f"the supervisor did not start; the end of {_log_path()}: {_log_end()}")


def _named(handle: SupervisorHandle | None) -> SupervisorHandle | None:
    """The handle, once a supervisor that lives has had the time to write its name."""
    deadline = time.monotonic() + _NAMING_SECONDS
    while handle is not None and handle.pid is None and time.monotonic() < deadline:
        time.sleep(0.02)
        handle = find_supervisor()
    return handle


def find_supervisor() -> SupervisorHandle | None:
    """The living supervisor of this atelier_home(), None where there is none.

    Where supervisor.json is damaged, or names a process of another container, its lock tells that it lives; without
    the file it is about to end, and takes no more runs.
    """
    with suppress(ValueError, KeyError, TypeError):
        mark = ProcessMark.from_json(_read_supervisor())
        if mark.is_alive():
            return SupervisorHandle(mark.pid, mark.started)
    unnamed = SupervisorHandle(None)
    with suppress(UserMistake):  # a home that cannot be
        if _supervisor_path().exists() and unnamed.is_alive():
            return unnamed
    return None


def stop_supervisor() -> None:
    """End the supervisor in good order and wait for it: a run in training stops and keeps its model.

    It ends by itself: a worker that neither writes nor computes is not waited for (see core/runs/watchdog.py)."""
    handle = _named(find_supervisor())
    if handle is None:
        return
    if handle.pid is None:
        raise UserMistake("The supervisor runs where this program cannot reach it, e.g. in a container; end it there.")
    os.kill(handle.pid, signal.SIGTERM)
    while handle.is_alive():
        time.sleep(0.02)


def heartbeat() -> None:
    """Note that a page is open: the supervisor stays ready until this is idle_seconds old."""
    with suppress(OSError):  # whoever wants to keep something on a read-only disk gets the message
        atelier_home().mkdir(parents=True, exist_ok=True)
        _heartbeat_path().touch()


def seconds_since_heartbeat() -> float:
    try:
        return max(0.0, time.time() - _heartbeat_path().stat().st_mtime)
    except FileNotFoundError:
        return float("inf")


def announce_supervisor() -> None:
    """Called by the supervisor once it holds its lock: from now on find_supervisor() finds it."""
    write_json(_supervisor_path(), mark_process().to_json())


def keep_announced() -> bool:
    """Called by the supervisor again and again: its file is written anew where somebody has damaged it. False where
    the file is gone, and atelier_home() with it."""
    known = find_supervisor()
    if known is not None and known.pid != os.getpid():
        announce_supervisor()
    return known is not None


def withdraw_supervisor(even_if_runs_wait: bool = False) -> bool:
    """Called by the supervisor before it ends for lack of work: False where a run was submitted meanwhile.

    Whoever submits after this finds no supervisor and starts the next one.
    """
    with queue_lock():
        if waiting_ids() and not even_if_runs_wait:
            return False
        _supervisor_path().unlink(missing_ok=True)
        return True


def program_stamp() -> str:
    """A hash of the names, sizes and times of the program's files: it changes with an update."""
    core, digest = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for path in sorted(core.rglob("*.py")):
        with suppress(OSError):
            digest.update(f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}".encode())
    return digest.hexdigest()


def start_supervisor(worker: str = WORKER, idle_seconds: float = IDLE_SECONDS) -> "subprocess.Popen[bytes]":
    """Start a supervisor; it ends at once where another one holds the lock."""
    rotate(_log_path(), Limits().log_bytes)
    with _log_path().open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.jobs.supervisor", "--worker", worker, "--idle", str(idle_seconds)],
            cwd=Path(__file__).resolve().parent.parent.parent,
            env=os.environ | {"ATELIER_HOME": str(atelier_home())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C or a hang-up in the server's terminal is not for it
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    threading.Thread(target=process.wait, daemon=True).start()  # else it would stay a zombie when it ends
    return process


def _readable(ids: list[str]) -> Iterator[Run]:
    for run_id in ids:
        try:
            yield open_run(runs_root() / run_id)
        except (OSError, ValueError):
            continue


def _log_end() -> str:
    try:
        return _log_path().read_text(errors="replace")[-2000:].strip()
    except OSError:
        return ""


def _log_path() -> Path:
    return atelier_home() / "supervisor.log"


def _read_supervisor() -> dict[str, Any]:
    try:
        return dict(read_json(_supervisor_path()))
    except (OSError, ValueError, TypeError):
        return {}


def supervisor_lock_path() -> Path:
    """Its lock, which it holds while it lives."""
    return atelier_home() / "supervisor.lock"


def _supervisor_path() -> Path:
    return atelier_home() / "supervisor.json"


def _heartbeat_path() -> Path:
    return atelier_home() / "heartbeat"
