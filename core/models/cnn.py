"""CNN: the paper's kind of network, convolutions with pooling, then linear layers, with every part a setting."""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from core.config import ModelConfig
from core.models.shapes import WINDOW, Step, trace_shapes

ACTIVATIONS: dict[str, Callable[[ModelConfig], nn.Module]] = {
    "relu": lambda config: nn.ReLU(),
    "leaky_relu": lambda config: nn.LeakyReLU(config.negative_slope),
    "elu": lambda config: nn.ELU(),
    "gelu": lambda config: nn.GELU(),
    "silu": lambda config: nn.SiLU(),
    "tanh": lambda config: nn.Tanh(),
    "sigmoid": lambda config: nn.Sigmoid(),
}


class CNN(nn.Sequential):
    """images float (B, 3, S, S) -> logits float (B, classes), through the layers of trace_shapes.

    With the defaults of ModelConfig it is the paper's network: as many parameters, and with the same weights the same
    logits. Channels (6, 16), kernel 5, ReLU and no batch norm are the network of PyTorch's CIFAR-10 tutorial.
    """

    def __init__(self, config: ModelConfig, classes: int, image_size: int = 32) -> None:
        steps = trace_shapes(config, classes, image_size)
        super().__init__(OrderedDict((step.name, build_layer(step, config)) for step in steps))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = super().forward(images)
        return logits


def build_layer(step: Step, config: ModelConfig) -> nn.Module:
    """The layer of one step, with fresh weights."""
    has_maps = len(step.shape) == 3
    if step.kind == "conv":
        return nn.Conv2d(step.inputs, step.outputs, config.kernel, step.stride, step.padding)
    if step.kind == "linear":
        return nn.Linear(step.inputs, step.outputs)
    if step.kind == "norm":
        return nn.BatchNorm2d(step.outputs) if has_maps else nn.BatchNorm1d(step.outputs)
    if step.kind == "pool":
        return nn.MaxPool2d(WINDOW) if config.pool == "max" else nn.AvgPool2d(WINDOW)
    if step.kind == "drop":
        # neighbours in a map are correlated: whole maps are set to zero (Tompson et al. 2015, section 3.2)
        return nn.Dropout2d(config.dropout_conv) if has_maps else nn.Dropout(config.dropout_linear)
    if step.kind == "flatten":
        return nn.Flatten()
    return ACTIVATIONS[config.activation](config)
