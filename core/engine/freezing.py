"""Freezing: the first layer of a network stays as it is from some epoch on, and its gradient is no longer computed."""

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.config import TrainConfig


class Freezing:
    """What `first_layer` of a network has learnt when the epochs that config.freeze_first leaves it are over, put back
    after every later step. A network without a `first_layer` learns as a whole to the end.

    Its outputs are detached, so that nothing before them gets a gradient. An optimizer with momentum would move weights
    also where their gradient is 0. DistributedDataParallel waits for the gradient of every weight that it began with:
    with several ranks it is computed and not used.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, ranks: int) -> None:
        self.layer: nn.Module | None = getattr(model, "first_layer", None) if config.freeze_first < 1 else None
        self.weights = [own.data for own in self.layer.parameters() if own.requires_grad] if self.layer else []
        self.learns, self.needs_gradient = learning_epochs(config), ranks > 1
        self.kept: list[Tensor] = []
        self.detaching: RemovableHandle | None = None

    def begin(self, epoch: int) -> None:
        """Freeze the layer, if this is an epoch (from 1 on) in which it does not learn."""
        if not (self.layer and self.weights) or epoch <= self.learns or self.kept:
            return
        self.kept = [weight.clone() for weight in self.weights]
        if not self.needs_gradient:
            self.detaching = self.layer.register_forward_hook(lambda _layer, _inputs, outputs: outputs.detach())

    def hold(self) -> None:
        """Undo what a step did to the layer, once it is frozen."""
        if self.kept:
            torch._foreach_copy_(self.weights, self.kept)

    def end(self) -> None:
        """Leave the network as it was given."""
        if self.detaching:
            self.detaching.remove()


def learning_epochs(config: TrainConfig) -> int:
    """The epochs, from the first on, in which the first layer learns."""
    return round(config.freeze_first * config.epochs)
