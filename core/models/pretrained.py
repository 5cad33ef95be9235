"""Networks on a trunk that has learnt already: torchvision's from ImageNet, and that of a finished run."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.errors import UserMistake
from core.trunks import Source


class OnTrunk(nn.Module):
    """images float (B, 3, S, S) -> trunk -> features float (B, F) -> head -> logits float (B, classes).

    `frozen`: only the head learns. The trunk then stays in evaluation mode whatever train() says, so that its running
    statistics and its answers are those that it came with.
    """

    def __init__(self, trunk: nn.Module, features: int, classes: int, frozen: bool) -> None:
        super().__init__()
        self.trunk, self.frozen = trunk, frozen
        self.head = nn.Linear(features, classes)
        if frozen:
            trunk.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "OnTrunk":
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As for every module, also from weights that do not say of which version of their layers they are."""
        versioned = state_dict if hasattr(state_dict, "_metadata") else with_versions(state_dict, self)
        return super().load_state_dict(versioned, strict, assign)

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.trunk(images)
        logits: Tensor = self.head(features)
        return logits


def published_network(name: str) -> nn.Module:
    """A torchvision network with random weights, as its published ones want it.

    The auxiliary heads of GoogLeNet and Inception v3, which only helped them to learn ImageNet, are left out. Their
    weights are from another program and expect pictures of -1 .. 1: with transform_input they convert from ImageNet's
    mean and spread, so that all of them are given the same.
    """
    from torchvision import models  # a second, which only those who ask for it wait for

    if name.startswith("regnet"):  # it calculates its widths with tensors, which the meta device does not
        with torch.device("cpu"):
            network = models.get_model(name, weights=None)
        return network.to(torch.get_default_device())
    if name in ("googlenet", "inception_v3"):
        return models.get_model(name, weights=None, aux_logits=False, transform_input=True, init_weights=False)
    return models.get_model(name, weights=None)


def with_versions(state: Mapping[str, Tensor], network: nn.Module) -> "OrderedDict[str, Tensor]":
    """The state of a network of this very kind with the versions of its layers, which safetensors does not keep and
    MNASNet insists upon."""
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]  # where torch keeps them
    return versioned


def cut_last(network: nn.Module) -> tuple[nn.Module, int]:
    """The network without its last layer, and the number of features that the layer was given. Changed in place."""
    if isinstance(network, OnTrunk):
        return network.trunk, network.head.in_features
    name, last = last_layer(network)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network, last.in_features if isinstance(last, nn.Linear) else last.in_channels


def last_layer(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    """The layer that gives the answers, and its name: the last linear one; of a network without any, as SqueezeNet,
    the last convolution, whose maps are then averaged."""
    layers = list(network.named_modules())
    for kind in (nn.Linear, nn.Conv2d):
        found = [(name, layer) for name, layer in layers if isinstance(layer, kind)]
        if found:
            return found[-1]
    raise UserMistake(f"{type(network).__name__} has no layer that another could take the place of")


def learnt_config(source: Source) -> ModelConfig:
    """How the network of a source is built so that all of it can learn again."""
    return source.model.model_copy(update={"trainable": "all"})
