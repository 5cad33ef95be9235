"""The watchdog: a worker that writes nothing, one that does nothing, and one that only computes for long."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from core.runs import watchdog
from core.runs.watchdog import Watchdog
from core.settings import Limits

LIMITS = Limits(silence_stop_seconds=20, silence_end_seconds=600)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [1000.0]
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def wait(seconds: int, check) -> None:
        for _ in range(seconds):
            now[0] += 1.0
            check()

    wait.jump = lambda seconds: now.__setitem__(0, now[0] + seconds)
    return wait


def watched(tmp_path, monkeypatch, computed=lambda: 0.0) -> Watchdog:
    monkeypatch.setattr(Watchdog, "_seconds_computed", lambda _: computed())
    return Watchdog(tmp_path, 1)


def test_a_worker_that_writes_is_not_ended(tmp_path, monkeypatch, clock):
    worker = watched(tmp_path, monkeypatch)

    def work():
        (tmp_path / "state.json").write_text(str(time.perf_counter_ns()))
        worker.check()

    clock(70, work)
    assert worker.seconds_since_write == 0.0 and not worker.reason_to_end(True, LIMITS)


def test_a_worker_that_does_nothing_is_ended_when_asked_to_stop_or_after_ten_minutes(tmp_path, monkeypatch, clock):
    worker = watched(tmp_path, monkeypatch)
    clock(15, worker.check)
    assert not worker.reason_to_end(True, LIMITS)
    clock(10, worker.check)
    assert "when it was asked to stop" in worker.reason_to_end(True, LIMITS)
    assert not worker.reason_to_end(False, LIMITS)
    clock(600, worker.check)
    assert worker.reason_to_end(False, LIMITS).startswith("Training had not responded for 10 minutes")


def test_a_worker_that_computes_for_long_is_given_more_time_to_stop(tmp_path, monkeypatch, clock):
    used = [0.0]
    worker = watched(tmp_path, monkeypatch, lambda: used.__setitem__(0, used[0] + 0.5) or used[0])
    clock(50, worker.check)
    assert worker.idle == 0.0 and not worker.reason_to_end(True, LIMITS)
    clock(15, worker.check)
    assert worker.reason_to_end(True, LIMITS)


def test_a_machine_that_slept_has_not_waited(tmp_path, monkeypatch, clock):
    worker = watched(tmp_path, monkeypatch)
    clock(5, worker.check)
    clock.jump(36_000)
    worker.check()
    assert worker.seconds_since_write < 10


def test_the_stop_that_people_write_is_no_sign_of_life(tmp_path, monkeypatch, clock):
    worker = watched(tmp_path, monkeypatch)
    clock(5, worker.check)
    (tmp_path / "stop").touch()
    clock(5, worker.check)
    assert worker.seconds_since_write >= 9


def test_a_computing_process_differs_from_a_sleeping_one(tmp_path):
    for code, works in (("while True: pass", True), ("import time; time.sleep(60)", False)):
        process = subprocess.Popen([sys.executable, "-c", f"print(flush=True)\n{code}"], stdout=subprocess.PIPE)
        try:
            process.stdout.readline()  # Python itself has been loaded
            time.sleep(0.1)
            worker = Watchdog(tmp_path, process.pid)
            before = worker._seconds_computed()
            time.sleep(0.4)
            assert (worker._seconds_computed() - before > 0.02) is works
        finally:
            process.kill()
            process.wait()
