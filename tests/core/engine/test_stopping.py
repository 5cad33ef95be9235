"""Stopping: when training is over, and what is said when it ended early."""

import pytest

from core.config import TrainConfig
from core.engine.stopping import describe_end, has_stalled, is_last
from core.rows import EpochRow

PATIENT = TrainConfig(epochs=20, patience=5)


def row(epoch, best_epoch):
    return EpochRow(
        epoch=epoch,
        step=epoch,
        train_loss=1.0,
        train_accuracy=0.5,
        train_per_class=(0.5,),
        best_epoch=best_epoch,
        learning_rate=0.1,
        seconds=1.0,
        images_per_second=1.0,
    )


@pytest.mark.parametrize(
    ("epoch", "best_epoch", "over"),
    [(16, 12, False), (17, 12, True), (4, 0, False), (5, 0, True), (20, 19, True), (19, 19, False), (99, None, True)],
)
def test_a_run_is_over_after_its_epochs_or_after_its_patience(epoch, best_epoch, over):
    assert is_last(PATIENT, row(epoch, best_epoch)) == over


def test_without_patience_or_a_validation_part_only_the_epochs_count():
    assert not has_stalled(TrainConfig(epochs=20), 19, 0) and not has_stalled(PATIENT, 19, None)
    assert not is_last(TrainConfig(epochs=20), row(19, 1)) and is_last(TrainConfig(epochs=20), row(20, 1))


def test_an_early_end_is_told_with_what_is_kept():
    assert describe_end(PATIENT, row(17, 12)) == (
        "Stopped early after epoch 17: the validation loss had not fallen for 5 epochs; "
        "the best model, of epoch 12, is used."
    )
    assert "had not fallen for 1 epoch;" in describe_end(TrainConfig(epochs=20, patience=1), row(3, 2))
    assert describe_end(PATIENT, row(5, 0)).endswith("the validation loss was not a finite number for 5 epochs.")


def test_nothing_is_told_of_a_run_that_trained_all_its_epochs():
    assert (
        describe_end(PATIENT, row(20, 20))
        == describe_end(PATIENT, row(20, 15))
        == describe_end(TrainConfig(), row(50, 1))
        == ""
    )
