"""A picture's way through a network: maps, curves and dead units, held against what torch computes by itself."""

import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import ModelConfig
from core.data.pictures.preprocess import Preprocess
from core.inference.activations import count_dead, fresh_network, layer_by_layer, layer_hooks, picture_activations
from core.inference.predictor import load_model, load_predictor
from core.models.paper_cnn import PaperCNN

PLAIN = Preprocess(image_size=16)
PICTURE = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
SMALL = ModelConfig(name="cnn", channels=(4, 6), activation="relu", norm_conv="none", linear=(5,), norm_linear="none")


def test_the_papers_network_gives_the_same_answers_layer_by_layer():
    paper = PaperCNN(3, 32, negative_slope=0.2).eval()
    with torch.no_grad():
        for layer in (paper.conv2_bn, paper.dense1_bn):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
        pictures = torch.rand(4, 3, 32, 32)
        assert torch.equal(layer_by_layer(paper)(pictures), paper(pictures))


def test_every_layer_is_seen_in_the_order_of_its_work():
    found = picture_activations(fresh_network(SMALL, 2, 16), PICTURE, PLAIN)
    names = ["conv1", "pool1", "conv1_act", "conv2", "pool2", "conv2_act", "flatten", "fc1", "fc1_act", "fc2"]
    assert [layer.name for layer in found.layers] == names
    assert found.layers[0].shape == (4, 14, 14) and found.layers[0].maps.shape == (4, 14, 14)
    assert found.layers[-1].maps.shape == (1, 1, 2) and found.filters.shape == (4, 3, 3, 3)
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_map_is_what_the_layer_computes_as_grey():
    model = fresh_network(SMALL, 2, 16)
    seen = picture_activations(model, PICTURE, PLAIN).layers[0]
    with torch.no_grad():
        maps = model.conv1((torch.from_numpy(PICTURE).float() / 255 - 0.5)[None] / 0.5)[0].numpy()
    inside = np.abs(maps) < 0.99 * seen.top
    back = (seen.maps.astype(float) - 128) / 127 * seen.top
    assert np.abs(back - maps)[inside].max() <= seen.top / 127
    assert (seen.maps[maps > seen.top] == 255).all()


def test_a_curve_is_the_function_and_counts_every_value():
    found = picture_activations(fresh_network(SMALL, 2, 16), PICTURE, PLAIN)
    seen = {layer.name: layer for layer in found.layers}
    curve = seen["conv1_act"].curve
    assert np.array_equal(curve.y, F.relu(torch.from_numpy(curve.x)).numpy())
    assert curve.before.sum() == curve.after.sum() == 4 * 7 * 7
    assert curve.after_range[0] == 0 and seen["conv1"].curve is None
    half = len(curve.before) // 2
    assert curve.after[0] >= curve.before[:half].sum()  # all that came in below zero leaves as zero


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"])
def test_every_activation_has_a_curve(activation):
    model = fresh_network(SMALL.model_copy(update={"activation": activation}), 2, 16)
    curves = [layer.curve for layer in picture_activations(model, PICTURE, PLAIN).layers if layer.curve is not None]
    assert len(curves) == 3 and all(np.isfinite(curve.y).all() for curve in curves)


def test_units_that_are_always_below_zero_are_dead_and_no_others():
    model = fresh_network(SMALL, 2, 16)
    with torch.no_grad():
        model.conv1.bias[:] = 0.0
        model.conv1.bias[[1, 3]] = -1000.0
        model.fc1.weight.zero_()
        model.fc1.bias.copy_(torch.tensor([1.0, -1.0, 1.0, 0.0, 1.0]))
    pictures = np.random.default_rng(1).integers(0, 256, (20, 3, 16, 16), dtype=np.uint8)
    dead = {units.name: units for units in count_dead(model, pictures, PLAIN)}
    assert dead["conv1_act"].units == 4 and dead["conv1_act"].dead == (1, 3)
    assert dead["fc1_act"].dead == (1, 3)


def test_a_unit_that_fires_for_one_picture_of_many_is_alive():
    model = fresh_network(SMALL, 2, 16)
    with torch.no_grad():
        model.conv1.weight[0], model.conv1.bias[0] = 1.0, 0.0
    pictures = np.zeros((30, 3, 16, 16), np.uint8)
    assert 0 in count_dead(model, pictures, PLAIN)[0].dead
    pictures[17] = 255
    assert 0 not in count_dead(model, pictures, PLAIN)[0].dead


def test_tanh_is_dead_where_it_is_always_flat():
    model = fresh_network(SMALL.model_copy(update={"activation": "tanh"}), 2, 16)
    with torch.no_grad():
        model.fc1.weight.zero_()
        model.fc1.bias.copy_(torch.tensor([0.0, 50.0, -50.0, 1.0, 2.9]))
    dead = {units.name: units.dead for units in count_dead(model, PICTURE[None], PLAIN)}
    assert dead["fc1_act"] == (1, 2)


def test_looking_leaves_the_network_alone():
    model = fresh_network(SMALL, 2, 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    picture_activations(model, PICTURE, PLAIN), count_dead(model, PICTURE[None], PLAIN)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_two_sessions_listen_to_one_network_one_after_the_other():
    model, heard, results = fresh_network(SMALL, 2, 16), [], []
    other = threading.Thread(target=lambda: results.append(picture_activations(model, PICTURE, PLAIN)))
    with layer_hooks(model, lambda name, *_: heard.append(name)):
        other.start()
        other.join(0.5)
        assert not results and not heard
    other.join(30)
    assert len(results[0].layers) == 10 and not heard


def test_large_pictures_and_many_maps_are_kept_small():
    many = SMALL.model_copy(update={"channels": (200, 6)})
    large = np.zeros((3, 160, 160), np.uint8)
    seen = picture_activations(fresh_network(many, 2, 160), large, Preprocess(image_size=160)).layers[0]
    assert seen.shape == (200, 158, 158) and seen.maps.shape[0] == 64 and max(seen.maps.shape[1:]) <= 64


def test_a_layer_that_is_passed_twice_is_seen_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(self.act(self.conv(self.act(self.conv(x)))).mean((2, 3)))

    found = picture_activations(Twice().eval(), PICTURE, PLAIN)
    assert [layer.name for layer in found.layers] == ["conv", "act", "conv (2)", "act (2)", "fc"]
    came_below_zero = found.layers[1].curve.before[:24].sum()
    assert came_below_zero > 0  # what came in, though the layer has written over it


@pytest.mark.parametrize("name", ["paper_cnn", "cnn", "resnet"])
def test_every_network_has_activations_and_dead_units(name):
    model = fresh_network(ModelConfig(name=name), 3, 16)
    assert picture_activations(model, PICTURE, PLAIN).layers and count_dead(model, PICTURE[None], PLAIN)


def test_a_run_answers_as_it_does_elsewhere(tiny_run):
    found = picture_activations(layer_by_layer(load_model(tiny_run)), PICTURE, PLAIN)
    assert np.allclose(found.probabilities, load_predictor(tiny_run).probabilities(PICTURE[None])[0], atol=1e-5)
