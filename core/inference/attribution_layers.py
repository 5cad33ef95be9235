"""Which layers of a network Grad-CAM can explain, and a copy of a network that may be listened to and changed."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.models.receptive import is_attention
from core.models.transfer import TransferModel

LEAST_SIDE = 6  # cells: torchvision's networks end at 7. A resnet on CIFAR: 7 x 7 explained better than its last 3 x 3
FOLLOWING = (
    nn.BatchNorm2d,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardswish,
)


@dataclass(frozen=True)
class MapLayer:
    """A convolution, or a block of convolutions, whose maps Grad-CAM can weigh."""

    name: str  # as in the state dict, e.g. "conv2"
    resolution: tuple[int, int]  # height and width of its maps
    output: str  # the module whose output is weighed: the norm or activation behind it, if there is one


@dataclass(frozen=True)
class _Passed:
    name: str
    module: nn.Module
    shape: tuple[int, ...]


def layers_for(model: nn.Module, image_size: int) -> tuple[MapLayer, ...]:
    """The convolutions and blocks with maps larger than 1 x 1, in the order in which a picture passes them.

    Empty for a network whose only convolution cuts the picture into patches. The model is left as it was.
    """
    return trace_layers(shared_copy(model), image_size)


def default_layer(layers: tuple[MapLayer, ...]) -> MapLayer:
    """The last layer with at least LEAST_SIDE cells a side; where none has, the last of those with the most cells."""
    fine = [layer for layer in layers if min(layer.resolution) >= LEAST_SIDE]
    most = max(min(layer.resolution) for layer in layers)
    return (fine or [layer for layer in layers if min(layer.resolution) == most])[-1]


def cuts_patches_only(model: nn.Module) -> bool:
    """Whether every convolution comes before the first attention, as in ViT and Swin."""
    modules = list(model.modules())
    attention = next((at for at, module in enumerate(modules) if is_attention(module)), None)
    return attention is not None and not any(isinstance(module, nn.Conv2d) for module in modules[attention:])


def shared_copy(model: nn.Module) -> nn.Module:
    """The same layers around the same weights, in evaluation mode, without hooks; no weight takes memory twice.

    Nothing is computed in place, and a frozen backbone lets gradients through: both act on the copy alone.
    """
    kept: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():  # another session may listen to it at this moment
        kept |= {id(hooks): OrderedDict() for name, hooks in vars(module).items() if _holds_hooks(name, hooks)}
    copied = copy.deepcopy(model, kept).eval()
    for module in copied.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]  # a plain attribute of activations
        if isinstance(module, TransferModel):
            module.frozen = False
    return copied


def trace_layers(copied: nn.Module, image_size: int) -> tuple[MapLayer, ...]:
    """As layers_for, of a copy that shared_copy made."""
    if cuts_patches_only(copied):
        return ()
    passed = _pass_picture(copied, image_size)
    return tuple(
        MapLayer(row.name, (row.shape[2], row.shape[3]), _end_of_layer(passed, at))
        for at, row in enumerate(passed)
        if _has_maps(row) and row.shape[2] * row.shape[3] > 1
    )


def _holds_hooks(name: str, value: object) -> bool:
    return name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")) and isinstance(value, dict)


def _has_maps(row: _Passed) -> bool:
    """A convolution, or a block that holds some; a plain Sequential only repeats its last layer."""
    if len(row.shape) != 4 or not row.name or isinstance(row.module, nn.Sequential):
        return False
    return any(isinstance(module, nn.Conv2d) for module in row.module.modules())


def _end_of_layer(passed: list[_Passed], at: int) -> str:
    """The name of the norm or activation behind a layer, while shapes stay; else its own.

    Maps before batch norm have an arbitrary zero, and Grad-CAM keeps what is above zero.
    """
    end = passed[at]
    for row in passed[at + 1 :]:
        if not isinstance(row.module, FOLLOWING) or row.shape != end.shape:
            break
        end = row
    return end.name


@torch.no_grad()
def _pass_picture(copied: nn.Module, image_size: int) -> list[_Passed]:
    """Every module that a picture passes exactly once, in the order in which they end."""
    passed: list[_Passed] = []

    def note_as(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, given: Any, output: Any) -> None:
            passed.append(_Passed(name, module, tuple(output.shape) if isinstance(output, Tensor) else ()))

        return note

    handles = [module.register_forward_hook(note_as(name)) for name, module in copied.named_modules()]
    try:
        copied(torch.zeros(1, 3, image_size, image_size, device=next(copied.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    names = [row.name for row in passed]
    return [row for row in passed if names.count(row.name) == 1]  # a ReLU that a block uses twice has two outputs
