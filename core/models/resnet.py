"""A residual network for pictures of 32 pixels that learns CIFAR-10 in minutes on two cores, in seconds on a GPU.

What makes it quick is known from the records on CIFAR-10 (Page 2018, "How to train your ResNet"; Jordan 2024, "94% on
CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498): a first layer that whitens small patches and is not
trained, pooling right after the first convolution of a block, filters that begin as the identity, batch norm without a
scale and with a quick bias.
"""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import ModelConfig
from core.environment import ConvAlgorithm
from core.fields import MANY
from core.models.conv2d import Conv2d
from core.models.shapes import WHITENED, check_network

PATCH = 2  # pixels: side of the patches that are whitened
WHITENING_EPS = 5e-4  # added to the variance of each direction, so that rare ones are not scaled up to noise
BIAS_SCALE = 8.0  # the bias of batch norm is multiplied by it: a step changes it by its square, 64 times as much
LOGIT_SCALE = 1 / 9  # identity filters and max pooling make the first logits large
NORM_MOMENTUM = 0.4  # of the running statistics: a short training must forget its beginning


class ResNet(nn.Module):
    """images float (B, 3, S, S), S at least 9 -> logits float (B, classes).

    init_whitening() fits the first layer to pictures; until then it has random filters.
    """

    activation: ClassVar[type[nn.Module]] = nn.GELU
    takes_any_size: ClassVar[bool] = True  # so that progressive resizing acts
    has_wide_maps: ClassVar[bool] = True  # so that fewer pictures at once are answered faster
    learns_shift: ClassVar[bool] = True  # whether the first layer has a bias, the only part of it that is learnt

    def __init__(self, config: ModelConfig, classes: int, image_size: int = 32) -> None:
        super().__init__()
        check_network(config, classes, image_size)
        self.whiten = nn.Conv2d(3, WHITENED, PATCH, bias=self.learns_shift)
        self.whiten.weight.requires_grad_(False)
        self.whiten_act = self.activation()
        wide = self.widen(config.width)
        for number, (inputs, outputs) in enumerate(pairwise((WHITENED, config.width, wide, wide)), start=1):
            self.add_module(f"block{number}", Block(inputs, outputs, config.depth, self.activation))
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(wide, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        x = self.whiten_act(self.whiten(images))
        for number in (1, 2, 3):
            x = self.get_submodule(f"block{number}")(x)
        logits: Tensor = self.fc(self.flatten(self.pool(x))) * LOGIT_SCALE
        return logits

    @property
    def first_layer(self) -> nn.Module:
        """What can be frozen while the rest learns on."""
        return self.whiten

    def use_conv_algorithm(self, algorithm: ConvAlgorithm) -> None:
        """Say how the convolutions of many channels are computed from now on, on a CPU."""
        for layer in self.modules():
            if isinstance(layer, Conv2d) and layer.in_channels * layer.out_channels >= MANY:
                layer.algorithm = algorithm

    @torch.no_grad()
    def init_whitening(self, images: Tensor) -> None:
        """Set the first layer to what whitening_filters finds in these pictures, float (B, 3, S, S)."""
        self.whiten.weight.copy_(whitening_filters(images))
        if self.whiten.bias is not None:
            self.whiten.bias.zero_()

    @staticmethod
    def widen(width: int) -> int:
        """Channels of the second and third block, from those of the first."""
        return 4 * width


def whitening_filters(images: Tensor) -> Tensor:
    """float64 (24, 3, 2, 2): the main directions of 2 x 2 patches of these pictures, each scaled to variance 1, and
    their negatives. images float (B, 3, S, S), as training will give them."""
    patches = F.unfold(images.float(), PATCH).transpose(1, 2).reshape(-1, 3 * PATCH * PATCH).double()
    variance, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (directions.T / (variance + WHITENING_EPS).sqrt()[:, None]).view(-1, 3, PATCH, PATCH).flip(0)
    return torch.cat([filters, -filters])


class Block(nn.Module):
    """A convolution that widens, a pooling to half the side, then `depth` - 1 convolutions with a skip connection."""

    def __init__(self, inputs: int, outputs: int, depth: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.conv1, self.pool = convolution(inputs, outputs), nn.MaxPool2d(2)
        self.norm1, self.act1 = Norm(outputs), activation()
        self.depth = depth
        for number in range(2, depth + 1):
            self.add_module(f"conv{number}", convolution(outputs, outputs))
            self.add_module(f"norm{number}", Norm(outputs))
            self.add_module(f"act{number}", activation())

    def forward(self, x: Tensor) -> Tensor:
        x = skipped = self.act1(self.norm1(self.pool(self.conv1(x))))
        for number in range(2, self.depth + 1):
            x = self.get_submodule(f"norm{number}")(self.get_submodule(f"conv{number}")(x))
            if number == self.depth:
                x = x + skipped
            x = self.get_submodule(f"act{number}")(x)
        return x


class Norm(nn.BatchNorm2d):
    """Batch norm without a scale, whose bias moves quickly: the convolution before it has none of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=NORM_MOMENTUM)
        self.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        mean, variance, bias = self.running_mean, self.running_var, self.bias * BIAS_SCALE
        return F.batch_norm(x, mean, variance, self.weight, bias, self.training, NORM_MOMENTUM, self.eps)


def convolution(inputs: int, outputs: int) -> Conv2d:
    """3 x 3, the size kept; the first filters begin as the identity, so that all layers learn from the start."""
    layer = Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[: min(inputs, outputs)])
    return layer
