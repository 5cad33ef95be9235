"""The one door for a run: every ending is written down, with what was learnt."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.store.store import load_store
from core.disk import read_json, sha256_of
from core.errors import UserMistake
from core.evaluation import MEASURES
from core.inference.predictor import load_predictor
from core.rows import EpochRow, TickRow
from core.runs.process import mark_process, write_launch
from core.runs.run import open_run
from core.runs.snapshot_writer import SnapshotWriter
from core.settings import datasets_root, stores_root
from core.train import main, train_rows, train_run
from tests import tiny
from tests.core.engine.test_train_state import TIMES

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {"config.json", "launch.json", "state.json", "rows.jsonl", "model.safetensors", "model.json", "manifest.json"}
MODELS = {f"{name}.{end}" for name in ("model", "model-best") for end in ("safetensors", "json")}
ANSWERS = {f"evaluation-{part}{end}.npz" for part in ("train", "val", "test") for end in ("", "-paper")}


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


@pytest.fixture
def snapshots_at_every_row(monkeypatch):
    monkeypatch.setattr("core.runs.snapshot_writer.SECONDS_BETWEEN_SNAPSHOTS", 0.0)
    monkeypatch.setattr("core.runs.snapshot_writer.SHARE_OF_SNAPSHOTS", float("inf"))


def state(run):
    return open_run(run.folder).state


def test_a_finished_run_has_every_file_of_the_design(tiny_run):
    assert tiny.files_of(tiny_run.folder) >= WRITTEN | ANSWERS
    assert not any(name.endswith(".draft") for name in tiny.files_of(tiny_run.folder))
    checked = read_json(tiny_run.folder / "manifest.json")["files"]
    assert set(checked) == MODELS | ANSWERS
    assert all(sha256_of(tiny_run.folder / name) in sums for name, sums in checked.items())


def test_a_finished_run_says_what_it_did(tiny_run):
    assert (tiny_run.state.status, tiny_run.state.epoch, tiny_run.state.epochs) == ("done", 3, 3)
    assert (tiny_run.state.step, tiny_run.state.steps, tiny_run.state.seconds_left) == (
        12,
        12,
        0.0,
    )  # 26 pictures in batches of 8: three and a rest of two
    epochs = tiny_run.epochs()
    assert [row.epoch for row in epochs] == [1, 2, 3] and len(tiny_run.iterations()) == 3
    assert epochs[-1].val_accuracy == 1.0 and epochs[-1].train_loss < epochs[0].train_loss


def test_the_answers_cover_every_part_once(tiny_run):
    store = load_store(tiny_run.config.data)
    for part, rows in store.parts.items():
        answers = tiny_run.evaluation(part)
        assert np.array_equal(answers.indices, rows) and np.array_equal(answers.labels, store.labels[rows])
        assert answers.classes == ("blue", "orange") and answers.accuracy == 1.0
    assert all(tiny_run.evaluation("test", measure).measure == measure for measure in MEASURES)


def test_the_model_card_says_what_the_weights_need(tiny_run):
    card = tiny_run.card()
    assert (card.classes, card.dataset, card.image_size) == (("blue", "orange"), "colours", 16)
    assert card.fingerprint == tiny_run.fingerprint and card.preprocess["fit"] == "crop"
    assert set(tiny_run.weights()) >= {"conv1.weight", "conv2_bn.running_var", "fc3.bias"}


def test_same_config_same_weights(tiny_run):
    again = tiny.train_tiny_run().weights()
    assert all(np.array_equal(values, again[name]) for name, values in tiny_run.weights().items())


def test_without_a_validation_part_there_are_no_answers_for_it(trained_home):
    run = tiny.train_tiny_run(data__val_fraction=0, train__epochs=1)
    assert run.state.status == "done" and run.epochs()[0].val_loss is None
    assert tiny.files_of(run.folder) & ANSWERS == {name for name in ANSWERS if "-val" not in name}


def test_a_run_that_is_asked_to_stop_keeps_its_model(trained_home):
    run = tiny.new_run(train__epochs=1000)
    rows = []
    for row in train_rows(run.folder):
        rows.append(row)
        (run.folder / "stop").touch()
    run = open_run(run.folder)
    assert (run.state.status, run.state.message) == ("stopped", "Stopped when asked to; what it had learnt is kept.")
    assert len(rows) <= 2 and run.weights() and run.evaluation("test").n == 12


def test_a_run_that_is_asked_to_stop_while_its_pictures_are_read_ends_before_it_learns(trained_home):
    run = tiny.new_run()
    shutil.rmtree(stores_root())
    (run.folder / "stop").touch()
    assert list(train_rows(run.folder)) == []
    assert (state(run).status, state(run).message) == (
        "stopped",
        "Stopped before it began to learn; what it had before is kept.",
    )


def test_evaluating_for_long_is_no_silence(trained_home, monkeypatch):
    beats = []
    monkeypatch.setattr("core.runs.writer.RunWriter.beat", lambda self: beats.append(self.folder))
    monkeypatch.setattr("core.train.fit", lambda *_: (row for row in ()))
    run = tiny.new_run()
    with contextlib.suppress(IndexError):  # a run without an epoch has no last row
        train_run(run.folder)
    assert len(beats) >= 5  # batches of the evaluations; nothing was trained


def test_the_rows_are_handed_on_as_they_are_written(new_run):
    rows = list(train_rows(new_run.folder))
    kept = [row for row in rows if not isinstance(row, TickRow)]
    assert open_run(new_run.folder).rows() == kept and isinstance(rows[-1], EpochRow)


def test_a_run_whose_dataset_is_gone_has_its_sentence(new_run):
    shutil.rmtree(datasets_root())
    with pytest.raises(UserMistake, match="colours"):
        train_run(new_run.folder)
    assert state(new_run).status == "failed" and "colours" in state(new_run).message


def test_a_run_whose_dataset_became_another_one_has_its_sentence(new_run):
    config = read_json(new_run.folder / "config.json") | {"fingerprint": "0" * 64}
    (new_run.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserMistake, match="not the one that this run was made for"):
        train_run(new_run.folder)
    assert "start a new run" in state(new_run).message


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MemoryError(), "not enough memory for batches of 8 pictures of 16 px. Try batches of 4."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory"),
        (KeyboardInterrupt(), "interrupted; what had been saved is kept"),
        (RuntimeError("a secret path"), "fault in the program (RuntimeError); the log has the details"),
    ],
)
def test_whatever_ends_training_is_said_in_words_and_raised_again(new_run, monkeypatch, fault, said):
    def fail(*_, **__):
        raise fault

    monkeypatch.setattr("core.train.load_part", fail)
    with pytest.raises(type(fault)):
        train_run(new_run.folder)
    assert state(new_run).status == "failed"
    assert said in state(new_run).message


@pytest.mark.slow
def test_memory_that_runs_out_is_said_with_what_to_try(trained_home):
    run = tiny.new_run(data__image_size=512, train__batch_size=1024)
    limited = (
        "import resource, sys, torch; from pathlib import Path; from core.train import main\n"
        "torch.ones(8).exp()\n"
        "held = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 300 * 2**20,) * 2)\n"
        "main(sys.argv[1:])"
    )
    result = subprocess.run([sys.executable, "-c", limited, run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    # the whole part, 26 pictures, is one batch
    said = "There was not enough memory for batches of 26 pictures of 512 px. Try batches of 13 or 256 px."
    assert (state(run).status, state(run).message) == ("failed", said)


def test_a_caller_who_leaves_interrupts_the_run(new_run):
    rows = train_rows(new_run.folder)
    next(rows)
    rows.close()
    assert (state(new_run).status, "interrupted" in state(new_run).message) == ("failed", True)


def test_a_diverged_run_keeps_a_finite_model_and_says_what_to_try(trained_home):
    run = tiny.new_run(train__epochs=1000, train__learning_rate=1, train__momentum=0.999, train__weight_decay=1)
    with pytest.raises(UserMistake, match="diverged"):
        train_run(run.folder)
    assert state(run).status == "failed" and state(run).try_rate == 0.1
    assert "The learning rate 1 is too high for this run: try 0.1." in state(run).message
    assert all(np.isfinite(values).all() for values in open_run(run.folder).weights().values())


def test_a_batch_of_one_picture_is_told_as_the_users_mistake(trained_home):
    run = tiny.new_run(train__batch_size=1)
    with pytest.raises(UserMistake, match="A batch of 1"):
        train_run(run.folder)
    assert state(run).message.startswith("A batch of 1")


def test_a_run_that_another_process_trains_is_left_alone(new_run):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        write_launch(new_run.folder, mark_process(other.pid), role="worker", attempt=1)
        before = (new_run.folder / "state.json").read_bytes()
        with pytest.raises(UserMistake, match=f"already being trained by process {other.pid}"):
            train_run(new_run.folder)
        assert (new_run.folder / "state.json").read_bytes() == before
    finally:
        other.communicate(b"\n")


def test_a_run_is_trained_once(tiny_run):
    before = (tiny_run.folder / "state.json").read_bytes(), tiny_run.weights()
    with pytest.raises(UserMistake, match=r"already ended \(done\)"):
        train_run(tiny_run.folder)
    assert (tiny_run.folder / "state.json").read_bytes() == before[0]
    assert all(np.array_equal(values, before[1][name]) for name, values in tiny_run.weights().items())


def test_the_door_wants_one_folder_that_is_a_run(tmp_path, capsys):
    assert main([]) == main(["a", "b"]) == 2
    assert "usage: python -m core.train RUN_FOLDER" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere are gone from disk" in capsys.readouterr().err and not (tmp_path / "nowhere").exists()


def test_python_m_core_train_ends_as_done(new_run):
    result = subprocess.run(
        [sys.executable, "-m", "core.train", new_run.folder], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert state(new_run).status == "done" and open_run(new_run.folder).evaluation("test").accuracy == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [pytest.param(8, marks=pytest.mark.nightly), 26])
def test_torchrun_with_two_ranks_counts_every_picture_once(trained_home, batch_size):
    run = tiny.new_run(train__batch_size=batch_size, train__augment="flip,shift_crop", train__epochs=8)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    run = open_run(run.folder)
    assert run.state.status == "done" and len(run.epochs()) == 8
    train = load_store(run.config.data).parts["train"]
    assert len(train) == 26
    # batches of 8: three whole ones, and the rest of 2 is one picture a rank, too few for its batch norm
    seen = {8: 24, 26: 26}[batch_size]
    assert all(round(row.images_per_second * row.seconds) == seen for row in run.epochs())
    if seen == 26:  # 13 of each colour: a share of them is a whole number of 13ths
        shares = [share * 13 for row in run.epochs() for share in row.train_per_class]
        assert np.allclose(shares, np.round(shares))
    assert np.array_equal(run.evaluation("train").indices, train) and run.evaluation("test").accuracy == 1.0


@pytest.mark.slow
def test_torchrun_with_two_ranks_freezes_the_first_layer(trained_home):
    run = tiny.new_run(model__name="resnet", model__width=8, train__epochs=4, train__freeze_first=0.5)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    run = open_run(run.folder)
    assert run.state.status == "done" and len(run.epochs()) == 4


@pytest.mark.slow
def test_torchrun_with_two_ranks_ends_early_together(trained_home):
    choices = {"train__class_weights": "balanced", "train__label_smoothing": 0.1, "train__patience": 1}
    run = tiny.new_run(train__epochs=300, train__augment="rotate,colour,mixup", **choices)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    run = open_run(run.folder)
    assert run.state.status == "done" and run.state.message.startswith("Stopped early after epoch")
    losses = [row.val_loss for row in run.epochs()]
    assert losses.index(min(losses)) + 2 == len(losses) == run.epochs()[-1].best_epoch + 1


@pytest.mark.nightly
def test_torchrun_trains_the_family_with_dropout_and_without_batch_norm(trained_home):
    parts = {"model__name": "cnn", "model__dropout_linear": 0.2, "model__norm_conv": "none", "model__pool": "strided"}
    run = tiny.new_run(train__epochs=8, **parts)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    run = open_run(run.folder)
    assert run.state.status == "done" and run.card().model == run.config.model
    assert load_predictor(run).model.training is False


@pytest.mark.nightly
def test_torchrun_that_diverges_says_so_and_ends(trained_home):
    run = tiny.new_run(train__epochs=1000, train__learning_rate=1, train__momentum=0.999, train__weight_decay=1)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run([*command, "-m", "core.train", run.folder], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    assert state(run).status == "failed" and state(run).try_rate == 0.1
    assert all(np.isfinite(values).all() for values in open_run(run.folder).weights().values())


def test_snapshots_are_taken_while_a_run_trains_and_the_last_one_stays(trained_home, snapshots_at_every_row):
    run, steps = tiny.new_run(), []
    for row in train_rows(run.folder):
        if isinstance(row, EpochRow):
            steps.append(open_run(run.folder).snapshot().step)
    assert steps == [4, 8, 12]  # at the tick before each of these rows
    snapshot, val = open_run(run.folder).snapshot(), open_run(run.folder).evaluation("val")
    assert (snapshot.part, snapshot.epoch, snapshot.step) == ("val", 3, 12)
    same = [val.indices.tolist().index(index) for index in snapshot.indices]
    assert np.allclose(snapshot.probabilities, val.probabilities[same], atol=1e-6)
    assert np.array_equal(snapshot.filters, open_run(run.folder).weights()["conv1.weight"])
    assert not np.array_equal(snapshot.filters, snapshot.first_filters)


def test_snapshots_change_not_a_bit_of_what_is_learnt(trained_home, snapshots_at_every_row):
    choices = {"train__augment": "flip,shift_crop,cutout", "train__schedule": "one_cycle", "train__momentum": 0.9}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.runs.snapshot_writer.SnapshotWriter.take", lambda self: None)
        alone = tiny.train_tiny_run(**choices)
    assert alone.snapshot() is None
    other = tiny.train_tiny_run(**choices)
    assert other.snapshot().step == 12
    assert [row.model_dump(exclude=TIMES) for row in other.rows()] == [
        row.model_dump(exclude=TIMES) for row in alone.rows()
    ]
    for which in ("last", "best"):
        ours, theirs = other.weights(which), alone.weights(which)
        assert ours.keys() == theirs.keys() and all(
            np.array_equal(values, theirs[name]) for name, values in ours.items()
        )


def test_the_snapshot_of_a_run_without_a_validation_part_has_test_pictures(trained_home):
    run = tiny.train_tiny_run(data__val_fraction=0.0)
    assert run.snapshot().part == "test" and len(run.snapshot().indices) == 12


def test_snapshots_take_their_small_share_of_the_time_and_no_more(new_run):
    class Slow:
        taken = 0

        def take(self, epoch, step):
            Slow.taken += 1
            now[0] += 0.1

    now, saved = [0.0], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.runs.snapshot_writer.time.monotonic", lambda: now[0])
        writer = type("Writer", (), {"save_snapshot": lambda self, snapshot: saved.append(snapshot)})()
        snapshots = SnapshotWriter(Slow().take, writer, None)
        while now[0] < 1000:
            snapshots.note(
                TickRow(epoch=1, iteration=1, iterations=9, step=1, steps=9, seconds=1.0, images_per_second=1.0)
            )
            now[0] += 0.4
    assert 48 <= Slow.taken <= 51 and len(saved) == Slow.taken  # 0.5 % of 1,000 s are 50 snapshots of 0.1 s
