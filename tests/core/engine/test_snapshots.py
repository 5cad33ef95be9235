"""Snapshotter: what it takes of a network in training, and that it leaves no trace."""

import numpy as np
import pytest
import torch
from torch import nn

from core.config import ModelConfig
from core.engine.snapshots import FILTERS, Snapshotter, first_filters, take_few
from core.models.build import build_model
from tests import tiny

CPU = torch.device("cpu")


class Dropping(nn.Module):
    """Batch norm and dropout: what a snapshot in training mode would move."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        return self.head(self.net(images).flatten(1))


def test_a_snapshot_has_predictions_in_evaluation_mode_for_the_pictures_of_the_validation_part(tiny_store):
    model = build_model(ModelConfig(), 2, 16)
    snapshot = Snapshotter(model, tiny_store, CPU).take(3, 40)
    assert (snapshot.part, snapshot.epoch, snapshot.step) == ("val", 3, 40)
    assert (
        snapshot.indices.tolist() == [16, 17, 18, 19, 40, 41, 42, 43] and snapshot.labels.tolist() == [0] * 4 + [1] * 4
    )
    assert np.allclose(snapshot.probabilities.sum(1), 1)
    assert np.array_equal(snapshot.filters, model.conv1.weight.detach().numpy())


def test_a_snapshot_leaves_weights_statistics_mode_and_random_state_as_they_were(tiny_store):
    model = Dropping()
    snapshotter = Snapshotter(model, tiny_store, CPU)
    model(torch.rand(8, 3, 16, 16))  # running statistics that are not the first ones
    before, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    first, second = snapshotter.take(1, 1), snapshotter.take(1, 1)
    assert np.array_equal(first.probabilities, second.probabilities)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_filters_of_the_beginning_are_kept_beside_those_of_now(tiny_store):
    model = Dropping()
    snapshotter = Snapshotter(model, tiny_store, CPU)
    with torch.no_grad():
        model.net[0].weight.add_(1)
    snapshot = snapshotter.take(1, 1)
    assert np.allclose(snapshot.filters - snapshot.first_filters, 1)


def test_without_a_validation_part_test_pictures_are_taken():
    store = tiny.make_store(np.zeros((9, 3, 10, 10), np.uint8), [0, 1, 2] * 3, {"train": range(6), "test": [6, 7, 8]})
    assert Snapshotter(Dropping(), store, CPU).part_name == "test"


@pytest.mark.parametrize(
    ("classes", "seen"), [(2, [6, 6]), (3, [4, 4, 4]), (10, [1] * 10), (500, [1] * 12)], ids="{0}".format
)
def test_the_pictures_are_spread_over_the_classes(classes, seen):
    labels = np.repeat(np.arange(classes), 8)
    store = tiny.make_store(np.zeros((len(labels), 3, 10, 10), np.uint8), labels, {"val": np.arange(len(labels))})
    few = take_few(store, "val", CPU)
    counts = np.bincount(few.labels.numpy(), minlength=classes)
    assert counts[counts > 0].tolist() == seen
    assert {int(few.labels[0]), int(few.labels[-1])} == {0, classes - 1}
    assert np.array_equal(store.labels[few.indices.numpy()], few.labels.numpy())


def test_a_class_of_one_picture_gives_one_and_an_empty_part_gives_none():
    store = tiny.make_store(np.zeros((5, 3, 10, 10), np.uint8), [0, 0, 0, 0, 1], {"val": [0, 1, 2, 3, 4]})
    assert take_few(store, "val", CPU).labels.tolist() == [0, 0, 0, 0, 1]
    assert len(take_few(store, "test", CPU)) == 0


def test_of_many_filters_the_first_ones_and_without_a_convolution_none():
    assert first_filters(nn.Conv2d(3, 192, 7)).shape == (FILTERS, 3, 7, 7)
    assert first_filters(nn.Linear(3, 2)).shape == (0, 0, 0, 0)


@pytest.mark.parametrize("side", [32, 512])
def test_snapshots_of_small_and_large_pictures(side):
    store = tiny.noise_store(8, side=side, classes=2)
    store.parts["val"] = np.arange(8)
    snapshot = Snapshotter(Dropping(), store, CPU).take(1, 1)
    assert snapshot.probabilities.shape == (8, 2) and snapshot.part == "val"
