"""Workers, supervisors and both killed at random moments: what must hold after each of fifty kills, and in the end."""

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from core.data.store.store import read_fingerprint
from core.errors import UserMistake
from core.rows import EpochRow
from core.runs.actions import resume_run
from core.runs.checkpoint import read_checkpoint
from core.runs.process import read_launch, start_of
from core.runs.queue import ensure_supervisor, find_supervisor, submit
from core.runs.queue_entries import waiting_ids
from core.runs.run import Run, list_runs, open_run, read_run
from tests import tiny
from tests.core.test_resume import LONG, same, uninterrupted  # noqa: F401 - a fixture
from tests.waiting import wait_until


class Snapshot:
    """What was seen so far of every run that was submitted."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.ends: dict[tuple[str, int], str] = {}  # (run, attempt) -> how it ended
        self.rows: dict[tuple[str, int], bytes] = {}  # what an attempt had written when it had ended
        self.steps: dict[str, int] = {}  # of the newest checkpoint

    def submit(self) -> None:
        self.runs.append(tiny.new_run(**LONG))
        submit(self.runs[-1])

    def check(self) -> None:
        """I1 to I5 for every run. Files are read one after the other while work goes on: what is broken stays so."""
        for attempt in range(3):
            try:
                return self._check()
            except AssertionError:
                if attempt == 2:
                    raise
                time.sleep(0.3)

    def _check(self) -> None:
        waiting, found = waiting_ids(), {run.id: run for run in list_runs()}
        assert len(waiting) == len(set(waiting))
        assert {run.id for run in self.runs} == set(found), "I1: a run is gone, or one nobody asked for is there"
        for run in found.values():
            self._check_run(run, waiting)
        # a worker that has said its last word may take a moment to leave
        at_it = [run for run in found.values() if not read_run(run.id).state.ended]
        launches = [launch for run in at_it if (launch := read_launch(run.folder)) and launch.role == "worker"]
        assert sum(launch.process.is_alive() for launch in launches) <= 1, "I3: two workers at once"

    def _check_run(self, run: Run, waiting: list[str]) -> None:
        state, attempt = run.state, (run.id, run.state.attempt)
        if state.status == "queued":
            launch = read_launch(run.folder)
            assert run.id in waiting or (launch and launch.process.is_alive()), f"I1: {state} is nowhere"
        if not state.ended:
            assert attempt not in self.ends, f"I2: {state} after {self.ends[attempt]}"
            return
        assert run.id not in waiting, f"I1: {state} waits as well"
        assert self.ends.setdefault(attempt, state.status) == state.status, f"I2: {state}"
        rows = run.folder / "rows.jsonl"
        content = rows.read_bytes() if rows.exists() else b""
        assert self.rows.setdefault(attempt, content) == content, f"I4: {state} writes on"
        checkpoint = read_checkpoint(run.folder)
        step = checkpoint.step if checkpoint else 0
        assert not (checkpoint and checkpoint.damaged), f"I5: {state}"
        assert self.steps.get(run.id, 0) <= step, f"I5: {state} has lost what it had saved"
        self.steps[run.id] = step
        steps = [row.step for row in run.rows()]
        epochs = [row.epoch for row in run.rows() if isinstance(row, EpochRow)]
        assert steps == sorted(steps) and epochs == list(range(1, len(epochs) + 1)), f"I5: {steps} {epochs}"


def kill(*pids: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def at_work() -> int | None:
    """The process of the run that trains just now."""
    for run in list_runs():
        launch = read_launch(run.folder)
        if launch and launch.role == "worker" and run.state.is_live and launch.process.is_alive():
            return launch.process.pid
    return None


def settled(*victims: int) -> None:
    """Until nobody is alive who was killed, and no worker whose supervisor was: it notices in a moment."""
    wait_until(lambda: not any(start_of(pid) for pid in victims), every=0.01)
    wait_until(lambda: find_supervisor() is not None or at_work() is None, every=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("often", [6, pytest.param(50, marks=pytest.mark.nightly)])
def test_killed_often_no_run_is_lost_and_nothing_that_must_hold_is_broken(trained_home, uninterrupted, often):  # noqa: F811
    (earlier,) = list_runs()
    outside = {path: path.stat().st_mtime_ns for path in trained_home.parent.iterdir() if path != trained_home}
    chance, snapshot, kills, of_supervisors = random.Random(0), Snapshot(), 0, 0
    snapshot.runs.append(earlier)
    for _ in range(3):
        snapshot.submit()
    while kills < often or any(run.state.status == "lost" or run.state.is_live for run in list_runs()):
        supervisor = ensure_supervisor("tests.training_worker.train")
        for run in list_runs():
            if run.state.status == "lost":
                with suppress(UserMistake):  # of a supervisor that was killed the next one may let it go on itself
                    resume_run(run, *read_fingerprint(run.config.data), queue=True)
        if kills < often and not any(run.state.is_live for run in list_runs()):
            snapshot.submit()
        wait_until(lambda: at_work() is not None or not waiting_ids(), every=0.01)
        time.sleep(chance.uniform(0.0, 0.5))
        worker = at_work()
        if kills < often and worker is not None:
            victims = [worker] if chance.random() < 0.8 else chance.choice([[supervisor.pid], [supervisor.pid, worker]])
            of_supervisors += supervisor.pid in victims
            kill(*victims)
            kills += 1
            settled(*victims)
        snapshot.check()
    assert of_supervisors >= often // 15 and kills == often
    for run in snapshot.runs[1:]:  # I7
        assert read_run(run.id).state.status == "done" and same(open_run(run.folder), uninterrupted), run.id
    assert outside == {path: path.stat().st_mtime_ns for path in outside}  # I6
    assert not list(trained_home.glob("*.draft"))
