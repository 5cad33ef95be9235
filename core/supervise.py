"""The supervisor: takes queued runs in order and trains each in a process of its own, whatever happens to the server.

python -m core.supervise

Started by core.runs.queue.ensure_supervisor; one per atelier_home(), ends by itself when there has been nothing to do.
"""

import argparse
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from core.data.child import wait_briefly
from core.data.store import pictures_now
from core.disk import DRAFT, allow_more_files, cut_middle, rotate
from core.errors import UserMistake
from core.experiments.experiment import (
    begin_timing,
    feed,
    go_on_later,
    next_experiment,
    settle_timing,
    wants_timing,
)
from core.experiments.sweep import begin_sweep, next_sweep, settle_sweep
from core.runs.catalogue import Catalogue
from core.runs.checkpoint import newest_place
from core.runs.deeds import resume_run
from core.runs.ending import Memory, has_crashed, tell_ending, where_to_resume, why_ended
from core.runs.probes import begin_probe, is_wanted, next_probe, settle_probe
from core.runs.process import ProcessMark, mark_process
from core.runs.queue import (
    IDLE_SECONDS,
    WORKER,
    announce_supervisor,
    find_supervisor,
    program_stamp,
    seconds_since_heartbeat,
    start_supervisor,
    withdraw_supervisor,
)
from core.runs.run import BRIEFLY, list_runs, open_run, read_launch, read_stored_state, run_lock, write_launch
from core.runs.silence import Silence, is_stopped
from core.runs.tickets import drop_ticket, queue_lock, waiting_ids
from core.runs.writer import mark_ended
from core.settings import Limits, atelier_home, load_limits, must_have_room, runs_root

_TICK_SECONDS = 0.1
_YIELD_SECONDS = 0.02  # until a question gives way to a run
_KILL_SECONDS = 10.0  # from SIGTERM to SIGKILL for a worker that does not respond
_TROUBLE_SECONDS = 5.0  # until a disk that refused something is tried again
_OLD_SECONDS = 3600.0
_ALSO_WARM = ("torch._dynamo",)  # torch imports it in the first step of an optimizer: 1.3 s that each run would wait


def supervise(worker: str = WORKER, idle_seconds: float = IDLE_SECONDS) -> int:
    """Hold the lock and train what waits until told to end, or until idle; 0 also where another one holds the lock."""
    lock = FileLock(atelier_home() / "supervisor.lock")
    if not _acquire(lock):
        return 0
    allow_more_files()
    told: list[int] = []  # signals that came; an Event must not be set in a signal handler
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda came, _: told.append(came))
    try:
        began_with = program_stamp()
        announce_supervisor()
        _say("ready")
        context = _warm_context(worker)
        clear_the_past()
        runs, room, last_work = Catalogue(runs_root()), _Room(), time.monotonic()
        while not told:
            if find_supervisor() is None:
                _say("the folder of Atelier was removed; ending")
                return 0
            waits = ready = None
            done = False
            try:
                waits = _what_waits(worker)
                ready = waits if waits and waits.can_begin(runs, room) else None
                if ready and program_stamp() != began_with:
                    _say("the program has changed; handing over to its new version")
                    withdraw_supervisor(whoever_waits=True)
                    lock.release()
                    start_supervisor(worker, idle_seconds)
                    return 0
                done = ready is not None and ready.take(context, ready.folder, told)
            except OSError as error:
                _say(f"the disk makes trouble ({error}); what waits goes on waiting")
                time.sleep(_TROUBLE_SECONDS)
            if done or (waits and not ready):
                last_work = time.monotonic()
            if done:
                _begin_log()
            elif min(time.monotonic() - last_work, seconds_since_heartbeat()) > idle_seconds and withdraw_supervisor():
                _say("nothing to do; ending")
                return 0
            else:
                time.sleep(_TICK_SECONDS)
        _say("told to end")
        return 0
    finally:
        lock.release()


