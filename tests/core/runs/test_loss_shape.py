"""The shape of a loss: planted exponentials and lines, and what is neither."""

import numpy as np
import pytest

from core.runs.loss_shape import loss_shape

EPOCHS = np.arange(1.0, 51.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_elbow_is_found_where_it_is(seed):
    noise = np.random.default_rng(seed).normal(0, 0.02, 50)
    found = loss_shape(EPOCHS, 0.5 + 1.5 * np.exp(-EPOCHS / 6) + noise)
    assert found.kind == "elbow" and found.elbow == pytest.approx(7, abs=1.5) and "elbow at epoch" in found.sentence
    assert found.explained > 0.95 and len(found.fitted) == 50


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_line_is_a_line(seed):
    noise = np.random.default_rng(seed).normal(0, 0.02, 50)
    found = loss_shape(EPOCHS, 1.1 - 0.018 * EPOCHS + noise)
    assert found.kind == "line" and found.elbow is None and "straight line" in found.sentence
    assert found.fitted[0] - found.fitted[-1] == pytest.approx(0.018 * 49, rel=0.1)


def test_noise_and_a_loss_that_rises_are_neither():
    assert loss_shape(EPOCHS, 1 + np.random.default_rng(0).normal(0, 0.1, 50)).kind == "neither"
    assert loss_shape(EPOCHS, 0.5 + 0.01 * EPOCHS).kind == "neither"


def test_losses_that_were_not_finite_are_left_out_and_few_epochs_say_nothing():
    losses = 1.1 - 0.018 * EPOCHS
    losses[[3, 10]] = np.nan
    assert len(loss_shape(EPOCHS, losses).epochs) == 48
    assert loss_shape(EPOCHS[:5], losses[:5]) is None and loss_shape(EPOCHS, np.ones(50)) is None
