"""TransferModel: a pretrained backbone, of torchvision or of a finished run, and a new last layer."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.backbones.registry import BackboneSource, with_current_names
from core.config import ModelConfig
from core.errors import UserMistake

_IMPORTING = threading.Lock()  # of pages that look at networks at once, one imports torchvision


class TransferModel(nn.Module):
    """images float (B, 3, S, S) -> backbone -> features float (B, F) -> head -> logits float (B, classes).

    `frozen`: only the head is trained. The backbone then stays in evaluation mode whatever train() says, so that
    neither its weights nor its running statistics change.
    """

    def __init__(self, backbone: nn.Module, features: int, classes: int, frozen: bool) -> None:
        super().__init__()
        self.backbone, self.frozen = backbone, frozen
        self.head = nn.Linear(features, classes)
        if frozen:
            backbone.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "TransferModel":
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Also of weights without the versions of their layers, and of those that version 0.1.0 wrote."""
        state_dict = with_current_names(state_dict)
        versioned = state_dict if hasattr(state_dict, "_metadata") else with_versions(state_dict, self)
        return super().load_state_dict(versioned, strict, assign)

    def forward(self, images: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone(images)
        logits: Tensor = self.head(features)
        return logits


def published_network(name: str) -> nn.Module:
    """A published network with random weights, as its published ones want it.

    The auxiliary heads of GoogLeNet and Inception v3, which only helped them to learn ImageNet, are left out. Their
    weights are from another program and expect pictures of -1 .. 1: with transform_input they convert from ImageNet's
    mean and standard deviation, so that all networks take the same.
    """
    with _IMPORTING:
        from torchvision import models  # takes a second, which only this function shall cost

        from core.models.efficientnet_lite import EfficientNetLite0

    if name == "efficientnet_lite0":
        return EfficientNetLite0()

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
    """(the network without its last layer, the number of features that this layer takes). Changed in place."""
    if isinstance(network, TransferModel):
        return network.backbone, network.head.in_features
    name, last = last_layer(network)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network, last.in_features if isinstance(last, nn.Linear) else last.in_channels


def last_layer(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    """(name, layer) of the output layer: the last linear one; of a network without any, as SqueezeNet, the last
    convolution, whose maps are then averaged."""
    layers = list(network.named_modules())
    for kind in (nn.Linear, nn.Conv2d):
        found = [(name, layer) for name, layer in layers if isinstance(layer, kind)]
        if found:
            return found[-1]
    raise UserMistake(f"{type(network).__name__} has no linear layer or convolution that could be replaced")


def trainable_config(source: BackboneSource) -> ModelConfig:
    """The config of a source's network with all of its layers trainable."""
    return source.model.model_copy(update={"trainable": "all"})
