"""Optimizers: every name in the config steps downhill, with the numbers of the config."""

from typing import get_args

import pytest
import torch
from torch import nn

from core.config import TrainConfig
from core.engine.optimizers import OPTIMIZERS, build_optimizer

NAMES = get_args(TrainConfig.model_fields["optimizer"].annotation)


class Valley(nn.Module):
    """One weight w, loss w x w, gradient 2 w."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([4.0]))

    def descend(self, steps=1, **choices) -> float:
        optimizer = build_optimizer(self.parameters(), TrainConfig(**choices))
        for _ in range(steps):
            optimizer.zero_grad()
            (self.w**2).sum().backward()
            optimizer.step()
        return float(self.w.detach())


def test_the_form_and_the_table_know_the_same_optimizers():
    assert sorted(NAMES) == sorted(OPTIMIZERS)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_downhill(name, momentum):
    assert abs(Valley().descend(100, optimizer=name, learning_rate=0.05, momentum=momentum)) < 1.0


def test_sgd_steps_as_worked_out_by_hand():
    # w = 4, gradient 8: 4 - 0.1 x 8 = 3.2; gradient 6.4, velocity 0.5 x 8 + 6.4 = 10.4: 3.2 - 1.04 = 2.16
    assert Valley().descend(1, learning_rate=0.1, momentum=0.5) == pytest.approx(3.2)
    assert Valley().descend(2, learning_rate=0.1, momentum=0.5) == pytest.approx(2.16)


def test_nesterov_looks_ahead_along_its_momentum():
    # first step: 8 + 0.5 x 8 = 12: 4 - 1.2 = 2.8
    assert Valley().descend(1, optimizer="nesterov", learning_rate=0.1, momentum=0.5) == pytest.approx(2.8)
    assert Valley().descend(1, optimizer="nesterov", learning_rate=0.1, momentum=0.0) == pytest.approx(3.2)


def test_muon_moves_a_filter_bank_equally_far_in_every_direction_and_a_bias_as_nesterov_does():
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 4, 3).to(memory_format=torch.channels_last)
    filters, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = build_optimizer(layer.parameters(), TrainConfig(optimizer="muon", learning_rate=0.1, momentum=0.5))
    (layer(torch.randn(8, 2, 5, 5)) ** 2).mean().backward()
    gradient = layer.bias.grad.clone()
    optimizer.step()
    moved = torch.linalg.svdvals((layer.weight.detach() - filters).flatten(1)) / 0.1
    assert moved.min() > 0.5 and moved.max() < 1.3  # torch's five iterations end between 0.7 and 1.2
    assert torch.allclose(layer.bias.detach(), bias - 0.1 * 1.5 * gradient)


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_reaches_every_optimizer(name):
    optimizer = build_optimizer(Valley().parameters(), TrainConfig(optimizer=name, weight_decay=0.25))
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


@pytest.mark.parametrize(("name", "setting"), [("adam", "betas"), ("adamw", "betas"), ("rmsprop", "momentum")])
def test_momentum_reaches_the_others(name, setting):
    group = build_optimizer(Valley().parameters(), TrainConfig(optimizer=name, momentum=0.7)).param_groups[0]
    assert group[setting] in (0.7, (0.7, 0.999))
