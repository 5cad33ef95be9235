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
from contextlib import suppress
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
    is_wanted,
    next_experiment,
    retry_experiments,
    settle_timing,
    wants_timing,
)
from core.experiments.sweep import begin_sweep, next_sweep, settle_sweep
from core.runs.checkpoint import newest_place
from core.runs.deeds import resume_run
from core.runs.ending import Memory, has_crashed, tell_ending, where_to_resume, why_ended
from core.runs.probes import begin_probe, next_probe, probe_is_wanted, settle_probe
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
        last_work = time.monotonic()
        while not told:
            if find_supervisor() is None:
                _say("the folder of Atelier was removed; ending")
                return 0
            if (waiting_ids() or next_probe() or next_experiment() or next_sweep()) and program_stamp() != began_with:
                _say("the program has changed; handing over to its new version")
                withdraw_supervisor(whoever_waits=True)
                lock.release()
                start_supervisor(worker, idle_seconds)
                return 0
            if _take(context, worker, told):
                last_work = time.monotonic()
                _begin_log()
            elif min(time.monotonic() - last_work, seconds_since_heartbeat()) > idle_seconds and withdraw_supervisor():
                _say("nothing to do; ending")
                return 0
            else:
                time.sleep(_TICK_SECONDS)
        retry_experiments()
        _say("told to end")
        return 0
    finally:
        lock.release()


def _take(context: Any, worker: str, told: list[int]) -> bool:
    """Train the next run, answer the next question, go on with an experiment or with a sweep; a disk that refuses what
    has to be noted is tried again."""
    try:
        if waiting_ids() and not _has_room():
            time.sleep(_TROUBLE_SECONDS)
            return False
        if take_next(context, worker, told) or take_probe(context, told):
            return True
        return take_experiment(context, told) or take_sweep(context, told)
    except OSError as error:
        _say(f"the disk makes trouble ({error}); what waits goes on waiting")
        time.sleep(_TROUBLE_SECONDS)
        return False


def _has_room() -> bool:
    """Whether the disk has room for a run; else the line waits, and every page says why."""
    try:
        must_have_room()
        return True
    except UserMistake as mistake:
        _say(f"{mistake} What waits goes on waiting.")
        return False


def take_next(context: Any, worker: str, told: list[int]) -> bool:
    """Train the first run of the line to its end; False where none waits. `told`: signals that end the supervisor."""
    line = waiting_ids()
    if not line:
        return False
    folder = runs_root() / line[0]
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


def take_probe(context: Any, told: list[int]) -> bool:
    """Answer the first question that waits; False where none does. It gives way at once when a run is submitted."""
    folder = next_probe()
    if folder is None or any(run.state.status in ("starting", "running") for run in list_runs()):
        return False  # a run that trains here without the line, from the command line, is not disturbed either
    process = context.Process(target=_answer, args=(str(folder),), name=f"probe {folder.name}")
    try:
        process.start()
        begin_probe(folder, mark_process(process.pid))
        while not wait([process.sentinel], timeout=_YIELD_SECONDS):
            if waiting_ids() or told or not probe_is_wanted(folder):
                break
    except Exception:  # as in take_next, or somebody has removed the folder
        traceback.print_exc()
    gave_way = bool(waiting_ids() or told)
    if process.pid:
        process.kill()
        process.join()
    settle_probe(folder, gave_way)
    return True


def take_experiment(context: Any, told: list[int]) -> bool:
    """Measure the times of the oldest experiment, or put its next run into the line, which is empty now; False where
    there is nothing to do. So people's runs wait behind one run of an experiment at most."""
    folder = next_experiment()
    if folder is None or any(run.state.status in ("starting", "running") for run in list_runs()):
        return False
    if not wants_timing(folder):
        return feed(folder)
    process = context.Process(target=_measure, args=(str(folder),), name=f"experiment {folder.name}")
    gave_way = False
    try:
        process.start()
        begin_timing(folder, mark_process(process.pid))
        while not wait([process.sentinel], timeout=_YIELD_SECONDS):
            gave_way = bool(waiting_ids() or told or next_probe())
            if gave_way or not is_wanted(folder):
                break
    except Exception:  # as in take_next, or somebody has removed the folder
        traceback.print_exc()
    if process.pid:
        process.kill()
        process.join()
    settle_timing(folder, gave_way)
    return True


def take_sweep(context: Any, told: list[int]) -> bool:
    """Work at the oldest sweep until a run is submitted; the trial at work is then begun again later. False where there
    is nothing to do."""
    folder = next_sweep()
    if folder is None or any(run.state.status in ("starting", "running") for run in list_runs()):
        return False
    process = context.Process(target=_sweep, args=(str(folder),), name=f"sweep {folder.name}")
    gave_way = False
    try:
        process.start()
        begin_sweep(folder, mark_process(process.pid))
        while not wait([process.sentinel], timeout=_YIELD_SECONDS):
            gave_way = bool(waiting_ids() or told)
            if gave_way or not is_wanted(folder):
                break
    except Exception:  # as in take_next, or somebody has removed the folder
        traceback.print_exc()
    if process.pid:
        process.kill()
        process.join()
    settle_sweep(folder, gave_way)
    return True


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
    module, _, function = worker.rpartition(".")
    attempt = read_stored_state(Path(folder)).attempt
    try:
        getattr(importlib.import_module(module), function)(Path(folder))
    except UserMistake as mistake:
        print(mistake, file=sys.stderr)
        mark_ended(Path(folder), "failed", str(mistake), attempt=attempt)
        sys.exit(2)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def _answer(folder: str) -> None:
    """The whole life of a child that answers a question."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _redirect_output(Path(folder) / "log.txt")
    _offer_to_oom_killer()
    from core.probe import answer_probe

    answer_probe(Path(folder))


def _measure(folder: str) -> None:
    """The whole life of a child that measures the times of an experiment."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _redirect_output(Path(folder) / "log.txt")
    _offer_to_oom_killer()
    from core.experiments.timing import time_settings

    time_settings(Path(folder))


def _sweep(folder: str) -> None:
    """The whole life of a child that works at a sweep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _redirect_output(Path(folder) / "log.txt")
    _offer_to_oom_killer()
    from core.experiments.sweep import work_at

    work_at(Path(folder))


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
