"""The curves of a run: what is drawn, in front of what, and how little of a long run is sent."""

import json
import math

import numpy as np
import pytest

from core.runs.history import MetricHistory
from pages.parts.widgets.charts import MOST_POINTS, thinned
from pages.parts.widgets.training_curves import (
    FINE,
    TRAINING,
    VALIDATION,
    Overlaid,
    accuracy_options,
    class_options,
    loss_options,
    rate_options,
)
from tests.core.runs.test_history import fine, whole

NOTHING = np.zeros(0)


def history(epochs: int = 3, a_row: int = 2, val: bool = True) -> MetricHistory:
    """`epochs` epochs with `a_row` rows of iterations each; the validation loss is lowest in the second epoch."""
    at = np.arange(1.0, epochs + 1)
    places = np.arange(1, epochs * a_row + 1) / a_row
    val_loss = np.abs(at - 2) + 0.5 if val else np.full(epochs, np.nan)
    best = whole(2, val_loss=0.5) if val and epochs > 1 else None
    return MetricHistory(
        places, 1 / places, 0.1 / places, at, 1 / at, 0.9 - 0.1 / at, val_loss, val_loss / 10, 0.1 / at,
        whole(epochs, val_loss=float(val_loss[-1]) if val else None), best, fine(epochs, 400),
    )  # fmt: skip


def empty() -> MetricHistory:
    return MetricHistory(*[NOTHING] * 9, None, None, None)


def named(options):
    return {line["name"]: line for line in options["series"]}


def test_the_loss_is_drawn_for_iterations_and_for_whole_epochs():
    lines = named(loss_options(history(), 10))
    assert list(lines) == [FINE, TRAINING, VALIDATION]
    assert lines[FINE]["data"][:2] == [[0.5, 2.0], [1.0, 1.0]]
    assert lines[VALIDATION]["data"] == [[1.0, 1.5], [2.0, 0.5], [3.0, 1.5]]
    assert loss_options(history(), 10)["xAxis"]["max"] == 10  # the whole run, so that nothing shifts as it grows
    assert [loss_options(history(n), 1000)["xAxis"]["max"] for n in (3, 100, 125, 249, 250)] == [8, 250, 500, 500, 1000]


def test_one_row_an_epoch_is_not_drawn_twice():
    assert list(named(loss_options(history(a_row=1), 10))) == [TRAINING, VALIDATION]


def test_the_best_epoch_has_a_ring():
    mark = named(loss_options(history(), 10))[VALIDATION]["markPoint"]
    assert mark["data"] == [{"coord": [2, 0.5]}]
    assert "markPoint" not in named(loss_options(history(val=False), 10))[TRAINING]


def test_before_the_first_row_there_are_axes_and_chance():
    loss, accuracy = loss_options(empty(), 5), accuracy_options(empty(), 5, 4)
    assert [line["data"] for line in loss["series"]] == [[]]
    assert accuracy["series"][-1]["markLine"]["data"] == [{"yAxis": 25.0}]
    json.dumps([loss, accuracy], allow_nan=False)


def test_accuracy_is_in_per_cent():
    assert named(accuracy_options(history(), 10, 4))[TRAINING]["data"][0] == [1.0, 80.0]


def test_earlier_runs_lie_behind_in_their_own_colour_and_widen_the_axis():
    earlier = Overlaid("first try", "#009E73", history(40))
    assert loss_options(history(10), 10, over=[earlier])["xAxis"]["max"] == 40
    for options in (loss_options(history(), 10, over=[earlier]), accuracy_options(history(), 10, 4, over=[earlier])):
        lines = named(options)
        assert lines["first try"]["color"] == "#009E73" and lines["first try"]["z"] < lines[TRAINING]["z"]
        assert options["xAxis"]["max"] == 10  # a quarter of 40 is not filled yet
        assert options["legend"]["data"][-1] == "first try"  # own curves first


def test_of_an_earlier_run_without_a_validation_part_the_training_curve_is_drawn():
    earlier = Overlaid("paper", "#009E73", history(val=False))
    lines = named(loss_options(history(), 10, over=[earlier]))
    assert lines["paper"]["data"] == lines[TRAINING]["data"]


def test_names_are_data_in_legends():
    odd = Overlaid("<img src=x onerror=1>\u202e" + "x" * 100, "#009E73", history())
    name = loss_options(history(), 10, over=[odd])["series"][0]["name"]
    assert "\u202e" not in name and len(name) == 40


def test_a_class_says_of_how_many_and_has_its_interval():
    options = class_options(["cat", "dog", "x" * 200], [0.75, None, 0.0], "#0072B2", [12, 0, 4])
    bars, words, boxes = options["series"]
    assert [bar["value"] for bar in bars["data"]] == [75.0, None, 0.0]
    assert [word["label"]["formatter"] for word in words["data"]] == ["75.0 % of 12", "", "0.0 % of 4"]
    assert boxes["data"][0][0] == 46.8 and boxes["data"][0][-1] == 91.1  # Wilson of 9 of 12
    assert boxes["data"][1] == "-" and len(options["yAxis"]["data"][2]) == 18


def test_the_learning_rate_that_was_taken_meets_the_one_that_is_planned():
    options = rate_options([0.0, 0.1, 0.2, 0.1, 0.0], 4, history(2), now=2.0)
    lines = named(options)
    assert lines["planned"]["data"] == [[2.0, 0.2], [2.0, 0.2], [3.0, 0.1], [4.0, 0.0]]
    assert lines["taken"]["data"][-1] == [2.0, 0.2] and lines["taken"]["data"][0] == [0.5, 0.2]
    assert options["xAxis"]["max"] == 4


@pytest.mark.parametrize("count", [10, 600, 601, 5_000, 20_000])
def test_a_long_curve_is_thinned_and_keeps_its_ends_and_extremes(count):
    x = np.arange(count, dtype=float)
    y = np.sin(x / 50)
    y[count // 3], y[count // 2] = 9.0, -9.0
    points = thinned(x, y)
    assert len(points) <= MOST_POINTS and points[0] == (0.0, y[0]) and points[-1] == (x[-1], y[-1])
    assert {9.0, -9.0} <= {value for _, value in points}
    assert [place for place, _ in points] == sorted({place for place, _ in points})


def test_a_gap_stays_a_gap():
    y = np.ones(5_000)
    y[2_000:2_500] = np.nan
    points = thinned(np.arange(5_000), y)
    assert len(points) <= MOST_POINTS
    missing = [place for place, value in points if math.isnan(value)]
    assert missing and min(missing) >= 1_990 and max(missing) < 2_500
    assert thinned([1, 2, 3], [1.0, None, 3.0])[1][0] == 2 and math.isnan(thinned([1, 2], [1.0, None])[1][1])


def test_what_is_drawn_does_not_move_while_a_curve_grows():
    y = np.random.default_rng(0).normal(size=9_000)
    before, after = thinned(np.arange(8_300), y[:8_300]), thinned(np.arange(9_000), y)
    assert set(before[:-3]) <= set(after)


def test_twenty_thousand_rows_are_a_few_hundred_points():
    long = history(2_500, a_row=8)
    assert len(long.place) == 20_000
    sent = json.dumps([loss_options(long, 2_500), accuracy_options(long, 2_500, 10)], allow_nan=False)
    assert len(sent) < 60_000


def test_a_spike_does_not_press_the_other_losses_flat():
    calm = history(60)
    assert "max" not in loss_options(calm, 60)["yAxis"]
    calm.val_loss[:] = 0.5
    calm.val_loss[30] = 90.0
    assert loss_options(calm, 60)["yAxis"]["max"] == 2.0  # the first loss, and no further
