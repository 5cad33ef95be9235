"""The learning rate over a run, as the Train page draws it and fit follows it."""

from typing import get_args

import pytest

from core.config import TrainConfig
from core.engine.freezing import learning_epochs
from core.engine.schedule import ENDLESS, endless, learning_rate, mean_work, picture_side, work_done

SCHEDULES = get_args(TrainConfig.model_fields["schedule"].annotation)


def rates(steps=90, **choices):
    config = TrainConfig(learning_rate=0.1, **choices)
    return [learning_rate(config, step, steps) for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 3, 90, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_stays_between_nothing_and_the_peak(schedule, warmup, steps):
    assert all(0 < rate <= 0.1 + 1e-12 for rate in rates(steps, schedule=schedule, warmup=warmup))


def test_constant_does_not_move():
    assert set(rates(schedule="constant")) == {0.1}


@pytest.mark.parametrize("steps", [9, 90, 87, 3])
def test_step_takes_a_tenth_after_each_third(steps):
    third = steps // 3
    assert rates(steps, schedule="step") == pytest.approx([0.1] * third + [0.01] * third + [0.001] * third)


def test_cosine_falls_from_the_peak_over_its_half_to_nearly_nothing():
    falling = rates(schedule="cosine")
    assert falling[0] == 0.1 and falling[45] == pytest.approx(0.05) and falling[-1] < 1e-4
    assert falling == sorted(falling, reverse=True)


def test_one_cycle_rises_from_a_25th_and_falls_to_nearly_nothing():
    cycle = rates(schedule="one_cycle", warmup=1 / 3)
    assert cycle[0] == pytest.approx(0.1 / 25) and cycle[30] == pytest.approx(0.1) == max(cycle)
    assert cycle[:31] == sorted(cycle[:31]) and cycle[30:] == sorted(cycle[30:], reverse=True)
    assert cycle[-1] < 1e-3
    assert cycle[15] == pytest.approx((0.1 + 0.1 / 25) / 2)  # half-way up


def test_one_cycle_without_a_rise_is_a_cosine():
    assert rates(schedule="one_cycle", warmup=0.0) == rates(schedule="cosine")


def sides(epochs=9, side=32, **choices):
    config = TrainConfig(epochs=epochs, **choices)
    return [picture_side(config, side, epoch) for epoch in range(1, epochs + 1)]


def test_pictures_grow_in_even_steps_within_two_thirds_of_the_epochs():
    assert sides(progressive=0.5) == [16, 18, 22, 24, 26, 30, 32, 32, 32]
    assert sides(progressive=1.0) == [32] * 9
    assert sides(epochs=1, progressive=0.5) == [16]
    assert sides(side=33, progressive=0.9)[-1] == 33 and max(sides(side=33, progressive=0.9)) == 33


def test_no_picture_is_smaller_than_a_residual_network_takes():
    assert sides(side=10, progressive=0.5) == [9, 9, 9, 9, 9, 10, 10, 10, 10]


def test_the_work_is_counted_in_pixels():
    config = TrainConfig(epochs=3, progressive=0.5)  # sides 16, 24, 32: 1 + 2.25 + 4 quarters of the last one's work
    assert [picture_side(config, 32, epoch) for epoch in (1, 2, 3)] == [16, 24, 32]
    assert mean_work(config, 32) == pytest.approx((0.25 + 0.5625 + 1) / 3)
    assert work_done(config, 32, 1 / 3) == pytest.approx(1 / 7.25)
    assert work_done(config, 32, 0.5) == pytest.approx((1 + 2.25 / 2) / 7.25)
    assert work_done(config, 32, 0.0) == 0 and work_done(config, 32, 1.0) == pytest.approx(1)
    assert work_done(TrainConfig(epochs=3), 32, 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize(("share", "timed"), [(0.0, 0), (0.3, 0), (0.5, ENDLESS), (1.0, ENDLESS)])
def test_what_is_timed_has_the_first_layer_frozen_where_it_is_for_most_of_the_epochs(share, timed):
    assert learning_epochs(endless(TrainConfig(freeze_first=share))) == timed
