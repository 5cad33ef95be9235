"""The waiting line and the supervisor that empties it: submit a run, see its place, make sure that somebody trains."""

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
from core.runs.people import Asker
from core.runs.process import ProcessMark, mark_process
from core.runs.run import Run, must_exist, open_run, read_launch, read_stored_state
from core.runs.tickets import add_ticket, move_ticket, queue_lock, waiting_ids
from core.settings import Limits, atelier_home, load_limits, runs_root

WORKER = "core.train.train_run"  # a name, because this room stands before core.train and knows no torch
IDLE_SECONDS = 600.0
_START_SECONDS = 60.0  # a cold disk takes its time to load Python's libraries


@dataclass(frozen=True)
class SupervisorHandle:
    """The process that takes queued runs in order."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        return ProcessMark(self.pid, self.started).is_alive()


def submit(run: Run) -> int:
    """Put a queued run at the end of the line and return its position, 1 for the next one, 0 where it has begun.

    Submitting it again changes nothing, also when it trains already. Where the line is full, or the run's asker has
    enough in it, the run is withdrawn again and UserMistake says so.
    """
    with queue_lock():
        must_exist(run.folder)
        if run.id not in waiting_ids():
            launch = read_launch(run.folder)
            if read_stored_state(run.folder).status != "queued" or (launch and launch[0] == "worker"):
                return 0
            try:
                refuse_if_full(run.asker)
            except UserMistake:
                if run.state.attempt == 1:  # a later attempt has a model to lose
                    shutil.rmtree(run.folder, ignore_errors=True)
                raise
            add_ticket(run.id)
        return waiting_ids().index(run.id) + 1


def refuse_if_full(asker: Asker | None = None) -> None:
    """UserMistake where the line takes no more, or no more of this asker. Under queue_lock."""
    waiting, limits = waiting_ids(), load_limits()
    if len(waiting) >= limits.queue_length:
        raise UserMistake(
            f"The queue is full: {len(waiting)} waiting, {limits.queue_length} may wait. This run was not added. "
            "Try again when one of them has started, or cancel one."
        )
    if asker is None:
        return
    own = sum(run.asker is not None and run.asker.session == asker.session for run in _readable(waiting))
    if own >= limits.queue_per_session:
        raise UserMistake(
            f"You have {own} runs waiting, {limits.queue_per_session} may, so that others have their turn. This run "
            "was not added. Try again when one of yours has started, or cancel one."
        )


def waiting_runs() -> list[Run]:
    """The waiting runs, the next one first."""
    return list(_readable(waiting_ids()))


def queue_position(run: Run) -> int | None:
    """1 for the run that is next, None for one that does not wait."""
    line = waiting_ids()
    return line.index(run.id) + 1 if run.id in line else None


def queue_sentence(run: Run) -> str:
    """Where a waiting run stands and who is in front; "" for one that does not wait. People's words: escape it."""
    line = waiting_ids()
    if run.id not in line:
        return ""
    at_work = run_at_work()
    in_front = [*([at_work] if at_work else []), *_readable(line[: line.index(run.id)])]
    if not in_front:
        return "It is the next one."
    first = in_front[0]
    whose = f" of {first.asker.name}" if first.asker and first.asker.name else ""
    return f"{len(in_front)} in front, {'first ' if len(in_front) > 1 else ''}{first.title}{whose}."


def move_in_queue(run: Run, position: int) -> None:
    """Give a waiting run another position, 1 for the next; one that does not wait any more stays where it is."""
    with queue_lock():
        move_ticket(run.id, position)


def ensure_supervisor(worker: str = WORKER, idle_seconds: float = IDLE_SECONDS) -> SupervisorHandle:
    """The living supervisor of this atelier_home(), started here if there is none; it outlives this process.

    `worker` is the dotted name of the function that trains a run folder. Raises RuntimeError with the end of its log
    where the supervisor does not come up, UserMistake where the disk is full or read-only.
    """
    heartbeat()
    handle = find_supervisor()
    if handle is not None:
        return handle
    try:
        process = start_supervisor(worker, idle_seconds)
    except OSError as error:
        told = disk_trouble(error, atelier_home(), "What was saved before is kept. Free some space, then train.")
        raise told or error from error
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        handle = find_supervisor()  # ours, or one that somebody else started in the same moment
        if handle is not None:
            return handle
        if process.poll() not in (None, 0):
            break
        time.sleep(0.02)
    raise RuntimeError(f"the supervisor did not start; the end of {_log_path()}: {_log_end()}")


def find_supervisor() -> SupervisorHandle | None:
    """The living supervisor of this atelier_home(), None where there is none."""
    try:
        mark = ProcessMark.from_json(_read_supervisor())
    except (ValueError, KeyError, TypeError):
        return None
    return SupervisorHandle(mark.pid, mark.started) if mark.is_alive() else None


def stop_supervisor() -> None:
    """End the supervisor in good order and wait for it: a run in training stops and keeps its model.

    It ends by itself: a worker that neither writes nor computes is not waited for (see core/runs/silence.py)."""
    handle = find_supervisor()
    if handle is None:
        return
    os.kill(handle.pid, signal.SIGTERM)
    while handle.is_alive():
        time.sleep(0.02)


def heartbeat() -> None:
    """Say that somebody is there: the supervisor stays ready until this is idle_seconds old."""
    with suppress(OSError):  # a read-only disk is told where somebody wants to write on it
        atelier_home().mkdir(parents=True, exist_ok=True)
        _heartbeat_path().touch()


def seconds_since_heartbeat() -> float:
    try:
        return max(0.0, time.time() - _heartbeat_path().stat().st_mtime)
    except FileNotFoundError:
        return float("inf")


def run_at_work() -> Run | None:
    """The run that the supervisor trains just now; None where it waits for one, or where there is no supervisor."""
    told = _read_supervisor()
    return next(_readable([str(told["run"])]), None) if told.get("run") and find_supervisor() else None


def announce_supervisor(run_id: str = "") -> None:
    """Called by the supervisor once it holds its lock, and with the run that it takes, and "" after it."""
    write_json(_supervisor_path(), mark_process().to_json() | {"run": run_id})


def withdraw_supervisor(whoever_waits: bool = False) -> bool:
    """Called by the supervisor before it leaves for lack of work: False where a run was submitted meanwhile.

    Whoever submits after this finds no supervisor and starts the next one.
    """
    with queue_lock():
        if waiting_ids() and not whoever_waits:
            return False
        _supervisor_path().unlink(missing_ok=True)
        return True


def program_stamp() -> str:
    """What the program's files are like now: after an update the supervisor makes way for its new version."""
    core, told = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for path in sorted(core.rglob("*.py")):
        with suppress(OSError):
            told.update(f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}".encode())
    return told.hexdigest()


def start_supervisor(worker: str = WORKER, idle_seconds: float = IDLE_SECONDS) -> "subprocess.Popen[bytes]":
    """Start a supervisor beside whatever there is; it leaves at once where another one holds the lock."""
    rotate(_log_path(), Limits().log_bytes)
    with _log_path().open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.supervise", "--worker", worker, "--idle", str(idle_seconds)],
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


def _supervisor_path() -> Path:
    return atelier_home() / "supervisor.json"


def _heartbeat_path() -> Path:
    return atelier_home() / "heartbeat"
