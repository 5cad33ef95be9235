"""RunWorkers: the runs that the supervisor trains just now, from their "go" to the end that a worker could not write.

One run that takes all cores, or several that take one thread each, beside one another.
"""

import time
import traceback
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from core.cluster.settings import WORKER as WORKER_THERE
from core.cluster.settings import read_places, uses_cluster
from core.data.pictures.child import usable_cores
from core.data.store.store import read_fingerprint
from core.disk import cut_middle
from core.errors import UserMistake
from core.experiments.ablation.feed import go_on_later
from core.jobs.child import train_run_folder
from core.jobs.forking import end_survivor, start_child
from core.jobs.log import log
from core.runs.actions import resume_run
from core.runs.checkpoint import newest_place
from core.runs.exit_reason import Memory, describe_exit, has_crashed, where_to_resume, why_ended
from core.runs.process import mark_process, request_stop, stop_requested, write_launch
from core.runs.queue import WORKER
from core.runs.queue_entries import drop_queue_entry, queue_lock, waiting_ids
from core.runs.run import open_run
from core.runs.state import BRIEFLY, read_stored_state, run_lock
from core.runs.watchdog import Watchdog, is_stopped
from core.runs.writer import mark_ended
from core.settings import Limits, atelier_home, load_limits

_KILL_SECONDS = 10.0  # from SIGTERM to SIGKILL for a worker that does not respond
_LOOK_SECONDS = 1.0  # until a place that was left free is offered again
_UNWATCHED = "The process that had started the training was killed."


class RunWorkers:
    """Those at work; `check` looks after each of them, `begin` adds one."""

    def __init__(self) -> None:
        self.at_work: list[_RunWorker] = []
        self._looked_at = 0.0  # when nothing was found for a free place

    def begin(self, worker: str, context: Any, folder: Path) -> None:
        """Start the run in `folder`, which waits in the queue; `worker`: the dotted name of what trains it."""
        if worker == WORKER and uses_cluster():
            worker = WORKER_THERE
        ours, theirs = context.Pipe()
        try:  # outside of the queue's lock: the first one waits until torch is loaded
            process = start_child(context, train_run_folder, (str(folder), worker, theirs), f"run {folder.name}")
        except Exception:  # again and again, e.g. because the worker's module cannot be imported
            traceback.print_exc()
            why = f"No training process could be started; {atelier_home()}/supervisor.log says why."
            mark_ended(folder, "failed", why)
            return
        theirs.close()
        attempt = None
        try:
            threads = _threads_of(folder)
            attempt = hand_over(folder, process)
            if attempt is not None:
                log(f"run {folder.name} starts in process {process.pid}, attempt {attempt}")
                self.at_work.append(_RunWorker(folder, process, attempt, threads))
                with suppress(OSError):  # it has died: `check` writes that
                    ours.send("go")
        finally:
            ours.close()  # a child that got no "go" ends
            if attempt is None:
                process.join(5)
                if process.is_alive():
                    process.kill()
                    process.join()

    def takes(self, folder: Path) -> bool:
        """Whether the run in `folder` can begin now: alone, or beside others where all take one thread only; in a
        cluster, whether that has a place."""
        if uses_cluster():
            return self.shares_cores
        return not self.at_work or (self.shares_cores and _threads_of(folder) is not None)

    @property
    def shares_cores(self) -> bool:
        """Whether there is room for one more that takes one thread, beside those at work."""
        if uses_cluster():
            return len(self.at_work) < read_places()
        threads = [one.threads for one in self.at_work]
        return None not in threads and sum(one or 0 for one in threads) < usable_cores()

    @property
    def looks_for_more(self) -> bool:
        """Whether to look for a run now: there is room for one, and none was missed a moment ago."""
        return self.shares_cores and (not self.at_work or time.monotonic() - self._looked_at > _LOOK_SECONDS)

    def found_nothing(self) -> None:
        self._looked_at = time.monotonic()

    def check(self, signals: list[int]) -> bool:
        """Look after each once; whether one has ended."""
        ended = [one for one in self.at_work if one.check(signals)]
        self.at_work = [one for one in self.at_work if one not in ended]
        if ended:
            self._looked_at = 0.0
        return bool(ended)

    def wait(self, seconds: float) -> None:
        """Until one ends, at most so long."""
        if self.at_work:
            wait([one.process.sentinel for one in self.at_work], timeout=seconds)
        else:
            time.sleep(seconds)


