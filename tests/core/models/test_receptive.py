"""Receptive fields and formulas: worked out by hand, and held against what the network really depends on."""

import re
from math import ceil, floor

import pytest
import torch
from torch import nn

from core.config import ModelConfig
from core.models.build import build_model
from core.models.summary import layer_table
from core.models.transfer import published_network


def fields(model: nn.Module, size: int = 32) -> dict[str, int]:
    return {layer.name: layer.receptive_field for layer in layer_table(model, size)}


def test_the_papers_network_sees_3_then_4_then_8_then_10_pixels():
    # 3; 3 + 1; 4 + 2 * 2; 8 + 1 * 2; a linear layer sees everything
    seen = fields(build_model(ModelConfig(), 10, 32))
    assert [seen[name] for name in ("conv1", "pool1", "conv2", "pool2", "fc1", "fc3")] == [3, 4, 8, 10, 32, 32]


def test_two_stacked_windows_of_3_see_as_much_as_one_of_5():
    stacked = ModelConfig(name="cnn", channels=(4,), convolutions=2, linear=())
    assert fields(build_model(stacked, 10, 32))["conv1_2"] == 5
    assert fields(build_model(stacked.model_copy(update={"convolutions": 1, "kernel": 5}), 10, 32))["conv1"] == 5


@pytest.mark.parametrize("pool", ["max", "average", "strided", "none"])
def test_a_number_depends_on_exactly_its_field(pool):
    config = ModelConfig(
        name="cnn", channels=(3, 4), convolutions=2, pool=pool, activation="tanh", norm_conv="none", linear=()
    )
    model = build_model(config, 2, 40).eval()
    seen = fields(model, 40)["conv2_2"]
    last = dict(model.named_modules())["conv2_2"]
    maps = []
    last.register_forward_hook(lambda module, given, output: maps.append(output))
    reached = torch.zeros(40, 40, dtype=torch.bool)
    for seed in range(20):  # a maximum passes only one of four on: other pictures, other ones
        picture = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(seed), requires_grad=True)
        model(picture)
        middle = maps[-1].shape[-1] // 2
        maps[-1][0, :, middle, middle].sum().backward()
        reached |= picture.grad[0].abs().sum(0) > 0
    assert int(reached.any(0).sum()) == int(reached.any(1).sum()) == seen


def test_fields_are_followed_through_branches_and_functions_between_layers():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.narrow, self.last = nn.Conv2d(3, 2, 7, padding=3), nn.Conv2d(3, 2, 1), nn.Conv2d(4, 1, 3)

        def forward(self, x):
            return self.last(torch.cat([torch.relu(self.wide(x)), self.narrow(x) * 2], 1)).flatten(1)

    assert fields(Branches()) == {"wide": 7, "narrow": 1, "last": 9}


def test_a_layer_without_memory_is_described_too():
    with torch.device("meta"):
        model = build_model(ModelConfig(name="cnn"), 3, 32)
    assert [layer.output_shape for layer in layer_table(model, 32)][-1] == (3,)


def test_formulas_have_the_papers_numbers():
    layers = {layer.name: layer.formulas for layer in layer_table(build_model(ModelConfig(), 10, 32), 32)}
    assert "side = (32 + 2 · 0 − 3) / 1 + 1 = 30" in layers["conv1"]
    assert "parameters = 6 · (3 · 3 · 3 + 1) = 168" in layers["conv1"]
    assert "multiply-adds = 6 · 30 · 30 · 3 · 3 · 3 = 145,800" in layers["conv1"]
    assert "side = ⌊(13 + 2 · 0 − 2) / 2⌋ + 1 = 6" in layers["pool2"]
    assert "receptive field = 8 + 1 · 2 = 10 pixels" in layers["pool2"]
    assert "parameters = 120 · (576 + 1) = 69,240" in layers["fc1"]


def test_a_value_takes_four_bytes():
    assert layer_table(build_model(ModelConfig(), 10, 32), 32)[0].memory == 4 * 6 * 30 * 30


@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_every_layer_of_every_network_says_what_it_computes(name):
    config = ModelConfig(name=name, dropout_conv=0.1, dropout_linear=0.1, norm_conv="all")
    assert all(layer.formulas for layer in layer_table(build_model(config, 3, 32), 32))


@pytest.mark.parametrize("size", [224, 97])  # 112 and 49 leave conv1: rounded up 56, and 24 without a rest
def test_every_side_of_googlenet_is_what_its_formula_comes_to(size):
    network, sides = published_network("googlenet").eval(), {}
    for name, module in network.named_modules():
        name = f"backbone.{name}"
        module.register_forward_hook(lambda _, __, output, name=name: sides.update({name: output.shape[-1]}))
    network(torch.rand(1, 3, size, size))
    with torch.device("meta"):
        drawn = build_model(ModelConfig(name="pretrained", backbone="googlenet"), 3, size, load_weights=False)
    lines = [(layer, line) for layer in layer_table(drawn, size) for line in layer.formulas if line.startswith("side")]
    assert len(lines) == 70  # 57 convolutions and 13 poolings
    for layer, line in lines:
        _, formula, side = line.split(" = ")
        given, _, padding, reach, step = map(int, re.findall(r"\d+", formula)[:5])  # ⌊(112 + 2 · 0 − 3) / 2⌋ + 1
        rounded = {"⌊": floor, "⌈": ceil}.get(formula[0], float)((given + 2 * padding - reach) / step)
        assert rounded + 1 == int(side) == sides[layer.name], layer.name


def test_a_last_window_in_the_padding_alone_is_not_counted():
    pool = nn.MaxPool2d(2, stride=3, padding=1, ceil_mode=True)  # of 5: (5 + 2 - 2) / 3 = 1.67; a third one begins at 6
    network = nn.Sequential(nn.Conv2d(3, 1, 1), pool)
    assert "side = ⌊(5 + 2 · 1 − 2) / 3⌋ + 1 = 2" in layer_table(network, 5)[1].formulas
