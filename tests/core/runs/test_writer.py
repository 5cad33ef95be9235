"""RunWriter: promises of the writer, kept through kills, full disks and strangers."""

import errno
import json
import math
import multiprocessing
import os
import random
import shutil
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from core.config import RunConfig
from core.disk import read_json
from core.errors import UserMistake
from core.rows import EpochRow
from core.runs.actions import create_run
from core.runs.run import read_run
from core.runs.state import TRANSITIONS
from core.runs.writer import RunWriter, mark_ended
from tests.core.runs.test_run import card, evaluation, row
from tests.core.test_snapshot import snapshot
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def writer(run):
    writer = RunWriter(run.folder)
    writer.starting()
    return writer


def status(run) -> str:
    return read_run(run.id).state.status


def test_a_run_goes_from_queued_to_done(run):
    writer = RunWriter(run.folder)
    assert status(run) == "queued"
    writer.starting()
    assert status(run) == "starting"
    writer.running(epoch=1, epochs=2)
    assert status(run) == "running"
    writer.finish("done", "Reached 64 %.")
    state = read_run(run.id).state
    assert (state.status, state.message, state.epoch, state.seconds_left) == ("done", "Reached 64 %.", 1, 0.0)


@pytest.mark.parametrize("end", ["done", "stopped", "failed", "lost"])
def test_an_end_is_never_left(run, writer, end):
    assert TRANSITIONS[end] == ()
    writer.finish(end) if end in ("done", "stopped") else mark_ended(run.folder, end, "The reason.")
    for action in (writer.finish, writer.running, lambda: RunWriter(run.folder).starting()):
        with pytest.raises((RuntimeError, UserMistake)):
            action()
    writer.fail("Too late.")
    assert not mark_ended(run.folder, "lost", "Too late.")
    assert status(run) == end


def test_progress_is_written_now_and_then_and_nothing_of_it_is_lost(run, writer, monkeypatch):
    monkeypatch.setattr("core.runs.writer._SECONDS_BETWEEN_STATES", 600.0)
    writer.running(epoch=1)
    before = (run.folder / "state.json").stat().st_ino
    for step in range(500):
        writer.running(step=step)
    assert (run.folder / "state.json").stat().st_ino == before  # not replaced once
    monkeypatch.setattr("core.runs.writer._SECONDS_BETWEEN_STATES", 0.0)
    writer.running(seconds=3.0)
    state = read_run(run.id).state
    assert (state.step, state.seconds) == (499, 3.0)
    writer.running(step=500)
    writer.fail("The loss became infinite.")
    state = read_run(run.id).state
    assert (state.status, state.step, state.message) == ("failed", 500, "The loss became infinite.")


def test_values_that_are_not_finite_become_null(run, writer):
    writer.append(row(1, math.nan))
    writer.append(
        EpochRow(
            epoch=1,
            step=2,
            train_loss=math.inf,
            train_accuracy=0.5,
            train_per_class=(math.nan, 1.0),
            learning_rate=0.1,
            seconds=1.0,
            images_per_second=2.0,
        )
    )
    first, second = run.rows()
    assert first.train_loss is None and second.train_loss is None and second.train_per_class == (None, 1.0)
    writer.running(seconds_left=math.inf, images_per_second=math.nan)
    assert read_run(run.id).state.seconds_left is None


def test_half_a_row_of_a_killed_worker_is_cut_before_the_next_one(run, writer):
    writer.append(row(1))
    for rest in (b'{"kind": "iterat', b"x" * 100_000):
        with (run.folder / "rows.jsonl").open("ab") as file:
            file.write(rest)
        RunWriter(run.folder).append(row(2))
    lines = (run.folder / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 2]


def test_a_model_may_be_read_by_everyone_who_shares_the_folder(run, writer):
    old = os.umask(0o077)
    try:
        writer.save_model({"w": np.zeros(3, np.float32)}, card())
    finally:
        os.umask(old)
    assert stat.S_IMODE((run.folder / "model.safetensors").stat().st_mode) == 0o644


def test_weights_need_not_be_contiguous(run, writer):
    weights = np.arange(6, dtype=np.float32).reshape(2, 3).T
    writer.save_model({"w": weights}, card())
    assert np.array_equal(read_run(run.id).weights()["w"], weights)


SAVER = """
import sys, numpy as np
from pathlib import Path
from core.runs.writer import RunWriter
from tests.core.runs.test_run import card
writer = RunWriter(Path(sys.argv[1])); writer.starting(); writer.running()
n = 0
while True:
    n += 1
    writer.save_model({"w": np.full(20_000, n, np.float32)}, card())
    if n == 1: print("saved", flush=True)
"""


