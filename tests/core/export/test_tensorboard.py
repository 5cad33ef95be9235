"""Runs as TensorBoard's event files: TensorBoard itself reads the rows back; without its package one sentence."""

import sys
from pathlib import Path

import pytest

from core.cli.app import main
from core.errors import UserMistake
from core.export.tensorboard import export_tensorboard, follow_tensorboard
from core.runs.run import open_run
from core.train import train_rows

ROOT = Path(__file__).resolve().parents[3]


def test_tensorboard_reads_the_rows_of_a_run(tiny_run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main(["runs", "export-tensorboard", tiny_run.id, "--to", str(tmp_path / "tb")]) == 0
    events = EventAccumulator(str(tmp_path / "tb" / tiny_run.id)).Reload()
    for name, field in (("loss/training", "train_loss"), ("accuracy/validation", "val_accuracy")):
        read = [(event.step, event.value) for event in events.Scalars(name)]
        assert read == [(row.step, pytest.approx(getattr(row, field))) for row in tiny_run.epochs()]
    (final,) = events.Scalars("final accuracy/test")
    assert final.value == pytest.approx(tiny_run.evaluation("test").accuracy)


def test_what_is_there_is_kept_and_a_run_without_rows_is_told(tiny_run, new_run, tmp_path):
    (tmp_path / tiny_run.id).mkdir()
    with pytest.raises(UserMistake, match="is there already"):
        export_tensorboard([tiny_run], tmp_path)
    with pytest.raises(UserMistake, match="has no rows"):
        export_tensorboard([new_run], tmp_path)


def test_without_the_package_a_sentence_says_how_to_have_it(tiny_run, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserMistake, match=r"pip install -r requirements-tensorboard\.txt"):
        export_tensorboard([tiny_run], tmp_path / "tb")
    assert not (tmp_path / "tb").exists()


def test_both_requirement_files_pin_the_same_version():
    pins = {
        line.partition(" ")[0]
        for name in ("requirements-dev.txt", "requirements-tensorboard.txt")
        for line in (ROOT / name).read_text().splitlines()
        if line.startswith("tensorboard==")
    }
    assert len(pins) == 1


def test_a_run_is_followed_while_it_trains(new_run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    steps = follow_tensorboard(new_run, tmp_path, seconds=0.05)
    assert next(steps) == 0  # it waits
    for place, _ in enumerate(train_rows(new_run.folder)):
        if place % 20 == 0:
            next(steps)
    rows = open_run(new_run.folder).rows()
    assert list(steps)[-1] == len(rows)
    events = EventAccumulator(str(tmp_path / new_run.id)).Reload()
    assert [event.step for event in events.Scalars("loss/training")] == [
        row.step for row in open_run(new_run.folder).epochs()
    ]
    assert "final accuracy/test" in events.Tags()["scalars"]
