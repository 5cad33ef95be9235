"""Muon: orthogonal steps for the filters of convolutions, Nesterov's for all other weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn, optim

from core.config import TrainConfig

SHARE = "share"  # of a group of weights: its rate, divided by the learning rate
SMALLEST = 1e-12  # norm of a filter bank
# of filters at a rate of their own: those of Jordan's later record, airbench94_muon
FILTER_MOMENTUM = 0.6
FILTER_ITERATIONS = 3  # towards the orthogonal matrix; torch's five take twice the time and end little nearer


class MuonOnFilters(optim.Optimizer):
    """torch's own Muon takes matrices: a filter bank (out, in, height, width) is given to it as one of `out` rows.

    Every filter bank moves along the nearest orthogonal matrix to its momentum, so that no direction of it is learnt
    faster than another (Jordan 2024). Biases, norms and linear layers take the steps of SGD with Nesterov momentum.

    With config.filter_rate the steps of filters have that rate and FILTER_MOMENTUM, and before each the norm of a bank
    is set to the square root of its number of filters: a step then turns it as far early as late.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], config: TrainConfig) -> None:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        self.filters = [parameter for parameter in trained if parameter.dim() == 4]
        rest = [parameter for parameter in trained if parameter.dim() != 4]
        self.matrices = [nn.Parameter(_as_matrix(parameter.detach())) for parameter in self.filters]
        for matrix, parameter in zip(self.matrices, self.filters, strict=True):
            assert matrix.data_ptr() == parameter.data_ptr(), "a filter bank that is not channels last was copied"
        muon = optim.Muon(
            self.matrices or [nn.Parameter(torch.zeros(1, 1))],
            lr=config.filter_rate or config.learning_rate,
            momentum=FILTER_MOMENTUM if config.filter_rate else config.momentum,
            weight_decay=config.weight_decay,
        )
        if config.filter_rate:
            muon.param_groups[0]["ns_steps"] = FILTER_ITERATIONS
        self.keeps_norm = bool(config.filter_rate)
        muon.param_groups[0][SHARE] = muon.param_groups[0]["lr"] / config.learning_rate
        sgd = optim.SGD(
            rest or [nn.Parameter(torch.zeros(1))],
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.momentum > 0,
            fused=True,
        )
        self.rules: tuple[optim.Optimizer, ...] = (muon, sgd)
        super().__init__([*muon.param_groups, *sgd.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step along the gradients that the network's own weights have."""
        for matrix, parameter in zip(self.matrices, self.filters, strict=True):
            matrix.grad = None if parameter.grad is None else _as_matrix(parameter.grad)
            if self.keeps_norm:
                matrix.mul_(len(matrix) ** 0.5 / matrix.norm().clamp(min=SMALLEST))
        for rule, group in zip(self.rules, self.param_groups, strict=True):
            rule.param_groups, rule.state = [group], self.state
            rule.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, those of the filters too."""
        super().zero_grad(set_to_none)
        for parameter in self.filters:
            parameter.grad = None


def _as_matrix(filters: Tensor) -> Tensor:
    """(out, in, height, width) -> (out, in * height * width): a view where they lie in memory channels last."""
    return filters.permute(0, 2, 3, 1).reshape(len(filters), -1)