@dataclass
class _Room:
    """Whether the disk has room for a run; where it has none, every page says why, and the log does once."""

    said: bool = False

    def suffices(self) -> bool:
        try:
            must_have_room()
            self.said = False
        except UserMistake as mistake:
            if not self.said:
                _say(f"{mistake} What waits goes on waiting.")
            self.said = True
        return not self.said


@dataclass(frozen=True)
class _Waiting:
    """What is next: `take` does it, and says whether there was something to do."""

    take: Callable[[Any, Path, list[int]], bool]  # context, folder, signals that end the supervisor
    folder: Path
    is_run: bool = False

    def can_begin(self, runs: Catalogue, room: _Room) -> bool:
        """A run that trains here without the line, from the command line, is disturbed by nothing but the line."""
        if not self.is_run and any(run.state.status in ("starting", "running") for run in runs.runs()):
            return False
        return self.take is take_probe or room.suffices()


def _what_waits(worker: str) -> _Waiting | None:
    """The first run of the line, else a question, else an experiment, else a sweep."""
    line = waiting_ids()
    if line:
        return _Waiting(partial(take_next, worker), runs_root() / line[0], is_run=True)
    ways = ((next_probe, take_probe), (next_experiment, take_experiment), (next_sweep, take_sweep))
    return next((_Waiting(take, folder) for look, take in ways if (folder := look()) is not None), None)


def take_next(worker: str, context: Any, folder: Path, told: list[int]) -> bool:
    """Train the run in `folder`, the first of the line, to its end."""
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(str(folder), worker, theirs), name=f"run {folder.name}")
    try:
        process.start()  # outside of the queue's lock: the first one waits until torch is loaded
    except Exception:  # the server of the forks is gone, e.g. because the worker's module cannot be imported
        traceback.print_exc()
        mark_ended(folder, "failed", f"No training process could be started; {atelier_home()}/supervisor.log says why.")
        return True
    theirs.close()
    try:
        attempt = _hand_over(folder, process)
        if attempt is not None:
            _say(f"run {folder.name} starts in process {process.pid}, attempt {attempt}")
            mine.send("go")
            _announce(folder.name)
            _watch(folder, process, told, attempt)
            _announce("")
    finally:
        mine.close()  # a child that was not told to go leaves
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()
    return True


def take_probe(context: Any, folder: Path, told: list[int]) -> bool:
    """Answer the question in `folder`. It gives way at once when a run is submitted."""
    door = "core.probe.answer_probe"
    settle_probe(folder, _attend(context, door, folder, begin_probe, lambda: bool(waiting_ids() or told)))
    return True


def take_experiment(context: Any, folder: Path, told: list[int]) -> bool:
    """Measure the times of an experiment, or put its next run into the line, which is empty now; False where there is
    nothing to do. So people's runs wait behind one run of an experiment at most."""
    if not wants_timing(folder):
        return feed(folder)
    door = "core.experiments.timing.time_settings"
    settle_timing(
        folder, _attend(context, door, folder, begin_timing, lambda: bool(waiting_ids() or told or next_probe()))
    )
    return True


def take_sweep(context: Any, folder: Path, told: list[int]) -> bool:
    """Work at a sweep until a run is submitted; the trial at work is then begun again later."""
    door = "core.experiments.sweep.work_at"
    settle_sweep(folder, _attend(context, door, folder, begin_sweep, lambda: bool(waiting_ids() or told)))
    return True


def _attend(
    context: Any, door: str, folder: Path, begin: Callable[[Path, ProcessMark], None], must_yield: Callable[[], bool]
) -> bool:
    """Let a child serve `door` in a folder until it ends, has to give way, or nobody wants it any more; whether it had
    to give way."""
    process = context.Process(target=_serve, args=(door, str(folder)), name=f"{door} {folder.name}")
    gave_way = False
    try:
        process.start()
        begin(folder, mark_process(process.pid))
        while not wait([process.sentinel], timeout=_YIELD_SECONDS):
            gave_way = must_yield()
            if gave_way or not is_wanted(folder):
                break
    except Exception:  # as in take_next, or somebody has removed the folder
        traceback.print_exc()
    if process.pid:
        process.kill()
        process.join()
    return gave_way or must_yield()  # a signal to the whole group may have ended the child first


