"""k-fold cross-validation: duplicates together, broken off and gone on, and the corrected interval."""

import multiprocessing

import numpy as np
import pytest

from core.config import change_config
from core.errors import UserMistake
from core.experiments.audits import kept_trials
from core.experiments.audits.folds import (
    CrossValidation,
    corrected_interval,
    cross_validate,
    read_cross_validation,
)
from core.intervals import wilson
from core.probes.at_once import AtOnce
from core.progress import Progress


@pytest.fixture
def config(trained_home, tiny_run):
    return change_config(tiny_run.config, {"train.epochs": 1})


def test_every_picture_is_asked_once_and_what_was_trained_is_kept(config):
    assert read_cross_validation(config, 3) is None
    *steps, found = cross_validate(config, 3)
    assert isinstance(found, CrossValidation) and found.n == 48 and [n for _, n in found.folds] == [16, 16, 16]
    assert found.interval[0] <= found.accuracy <= found.interval[1]
    assert {step.phase for step in steps} >= {"fold-1", "fold-2", "fold-3"}
    assert read_cross_validation(config, 3) == found and read_cross_validation(config, 4) is None
    *steps, again = cross_validate(config, 3)
    assert again == found and not any(step.phase.startswith("fold") for step in steps)


def test_broken_off_it_goes_on_with_the_fold_at_hand(config):
    steps = cross_validate(config, 3)
    next(step for step in steps if isinstance(step, Progress) and step.phase == "fold-2")
    steps.close()
    *rest, found = cross_validate(config, 3)
    assert {step.phase for step in rest if step.phase.startswith("fold")} == {"fold-2", "fold-3"}
    assert found == read_cross_validation(config, 3)


def test_other_settings_are_another_question(config):
    list(cross_validate(config, 2))
    assert read_cross_validation(change_config(config, {"train.learning_rate": 0.01}), 2) is None
    assert read_cross_validation(config.model_copy(update={"preset": "another name"}), 2) is not None


@pytest.mark.parametrize("folds", [1, 21])
def test_too_few_and_too_many_folds_are_refused(config, folds):
    with pytest.raises(UserMistake, match="there are 2 to 20"):
        next(cross_validate(config, folds))


def test_the_corrected_interval_is_worked_out_by_hand():
    folds = [(60, 100), (70, 100), (65, 100), (75, 100), (80, 100)]
    # accuracies .6 .7 .65 .75 .8: mean .7, variance .00625; (1/5 + 1/4) .00625 = .0028125; t with 4 degrees 2.77645
    half = 2.776445 * 0.0028125**0.5
    assert corrected_interval(folds) == pytest.approx((0.7 - half, 0.7 + half), rel=1e-5)


def test_folds_that_are_all_right_are_not_certain():
    low, high = corrected_interval([(3, 3)] * 5)
    assert high == 1.0 and low < wilson(15, 15)[0] + 0.1


def test_the_interval_holds_the_truth():
    """Networks whose skill differs from one training set to another, as k folds of 60 pictures show it."""
    random, held = np.random.default_rng(0), 0
    for _ in range(400):
        shared, own = 0.02 * random.standard_normal(), 0.02 * random.standard_normal(5)
        skill = np.clip(0.8 + shared + own, 0, 1)
        low, high = corrected_interval([(int(random.binomial(60, one)), 60) for one in skill])
        held += low <= 0.8 <= high
    assert held >= 0.93 * 400


@pytest.mark.slow
def test_folds_at_once_ask_every_picture_and_are_kept(config, monkeypatch):
    monkeypatch.setattr(kept_trials, "read_at_once", lambda config: AtOnce(2, 1.7, 2))
    *steps, found = cross_validate(config, 3)
    assert [n for _, n in found.folds] == [16, 16, 16] and steps[-1].done == steps[-1].total == 300
    assert read_cross_validation(config, 3) == found


@pytest.mark.slow
def test_folds_at_once_that_nobody_waits_for_end(config, monkeypatch):
    monkeypatch.setattr(kept_trials, "read_at_once", lambda config: AtOnce(2, 1.7, 2))
    steps = cross_validate(change_config(config, {"train.epochs": 1000}), 3)
    next(step for step in steps if isinstance(step, Progress) and step.phase.startswith("fold"))
    assert len(multiprocessing.active_children()) == 2
    steps.close()
    assert not multiprocessing.active_children()
