"""Timed batches: what is left out, what is scaled, and that the timing is the training loop's own."""

from dataclasses import replace
from itertools import count

import pytest
import torch

from core.config import ModelConfig, TrainConfig
from core.data.store.batches import load_part
from core.engine import estimate
from core.engine.estimate import Speed, Timed, first_pictures, time_run
from core.engine.hardware import Hardware
from core.errors import UserMistake
from core.models.build import build_model

CPU = Hardware(torch.device("cpu"))


@pytest.fixture(autouse=True)
def a_moment(monkeypatch):
    monkeypatch.setattr(estimate, "WARM_SECONDS", 0.05)
    monkeypatch.setattr(estimate, "TIMED_SECONDS", 0.2)


def timed(store, pictures, config=None, parts=("train", "val")):
    model = build_model(ModelConfig(), len(store.classes), store.preprocess.image_size)
    held = {name: load_part(store, name) for name in parts}
    return list(time_run(model, held, pictures, len(store.classes), config or TrainConfig(batch_size=8), CPU))


def test_an_epoch_of_a_small_set_is_timed_whole(tiny_store, monkeypatch):
    clock = count()
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(clock) / 1000)  # a millisecond between two readings
    *steps, speed = timed(tiny_store, {"train": 32, "val": 8, "test": 8})
    assert isinstance(speed, Speed) and all(isinstance(step, Timed) for step in steps)
    # between two epochs lies more than their batches: counting, copying, the pass over the validation part
    assert speed.seconds_per_epoch > 32 / speed.images_per_second
    assert speed.batches > 4 and speed.evaluation_seconds > 0 and speed.warm_seconds >= 0
    assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_pictures_that_stand_in_for_more_are_scaled_up(tiny_store):
    *_, speed = timed(tiny_store, {"train": 32_000, "val": 0, "test": 8_000}, parts=("train",))
    assert speed.seconds_per_epoch == pytest.approx(32_000 / speed.images_per_second)
    assert speed.evaluation_seconds > 0


def test_what_would_end_or_upset_a_run_does_not_reach_the_timing(tiny_store):
    config = TrainConfig(batch_size=8, epochs=1, learning_rate=1.0, optimizer="rmsprop", patience=1, schedule="step")
    *_, speed = timed(tiny_store, {"train": 32, "val": 8, "test": 8}, config)
    assert speed.images_per_second > 0


def test_a_batch_of_one_is_refused_as_training_refuses_it(tiny_store):
    with pytest.raises(UserMistake, match="too small"):
        timed(tiny_store, {"train": 32, "val": 8, "test": 8}, TrainConfig(batch_size=1))


def test_first_pictures_are_the_first_ones_also_of_a_mapped_part(tiny_store):
    part = load_part(tiny_store, "train")
    few = first_pictures(part, 5)
    assert len(few) == 5 and torch.equal(few.gather(torch.arange(5)), part.gather(torch.arange(5)))
    mapped = replace(part, images=tiny_store.images)
    assert torch.equal(first_pictures(mapped, 5).gather(torch.arange(5)), few.gather(torch.arange(5)))
    assert first_pictures(part, 500) is part
