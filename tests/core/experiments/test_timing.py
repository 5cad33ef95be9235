"""Times of two trainings that take turns: a planted delay is found, and nothing where nothing is."""

import statistics
import time

import numpy as np
import pytest
import torch
from torch import nn

from core.config import ModelConfig, TrainConfig
from core.data.store.batches import load_part
from core.disk import read_lines
from core.engine.hardware import Hardware
from core.engine.machine_load import OtherLoad
from core.experiments.ablation import timing
from core.experiments.ablation.actions import create_experiment
from core.experiments.ablation.components import find_components
from core.experiments.ablation.effects import compare_times, report
from core.experiments.ablation.spec import plan_experiment
from core.experiments.ablation.timing import Arm, Timed, Turns, time_pair, time_variants
from core.models.build import build_model
from core.probes.probes import CROWDED
from core.rows import TickRow
from tests.tiny import noise_store

HERE = Hardware(torch.device("cpu"))
BATCH, PICTURES = 32, 320
DELAY = 0.005  # seconds a batch


class Late(nn.Module):
    """Works for DELAY longer before each batch.

    It does not sleep: after 5 ms of rest, or of an empty loop, the rest of a batch is 0.3 to 0.6 ms slower too (caches
    that others have filled, cores that were put to sleep), which a real component that works for 5 ms does not bring.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.delays = model, []

    def forward(self, images):
        began = time.perf_counter()
        with torch.no_grad():
            while time.perf_counter() - began < DELAY:
                self.model(images)
        self.delays.append(time.perf_counter() - began)  # the last piece of work ends a little later
        return self.model(images)


def arm(late: bool = False) -> Arm:
    model = build_model(ModelConfig(), 3, 32)
    train = load_part(noise_store(PICTURES, side=32), "train")
    return Arm(Late(model) if late else model, train, TrainConfig(batch_size=BATCH), 3)


def measured(*arms: Arm, **usual) -> Turns:
    *steps, turns = time_pair(*arms, HERE, **usual)
    assert all(isinstance(one, Timed) for one in steps) and isinstance(turns, Turns)
    return turns


class Clock:
    """Stands in for the machine: a batch takes 10 ms, more and more as it grows hot, and never twice the same."""

    def __init__(self) -> None:
        self.now, self.drawn = 0.0, np.random.default_rng(0)

    def perf_counter(self) -> float:
        return self.now

    def fit(self, model, train, *_):
        for epoch in range(1, 1000):
            for iteration in range(1, PICTURES // BATCH + 1):
                slow = 1 + self.now / 30
                self.now += slow * (0.01 + DELAY * isinstance(model, Late)) * self.drawn.uniform(0.9, 1.3)
                yield tiny_tick(epoch, iteration)


def tiny_tick(epoch: int, iteration: int) -> TickRow:
    zeros = {"iterations": 0, "step": 0, "steps": 0, "seconds": 0.0, "images_per_second": 0.0}
    return TickRow(epoch=epoch, iteration=iteration, **zeros)


def test_the_turns_cancel_a_drift_that_is_larger_than_the_delay(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "fit", clock.fit)
    monkeypatch.setattr(timing, "time", clock)
    turns = measured(arm(), arm(late=True))
    found, halfway = compare_times(turns.base, turns.other).times(BATCH), 1 + clock.now / 2 / 30
    assert turns.base[-1][1] > 1.3 * turns.base[0][0]
    assert found.value == pytest.approx(1.1 * DELAY * halfway, rel=0.1) and found.low > 0  # 1.1: 0.9 to 1.3 on average
    same = measured(arm(), arm())
    assert compare_times(same.base, same.other).is_noise


@pytest.mark.nightly  # the real clock of a real machine: a neighbour may spoil it
def test_a_planted_delay_of_5_ms_a_batch_is_found_within_a_tenth():
    for _ in range(5):
        others, late = OtherLoad(), arm(late=True)
        turns = measured(arm(), late)
        if others.share() < CROWDED:
            break
    else:
        pytest.skip("other programs took more than a quarter of the processors")
    found = compare_times(turns.base, turns.other).times(BATCH)
    assert found.value == pytest.approx(statistics.mean(late.model.delays), rel=0.1) and found.low > 0


@pytest.mark.nightly  # the real clock of a real machine: a neighbour may spoil it
def test_a_training_against_itself_takes_as_long():
    turns = measured(arm(), arm())
    found = compare_times(turns.base, turns.other)
    assert abs(found.value) < 0.2 * np.mean(turns.base)


def test_the_measurements_of_an_experiment_are_kept_with_sizes(tiny_run, monkeypatch):
    monkeypatch.setattr("core.experiments.ablation.timing.BLOCKS", 1)
    monkeypatch.setattr("core.experiments.ablation.timing.TURN_SECONDS", 0.01)
    monkeypatch.setattr("core.experiments.ablation.timing.WARM_SECONDS", 0.0)
    experiment = create_experiment(plan_experiment(tiny_run.config, find_components(["flip", "image_larger"])))
    time_variants(experiment.folder)
    lines = read_lines(experiment.folder / "timing.jsonl")
    assert [line["key"] for line in lines] == ["flip", "image_larger"]
    assert all(line["pictures"] > 0 and line["parameters"] > 1000 and 0 <= line["others"] <= 1 for line in lines)
    assert lines[1]["parameters"] > lines[1]["base_parameters"] == lines[0]["parameters"]
    flip, _ = report(
        experiment.__class__(**experiment.__dict__ | {"timings": {line["key"]: line for line in lines}})
    ).effects
    assert flip.base_seconds > 0 and flip.seconds is not None
