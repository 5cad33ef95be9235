"""Training that cannot be lost: killed, stopped, damaged or finished, a run goes on as if nothing had happened."""

import contextlib
import errno
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from core.cli.app import main
from core.data.datasets.dataset import find_dataset
from core.data.store.store import load_store, read_fingerprint
from core.disk import read_json, write_atomic, write_json
from core.engine import fit
from core.engine.kernels import Kernels, has_bfloat16, keep_kernels
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.inference.evaluating import evaluate_run
from core.inference.predictor import load_predictor
from core.locks import give_back
from core.rows import EpochRow, TickRow
from core.runs.actions import ask_to_stop, resume_run
from core.runs.checkpoint import read_checkpoint
from core.runs.environments import read_environments
from core.runs.process import work_lock
from core.runs.run import open_run, read_run
from core.settings import atelier_home, runs_root
from core.train import train_rows, train_run
from tests import tiny, tiny_worker
from tests.core.engine.test_train_state import TIMES

ROOT = Path(__file__).resolve().parents[2]
CHOICES = {
    "train__epochs": 4,
    "train__augment": "flip,shift_crop,rotate,colour,cutout,mixup",
    "train__class_weights": "balanced",
    "train__label_smoothing": 0.1,
    "train__schedule": "one_cycle",
}
PATIENT = {"train__epochs": 8, "train__patience": 2}


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


