"""Averaging: a running mean of a network's weights, which answers in place of the weights that training moves.

Lookahead: weights that training goes half of the way back to now and then.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class Averaging:
    """The exponential running mean of every weight and running statistic (Polyak and Juditsky 1992).

    The decay rises at first, as in TensorFlow, so that the first weights are soon forgotten.

    The model holds either the weights that are trained, or, after swap(), their mean; the others wait here. Without a
    decay there is nothing to average, and nothing happens.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        state = model.state_dict() if decay else {}
        self.decay = decay
        self.held = {
            name: value for name, value in state.items() if value.is_floating_point()
        }  # the model's own memory
        self.aside = {name: value.clone() for name, value in self.held.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Count the weights after `step` steps in."""
        if self.decay:
            share = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.aside.values()), list(self.held.values()), share)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange what the model holds and what waits here."""
        for name, value in self.held.items():
            waiting = self.aside[name]
            self.aside[name] = value.clone()
            value.copy_(waiting)

    def copy(self) -> dict[str, Tensor]:
        """The mean, while the model holds what is trained."""
        return {name: value.clone() for name, value in self.aside.items()}

    @torch.no_grad()
    def restore(self, mean: Mapping[str, Tensor]) -> None:
        """Go on from such a copy; from the weights that the model holds where there is none."""
        for name, value in self.held.items():
            self.aside[name] = torch.empty_like(value).copy_(mean.get(name, value))


class Lookahead:
    """Every `every` steps the weights that are trained go half of the way back to those of the last time, and both go
    on from there (Zhang et al. 2019, arXiv 1907.08610, with their alpha of 0.5; they take 5 or 10 steps). 0: nothing
    happens, and nothing is kept."""

    def __init__(self, trained: Iterable[nn.Parameter], every: int) -> None:
        self.every = every
        self.trained = [parameter.data for parameter in trained if parameter.requires_grad] if every else []
        self.slow = [value.clone() for value in self.trained]

    def update(self, step: int) -> None:
        """Count `step` steps."""
        if self.every and step % self.every == 0:
            torch._foreach_lerp_(self.slow, self.trained, 0.5)
            torch._foreach_copy_(self.trained, self.slow)

    def copy(self) -> dict[str, Tensor]:
        """Where the weights were the last time, by number."""
        return {str(number): value.clone() for number, value in enumerate(self.slow)}

    def restore(self, slow: Mapping[str, Tensor]) -> None:
        """Go on from such a copy; from the weights of now where there is none."""
        for number, value in enumerate(self.slow):
            value.copy_(slow.get(str(number), self.trained[number]))
