"""build_model: every name in the config has a network, and the seed alone decides its first weights."""

from typing import get_args

import pytest
import torch

from core.config import ModelConfig
from core.errors import UserMistake
from core.models.build import MODELS, build_model

NAMES = get_args(ModelConfig.model_fields["name"].annotation)
ON_A_BACKBONE = ("pretrained", "transfer")  # test_transfer.py and test_backbones.py: the weights have to be added


def test_the_form_and_the_table_know_the_same_networks():
    assert sorted(NAMES) == sorted([*MODELS, *ON_A_BACKBONE])


@pytest.mark.parametrize("classes", [2, 3, 10, 500])
@pytest.mark.parametrize("name", MODELS)
def test_every_network_answers_for_every_class(name, classes):
    model = build_model(ModelConfig(name=name), classes, 32)
    assert model.eval()(torch.randn(2, 3, 32, 32)).shape == (2, classes)


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_weights_and_another_seed_others(name):
    one, again, other = (
        torch.cat([p.detach().flatten() for p in build_model(ModelConfig(name=name), 3, 32, seed).parameters()])
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_the_random_state_of_others_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_model(ModelConfig(), 3, 32, seed=2**32 - 1)
    assert torch.equal(torch.rand(3), expected)


def test_the_slope_reaches_the_network():
    assert build_model(ModelConfig(negative_slope=0.2), 3, 32).negative_slope == 0.2


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(UserMistake, match=r"unknown model 'vgg'; known: \['cnn', .*'paper_cnn'"):
        build_model(ModelConfig.model_construct(name="vgg"), 3, 32)
