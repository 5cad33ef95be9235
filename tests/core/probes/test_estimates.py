"""One estimate of the time of a run: before it, while it trains, and judged once it has ended."""

import pytest

from core.config import RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.disk import read_json
from core.probes.estimates import EstimateQuality, TimeLeft, estimate_quality, estimate_run, judge_estimate
from core.probes.probes import ProbeWriter, ask_probe, probes_root
from core.rows import EpochRow, TickRow
from core.runs.run import read_run
from core.runs.state import replace_state, write_state
from tests import tiny

SPEED = {"start_seconds": 1.0, "seconds_per_epoch": 2.0, "evaluation_seconds": 3.0, "images_per_second": 100.0}
TEN_EPOCHS = change_config(RunConfig(), {"train.epochs": 10})
PICTURES = {"train": 80, "val": 10, "test": 10}


def tick(step: int, steps: int = 100) -> TickRow:
    return TickRow(
        epoch=1, iteration=step, iterations=steps, step=step, steps=steps, seconds=1.0, images_per_second=9.0
    )


def test_the_time_left_begins_at_the_estimate_and_ends_at_the_pace_of_the_run():
    left = TimeLeft(SPEED, PICTURES, TEN_EPOCHS)  # 20 s of epochs, 3 s of evaluation
    assert left.at(tick(1), 0.0) == pytest.approx(20 * 0.99 + 3)
    assert left.at(tick(2), 0.9) == pytest.approx(20 * 0.98 + 3)  # a slow first step says nothing
    assert 20 * 0.9 + 3 < left.at(tick(10), 0.9 + 8 * 0.4) < 90 * 0.4 + 3  # half as fast as estimated: in between
    assert left.at(tick(52), 0.9 + 50 * 0.4) == pytest.approx(48 * 0.4 + 3)
    assert left.at(tick(100), 41.0) == pytest.approx(3)


ROW = EpochRow(
    **{"epoch": 1, "step": 10, "train_loss": 1.0, "train_accuracy": 0.5, "train_per_class": (0.5,)},
    **{"learning_rate": 0.1, "seconds": 1.0, "val_seconds": 0.5, "images_per_second": 80.0},
)


def test_without_an_estimate_nothing_is_told_until_the_pace_is_known():
    left = TimeLeft(None, PICTURES, TEN_EPOCHS)
    assert left.at(tick(1), 0.0) is None and left.at(tick(2), 1.0) is None and left.before_training(9.0) is None
    assert left.at(tick(22), 5.0) == pytest.approx(78 * 0.2)
    left.note_epoch(ROW)
    assert left.evaluation_seconds == pytest.approx(0.05 * 100 * 2)  # every picture of every part, in two measures


def test_what_is_looked_at_again_for_the_validation_part_is_looked_at_once_in_the_papers_measure():
    changes = {"model.flip_tta": True, "model.crop_tta": True}
    for below, views in ((1.0, 6), (0.7, 1 + 0.25 * 5)):
        left = TimeLeft(SPEED, PICTURES, change_config(TEN_EPOCHS, changes | {"model.tta_below": below}))
        left.note_epoch(ROW)
        assert left.evaluation_seconds == pytest.approx(0.05 * 100 * (1 + 1 / views))


def test_pictures_that_grow_leave_more_to_do_than_steps():
    grows = change_config(TEN_EPOCHS, {"train.progressive": 0.5, "model.name": "resnet"})
    assert TimeLeft(SPEED, PICTURES, grows).at(tick(50), 0.0) > 20 * 0.6 + 3
    other = change_config(grows, {"model.name": "paper_cnn"})  # in which it does not act
    assert TimeLeft(SPEED, PICTURES, other).at(tick(50), 0.0) == pytest.approx(20 * 0.5 + 3)


def test_a_run_keeps_what_was_told_before_it_and_is_judged_by_it(trained_home, tiny_run):
    first = estimate_run(tiny_run.config, find_dataset("colours"))
    assert first["run"] == tiny_run.id  # the same estimate as the page and the command line have
    run = tiny.train_tiny_run(train__seed=1)
    assert run.state.estimated_seconds == pytest.approx(first["seconds"])
    assert judge_estimate(run) == (run.state.estimated_seconds, run.state.process_seconds)
    assert read_json(run.folder / "state.json")["seconds_left"] == 0
    write_state(run.folder, replace_state(run.state, attempt=2))
    assert judge_estimate(read_run(run.id)) is None  # it was interrupted


def test_a_measured_speed_comes_before_that_of_a_finished_run(trained_home, tiny_run):
    probe = ask_probe("speed", tiny_run.config, tiny_run.fingerprint)
    ProbeWriter(probes_root() / probe.id).finish(SPEED)
    assert estimate_run(tiny_run.config, find_dataset("colours"))["seconds"] == 1 + 3 * 2 + 3


def test_the_quality_is_one_sentence_with_its_numbers():
    assert EstimateQuality(()).in_words == "" and estimate_quality([]).pairs == ()
    assert EstimateQuality(((9.0, 10.0),)).in_words == "the last estimate was within 10 % of the time that was taken"
    assert (
        EstimateQuality(((9.0, 10.0), (112.0, 100.0))).in_words
        == "the last 2 estimates were within 12 % of the time that was taken"
    )
    outlier = ((9.0, 10.0), (11.0, 10.0), (10.5, 10.0), (30.0, 10.0))
    assert EstimateQuality(outlier).in_words == (
        "of the last 4 estimates half were within 10 % of the time that was taken, all within 200 %"
    )
