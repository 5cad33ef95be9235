"""The data-size curve: nested parts, kept trials, and an extrapolation that finds the law that was planted."""

import numpy as np
import pytest

from core.data.store.store import load_store
from core.errors import UserMistake
from core.experiments.audits import data_curve
from core.experiments.audits.data_curve import (
    SEEDS,
    DataCurve,
    Point,
    _drawn,
    _round,
    measure_curve,
    of_preset,
    of_run,
    read_curve,
)
from core.progress import Progress

QUICK = {"train.epochs": 1, "train.batch_size": 8, "data.image_size": 16, "data.test_fraction": 0.25}


def planted(random: np.random.Generator, slope: float = 0.3, n: int = 2000, spread: float = 0.005) -> DataCurve:
    """Errors 2 pictures^-slope with the spread of seeds and of test pictures."""
    sizes = [50, 100, 200, 400, 700, 1000]
    easy = 0.01 * random.standard_normal()
    shares = [[1 - 2 * size**-slope + easy + spread * random.standard_normal() for _ in range(3)] for size in sizes]
    return DataCurve(
        tuple(
            Point(size, tuple(round(n * one) for one in of_size), n)
            for size, of_size in zip(sizes, shares, strict=True)
        )
    )


def test_a_curve_has_its_points_in_order_and_is_kept(trained_home):
    *steps, curve = measure_curve(of_preset("colours", "quick", QUICK), shares=(0.25, 1.0), seeds=2)
    assert [point.pictures for point in curve.points] == sorted(point.pictures for point in curve.points)
    assert len(curve.points) == 2 and all(len(point.right) == 2 and point.n == 12 for point in curve.points)
    assert all(isinstance(step, Progress) for step in steps) and steps[-1].total == 400
    assert curve.to_json()["next"].keys() == {"pictures", "gain", "interval"}
    *steps, again = measure_curve(of_preset("colours", "quick", QUICK), shares=(0.25, 1.0), seeds=2)
    assert again == curve and not steps


def test_a_run_is_a_curve_of_its_own_settings(trained_home, tiny_run, monkeypatch):
    monkeypatch.setattr(data_curve, "SHARES", shares := (0.5, 1.0))  # few: smaller parts are passed over more often
    settings = of_run(tiny_run)
    assert read_curve(settings) is None
    assert settings.at_size(8, 3).train.seed == 3 and settings.config == tiny_run.config
    *_, curve = measure_curve(settings, shares)
    assert read_curve(settings) == curve and all(len(point.right) == SEEDS for point in curve.points)


def test_smaller_parts_lie_in_larger_ones_and_keep_the_classes(trained_home, tiny_run):
    store = load_store(tiny_run.config.data)
    parts = [_drawn(store, share, 0) for share in (0.25, 0.5, 1.0)]
    assert set(parts[0]) < set(parts[1]) < set(parts[2]) == set(store.parts["train"])
    assert np.ptp(np.bincount(store.labels[parts[0]])) <= 1
    assert set(_drawn(store, 0.5, 1)) != set(parts[1])


def test_too_few_pictures_are_refused(trained_home):
    with pytest.raises(UserMistake, match="too few training pictures for a curve"):
        next(measure_curve(of_preset("colours", "quick", QUICK), shares=(0.01, 0.02)))


def test_what_200_more_pictures_are_worth_is_found():
    random, truth, held = np.random.default_rng(0), 2 * (1000**-0.3 - 1200**-0.3), 0
    for _ in range(60):
        following = planted(random).next
        assert following.pictures == 200
        held += following.interval[0] <= truth <= following.interval[1]
    assert held >= 54  # of 60


def test_a_flat_curve_is_worth_nothing_for_sure():
    flat = DataCurve(tuple(Point(size, (1600, 1601, 1599), 2000) for size in (100, 200, 400, 800)))
    low, high = flat.next.interval
    assert low <= 0 <= high and high < 0.01


def test_the_interval_of_a_point_knows_its_seeds_and_its_pictures():
    curve = planted(np.random.default_rng(1), n=100)
    for point, (low, high) in zip(curve.points, curve.intervals, strict=True):
        assert low < point.accuracy < high and high - low > 0.08  # of 100 pictures
    assert [_round(number) for number in (0.2, 7, 23, 205.4, 9500)] == [1, 7, 20, 200, 10000]