@pytest.fixture
def saved_often(monkeypatch):
    """Every tick is saved with a snapshot, and every iteration is a tick."""
    monkeypatch.setattr("core.engine.fit.SECONDS_A_TICK", -1.0)
    monkeypatch.setattr("core.runs.snapshot_writer.SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    monkeypatch.setattr("core.runs.snapshot_writer.SHARE_OF_SNAPSHOTS", float("inf"))
    monkeypatch.setattr("core.train.SECONDS_IN_AN_EPOCH", 0.0)
    monkeypatch.setattr("core.train.SHARE_OF_SAVING", float("inf"))


@pytest.fixture
def best_in_epoch_three(monkeypatch):
    """The validation loss falls to 0 in epoch 3 and rises again; a real one depends on how the machine rounds."""
    real = fit.mean_loss_and_predictions

    def scripted(model, part):
        return abs(int(model.conv2_bn.num_batches_tracked) / 4 - 3), real(model, part)[1]  # 4 iterations an epoch

    monkeypatch.setattr("core.engine.fit.mean_loss_and_predictions", scripted)


def resumed(run, **options):
    return resume_run(run, *read_fingerprint(run.config.data), **options)


def rows_of(run):
    return [row.model_dump(exclude=TIMES) for row in run.rows()]


def same(one, other) -> bool:
    """Whether two runs learnt the same bit for bit and said the same on the way."""
    for which in ("last", "best"):
        ours, theirs = one.weights(which), other.weights(which)
        if not all(np.array_equal(values, theirs[name]) for name, values in ours.items()):
            return False
    answers = [
        np.array_equal(one.evaluation(p).probabilities, other.evaluation(p).probabilities) for p in ("val", "test")
    ]
    return rows_of(one) == rows_of(other) and all(answers)


def broken_off(run, step: int):
    """Train until `step`, then end as a killed process does: without a word."""
    rows = train_rows(run.folder)
    for row in rows:
        if isinstance(row, TickRow) and row.step > step:
            break
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.runs.writer.RunWriter.fail", lambda *_: None)
        rows.close()
    launch = read_json(run.folder / "launch.json")
    write_json(run.folder / "launch.json", launch | {"started": "before"})
    give_back(work_lock(run.folder))
    return open_run(run.folder)


def test_a_run_that_broke_off_goes_on_in_the_middle_of_an_epoch(trained_home, saved_often):
    whole = tiny.train_tiny_run(**CHOICES)
    run = broken_off(tiny.new_run(**CHOICES), step=6)
    assert run.state.status == "lost" and read_checkpoint(run.folder).step == 6
    run = resumed(run)
    assert (run.state.status, run.state.attempt, run.state.message) == ("queued", 2, "")
    rows = train_rows(run.folder)
    assert next(row.step for row in rows if isinstance(row, TickRow)) == 7
    assert open_run(run.folder).state.message == "Goes on from epoch 2, iteration 2."
    list(rows)
    run = open_run(run.folder)
    assert run.state.status == "done" and same(run, whole)
    assert read_json(run.folder / "launch.json")["attempt"] == 2


@pytest.mark.parametrize(
    "kernels",
    [
        Kernels(conv_algorithm="winograd"),
        pytest.param(
            Kernels("bfloat16", conv_algorithm="matmul"),
            marks=pytest.mark.skipif(not has_bfloat16(), reason="this processor does not compute in bfloat16"),
        ),
    ],
)
def test_a_run_goes_on_with_the_kernels_it_began_with_whatever_was_measured_since(
    trained_home, saved_often, monkeypatch, kernels
):
    monkeypatch.setattr("core.models.conv2d.PIXELS_AT_ONCE", 64)  # several blocks in a batch of a few small pictures
    wide = {"model__name": "resnet", "model__width": 32, "train__precision": kernels.precision}
    run = tiny.new_run(**wide)
    keep_kernels(run.config, run.threads, kernels, [])
    whole, run = tiny.train_tiny_run(**wide), broken_off(run, step=6)
    keep_kernels(run.config, run.threads, Kernels(kernels.precision), [])
    train_run(resumed(run).folder)
    run = open_run(run.folder)
    assert same(run, whole)
    assert [one.conv_algorithm for one in read_environments(run.folder)] == [kernels.conv_algorithm]
    assert not same(tiny.train_tiny_run(**wide), whole)  # the sums of torch's own convolutions are rounded otherwise


def test_a_run_that_broke_off_before_its_first_checkpoint_begins_again(trained_home):
    whole = tiny.train_tiny_run()
    run = broken_off(tiny.new_run(), step=0)
    (run.folder / "rows.jsonl").write_bytes(b'{"kind": "itera')
    assert read_checkpoint(run.folder) is None
    train_run(resumed(run).folder)
    assert same(open_run(run.folder), whole)


def test_a_stopped_run_goes_on_where_it_stopped(trained_home):
    whole, run = tiny.train_tiny_run(**CHOICES), tiny.new_run(**CHOICES)
    for row in train_rows(run.folder):
        if isinstance(row, EpochRow) and row.epoch == 2:
            (run.folder / "stop").touch()
    stopped = open_run(run.folder)
    assert stopped.state.status == "stopped" and stopped.state.step == read_checkpoint(run.folder).step < 16
    train_run(resumed(stopped).folder)
    assert same(open_run(run.folder), whole)


def test_a_finished_run_can_be_given_more_epochs(trained_home):
    longer, run = tiny.train_tiny_run(train__epochs=5), tiny.train_tiny_run(train__epochs=2)
    with pytest.raises(UserMistake, match="has trained all its 2 epochs; ask for more"):
        resumed(run)
    with pytest.raises(UserMistake, match="has 2 epochs; it can be given more, not 1"):
        resumed(run, epochs=1)
    assert open_run(run.folder) == run
    run = resumed(run, epochs=5)
    assert (run.config.train.epochs, run.state.epochs, run.state.attempt) == (5, 5, 2)
    train_run(run.folder)
    assert same(open_run(run.folder), longer)


def test_a_run_that_failed_after_its_last_epoch_is_only_evaluated(trained_home, monkeypatch):
    whole, run = tiny.train_tiny_run(), tiny.new_run()
    with monkeypatch.context() as patch:
        patch.setattr("core.train.evaluate", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_run(run.folder)
    run = open_run(run.folder)
    assert run.state.status == "failed" and run.evaluation("test") is None
    assert list(train_rows(resumed(run).folder)) == [] and same(open_run(run.folder), whole)


@pytest.mark.parametrize("file", ["json", "safetensors"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(trained_home, saved_often, file):
    whole = tiny.train_tiny_run(**CHOICES)
    run = broken_off(tiny.new_run(**CHOICES), step=6)
    newest = max((run.folder / "checkpoint").glob(f"*.{file}"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    rows = train_rows(resumed(run).folder)
    assert next(row.step for row in rows if isinstance(row, TickRow)) == 6
    told_so = "The newest checkpoint was damaged; the previous one (epoch 2, iteration 1) is used."
    assert open_run(run.folder).state.message == told_so
    list(rows)
    assert same(open_run(run.folder), whole)


def test_a_run_without_a_whole_checkpoint_is_refused_and_keeps_its_model(tiny_run):
    for path in (tiny_run.folder / "checkpoint").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserMistake, match=r"Every checkpoint of run .* is damaged"):
        resumed(tiny_run, epochs=9)
    assert open_run(tiny_run.folder) == tiny_run and tiny_run.weights()


def test_a_finished_run_of_before_there_were_checkpoints_is_not_trained_anew(tiny_run):
    for path in (tiny_run.folder / "checkpoint").iterdir():
        path.unlink()
    with pytest.raises(UserMistake, match="no checkpoint to go on from; its model was kept"):
        resumed(tiny_run, epochs=9)


@pytest.mark.parametrize(("pictures", "words"), [(1, "1 picture added"), (-2, "2 pictures removed"), (0, "are others")])
def test_a_changed_dataset_is_refused_in_words(tiny_run, pictures, words):
    with pytest.raises(UserMistake, match=rf"The dataset 'colours' changed since this run started \(.*{words}\)"):
        resume_run(tiny_run, "0" * 64, 48 + pictures, epochs=9)
    assert open_run(tiny_run.folder) == tiny_run


def test_a_dataset_that_changes_while_the_run_waits_is_refused_by_the_worker(tiny_run):
    from core.data.datasets.dataset import delete_dataset
    from core.data.imports.pipeline import import_pictures

    run = resumed(tiny_run, epochs=9)
    delete_dataset("colours")
    tiny.finish(import_pictures("colours", iter(tiny.colour_pictures(25)), "zip", False))
    with pytest.raises(UserMistake, match=r"changed since this run started \(2 pictures added\)"):
        train_run(run.folder)
    run = open_run(run.folder)
    assert run.state.status == "failed" and "Start a new run instead?" in run.state.message and run.weights()


def test_a_run_that_trains_or_waits_is_not_resumed(new_run):
    with pytest.raises(UserMistake, match="has not ended"):
        resumed(new_run)
    rows = train_rows(new_run.folder)
    next(rows)
    with pytest.raises(UserMistake, match="has not ended"):
        resumed(new_run)
    rows.close()


def test_answers_of_the_model_before_are_void_with_the_next_one(tiny_run, saved_often):
    rows = train_rows(resumed(tiny_run, epochs=5).folder)
    next(row for row in rows if isinstance(row, TickRow))
    assert open_run(tiny_run.folder).evaluation("test") is not None  # nothing newer is saved yet
    next(rows)
    next(row for row in rows if isinstance(row, TickRow))
    assert open_run(tiny_run.folder).evaluation("test") is None
    rows.close()


def test_the_best_model_is_the_one_with_the_lowest_loss_on_the_validation_part(trained_home):
    run = tiny.train_tiny_run(train__learning_rate=0.3, train__momentum=0.99, train__epochs=6)
    losses = {row.epoch: row.val_loss for row in run.epochs()}
    best = run.card("best")
    assert best.val_loss == min(losses.values()) == losses[best.epoch]
    if best.epoch != 6:
        assert any(not np.array_equal(v, run.weights()[name]) for name, v in run.weights("best").items())


def test_a_run_that_stopped_early_says_so_and_keeps_its_best_model(trained_home, best_in_epoch_three):
    run = tiny.train_tiny_run(**PATIENT)
    assert run.state.status == "done" and run.state.message == (
        "Stopped early after epoch 5: the validation loss had not fallen for 2 epochs; "
        "the best model, of epoch 3, is used."
    )
    assert [row.best_epoch for row in run.epochs()] == [1, 2, 3, 3, 3] and run.card("best").epoch == 3
    assert run.evaluation("test") and read_checkpoint(run.folder).numbers["epoch"] == 6


def test_a_run_that_stopped_early_answers_with_its_best_model_and_says_so(trained_home, best_in_epoch_three, capsys):
    run = tiny.train_tiny_run(**PATIENT)
    stored, dataset = run.evaluation("test"), find_dataset("colours")
    images = load_store(run.config.data).images[stored.indices]
    best, last = (load_predictor(run, which).probabilities(images) for which in ("best", "last"))
    assert np.allclose(stored.probabilities, best, atol=1e-6) and not np.allclose(stored.probabilities, last, atol=1e-6)
    assert (run.used_model, stored.model, run.describe_model()) == ("best", "best", "best model, of epoch 3")
    assert np.array_equal(load_predictor(run).probabilities(images), best)
    assert run.state.score == (int(stored.correct.sum()), stored.n)
    (run.folder / "one.png").write_bytes(dataset.original(int(stored.indices[0])))
    for which, expected in (("best", best), ("last", last)):
        assert main(["evaluate", run.id, "--model", which, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["model"] == which
        assert main(["predict", run.id, str(run.folder / "one.png"), "--model", which, "--json"]) == 0
        (row,) = json.loads(capsys.readouterr().out)
        ranked = {one["class"]: one["probability"] for one in row["classes"]}
        assert row["model"] == which and [ranked[name] for name in run.classes] == pytest.approx(expected[0], abs=1e-5)
    assert open_run(run.folder).evaluation("test").model == "best"  # what was asked for once replaces nothing


def test_a_run_that_had_all_its_epochs_answers_with_its_last_model(trained_home, best_in_epoch_three):
    run = tiny.train_tiny_run(**PATIENT | {"train__epochs": 5})  # patience runs out with the last epoch
    assert (run.used_model, run.evaluation("test").model, run.state.message) == ("last", "last", "")
    assert run.has_best_model and evaluate_run(run, which="best").model == "best"


def test_resumed_an_early_stopped_run_is_its_last_model_again_until_it_stops_early_again(
    trained_home, best_in_epoch_three
):
    run = tiny.train_tiny_run(**PATIENT)
    assert resumed(run).used_model == "last" and open_run(run.folder).state.model == "last"


def test_evaluations_and_states_of_before_say_last(trained_home):
    run = tiny.train_tiny_run(train__epochs=1)
    with np.load(run.folder / "evaluation-test.npz") as saved:
        buffer = io.BytesIO()
        np.savez(buffer, **{name: saved[name] for name in saved.files if name != "model"})
    assert Evaluation.from_bytes(buffer.getvalue()).model == "last"
    state = json.loads((run.folder / "state.json").read_text())
    del state["model"]
    (run.folder / "state.json").write_text(json.dumps(state))
    assert open_run(run.folder).used_model == "last"


@pytest.mark.parametrize("step", [14, 18])  # within epochs 4 and 5, with the best one behind
def test_the_count_of_early_stopping_goes_on_where_it_broke_off(trained_home, saved_often, best_in_epoch_three, step):
    whole = tiny.train_tiny_run(**PATIENT)
    run = resumed(broken_off(tiny.new_run(**PATIENT), step))
    train_run(run.folder)
    run = open_run(run.folder)
    assert same(run, whole) and run.state.message == whole.state.message


def test_a_run_that_stopped_early_and_failed_before_its_answers_is_only_evaluated(
    trained_home, monkeypatch, best_in_epoch_three
):
    whole, run = tiny.train_tiny_run(**PATIENT), tiny.new_run(**PATIENT)
    with monkeypatch.context() as patch:
        patch.setattr("core.train.evaluate", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_run(run.folder)
    assert list(train_rows(resumed(run).folder)) == []
    run = open_run(run.folder)
    assert same(run, whole) and run.state.message == whole.state.message


@pytest.mark.parametrize("more", [None, 10])
def test_resumed_after_an_early_end_a_run_trains_all_its_epochs_as_if_it_had_not_stopped(
    trained_home, best_in_epoch_three, more
):
    run = resumed(tiny.train_tiny_run(**PATIENT), epochs=more)
    assert (run.config.train.patience, run.config.train.epochs) == (0, more or 8)
    train_run(run.folder)
    run = open_run(run.folder)
    assert (run.state.status, run.state.message, len(run.epochs())) == ("done", "", more or 8)
    assert same(run, tiny.train_tiny_run(**PATIENT | {"train__epochs": more or 8, "train__patience": 0}))


def test_a_run_that_diverged_is_not_resumed_into_the_same_end_but_cloned(trained_home, capsys):
    run = tiny.new_run(train__epochs=1000, train__learning_rate=1, train__momentum=0.999, train__weight_decay=1)
    with pytest.raises(UserMistake, match="diverged"):
        train_run(run.folder)
    before = open_run(run.folder)
    with pytest.raises(UserMistake, match=r"resumed it would diverge again. Clone it with a learning rate of 0\.1: "):
        resumed(run)
    assert open_run(run.folder) == before and read_checkpoint(run.folder) is not None
    command = ["clone", run.id, "--set", "train.learning_rate=0.1", "--set", "train.epochs=1", "--json"]
    assert main(["runs", *command]) == 0
    assert read_run(json.loads(capsys.readouterr().out)["run"]).state.try_rate is None


def test_without_a_validation_part_there_is_no_best_model(trained_home):
    run = tiny.train_tiny_run(data__val_fraction=0, train__epochs=1)
    assert not run.has_best_model
    with pytest.raises(UserMistake, match="has no best model"):
        run.weights("best")


def test_saving_takes_its_share_and_no_more(trained_home, monkeypatch):
    from core.runs.writer import RunWriter

    write, cost, saved = RunWriter.save_checkpoint, 0.2, []

    def slow(self, step, *rest):
        saved.append(step)
        time.sleep(cost)
        write(self, step, *rest)

    monkeypatch.setattr(RunWriter, "save_checkpoint", slow)
    run = tiny.train_tiny_run(train__epochs=20)
    assert run.state.status == "done" and saved == [4, 80]  # the first epoch, and the end: 1 % of 0.2 s is never over


def test_the_command_line_resumes_and_clones(tiny_run, capsys):
    def rows_of(*arguments: str):
        code = main(["runs", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out or "null")

    assert rows_of("resume", tiny_run.id) == (2, None)  # all its epochs are trained
    code, again = rows_of("resume", tiny_run.id, "--epochs", "4")
    assert (code, again["run"], again["status"]) == (0, tiny_run.id, "done")
    assert len(open_run(tiny_run.folder).epochs()) == 4
    code, clone = rows_of("clone", tiny_run.id, "--set", "train.epochs=1")
    assert code == 0 and clone["run"] != tiny_run.id
    clone = read_run(clone["run"])
    assert clone.config.train == tiny_run.config.train.model_copy(update={"epochs": 1}) and clone.state.attempt == 1


@pytest.mark.parametrize("write", [2, *(pytest.param(n, marks=pytest.mark.nightly) for n in (1, 3, 4, 5, 6))])
def test_a_disk_that_was_full_costs_nothing_that_was_learnt(trained_home, saved_often, monkeypatch, write):
    whole, run, writes = tiny.train_tiny_run(), tiny.new_run(), []

    def full(path, content):
        writes.append(path)
        if len(writes) == write:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomic(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("core.runs.checkpoint.write_atomic", full)
        patch.setattr("core.runs.checkpoint.write_json", lambda path, value: full(path, json.dumps(value).encode()))
        with pytest.raises(UserMistake, match="The disk is full"):
            train_run(run.folder)
    run = open_run(run.folder)
    assert run.state.status == "failed" and "resume the run" in run.state.message
    kept = read_checkpoint(run.folder)
    assert (kept.step if kept else 0) == (write - 1) // 2
    train_run(resumed(run).folder)
    assert same(open_run(run.folder), whole)


def test_a_checkpoint_that_the_disk_gives_back_changed_is_not_trusted(new_run, saved_often, monkeypatch):
    def careless(path, content):
        write_atomic(path, content[:-1] if path.stem.endswith("2") else content)

    monkeypatch.setattr("core.runs.checkpoint.write_atomic", careless)
    with pytest.raises(UserMistake, match="did not give back the checkpoint of step 2 as it was written"):
        train_run(new_run.folder)
    assert read_checkpoint(new_run.folder).step == 1


HALTING = """
import os, signal, sys
from pathlib import Path
os.sched_getaffinity = lambda _: {0}
import core.train
from core.engine import fit
from core.rows import TickRow
fit.SECONDS_A_TICK = -1.0
core.train.SECONDS_IN_AN_EPOCH, core.train.SHARE_OF_SAVING = 0.0, float("inf")
for row in core.train.train_rows(Path(sys.argv[1])):
    if isinstance(row, TickRow) and row.step == 6:
        os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.slow
def test_a_worker_that_wakes_after_its_run_was_resumed_elsewhere_writes_nothing_more(trained_home, saved_often):
    whole, run = tiny.train_tiny_run(**CHOICES), tiny.new_run(**CHOICES)
    sleeper = subprocess.Popen([sys.executable, "-c", HALTING, run.folder], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
        launch = read_json(run.folder / "launch.json")  # to whom its process and its lock are out of sight, it is gone
        work_lock(run.folder).unlink()
        write_json(run.folder / "launch.json", launch | {"started": "another machine"})
        train_run(resumed(open_run(run.folder)).folder)
        files = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
        sleeper.send_signal(signal.SIGCONT)
        assert "is no longer this process's; nothing was written" in sleeper.communicate(timeout=30)[1]
        assert files == {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
        assert same(open_run(run.folder), whole)
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.fixture
def small_disk(trained_home):
    """The folder of the runs on a disk of 8 MB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", runs_root()], capture_output=True)
    if mounted.returncode:
        pytest.skip("only the superuser may mount a disk")
    yield runs_root()
    subprocess.run(["umount", "--lazy", runs_root()], check=True)


def test_on_a_disk_that_is_really_full_a_run_ends_in_words_and_goes_on_when_there_is_room(small_disk, saved_often):
    write_json(atelier_home() / "limits.json", {"free_bytes": 0})
    whole, run = tiny.train_tiny_run(), tiny.new_run()
    rows = train_rows(run.folder)
    ballast = small_disk / "ballast"
    with pytest.raises(UserMistake, match=r"^The disk is full \(0 MB free\)\. What was saved before is kept\."):
        for row in rows:
            if isinstance(row, TickRow) and row.step == 5:
                with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while file.write(b"x" * 4096):
                        pass
    failed = open_run(run.folder)
    assert failed.state.status == "failed" and failed.state.step >= 4 and failed.weights()
    assert read_checkpoint(run.folder).step >= 4
    ballast.unlink()
    train_run(resumed(failed).folder)
    assert same(open_run(run.folder), whole)


def test_a_disk_that_runs_short_pauses_the_training_which_goes_on_when_there_is_room(
    trained_home, saved_often, monkeypatch
):
    whole, run, free = tiny.train_tiny_run(**CHOICES), tiny.new_run(**CHOICES), [2**31]
    monkeypatch.setattr("core.settings.free_space", lambda *_: free[0])
    for row in train_rows(run.folder):
        if isinstance(row, TickRow) and row.step == 6:
            free[0] = 2**28
    paused = open_run(run.folder)
    assert (paused.state.status, paused.state.step, read_checkpoint(run.folder).step) == ("stopped", 6, 6)
    assert paused.state.message.startswith("Paused: the disk has only 256 MB free, and below 512 MB a save could fail.")
    with pytest.raises(UserMistake, match="a run needs 1,024 MB to start"):
        resumed(paused)
    free[0] = 2**31
    train_run(resumed(paused).folder)
    assert same(open_run(run.folder), whole)


LONG = {"train__epochs": 6, "train__optimizer": "adam"} | {
    name: choice for name, choice in CHOICES.items() if name != "train__epochs"
}


def in_a_worker(run, seconds: float = 0.0):
    """Train in a process of its own, killed after `seconds` of its own work; the tests' process may have chosen other
    kernels."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["core.train", "torch._dynamo", "tests.tiny_worker"])  # the second: see supervise.py
    worker = context.Process(target=tiny_worker.train, args=(run.folder, seconds))
    worker.start()
    worker.join()
    return open_run(run.folder)


@pytest.fixture(scope="module")
def uninterrupted(home_with_a_run, tmp_path_factory):
    home = shutil.copytree(home_with_a_run, tmp_path_factory.mktemp("whole") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        run = in_a_worker(tiny.new_run(**LONG))
        assert run.state.status == "done", run.state
        return run


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow if seed < 9 else pytest.mark.nightly) for seed in range(1, 50))]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_moments_and_resumed_a_run_ends_bit_for_bit_where_it_would_have(
    trained_home, uninterrupted, seed
):
    chance, kills, latest = random.Random(seed), 0, 0.3
    while not kills:  # a fast machine may end the run before it is killed: then a new one, killed sooner
        run = tiny.new_run(**LONG)
        while run.state.status != "done":
            run = in_a_worker(run, chance.uniform(0.02, latest) * (1 + kills / 4))
            assert run.state.status in ("queued", "lost", "done"), run.state
            if run.state.status == "lost":
                kills, run = kills + 1, resumed(run)
        latest = max(0.03, latest / 2)
    assert same(run, uninterrupted), (seed, kills, run.state)


def test_a_damaged_card_of_a_model_does_not_keep_a_whole_checkpoint_from_going_on(trained_home, saved_often):
    whole = tiny.train_tiny_run(**CHOICES)
    run = broken_off(tiny.new_run(**CHOICES), step=6)
    (run.folder / "model.json").write_text("{")
    train_run(resumed(run).folder)
    assert same(open_run(run.folder), whole)


@pytest.mark.parametrize("stops", [6, pytest.param(200, marks=pytest.mark.nightly)])
def test_stopped_at_random_moments_no_run_is_lost_and_nothing_is_damaged(trained_home, saved_often, stops):
    whole, chance, latest, endings = tiny.train_tiny_run(**LONG), random.Random(0), 0.0, Counter()
    for _ in range(stops):
        run, began = tiny.new_run(**LONG), time.monotonic()
        stopping = threading.Timer(chance.uniform(0.0, latest), ask_to_stop, (run,))
        if latest:  # the first one shows how long one takes
            stopping.start()
        with contextlib.suppress(UserMistake):  # it was cancelled before it could start
            train_run(run.folder)
        latest = latest or time.monotonic() - began
        if stopping.is_alive():
            stopping.join()
        run = open_run(run.folder)
        endings[run.state.status] += 1
        assert run.state.status in ("stopped", "done"), run.state
        assert not list(run.folder.rglob("*.draft")) and not (run.folder / "reserve").exists()
        if run.state.step:
            kept = read_checkpoint(run.folder)
            assert run.weights() and kept.damaged == 0 and kept.step == run.state.step
    assert endings["stopped"] and endings["done"], endings
    if run.state.status == "stopped":
        train_run(resumed(run).folder)
    assert same(open_run(run.folder), whole)
