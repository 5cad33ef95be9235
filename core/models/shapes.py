"""trace_shapes: the shapes in a network before it is built, and whether it can be built. No torch: forms use it too."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from core.backbones.registry import BackboneSource, must_be_known, source_of
from core.config import ModelConfig
from core.errors import UserMistake
from core.fields import RESIDUAL_NETWORKS, RESNET_SMALLEST

Kind = Literal["conv", "norm", "act", "pool", "drop", "flatten", "linear"]
WINDOW = 2  # pixels: side and step of a pooling
MOST_PARAMETERS = 100_000_000  # 400 MB; in training three to four times as much, for gradients and momentum
MOST_VALUES = 50_000_000  # of the maps of one picture: 200 MB, and training keeps them for every picture of a batch
WHITENED = 24  # channels of the first layer of `resnet` and `compact`: 12 directions of 2 x 2 pixels, with two signs
PAPER_SMALLEST = 10  # pixels; below, the second pooling has no full window: (10-2)/2 = 4, (4-2)/2 = 1


@dataclass(frozen=True)
class Step:
    """One layer, and what leaves it."""

    name: str  # as in the state dict: "conv1", "conv2_bn"; with several a block "conv2_1"
    kind: Kind
    shape: tuple[int, ...]  # (channels, height, width) or (features,)
    inputs: int = 0  # channels or features that come in; only where the layer has weights
    stride: int = 1
    padding: int = 0

    @property
    def outputs(self) -> int:
        return self.shape[0]


def check_network(config: ModelConfig, classes: int, image_size: int, source: BackboneSource | None = None) -> None:
    """UserMistake where the network cannot be built for such pictures, with the layer at which it fails.

    `source`: how the network of `transfer` is built, where the weights that say so are no longer here."""
    if config.name == "pretrained":
        _check_published(config.backbone, image_size)
    if config.name == "transfer":
        _check_source(source or source_of(config), image_size)
    if config.name == "paper_cnn" and image_size < PAPER_SMALLEST:
        raise UserMistake(
            f"paper_cnn needs pictures of at least {PAPER_SMALLEST} pixels; the image size is {image_size}"
        )
    if config.name in RESIDUAL_NETWORKS and image_size < RESNET_SMALLEST:
        raise UserMistake(
            f"{config.name} needs pictures of at least {RESNET_SMALLEST} pixels; the image size is {image_size}"
        )
    if config.name == "cnn":
        trace_shapes(config, classes, image_size)


def _check_published(name: str, image_size: int) -> None:
    published = must_be_known(name)
    if published.only_side and image_size != published.side:
        raise UserMistake(
            f"{name} takes pictures of {published.side} pixels and no others; the image size is {image_size}. Set it "
            f"to {published.side}"
        )
    if image_size < published.smallest:
        raise UserMistake(
            f"{name} needs pictures of at least {published.smallest} pixels, and was trained on {published.side}; the "
            f"image size is {image_size}"
        )


def _check_source(source: BackboneSource | None, image_size: int) -> None:
    assert source is not None, "transfer has a source, or source_of has said that it is not here"
    if source.model.name in ("paper_cnn", "cnn") and image_size != source.image_size:
        raise UserMistake(
            f"The network of run {source.run} takes pictures of {source.image_size} pixels and no others; the image "
            f"size is {image_size}. Set it to {source.image_size}"
        )
    check_network(source.model, source.classes, image_size, source.source)


def trace_shapes(config: ModelConfig, classes: int, image_size: int) -> list[Step]:
    """The layers of `cnn` in the order in which a picture (3, image_size, image_size) passes them.

    UserMistake where one has nothing left to work on, or where the network would not fit into memory.
    """
    steps: list[Step] = []
    parameters = values = 0
    for step in _steps(config, classes, image_size):
        steps.append(step)
        parameters += _weights(step, config.kernel)
        values += prod(step.shape)
        if parameters > MOST_PARAMETERS:
            raise UserMistake(
                f"{step.name}: with {step.inputs:,} x {step.outputs:,} connections the network comes to "
                f"{parameters:,} parameters, {MOST_PARAMETERS:,} may be. Choose smaller pictures, fewer channels, "
                "narrower linear layers, or pool more often"
            )
        if values > MOST_VALUES:
            raise UserMistake(
                f"{step.name}: up to here one picture takes {values:,} values, {MOST_VALUES:,} may be. Choose smaller "
                "pictures or fewer channels, or pool more often"
            )
    return steps


def _steps(config: ModelConfig, classes: int, image_size: int) -> Iterator[Step]:
    shape: tuple[int, ...] = (3, image_size, image_size)
    for block, channels in enumerate(config.channels, start=1):
        for step in _block(config, block, channels, shape):
            yield step
            shape = step.shape
    yield Step("flatten", "flatten", (prod(shape),))
    features = prod(shape)
    for number, width in enumerate(config.linear, start=1):
        yield Step(f"fc{number}", "linear", (width,), inputs=features)
        if config.norm_linear == "all" or (config.norm_linear == "first" and number == 1):
            yield Step(f"fc{number}_bn", "norm", (width,), inputs=width)
        yield Step(f"fc{number}_act", "act", (width,))
        if config.dropout_linear:
            yield Step(f"fc{number}_drop", "drop", (width,))
        features = width
    yield Step(f"fc{len(config.linear) + 1}", "linear", (classes,), inputs=features)


def _block(config: ModelConfig, block: int, channels: int, shape: tuple[int, ...]) -> Iterator[Step]:
    """Convolutions, each with its activation, then the pooling; it comes before the last activation where that gives
    the same for a quarter of the work."""
    if config.padding == "same" and config.kernel % 2 == 0:
        raise UserMistake(
            f"block {block}: a window of {config.kernel} x {config.kernel} has no middle pixel, so no padding keeps "
            "the size of the map. Choose an odd kernel, or padding none"
        )
    padding = config.kernel // 2 if config.padding == "same" else 0
    for number in range(1, config.convolutions + 1):
        name = f"conv{block}" if config.convolutions == 1 else f"conv{block}_{number}"
        ends_block = number == config.convolutions
        stride = WINDOW if ends_block and config.pool == "strided" else 1
        side = (shape[1] + 2 * padding - config.kernel) // stride + 1
        if shape[1] + 2 * padding < config.kernel:
            raise UserMistake(
                f"{name} (block {block}): a map of {shape[1]} x {shape[1]} is smaller than the {config.kernel} x "
                f"{config.kernel} window of the convolution. {_WAY_OUT}"
            )
        if ends_block and config.pool == "strided" and shape[1] < WINDOW:
            raise UserMistake(f"{name} (block {block}): a map of 1 x 1 cannot be halved by a step of 2. {_WAY_OUT}")
        yield Step(name, "conv", (channels, side, side), shape[0], stride, padding)
        shape = (channels, side, side)
        if config.norm_conv == "all" or (config.norm_conv == "last" and ends_block and block == len(config.channels)):
            yield Step(f"{name}_bn", "norm", shape, inputs=channels)
        if ends_block and config.pool in ("max", "average"):
            if side < WINDOW:
                raise UserMistake(f"pool{block} (block {block}): a map of 1 x 1 cannot be pooled. {_WAY_OUT}")
            pooled = (channels, side // WINDOW, side // WINDOW)
            if pools_first(config):
                yield from (Step(f"pool{block}", "pool", pooled), Step(f"{name}_act", "act", pooled))
            else:
                yield from (Step(f"{name}_act", "act", shape), Step(f"pool{block}", "pool", pooled))
            shape = pooled
        else:
            yield Step(f"{name}_act", "act", shape)
    if config.dropout_conv:
        yield Step(f"drop{block}", "drop", shape)


_WAY_OUT = "Choose larger pictures, fewer blocks, a smaller kernel or padding same"


def pools_first(config: ModelConfig) -> bool:
    """Whether pooling comes before the activation: where that never falls, the maximum of its values is its value of
    the maximum, forward and backward. GELU and SiLU have a dip below zero; an average is another matter anyway."""
    return config.pool == "max" and config.activation not in ("gelu", "silu")


def _weights(step: Step, kernel: int) -> int:
    if step.kind == "conv":
        return step.outputs * (step.inputs * kernel**2 + 1)
    if step.kind == "linear":
        return step.outputs * (step.inputs + 1)
    return 2 * step.outputs if step.kind == "norm" else 0
