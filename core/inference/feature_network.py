"""FeatureNetwork: a network that tells, with its logits, the features of pictures: what its last layer is given, and
what its first convolution makes of them."""

import threading
from typing import Any

import torch
from torch import Tensor, nn

from core.engine.evaluate import predict_logits
from core.inference.attribution_layers import shared_copy
from core.models.transfer import last_layer


class FeatureNetwork:
    """Works on a copy that shares the weights, so that the network keeps no hook and sessions may share both."""

    def __init__(self, model: nn.Module) -> None:
        self._network = shared_copy(model)
        self._noted = threading.local()  # each thread notes its own pictures
        last_layer(self._network)[1].register_forward_pre_hook(self._note)
        convolutions = (layer for layer in self._network.modules() if isinstance(layer, nn.Conv2d))
        self._first = next((layer for layer in convolutions if layer.in_channels == 3), None)
        self.first_width = 2 * self._first.out_channels if self._first else 0

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images float (B, 3, S, S), normalised -> logits float (B, classes) as predict_logits gives them, and features
        float32 (B, F) of the pictures as they are, not flipped: what the last layer is given, then first_layer()."""
        inputs: list[Tensor] = []
        self._noted.inputs = inputs
        logits = predict_logits(self._network, images)
        return logits, torch.cat([inputs[0].flatten(1).float(), self.first_layer(images)], 1)

    @torch.no_grad()
    def first_layer(self, images: Tensor) -> Tensor:
        """images float (B, 3, S, S), normalised -> float32 (B, first_width): the mean of each map of the first
        convolution, then the standard deviation of each: colours and strokes, wherever they are."""
        if self._first is None:
            return images.new_zeros(len(images), 0)
        maps = self._first(images).float().flatten(2)
        return torch.cat([maps.mean(2), maps.std(2, correction=0)], 1)

    def _note(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        self._noted.inputs.append(args[0])
