"""CourseReader: a growing file of rows is read on, not again, and what a reader may not see it does not see."""

import math
import time

import numpy as np
import pytest

from core.config import RunConfig
from core.rows import EpochRow, IterationRow, parse_row
from core.runs.actions import create_run
from core.runs.history import MetricHistoryReader
from core.runs.writer import RunWriter


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return create_run(RunConfig(), "f" * 64, ("noir", "cartoon"))


@pytest.fixture
def writer(run):
    writer = RunWriter(run.folder)
    writer.starting()
    return writer


def fine(epoch: int, iteration: int, loss: float | None = 1.0, iterations: int = 400, seconds: float = 1.0):
    return IterationRow(
        epoch=epoch,
        iteration=iteration,
        iterations=iterations,
        step=(epoch - 1) * iterations + iteration,
        train_loss=loss,
        learning_rate=0.1 / epoch,
        seconds=seconds,
        images_per_second=1.0,
    )


def whole(epoch: int, val_loss: float | None = None, loss: float | None = 1.0, seconds: float = 1.0):
    return EpochRow(
        epoch=epoch,
        step=epoch * 400,
        train_loss=loss,
        train_accuracy=0.5,
        train_per_class=(0.5, None),
        val_loss=val_loss,
        val_accuracy=None if val_loss is None else 0.25,
        learning_rate=0.1,
        seconds=seconds,
        images_per_second=1.0,
    )


def test_rows_become_columns(run, writer):
    for row in (fine(1, 200, 2.0), fine(1, 400, 1.0), whole(1, 0.9), fine(2, 200, 0.5)):
        writer.append(row)
    history = MetricHistoryReader(run.folder).read()
    assert history.place.tolist() == [0.5, 1.0, 1.5] and history.loss.tolist() == [2.0, 1.0, 0.5]
    assert history.epoch.tolist() == [1.0] and history.val_loss.tolist() == [0.9]
    assert (history.last, history.last_fine) == (whole(1, 0.9), fine(2, 200, 0.5)) and history.has_val


def test_before_the_first_row_it_is_empty(run):
    history = MetricHistoryReader(run.folder).read()
    assert history.is_empty and history.last is history.best is None and not history.has_val


def test_only_what_is_new_is_read(run, writer, monkeypatch):
    reader = MetricHistoryReader(run.folder)
    parsed = []
    monkeypatch.setattr("core.runs.history.parse_row", lambda document: parsed.append(document) or parse_row(document))
    for epoch in range(1, 4):
        writer.append(whole(epoch))
        assert reader.read().epoch.tolist() == list(range(1, epoch + 1))
        reader.read()
    assert len(parsed) == 3


def test_an_unfinished_last_line_waits_for_its_end(run, writer):
    reader, path = MetricHistoryReader(run.folder), run.folder / "rows.jsonl"
    writer.append(whole(1))
    line = (whole(2).model_dump_json() + "\n").encode()
    for cut in range(1, len(line), 20):  # the writer's bytes arrive one by one
        path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n" + line[:cut])
        assert reader.read().epoch.tolist() == [1.0]
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n" + line)
    assert reader.read().epoch.tolist() == [1.0, 2.0]


def test_a_damaged_line_is_left_out(run, writer):
    writer.append(whole(1))
    with (run.folder / "rows.jsonl").open("ab") as file:
        file.write(b'{"kind": "epoch"}\n\xff\xfe\n')
    writer.append(whole(2))
    assert MetricHistoryReader(run.folder).read().epoch.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("after", [0, 2, 5], ids=["shorter", "as long", "longer"])
def test_a_resumed_run_that_went_back_is_read_again(run, writer, after):
    reader = MetricHistoryReader(run.folder)
    for epoch in (1, 2, 3, 4):
        writer.append(whole(epoch, val_loss=1 / epoch, seconds=epoch))
    assert reader.read().best.epoch == 4
    writer.go_back(step=800, epoch=3)  # the rows of epochs 3 and 4 are written again
    for epoch in range(3, 3 + after):
        writer.append(whole(epoch, val_loss=2.0, seconds=9.0))
    history = reader.read()
    assert history.epoch.tolist() == [float(epoch) for epoch in range(1, 3 + after)]
    assert history.best.epoch == 2 and history.last.epoch == 2 + after


def test_a_run_that_is_gone_has_no_course(run, writer):
    reader = MetricHistoryReader(run.folder)
    writer.append(whole(1))
    assert not reader.read().is_empty
    (run.folder / "rows.jsonl").unlink()
    assert reader.read().is_empty


def test_what_was_not_finite_is_a_gap_and_never_the_best(run, writer):
    for row in (whole(1, 0.9), whole(2, None, loss=None), whole(3, 0.9)):
        writer.append(row)
    history = MetricHistoryReader(run.folder).read()
    assert math.isnan(history.train_loss[1]) and math.isnan(history.val_loss[1])
    assert history.best.epoch == 1


def test_a_course_does_not_change_under_its_reader(run, writer):
    reader = MetricHistoryReader(run.folder)
    writer.append(whole(1))
    before = reader.read()
    writer.append(whole(2))
    assert len(reader.read().epoch) == 2 and len(before.epoch) == 1


def test_a_long_run_is_read_on_quickly(run, writer):
    rows = [fine(1 + i // 8, 50 * (1 + i % 8)).model_dump_json() for i in range(20_000)]
    (run.folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    reader = MetricHistoryReader(run.folder)
    began = time.perf_counter()
    assert len(reader.read().place) == 20_000
    whole, took = time.perf_counter() - began, []
    for i in range(5):
        writer.append(fine(2501, 10 * (i + 1)))
        began = time.perf_counter()
        history = reader.read()
        took.append(time.perf_counter() - began)
    assert len(history.place) == 20_005 and np.median(took) < whole / 5