def test_killed_while_saving_the_model_on_disk_always_verifies():
    chance = random.Random(0)
    for _ in range(6):
        run = create_run(RunConfig(), "f" * 64, ("noir", "cartoon"))
        saver = subprocess.Popen([sys.executable, "-c", SAVER, str(run.folder)], stdout=subprocess.PIPE, text=True)
        assert saver.stdout.readline() == "saved\n"
        time.sleep(chance.random() * 0.05)
        saver.kill()
        saver.wait()
        weights = read_run(run.id).weights()["w"]
        assert weights[0] >= 1 and (weights == weights[0]).all()
        assert status(run) == "lost"


def test_readers_beside_a_saving_worker_never_see_a_damaged_model(run):
    saver = subprocess.Popen([sys.executable, "-c", SAVER, str(run.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert saver.stdout.readline() == "saved\n"
        seen, end = set(), time.monotonic() + PATIENCE
        while len(seen) < 10 and time.monotonic() < end:  # on a busy machine many readings fall between two savings
            seen.add(float(read_run(run.id).weights()["w"][0]))
        assert len(seen) > 1
    finally:
        saver.kill()
        saver.wait()


def test_a_run_has_one_worker(run, writer):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert "already being trained by process" in pool.apply(_try_to_start, (run.folder,))
    writer.finish("done")


def _try_to_start(folder) -> str:
    try:
        RunWriter(folder).starting()
    except UserMistake as mistake:
        return str(mistake)
    return ""


def test_a_worker_that_was_replaced_writes_no_more(run, writer):
    launch = read_json(run.folder / "launch.json")
    (run.folder / "launch.json").write_text(json.dumps(launch | {"pid": 1}))
    with pytest.raises(UserMistake, match="no longer this process's"):
        writer.finish("done")


def test_a_deleted_run_is_not_brought_to_life_by_its_worker(run, writer):
    writer.running()
    run.folder.rename(run.folder.with_name("trash"))
    actions = (
        writer.finish,
        lambda: writer.append(row(1)),
        lambda: writer.save_evaluation(evaluation()),
        lambda: writer.save_model({"w": np.zeros(1, np.float32)}, card()),
    )
    for action in actions:
        with pytest.raises(UserMistake, match="gone from disk"):
            action()
    writer.fail("gone")
    assert not run.folder.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_is_one_sentence(run, writer):
    (run.folder / "rows.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserMistake, match=r"^The disk is full \(\d+ MB free\)\. What was saved before is kept\."):
        writer.append(row(1))
    writer.fail("The disk is full.")
    assert status(run) == "failed"


def test_room_for_the_last_words_is_kept_until_the_end(run, writer):
    assert (run.folder / "reserve").stat().st_size > 0
    writer.fail("The disk is full.")
    assert not (run.folder / "reserve").exists()


def test_an_evaluation_may_be_added_to_a_finished_run(run, writer):
    writer.finish("done")
    RunWriter(run.folder).save_evaluation(evaluation("val"))
    assert read_run(run.id).evaluation("val").n == 2 and status(run) == "done"


def test_the_state_holds_the_score_of_the_model_that_is_kept(run, writer):
    writer.save_evaluation(evaluation("test"))
    writer.save_evaluation(evaluation("val"))
    writer.finish("done")
    assert read_run(run.id).state.score == (1, 2)  # of the two answers one is right


def test_a_new_model_has_no_score_until_it_has_answered(run, writer):
    writer.save_evaluation(evaluation("test"))
    writer.save_model({"conv.weight": np.ones((2, 3), np.float32)}, card())
    writer.finish("stopped")
    assert read_run(run.id).state.score is None


def test_the_newest_watch_replaces_the_one_before(run, writer):
    assert run.snapshot() is None
    for step in (1, 2):
        writer.save_snapshot(snapshot(step))
        assert read_run(run.id).snapshot().step == step
    assert not [path.name for path in run.folder.iterdir() if path.name.endswith(".draft")]


def test_a_disk_that_refuses_a_watch_costs_nobody_the_run(run, writer, monkeypatch):
    writer.save_snapshot(snapshot(1))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("core.runs.writer.write_atomic", full)
    writer.save_snapshot(snapshot(2))
    assert read_run(run.id).snapshot().step == 1


def test_a_watch_does_not_bring_a_deleted_run_back(run, writer):
    shutil.rmtree(run.folder)
    with pytest.raises(UserMistake, match="gone from disk"):
        writer.save_snapshot(snapshot(1))
    assert not run.folder.exists()
