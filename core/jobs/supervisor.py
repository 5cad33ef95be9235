"""The supervisor: takes queued runs in order and trains each in a process of its own, whatever happens to the server.

python -m core.jobs.supervisor

Started by core.runs.queue.ensure_supervisor; one per atelier_home(), ends by itself when there has been nothing to do.
"""

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from filelock import Timeout

from core.disk import DRAFT, allow_more_files, rotate
from core.errors import UserMistake
from core.experiments.ablation.feed import (
    begin_timing,
    feed,
    next_experiment,
    settle_timing,
    wants_timing,
)
from core.experiments.sweeps.worker import begin_sweep, next_sweep, settle_sweep
from core.jobs.child import redirect_output, serve_folder
from core.jobs.forking import end_survivor, start_child, start_forkserver
from core.jobs.log import log
from core.jobs.run_workers import RunWorkers, limits, retry
from core.locks import ProcessLock, process_lock
from core.probes.probes import begin_probe, is_wanted, next_probe, settle_probe
from core.runs.index import RunIndex
from core.runs.process import ProcessMark, mark_process, read_launch
from core.runs.queue import (
    IDLE_SECONDS,
    WORKER,
    announce_supervisor,
    find_supervisor,
    keep_announced,
    program_stamp,
    seconds_since_heartbeat,
    start_supervisor,
    supervisor_lock_path,
    withdraw_supervisor,
)
from core.runs.queue_entries import waiting_ids
from core.runs.run import list_runs, open_run
from core.runs.state import read_stored_state
from core.runs.writer import mark_ended
from core.settings import atelier_home, must_have_room, runs_root

_TICK_SECONDS = 0.1
_YIELD_SECONDS = 0.02  # until a probe gives way to a run
_DISK_RETRY_SECONDS = 5.0  # until a disk that refused something is tried again
_OLD_SECONDS = 3600.0


def supervise(worker: str = WORKER, idle_seconds: float = IDLE_SECONDS) -> int:
    """Hold the lock and train what waits until asked to end, or until idle; 0 also where another one holds the lock."""
    lock = process_lock(supervisor_lock_path())
    if not _acquire(lock):
        return 0
    allow_more_files()
    signals: list[int] = []  # that came; an Event must not be set in a signal handler
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda came, _: signals.append(came))
    try:
        program = program_stamp()
        announce_supervisor()
        log("ready")
        context, workers = start_forkserver(worker), RunWorkers()
        clear_the_past()
        runs, room, last_work = RunIndex(runs_root()), _DiskRoom(), time.monotonic()
        while workers.at_work or not signals:
            if not keep_announced():
                log("the folder of Atelier was removed; ending")
                return 0
            waiting = ready = None
            done = False
            try:
                done = workers.check(signals)
                if not signals and workers.looks_for_more:
                    waiting = _next_task(worker, workers)
                    ready = waiting if waiting and waiting.can_begin(runs, room, workers) else None
                if ready and program_stamp() != program:
                    if not workers.at_work:
                        log("the program has changed; handing over to its new version")
                        withdraw_supervisor(even_if_runs_wait=True)
                        lock.release()
                        start_supervisor(worker, idle_seconds)
                        return 0
                    ready = None  # once those at work have ended
                done = (ready is not None and ready.do(context, ready.folder, signals)) or done
            except OSError as error:
                log(f"the disk makes trouble ({error}); what waits goes on waiting")
                time.sleep(_DISK_RETRY_SECONDS)
            if done or workers.at_work or (waiting and not ready):
                last_work = time.monotonic()
            if done:
                _rotate_log()
            elif min(time.monotonic() - last_work, seconds_since_heartbeat()) > idle_seconds and withdraw_supervisor():
                log("nothing to do; ending")
                return 0
            else:
                if workers.looks_for_more:
                    workers.found_nothing()
                workers.wait(_TICK_SECONDS)
        log("asked to end")
        return 0
    finally:
        lock.release()


@dataclass
class _DiskRoom:
    """Whether the disk has room for a run; where it has none, every page says why, and the log does once."""

    is_logged: bool = False

    def suffices(self) -> bool:
        try:
            must_have_room()
            self.is_logged = False
        except UserMistake as mistake:
            if not self.is_logged:
                log(f"{mistake} What waits goes on waiting.")
            self.is_logged = True
        return not self.is_logged


@dataclass(frozen=True)
class _Task:
    """What is next: `do` does it, and returns whether there was something to do."""

    do: Callable[[Any, Path, list[int]], bool]  # context, folder, signals that end the supervisor
    folder: Path
    is_run: bool = False

    def can_begin(self, runs: RunIndex, room: _DiskRoom, workers: RunWorkers) -> bool:
        """A run of the queue can, also beside one that trains in the foreground of a command line; all else waits,
        except for the next run of an experiment whose runs share the cores."""
        if self.is_run:
            return workers.takes(self.folder) and room.suffices()
        ours = {one.folder.name for one in workers.at_work}
        if ours and (self.do is not advance_experiment or wants_timing(self.folder)):
            return False
        if any(run.state.is_training and run.id not in ours for run in runs.runs()):
            return False
        return self.do is answer_probe or room.suffices()


