"""The range test on two colours: the rate rises, the loss falls and explodes; what is suggested lies where it falls."""

import math

import numpy as np
import pytest
import torch

from core.config import ModelConfig, TrainConfig
from core.data.store.batches import load_part
from core.engine.find_rate import RatePoint, find_rate, rate_range, suggest_rate
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.models.build import build_model

CPU = Hardware(torch.device("cpu"))


def points_of(store, config=None, **more):
    model = build_model(ModelConfig(), len(store.classes), store.preprocess.image_size)
    config = config or TrainConfig(batch_size=8)
    return list(find_rate(model, load_part(store, "train"), len(store.classes), config, CPU, **more))


def curve(losses) -> list[RatePoint]:
    """Rates a decade apart by ten points, smoothed losses as given."""
    return [RatePoint(1e-6 * 10 ** (i / 10), loss, loss) for i, loss in enumerate(losses)]


def test_the_rate_rises_exponentially_over_all_that_the_config_allows(tiny_store):
    points = points_of(tiny_store, batches=20)
    assert (points[0].rate, rate_range()) == (1e-7, (1e-7, 1.0))
    steps = np.diff(np.log([point.rate for point in points]))
    assert np.allclose(steps, steps[0]) and len(points) <= 20


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adamw", "rmsprop"])
def test_the_suggestion_learns_two_colours(tiny_store, optimizer):
    points = points_of(tiny_store, TrainConfig(batch_size=8, optimizer=optimizer))
    found = suggest_rate(points)
    assert 1e-7 < found.low <= found.rate <= found.high <= 1.0
    assert found.rate == float(f"{found.rate:.2g}")


def test_a_small_part_is_passed_over_again_and_the_batch_is_no_larger_than_it(tiny_store):
    assert len(points_of(tiny_store, TrainConfig(batch_size=512), batches=9)) == 9


def test_every_choice_that_shapes_the_loss_takes_part(tiny_store):
    config = TrainConfig(
        batch_size=8, augment=("flip", "mixup"), label_smoothing=0.1, class_weights="balanced", precision="bfloat16"
    )
    assert all(math.isfinite(point.loss) for point in points_of(tiny_store, config, batches=6))


def test_the_same_seed_gives_the_same_curve(tiny_store):
    assert points_of(tiny_store, batches=12) == points_of(tiny_store, batches=12)


def test_an_exploded_loss_ends_the_test(tiny_store, monkeypatch):
    monkeypatch.setattr("core.engine.find_rate.rate_range", lambda: (1e-3, 1e12))
    points = points_of(tiny_store)
    assert len(points) < 100
    before = min(point.smoothed for point in points[:-1])
    assert not points[-1].smoothed <= 4 * before  # more than four times the smallest, or no number


def test_the_smoothed_loss_is_corrected_for_its_start(tiny_store):
    first, second, *_ = points_of(tiny_store, batches=5)
    assert first.smoothed == pytest.approx(first.loss)
    assert second.smoothed == pytest.approx((0.9 * 0.1 * first.loss + 0.1 * second.loss) / (1 - 0.81))


def test_half_of_the_fall_is_suggested():
    # 20 points at 2.0, a straight fall to 1.0 over ten points, then up: half is done after five of them
    points = curve([2.0] * 20 + [2.0 - 0.1 * i for i in range(1, 11)] + [1.5, 3.0])
    found = suggest_rate(points)
    assert found.rate == pytest.approx(1e-6 * 10**2.4, rel=0.03)
    assert found.high == pytest.approx(1e-6 * 10**2.9)


def test_a_loss_that_never_falls_suggests_nothing():
    assert suggest_rate(curve([2.0, 2.01, 1.99, 2.0, 2.0, 3.0, 9.0])) is None
    assert suggest_rate(curve([2.0, math.nan])) is None


def test_a_batch_of_one_is_refused_in_words(tiny_store):
    with pytest.raises(UserMistake, match="too small"):
        points_of(tiny_store, TrainConfig(batch_size=1))
