"""Workers, supervisors and both killed at random moments: what must hold after each of fifty kills, and in the end."""

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from core.data.store import pictures_now
from core.errors import UserMistake
from core.rows import EpochRow
from core.runs.checkpoint import read_checkpoint
from core.runs.deeds import resume_run
from core.runs.process import start_of
from core.runs.queue import ensure_supervisor, find_supervisor, submit
from core.runs.run import Run, list_runs, open_run, read_launch, read_run
from core.runs.tickets import waiting_ids
from tests import tiny
from tests.test_resume import LONG, same, uninterrupted  # noqa: F401 - a fixture

KILLS = 50


class Watch:
    """What was seen so far of every run that was submitted."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.ends: dict[tuple[str, int], str] = {}  # (run, attempt) -> how it ended
        self.rows: dict[tuple[str, int], bytes] = {}  # what an attempt had told when it had ended
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
        line, found = waiting_ids(), {run.id: run for run in list_runs()}
        assert len(line) == len(set(line))
        assert {run.id for run in self.runs} == set(found), "I1: a run is gone, or one nobody asked for is there"
        for run in found.values():
            self._check_run(run, line)
        # a worker that has said its last word may take a moment to leave
        at_it = [run for run in found.values() if not read_run(run.id).state.ended]
        launches = [launch for run in at_it if (launch := read_launch(run.folder)) and launch[0] == "worker"]
        assert sum(mark.is_alive() for _, mark, _ in launches) <= 1, "I3: two workers at once"

    def _check_run(self, run: Run, line: list[str]) -> None:
        state, attempt = run.state, (run.id, run.state.attempt)
        if state.status == "queued":
            launch = read_launch(run.folder)
            assert run.id in line or (launch and launch[1].is_alive()), f"I1: {state} is nowhere"
        if not state.ended:
            assert attempt not in self.ends, f"I2: {state} after {self.ends[attempt]}"
            return
        assert run.id not in line, f"I1: {state} waits as well"
        assert self.ends.setdefault(attempt, state.status) == state.status, f"I2: {state}"
        rows = run.folder / "rows.jsonl"
        told = rows.read_bytes() if rows.exists() else b""
        assert self.rows.setdefault(attempt, told) == told, f"I4: {state} writes on"
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
        if launch and launch[0] == "worker" and not run.state.ended and launch[1].is_alive():
            return launch[1].pid
    return None


def settled(*victims: int, seconds: float = 60.0) -> None:
    """Until nobody is alive who was killed, and no worker whose supervisor was: it notices in a moment."""
    deadline = time.monotonic() + seconds
    while any(start_of(pid) for pid in victims):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while find_supervisor() is None and at_work() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_killed_fifty_times_no_run_is_lost_and_nothing_that_must_hold_is_broken(trained_home, uninterrupted, seed):  # noqa: F811
    (earlier,) = list_runs()
    outside = {path: path.stat().st_mtime_ns for path in trained_home.parent.iterdir() if path != trained_home}
    chance, watch, kills, of_supervisors = random.Random(seed), Watch(), 0, 0
    watch.runs.append(earlier)
    for _ in range(3):
        watch.submit()
    while kills < KILLS or any(run.state.status == "lost" or not run.state.ended for run in list_runs()):
        supervisor = ensure_supervisor("tests.training_worker.train")
        for run in list_runs():
            if run.state.status == "lost":
                with suppress(UserMistake):  # of a supervisor that was killed the next one may let it go on itself
                    resume_run(run, *pictures_now(run.config.data), in_line=True)
        if kills < KILLS and not any(not run.state.ended for run in list_runs()):
            watch.submit()
        deadline = time.monotonic() + 300  # a busy machine takes its time to load torch
        while at_work() is None and waiting_ids():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.5))
        worker = at_work()
        if kills < KILLS and worker is not None:
            victims = [worker] if chance.random() < 0.8 else chance.choice([[supervisor.pid], [supervisor.pid, worker]])
            of_supervisors += supervisor.pid in victims
            kill(*victims)
            kills += 1
            settled(*victims)
        watch.check()
    assert of_supervisors >= 3 and kills == KILLS
    for run in watch.runs[1:]:  # I7
        assert read_run(run.id).state.status == "done" and same(open_run(run.folder), uninterrupted), run.id
    assert outside == {path: path.stat().st_mtime_ns for path in outside}  # I6
    assert not list(trained_home.glob("*.draft"))