def _next_task(worker: str, workers: RunWorkers) -> _Task | None:
    """The first run of the queue, else a probe, else an experiment, else a sweep."""
    waiting = waiting_ids()
    if waiting:
        return _Task(partial(train_next, worker, workers), runs_root() / waiting[0], is_run=True)
    kinds = ((next_probe, answer_probe), (next_experiment, advance_experiment), (next_sweep, work_at_sweep))
    return next((_Task(do, folder) for find, do in kinds if (folder := find()) is not None), None)


def train_next(worker: str, workers: RunWorkers, context: Any, folder: Path, signals: list[int]) -> bool:
    """Begin to train the run in `folder`, the first of the queue."""
    workers.begin(worker, context, folder)
    return True


def answer_probe(context: Any, folder: Path, signals: list[int]) -> bool:
    """Answer the probe in `folder`. It gives way at once when a run is submitted."""
    function = "core.probes.worker.answer_probe"
    settle_probe(folder, _run_child(context, function, folder, begin_probe, partial(_must_yield, signals)))
    return True


def advance_experiment(context: Any, folder: Path, signals: list[int]) -> bool:
    """Measure the times of an experiment, or put its next run into the queue, which is empty now; False where there is
    nothing to do. So people's runs wait behind one run of an experiment at most, or behind those that train at once."""
    if not wants_timing(folder):
        return feed(folder)
    function = "core.experiments.ablation.timing.time_variants"
    gave_way = _run_child(
        context, function, folder, begin_timing, lambda: _must_yield(signals) or next_probe() is not None
    )
    settle_timing(folder, gave_way)
    return True


def work_at_sweep(context: Any, folder: Path, signals: list[int]) -> bool:
    """Work at a sweep until a run is submitted; its current trial is then begun again later."""
    function = "core.experiments.sweeps.worker.run_trials"
    settle_sweep(folder, _run_child(context, function, folder, begin_sweep, partial(_must_yield, signals)))
    return True


def _must_yield(signals: list[int]) -> bool:
    """Whether a run waits, or the supervisor is to end."""
    return bool(waiting_ids() or signals)


def _run_child(
    context: Any,
    function: str,
    folder: Path,
    begin: Callable[[Path, ProcessMark], None],
    must_yield: Callable[[], bool],
) -> bool:
    """Let a child call `function`, a dotted name, on a folder until it ends, has to give way, or nobody wants it any
    more; whether it had to give way."""
    child, gave_way = None, False
    try:
        process = start_child(context, serve_folder, (function, str(folder)), f"{function} {folder.name}")
        child = mark_process(process.pid)
        begin(folder, child)
        while not wait([process.sentinel], timeout=_YIELD_SECONDS):
            gave_way = must_yield()
            if gave_way or not is_wanted(folder):
                break
    except Exception:  # as in train_next, or somebody has removed the folder
        traceback.print_exc()
    if child is not None:
        process.kill()
        process.join()
        end_survivor(child)
    return gave_way or must_yield()  # a signal to the whole group may have ended the child first


def clear_the_past() -> None:
    """Settle what an earlier supervisor left: workers that have not noticed its end, lost runs, unfinished files."""
    for run in list_runs():
        launch = read_launch(run.folder)
        supervised = launch is not None and launch.supervised
        if launch and supervised and read_stored_state(run.folder).is_live:
            _wait_for_end(launch.process)
            run = open_run(run.folder)
        if run.state.status != "lost":
            continue
        is_new = mark_ended(run.folder, "lost", run.state.message, attempt=run.state.attempt)
        if is_new and supervised:
            retry(run.folder, "Its process was killed, or the machine was restarted.")
    _remove_old_drafts()


def _remove_old_drafts() -> None:
    # a folder ".<id>.draft" is a run whose creation was cut short, a file "*.draft" in a run an unfinished write
    cut_short = [runs_root().glob(pattern + DRAFT) for pattern in ("*/*", "*/checkpoint/*")]
    for draft in [*runs_root().glob(f".*{DRAFT}/*"), *cut_short[0], *cut_short[1]]:
        if time.time() - draft.stat().st_mtime > _OLD_SECONDS:
            draft.unlink(missing_ok=True)
    for folder in runs_root().glob(f".*{DRAFT}"):
        if not any(folder.iterdir()):
            folder.rmdir()


def _acquire(lock: ProcessLock) -> bool:
    """Wait for a supervisor that is about to end; False as soon as a living one has announced itself."""
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


def _wait_for_end(worker: ProcessMark) -> None:
    """Wait for a worker whose supervisor is dead: it ends by itself, and is killed where it does not."""
    deadline = time.monotonic() + 10
    while worker.is_alive():
        if time.monotonic() > deadline:
            os.kill(worker.pid, signal.SIGKILL)
        time.sleep(0.02)


def _rotate_log() -> None:
    """Begin the next supervisor.log where this one has grown too large."""
    log = atelier_home() / "supervisor.log"
    with suppress(OSError):
        if os.path.samestat(os.fstat(1), log.stat()) and log.stat().st_size > limits().log_bytes:
            rotate(log, limits().log_bytes)
            redirect_output(log)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m core.jobs.supervisor", description="Train queued runs in order.")
    parser.add_argument("--worker", default=WORKER, help="dotted name of the function that trains a run folder")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS, help="seconds without work after which to end")
    chosen = parser.parse_args(arguments)
    return supervise(chosen.worker, chosen.idle)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