def clear_the_past() -> None:
    """What an earlier supervisor left: workers that have not noticed its end yet, lost runs, unfinished files."""
    for run in list_runs():
        launch = read_launch(run.folder)
        if not read_stored_state(run.folder).ended and launch and launch[2].get("supervised"):
            _outlive(launch[1])
            run = open_run(run.folder)
        if run.state.status != "lost":
            continue
        news = mark_ended(run.folder, "lost", run.state.message, attempt=run.state.attempt)
        if news and launch and launch[2].get("supervised"):
            try_again(run.folder, "Its process was killed, or the machine was restarted.")
    # a ".<id>.draft" is a run that was never handed to anybody, a "*.draft" in a run a write that was cut short
    cut_short = [runs_root().glob(pattern + DRAFT) for pattern in ("*/*", "*/checkpoint/*")]
    for draft in [*runs_root().glob(f".*{DRAFT}/*"), *cut_short[0], *cut_short[1]]:
        if time.time() - draft.stat().st_mtime > _OLD_SECONDS:
            draft.unlink(missing_ok=True)
    for folder in runs_root().glob(f".*{DRAFT}"):
        if not any(folder.iterdir()):
            folder.rmdir()


def _acquire(lock: FileLock) -> bool:
    """Wait for a supervisor that is just leaving; False as soon as a living one has announced itself."""
    atelier_home().mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            lock.acquire(timeout=0.05)
            return True
        except Timeout:
            if find_supervisor() is not None:
                return False
    return False


