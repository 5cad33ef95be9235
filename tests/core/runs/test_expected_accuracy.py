"""What a run at work will end with: by earlier runs with its settings, by a measured preset, or unknown."""

import numpy as np
import pytest

from core.config import change_config
from core.evaluation import Evaluation
from core.intervals import wilson
from core.presets import MEASURED, PRESETS
from core.rows import EpochRow
from core.runs.actions import create_run
from core.runs.expected_accuracy import expected_accuracy
from core.runs.run import Run, list_runs, read_run
from core.runs.writer import RunWriter

BASE = change_config(PRESETS["quick"], {"data.dataset": "birds", "train.epochs": 4})
VAL = 400  # pictures of the validation part


def begin(val: list[float], seed: int = 0, config=BASE, fingerprint: str = "a" * 64) -> Run:
    """A run at work that has had these accuracies on its validation part, one an epoch."""
    run = create_run(change_config(config, {"train.seed": seed}), fingerprint, ("duck", "owl"))
    writer = RunWriter(run.folder)
    writer.starting()
    for epoch, accuracy in enumerate(val, start=1):
        writer.append(
            EpochRow(
                epoch=epoch,
                step=epoch,
                train_loss=1.0,
                train_accuracy=0.5,
                train_per_class=(0.5, 0.5),
                val_loss=1.0,
                val_accuracy=accuracy,
                val_per_class=(accuracy, accuracy),
                best_epoch=1,
                learning_rate=0.1,
                seconds=1.0,
                val_seconds=0.1,
                images_per_second=100.0,
            )
        )
    return run


def end(right: int, n: int, val: list[float], **more) -> Run:
    """A run that has ended with so many of n test pictures right."""
    run = begin(val, **more)
    writer = RunWriter(run.folder)
    writer._state = read_run(run.id).state
    for part, count, correct in (("test", n, right), ("val", VAL, VAL // 2)):
        writer.save_evaluation(answers(part, count, correct))
    writer.finish("done")
    return read_run(run.id)


def answers(part: str, n: int, right: int) -> Evaluation:
    labels = np.zeros(n, np.int64)
    sure = np.where(np.arange(n) < right, 0.9, 0.1).astype(np.float32)
    return Evaluation(
        part=part,
        measure="evaluation",
        classes=("duck", "owl"),
        indices=np.arange(n),
        labels=labels,
        probabilities=np.stack([sure, 1 - sure], axis=1),
        seconds=1.0,
    )


@pytest.mark.usefixtures("home")
def test_without_an_earlier_run_nothing_is_promised():
    assert expected_accuracy(begin([0.5]), list_runs()) is None


@pytest.mark.usefixtures("home")
def test_one_earlier_run_tells_with_the_interval_of_its_test_pictures():
    end(180, 200, [0.5, 0.6, 0.7, 0.8], seed=1)
    found = expected_accuracy(begin([0.5]), list_runs())
    assert (found.mean, found.runs, found.n) == (0.9, 1, 200) and (found.low, found.high) == wilson(180, 200)
    assert "about 90.0 % of 200 test pictures" in found.sentence and "one earlier run" in found.sentence


@pytest.mark.usefixtures("home")
def test_several_give_a_prediction_interval():
    for seed, right in enumerate((178, 180, 182), start=1):
        end(right, 200, [0.5, 0.6, 0.7, 0.8], seed=seed)
    found = expected_accuracy(begin([0.5]), list_runs())
    half = 4.302653 * 0.01 * (1 + 1 / 3) ** 0.5  # t of 2 degrees, standard deviation, one more run
    assert found.mean == pytest.approx(0.9) and found.high - found.mean == pytest.approx(half, rel=1e-5)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "other",
    [
        {"config": change_config(BASE, {"train.learning_rate": 0.1})},
        {"config": change_config(BASE, {"model.name": "resnet"})},
        {"fingerprint": "b" * 64},
    ],
)
def test_runs_with_other_settings_or_pictures_do_not_count(other):
    end(180, 200, [0.5, 0.6, 0.7, 0.8], **other)
    assert expected_accuracy(begin([0.5]), list_runs()) is None


@pytest.mark.usefixtures("home")
def test_a_run_that_has_fallen_behind_is_promised_nothing():
    for seed in (1, 2, 3):
        end(180, 200, [0.5, 0.70 + seed / 100, 0.8, 0.8], seed=seed)
    assert expected_accuracy(begin([0.5, 0.68]), list_runs()).behind is None
    found = expected_accuracy(begin([0.5, 0.4], seed=9), list_runs())
    assert found.behind == (2, 0.4, pytest.approx(0.72))
    assert found.sentence.startswith("Behind 3 earlier runs") and "40.0 % of" in found.sentence


@pytest.mark.usefixtures("home")
def test_a_preset_on_cifar10_as_it_is_tells_what_was_measured_and_a_changed_one_nothing():
    classes = tuple("abcdefghij")
    config = change_config(PRESETS["best"], {"data.dataset": "cifar10", "train.seed": 5})
    found = expected_accuracy(create_run(config, "c" * 64, classes), [])
    assert found.mean == pytest.approx(MEASURED["best"] / 100) and "was measured for this preset" in found.sentence
    changed = change_config(config, {"train.epochs": 3})
    assert expected_accuracy(create_run(changed, "c" * 64, classes), []) is None
