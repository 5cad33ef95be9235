"""The process of a probe, and the supervisor that answers between runs: killed, interrupted, and out of a run's way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.config import change_config
from core.disk import read_json
from core.engine import estimate
from core.probes.probes import ask_probe, cancel_probe, find_probe, probes_root, read_probe
from core.probes.worker import answer_probe
from core.runs.queue import ensure_supervisor, find_supervisor, submit
from core.runs.run import read_run
from tests import tiny
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def question(trained_home, tiny_run):
    """question(kind, **changes): a probe about a run like the tiny one."""

    def ask(kind, **changes):
        changed = {name.replace("__", "."): value for name, value in changes.items()}
        return ask_probe(kind, change_config(tiny_run.config, changed), tiny_run.fingerprint)

    return ask


@pytest.fixture
def a_moment(monkeypatch):
    monkeypatch.setattr(estimate, "WARM_SECONDS", 0.05)
    monkeypatch.setattr(estimate, "TIMED_SECONDS", 0.2)


def answered(probe):
    answer_probe(probes_root() / probe.id)
    return read_probe(probe.id)


def wait_for(probe, *statuses: str):
    def answered():
        (probes_root() / probe.id / "asked").touch()
        probe_now = read_probe(probe.id)
        return probe_now if probe_now.status in statuses else None

    return wait_until(answered, lambda: (read_probe(probe.id), statuses))


def test_a_speed_is_answered_with_everything_that_the_page_shows(question, a_moment):
    answered(question("speed", train__epochs=3))
    answer = question("speed", train__epochs=3).answer
    # 16 x 16 pictures leave 2 x 2 x 16 numbers: (16 - 2) / 2 = 7, (7 - 2) / 2 = 2; two classes
    convolutions, linear = 168 + 880 + 32, 64 * 120 + 120 + 240 + 10_164 + 84 * 2 + 2
    assert answer["parameters"] == convolutions + linear
    assert answer["multiply_adds"] > 0 and answer["images_per_second"] > 0 and answer["batches"] > 0
    assert answer["memory_bytes"] > 50e6  # torch alone
    in_all = answer["start_seconds"] + 3 * answer["seconds_per_epoch"] + answer["evaluation_seconds"]
    assert answer["seconds"] == pytest.approx(in_all)


def test_noise_stands_in_for_pictures_that_were_never_read_at_that_size(question, a_moment):
    stores = set((probes_root().parent / "stores").iterdir())
    probe_now = answered(ask_probe("speed", change_config(tiny.new_run().config, {"data.image_size": 24}), "e" * 64))
    assert probe_now.status == "done" and set((probes_root().parent / "stores").iterdir()) == stores


def test_a_rate_is_answered_with_a_curve_and_a_suggestion_in_range(question):
    answer = answered(question("rate")).answer
    assert len(answer["rates"]) == len(answer["losses"]) == len(answer["smoothed"]) == answer["batches"] <= 100
    assert 1e-7 < answer["low"] <= answer["suggestion"] <= answer["high"] <= 1.0


def test_a_mistake_and_a_fault_are_one_sentence_each(question, monkeypatch):
    assert "too small" in answered(question("rate", train__batch_size=1)).message
    monkeypatch.setattr("core.engine.find_rate.suggest_rate", lambda points: 1 / 0)
    failed = answered(question("rate"))
    assert failed.status == "failed" and "incident" in failed.message and "Traceback" not in failed.message


@pytest.mark.slow
def test_it_is_a_command_too(question):
    probe = question("rate")
    command = [sys.executable, "-m", "core.probes.worker", str(probes_root() / probe.id)]
    assert subprocess.run(command, cwd=ROOT, check=True).returncode == 0
    assert read_probe(probe.id).status == "done"


@pytest.mark.slow
def test_the_supervisor_answers_and_a_killed_child_is_noticed_and_outlived(question):
    """One supervisor for the whole story: each has to load torch first."""
    ensure_supervisor()
    probe = question("speed")
    wait_for(probe, "running")
    os.kill(read_json(probes_root() / probe.id / "launch.json")["pid"], signal.SIGKILL)
    assert "ended before it was done" in wait_for(probe, "failed").message
    assert find_supervisor() is not None

    rate = question("rate", train__batch_size=4)
    assert wait_for(rate, "done", "failed").answer["suggestion"]

    taken_back = question("speed", train__batch_size=16)
    wait_for(taken_back, "running")
    cancel_probe(taken_back.id)
    wait_until(lambda: not (probes_root() / taken_back.id).exists())

    # a run comes first: the child that measures is gone before the run's own has begun, and the question waits again
    interrupted = question("speed", train__batch_size=16)
    wait_for(interrupted, "running")
    measuring = read_json(probes_root() / interrupted.id / "launch.json")["pid"]
    run = tiny.new_run(train__epochs=200)
    submit(run)
    wait_until(lambda: read_run(run.id).state.status != "queued", every=0.005)
    with pytest.raises(ProcessLookupError):
        os.kill(measuring, 0)
    while (status := read_run(run.id).state.status) not in ("done", "failed", "lost"):
        asked = find_probe("speed", interrupted.config, run.fingerprint)
        assert asked is None or asked.status != "running" or read_run(run.id).state.ended
        time.sleep(0.02)
    assert status == "done"
    again = question("speed", train__batch_size=16)
    assert wait_for(again, "done").answer["images_per_second"] > 0
