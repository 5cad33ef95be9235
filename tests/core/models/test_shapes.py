"""The way of a picture through a network, worked out before there is one."""

from typing import get_args

import pytest
import torch

from core.config import ModelConfig
from core.errors import UserMistake
from core.models.cnn import CNN
from core.models.shapes import check_network, pools_first, trace_shapes


def family(**changes):
    return ModelConfig(name="cnn", **changes)


def choices(field):
    return get_args(ModelConfig.model_fields[field].annotation)


def test_the_shapes_of_the_papers_network():
    steps = {step.name: step.shape for step in trace_shapes(family(), 10, 32)}
    assert [shape for name, shape in steps.items() if name in ("conv1", "pool1", "conv2", "pool2")] == [
        (6, 30, 30),
        (6, 15, 15),
        (16, 13, 13),
        (16, 6, 6),
    ]
    assert steps["flatten"] == (576,) and steps["fc3"] == (10,)


@pytest.mark.parametrize("side", [16, 31, 32])
@pytest.mark.parametrize("padding", choices("padding"))
@pytest.mark.parametrize("pool", choices("pool"))
def test_every_step_says_what_the_layer_gives(pool, padding, side):
    config = family(channels=(5, 7), convolutions=2, pool=pool, padding=padding, dropout_conv=0.1, dropout_linear=0.2)
    x = torch.zeros(2, 3, side, side)
    model = CNN(config, 4, side).eval()
    for step, layer in zip(trace_shapes(config, 4, side), model, strict=True):
        x = layer(x)
        assert tuple(x.shape[1:]) == step.shape, step.name


@pytest.mark.parametrize(
    ("changes", "side", "said"),
    [
        ({"channels": (4, 4, 4, 4)}, 32, r"conv4 \(block 4\): a map of 2 x 2 is smaller than the 3 x 3 window"),
        ({"channels": (4,) * 6, "padding": "same"}, 32, r"pool6 \(block 6\): a map of 1 x 1 cannot be pooled"),
        ({"channels": (4,) * 6, "padding": "same", "pool": "strided"}, 32, r"conv6 \(block 6\): a map of 1 x 1 cannot"),
        ({"kernel": 11}, 10, r"conv1 \(block 1\): a map of 10 x 10 is smaller than the 11 x 11 window"),
        ({"kernel": 4, "padding": "same"}, 32, r"block 1: a window of 4 x 4 has no middle pixel"),
        ({"pool": "none", "linear": (4096,), "channels": (64,)}, 64, r"fc1: with 246,016 x 4,096 connections"),
        (
            {"pool": "none", "linear": (), "channels": (256,)},
            512,
            r"conv1: up to here one picture takes 66,585,600 values",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_layer_that_fails(changes, side, said):
    with pytest.raises(UserMistake, match=said):
        check_network(family(**changes), 10, side)


def test_pooling_comes_first_only_where_that_gives_the_same():
    assert {name for name in choices("activation") if not pools_first(family(activation=name))} == {"gelu", "silu"}
    assert not any(pools_first(family(pool=pool)) for pool in ("average", "strided", "none"))
