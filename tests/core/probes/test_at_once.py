"""How many runs train at once: measured with real trainings, kept, told; and a run beside another is the same run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.disk import write_json
from core.probes import at_once
from core.probes.at_once import AT_ONCE, AtOnce, measure_at_once, noted_at_once, read_at_once
from core.runs.actions import create_run
from core.runs.run import open_run

ROOT = Path(at_once.__file__).resolve().parents[2]


def test_on_one_core_nothing_is_measured(tiny_run):
    assert read_at_once(tiny_run.config) is None
    found = measure_at_once(tiny_run.config)
    assert (found.runs, found.threads) == (1, None) and "there is one core" in found.sentence
    assert read_at_once(tiny_run.config) == found


@pytest.mark.slow
def test_trainings_take_turns_and_the_answer_is_kept(tiny_run, monkeypatch):
    monkeypatch.setattr(at_once, "usable_cores", lambda: 2)
    monkeypatch.setattr(at_once, "BLOCKS", 1)
    monkeypatch.setattr(at_once, "TURN_SECONDS", 0.2)
    found = measure_at_once(tiny_run.config)
    assert found.together == 2 and found.ratio > 0 and found.runs == (2 if found.ratio >= at_once.WORTH else 1)
    assert f"{found.ratio:.2f} times as many pictures a second" in found.sentence
    monkeypatch.setattr(at_once, "_measure", None)  # asked again, nothing is measured
    assert read_at_once(tiny_run.config) in (found, None) and (found.others > 0.25 or measure_at_once(tiny_run.config))


def test_what_a_busy_machine_said_is_asked_again_later(tiny_run):
    path = at_once._path(tiny_run.config)
    write_json(path, {"runs": 1, "ratio": 0.9, "together": 2, "others": 0.6})
    assert "while other programs took 60%" in read_at_once(tiny_run.config).sentence
    old = time.time() - at_once.CROWDED_SECONDS - 1
    os.utime(path, (old, old))
    assert read_at_once(tiny_run.config) is None


def test_a_damaged_note_is_as_good_as_none(tmp_path):
    (tmp_path / AT_ONCE).write_text('{"runs": 2, "speed": 3}')
    assert noted_at_once(tmp_path) is None
    write_json(tmp_path / AT_ONCE, {"runs": 2, "ratio": 1.7, "together": 2})
    assert noted_at_once(tmp_path) == AtOnce(2, 1.7, 2) and noted_at_once(tmp_path).threads == 1


@pytest.mark.slow
def test_a_run_beside_another_gives_the_numbers_that_it_gives_alone_on_one_thread(tiny_run):
    alone, left, right = (
        create_run(tiny_run.config, tiny_run.fingerprint, tiny_run.classes, threads=1) for _ in range(3)
    )
    for together in ([alone], [left, right]):
        begun = [subprocess.Popen([sys.executable, "-m", "core.train", str(run.folder)], cwd=ROOT) for run in together]
        assert [process.wait() for process in begun] == [0] * len(begun)
    expected = open_run(alone.folder)
    for run in (open_run(left.folder), open_run(right.folder)):
        assert [row.train_loss for row in run.epochs()] == [row.train_loss for row in expected.epochs()]
        assert all(np.array_equal(value, run.weights()[name]) for name, value in expected.weights().items())
