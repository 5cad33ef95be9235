"""Muon: orthogonal steps for the filters of convolutions, Nesterov's for all other weights."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn, optim

from core.config import TrainConfig


class MuonOnFilters(optim.Optimizer):
    """torch's own Muon takes matrices: a filter bank (out, in, height, width) is given to it as one of `out` rows.

    Every filter bank moves along the nearest orthogonal matrix to its momentum, so that no direction of it is learnt
    faster than another (Jordan 2024). Biases, norms and linear layers take the steps of SGD with Nesterov momentum.
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
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
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