class _RunWorker:
    """The process of one run, and what is known of it."""

    def __init__(self, folder: Path, process: BaseProcess, attempt: int, threads: int | None) -> None:
        self.folder, self.process, self.attempt, self.threads = folder, process, attempt, threads
        self.memory, self.watchdog, self.limits = Memory(), Watchdog(folder, process.pid or 0), limits()
        self.child = mark_process(process.pid)
        self.stopping, self.hung = False, ""

    def check(self, signals: list[int]) -> bool:
        """Whether the worker has ended; then the end that it could not write itself is written."""
        if wait([self.process.sentinel], timeout=0):
            self._settle()
            return True
        self.memory.sample()
        self.watchdog.check()
        cut_log(self.folder, self.limits.run_log_bytes)
        if signals and not self.stopping and self.folder.exists():
            if not stop_requested(self.folder):
                go_on_later(self.folder.name)
            request_stop(self.folder)  # once: the next attempt must not find it
        self.stopping = bool(signals)
        # a run that saves its model is waited for, which on a busy machine takes its time
        stops = self.stopping or stop_requested(self.folder)
        self.hung = self.hung or self.watchdog.reason_to_end(stops, self.limits)
        if self.hung:
            _end(self.process)
        return False

    def _settle(self) -> None:
        folder = self.folder
        self.process.join()
        if end_survivor(self.child):
            log(f"run {folder.name}: the process that had forked its worker was killed, so the worker was ended")
            if mark_ended(folder, "lost", f"{_UNWATCHED} {where_to_resume(folder)}", attempt=self.attempt):
                retry(folder, _UNWATCHED)
            return
        log(f"run {folder.name} ended with exit code {self.process.exitcode}")
        settle_run(folder, self.process.exitcode or 0, self.memory.ran_out(), self.hung, self.attempt)


def hand_over(folder: Path, process: BaseProcess) -> int | None:
    """Give the run to the child; the number of the attempt, or None where the run was cancelled, started elsewhere or
    deleted in the meantime."""
    attempt = None
    with queue_lock():
        if folder.name in waiting_ids() and (folder / "config.json").exists():
            with run_lock(folder).acquire(timeout=BRIEFLY):
                state = read_stored_state(folder)
                if state.status == "queued":
                    attempt = state.attempt
                    write_launch(folder, mark_process(process.pid), role="worker", attempt=attempt, supervised=True)
        drop_queue_entry(folder.name)  # last: killed anywhere here, the run has its place in the queue or its process
        return attempt


def settle_run(folder: Path, exit_code: int, out_of_memory: bool, hung: str, attempt: int) -> None:
    """Write the end of a run whose worker has not; `hung`: why the watchdog ended it, or ""."""
    epoch = read_stored_state(folder).epoch
    if hung:
        reason = f"{hung}. {where_to_resume(folder)}"
    else:
        reason = describe_exit(exit_code, out_of_memory, folder, epoch)
    status: Literal["stopped", "lost"] = "stopped" if hung and stop_requested(folder) else "lost"
    if mark_ended(folder, status, reason, attempt=attempt):  # else it ended well, and may have been resumed since then
        log(f"run {folder.name} is {status}: {reason}")
        if has_crashed(exit_code):
            retry(folder, why_ended(exit_code, out_of_memory, epoch))


def retry(folder: Path, why: str) -> None:
    """Resume a run that a crash or the end of the machine broke off, once: after that a person decides."""
    try:
        run = open_run(folder)
        if run.state.retry or run.stop_requested:
            return
        place = newest_place(folder)
        reason = f"{why} It went on by itself{f' from {place}' if place else ''}; a second time it would wait for you."
        resume_run(run, *read_fingerprint(run.config.data), queue=True, retry=reason)
        log(f"run {folder.name} goes on by itself")
    except (OSError, UserMistake) as trouble:
        log(f"run {folder.name} does not go on by itself: {trouble}")


def cut_log(folder: Path, most: int) -> None:
    """Cut the middle out of the log of a run that has grown beyond `most` bytes, while it is written."""
    with suppress(OSError):
        cut_middle(folder / "log.txt", most)


def limits() -> Limits:
    try:
        return load_limits()
    except UserMistake as mistake:  # pages show it; training goes on
        log(str(mistake))
        return Limits()


def _threads_of(folder: Path) -> int | None:
    """On how many threads the run is trained; None: on all, also where its folder cannot be read."""
    try:
        return open_run(folder).threads
    except (OSError, ValueError):
        return None


def _end(process: BaseProcess) -> None:
    """Ask the process to end, then make it."""
    if not is_stopped(process.pid or 0):
        process.terminate()
        process.join(_KILL_SECONDS)
    process.kill()
    process.join()
