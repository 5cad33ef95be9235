"""layer_table: the layers of a network with shapes, parameters and multiply-adds; and torchsummary's own table."""

import contextlib
import copy
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
import torchsummary
from torch import nn

from core.errors import UserMistake
from core.models.formulas import attention_work, formulas
from core.models.receptive import FollowFields, is_attention, is_windowed

PARAMETER = "Parameter"
BYTES = 4  # of a number, float32
_PRINTING = threading.Lock()  # standard output is the whole process's: two pages must not redirect it at once


@dataclass(frozen=True)
class Layer:
    """One layer, for one picture."""

    name: str  # as in the state dict, e.g. "conv1"
    kind: str  # e.g. "Conv2d"
    input_shape: tuple[int, ...]  # without the batch: (channels, height, width) or (features,)
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int  # of the parameters; the others are fixed
    multiply_adds: int  # for one picture; 0 where a layer only compares, adds or scales
    detail: str  # the layer's own settings, e.g. "3 -> 6, kernel 3x3, stride 1"
    receptive_field: int  # pixels: side of the part of the picture that one value of the output depends on
    formulas: tuple[str, ...]  # with the layer's own numbers

    @property
    def memory(self) -> int:
        """Bytes of the output, for one picture."""
        return BYTES * prod(self.output_shape)


def layer_table(model: nn.Module, image_size: int, channels: int = 3) -> list[Layer]:
    """Every layer (whole_layers) in the order in which a picture (channels, image_size, image_size) passes them.

    Weights that belong to no such layer, as a transformer's positions, have lines of their own, of the kind PARAMETER.
    """
    layers: list[Layer] = []
    fields = FollowFields()
    handles = [
        module.register_forward_hook(partial(_record, layers, fields, image_size, name, kind, parameters))
        for name, module, kind, parameters in _lines(model)
    ]
    was_training = model.training
    try:
        model.eval()
        with torch.no_grad(), fields:
            model(torch.zeros(1, channels, image_size, image_size, device=next(model.parameters()).device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return layers


def _lines(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, list[nn.Parameter]]]:
    """(name, module, kind, parameters) of every line of the table; of a PARAMETER the module that holds it."""
    counted: set[nn.Parameter] = set()
    for name, module in whole_layers(model):
        yield name, module, type(module).__name__, list(module.parameters())
        counted.update(module.parameters())
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if parameter not in counted:
                yield name, module, PARAMETER, [parameter]


def _record(
    layers: list[Layer],
    fields: FollowFields,
    image_size: int,
    name: str,
    kind: str,
    parameters: list[nn.Parameter],
    module: nn.Module,
    inputs: tuple[Any, ...],
    output: Any,
) -> None:
    """A forward hook: append the line."""
    output = output[0] if isinstance(output, tuple) else output  # attention also returns its weights
    is_layer, before = kind != PARAMETER, fields.of(inputs[0])
    if is_layer:
        fields.passed(module, inputs[0], output)
    input_shape, output_shape, field = tuple(inputs[0].shape[1:]), tuple(output.shape[1:]), fields.of(output)
    layers.append(
        Layer(
            name=name,
            kind=kind,
            input_shape=maps_first(input_shape),
            output_shape=maps_first(output_shape),
            parameters=sum(p.numel() for p in parameters),
            trainable=sum(p.numel() for p in parameters if p.requires_grad),
            multiply_adds=multiply_adds(module, output_shape) if is_layer else 0,
            detail=describe(module) if is_layer else "",
            receptive_field=min(field.side, image_size),
            formulas=formulas(module, input_shape, output_shape, before, field) if is_layer else (),
        )
    )


def whole_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of every layer without children, and of attention as a whole, which has some."""
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if name.startswith(inside):
            continue
        attention = is_attention(module)
        if attention:
            inside += (f"{name}.",)
        if attention or next(module.children(), None) is None:
            yield name, module


def maps_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, side, side) of what may also be (side, side, channels), as some transformers lay out their maps of
    square pictures; any other shape as it is."""
    last = len(shape) == 3 and shape[0] == shape[1] != shape[2]
    return (shape[2], *shape[:2]) if last else shape


def multiply_adds(module: nn.Module, output_shape: tuple[int, ...]) -> int:
    """Multiply-adds of a convolution (outputs x kernel area x channels in), a linear layer (in x out, for every token)
    or attention (attention_work)."""
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        outputs = output_shape[0] * output_shape[1] * output_shape[2]
        return outputs * int(height) * int(width) * module.in_channels // module.groups
    if isinstance(module, nn.Linear):
        return prod(output_shape[:-1]) * module.in_features * module.out_features
    if is_attention(module):
        return attention_work(module, output_shape)
    return 0


def describe(module: nn.Module) -> str:
    """A layer's own settings, e.g. "3 -> 6, kernel 3x3, stride 1"; "" where it has none worth a line."""
    if isinstance(module, nn.Conv2d):
        return (
            f"{module.in_channels} -> {module.out_channels}, kernel {module.kernel_size[0]}x{module.kernel_size[1]}, "
            f"stride {module.stride[0]}"
        )
    if isinstance(module, nn.MaxPool2d):
        return f"window {module.kernel_size}x{module.kernel_size}, stride {module.stride}"
    if isinstance(module, nn.Linear):
        return f"{module.in_features} -> {module.out_features}"
    if is_windowed(module):
        return f"windows of {module.window_size[0]}x{module.window_size[1]}, {module.num_heads} heads"
    if isinstance(module, nn.MultiheadAttention):
        return f"{module.num_heads} heads"
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return (
            f"{module.num_features} channels"
            if isinstance(module, nn.BatchNorm2d)
            else f"{module.num_features} features"
        )
    return ""


def count_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def torchsummary_text(model: nn.Module, image_size: int, channels: int = 3) -> str:
    """The table that `torchsummary.summary` prints: layers, output shapes, parameters, sizes in MB. UserMistake for a
    network that it cannot print, as one with attention, which gives more than one tensor."""
    if any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        raise UserMistake("torchsummary cannot print a network with attention.")
    printed = io.StringIO()
    # evaluation mode: running statistics stay, and every layer is called as a module, as its hooks need
    copied = copy.deepcopy(model).cpu().eval()
    with _PRINTING, contextlib.redirect_stdout(printed), torch.random.fork_rng(devices=[]):
        try:
            torchsummary.summary(copied, (channels, image_size, image_size), device="cpu")
        except (AttributeError, TypeError, IndexError, KeyError) as error:  # it expects one tensor in and one out
            raise UserMistake(
                "torchsummary cannot print this network: some of its layers take or return other things than one "
                "tensor."
            ) from error
    return printed.getvalue()