def _warm_context(worker: str) -> Any:
    """Children are forked from a server that has the worker's module, and torch with it, already imported."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing.forkserver import ensure_running

    wait_briefly()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([worker.rpartition(".")[0], *(_ALSO_WARM if worker == WORKER else ())])
    ensure_running()  # returns at once; the import goes on beside
    return context


def _hand_over(folder: Path, process: BaseProcess) -> int | None:
    """Make the run the child's and return the number of the attempt; None where it was cancelled, started elsewhere
    or deleted in the meantime."""
    attempt = None
    with queue_lock():
        if folder.name in waiting_ids() and (folder / "config.json").exists():
            with run_lock(folder).acquire(timeout=BRIEFLY):
                state = read_stored_state(folder)
                if state.status == "queued":
                    attempt = state.attempt
                    write_launch(folder, mark_process(process.pid), role="worker", attempt=attempt, supervised=True)
        drop_ticket(folder.name)  # last: killed anywhere here, the run has its place in the line or its process
        return attempt


def _watch(folder: Path, process: BaseProcess, told: list[int], attempt: int) -> None:
    """Wait for the child; whatever it could not say about its end itself is written here."""
    memory, silence, limits = Memory(), Silence(folder, process.pid or 0), _limits()
    leaves, hung = False, ""
    while not wait([process.sentinel], timeout=_TICK_SECONDS):
        memory.look()
        silence.look()
        cut_log(folder, limits.run_log_bytes)
        if told and not leaves and folder.exists():
            if not (folder / "stop").exists():
                go_on_later(folder.name)
            (folder / "stop").touch()  # once: the next attempt must not find it
        leaves = bool(told)
        # a run that saves its model is waited for, which on a busy machine takes its time
        hung = hung or silence.reason_to_end(leaves or (folder / "stop").exists(), limits)
        if hung:
            _end(process)
    process.join()
    _say(f"run {folder.name} ended with exit code {process.exitcode}")
    stop_asked = (folder / "stop").exists()
    if hung:
        reason = f"{hung}. {where_to_resume(folder)}"
    else:
        reason = tell_ending(process.exitcode or 0, memory.ran_out(), folder, read_stored_state(folder).epoch)
    status: Literal["stopped", "lost"] = "stopped" if hung and stop_asked else "lost"
    if mark_ended(folder, status, reason, attempt=attempt):  # it may have ended well and been resumed since then
        _say(f"run {folder.name} is {status}: {reason}")
        if has_crashed(process.exitcode or 0):
            try_again(folder, why_ended(process.exitcode or 0, memory.ran_out(), read_stored_state(folder).epoch))


def try_again(folder: Path, why: str) -> None:
    """Let a run that a crash or the end of the machine broke off go on by itself, once: after that a person decides."""
    try:
        run = open_run(folder)
        if run.state.retry or (folder / "stop").exists():
            return
        place = newest_place(folder)
        told = f"{why} It went on by itself{f' from {place}' if place else ''}; a second time it would wait for you."
        resume_run(run, *pictures_now(run.config.data), in_line=True, retry=told)
        _say(f"run {folder.name} goes on by itself")
    except (OSError, UserMistake) as trouble:
        _say(f"run {folder.name} does not go on by itself: {trouble}")


def _end(process: BaseProcess) -> None:
    """Ask the process to end, then make it."""
    if not is_stopped(process.pid or 0):
        process.terminate()
        process.join(_KILL_SECONDS)
    process.kill()
    process.join()


def cut_log(folder: Path, most: int) -> None:
    """Keep the log of a run within its limit while it is written."""
    with suppress(OSError):
        cut_middle(folder / "log.txt", most)


def _limits() -> Limits:
    try:
        return load_limits()
    except UserMistake as mistake:  # a page says so; whoever trains goes on
        _say(str(mistake))
        return Limits()


def _outlive(worker: ProcessMark) -> None:
    """Wait for a worker whose supervisor is dead; it ends itself, and is killed where it does not."""
    deadline = time.monotonic() + 10
    while worker.is_alive():
        if time.monotonic() > deadline:
            os.kill(worker.pid, signal.SIGKILL)
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------------- in the child


def _work(folder: str, worker: str, go: Connection) -> None:
    """The child's whole life: its log, its parent watched, then the worker function on the run folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        go.recv()
    except EOFError:
        return  # the run was cancelled before it started
    _redirect_output(Path(folder) / "log.txt")
    _offer_to_oom_killer()
    attempt = read_stored_state(Path(folder)).attempt
    try:
        _find(worker)(Path(folder))
    except UserMistake as mistake:
        print(mistake, file=sys.stderr)
        mark_ended(Path(folder), "failed", str(mistake), attempt=attempt)
        sys.exit(2)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def _serve(door: str, folder: str) -> None:
    """The whole life of a child that answers a question, measures times or works at a sweep: `door`, the dotted name
    of a function, on its folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _redirect_output(Path(folder) / "log.txt")
    _offer_to_oom_killer()
    _find(door)(Path(folder))


def _find(door: str) -> Callable[[Path], None]:
    module, _, function = door.rpartition(".")
    found: Callable[[Path], None] = getattr(importlib.import_module(module), function)
    return found


def _end_with_parent() -> None:
    # not PR_SET_PDEATHSIG: that fires when the thread that started the child ends, not the process
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _redirect_output(log: Path) -> None:
    """Standard output and error into the run's log, also those of libraries that do not ask Python."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _offer_to_oom_killer() -> None:
    """Let the kernel kill the training rather than the server when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        pass


def _announce(run_id: str) -> None:
    with suppress(OSError):  # it is only for the sentence about who is in front
        announce_supervisor(run_id)


def _say(sentence: str) -> None:
    with suppress(OSError):  # a log that cannot be written stops nobody
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} supervisor {os.getpid()}: {sentence}", flush=True)


def _begin_log() -> None:
    """Begin the next supervisor.log where this one has grown too large."""
    log = atelier_home() / "supervisor.log"
    with suppress(OSError):
        if os.path.samestat(os.fstat(1), log.stat()) and log.stat().st_size > _limits().log_bytes:
            rotate(log, _limits().log_bytes)
            _redirect_output(log)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m core.supervise", description="Train queued runs in order.")
    parser.add_argument("--worker", default=WORKER, help="dotted name of the function that trains a run folder")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds without work after which to end")
    chosen = parser.parse_args(arguments)
    return supervise(chosen.worker, chosen.idle)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
