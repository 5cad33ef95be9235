"""Receptive fields: how much of the picture one value of a map depends on, followed through any network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from torchvision.models.swin_transformer import ShiftedWindowAttention

WHOLE = 10**9  # pixels: more than any picture has


@dataclass(frozen=True)
class Field:
    """The receptive field of one value of a map, and its distance from that of the neighbouring value."""

    side: int = 1  # pixels
    step: int = 1  # pixels

    def through(self, module: nn.Module, dimensions: int) -> "Field":
        """The field after `module`, whose output has so many dimensions, batch included."""
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) or is_windowed(module):
            return Field(self.side + reach(module) * self.step, self.step * along(getattr(module, "stride", 1)))
        # MaxViT attends within windows first, then over a grid of the whole picture; both count as the second here
        everywhere = isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) or is_attention(module)
        if everywhere or (isinstance(module, nn.Linear) and dimensions == 2):
            return Field(WHOLE, self.step)
        return self


class FollowFields(TorchFunctionMode):
    """While it is entered, every tensor has at least the field of those it is computed from: also through branches,
    skip connections and functions between the layers. Layers themselves are recorded by `passed`, from a hook."""

    def __init__(self) -> None:
        super().__init__()
        # tensors are kept with their fields: the id of one that is gone would be given to another
        self._known: dict[int, tuple[Tensor, Field]] = {}

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        outputs = list(_tensors(result if isinstance(result, tuple) else (result,)))
        if outputs:
            field = self._widest(_tensors((*args, *(kwargs or {}).values())))
            if "attention" in getattr(function, "__name__", ""):  # each token attends to every other one
                field = Field(WHOLE, field.step)
            for output in outputs:
                self._put(output, field)
        return result

    def of(self, tensor: Tensor) -> Field:
        return self._known.get(id(tensor), (tensor, Field()))[1]

    def passed(self, module: nn.Module, before: Tensor, after: Tensor) -> None:
        self._put(after, self.of(before).through(module, after.dim()))

    def _put(self, tensor: Tensor, field: Field) -> None:
        self._known[id(tensor)] = (tensor, field)

    def _widest(self, tensors: Iterable[Tensor]) -> Field:
        return max((self.of(tensor) for tensor in tensors), key=lambda field: (field.side, field.step), default=Field())


def is_attention(module: nn.Module) -> bool:
    """Whether a layer is attention as a whole: it computes with the weights of its children, or between them."""
    of_maxvit = _is_torchvisions(module, "RelativePositionalMultiHeadAttention")
    return isinstance(module, nn.MultiheadAttention) or is_windowed(module) or of_maxvit


def is_windowed(module: nn.Module) -> "TypeGuard[ShiftedWindowAttention]":
    """Whether a layer is Swin's attention within windows, of either version."""
    return _is_torchvisions(module, "ShiftedWindowAttention")


def _is_torchvisions(module: nn.Module, name: str) -> bool:
    """By name: importing torchvision's networks takes a second, which a network of ours shall not cost."""
    return any(kind.__name__ == name and kind.__module__.startswith("torchvision.") for kind in type(module).__mro__)


def reach(module: nn.Module) -> int:
    """How many values the window of a convolution, a pooling or windowed attention reaches beyond its first one."""
    window = tuple(module.window_size) if is_windowed(module) else module.kernel_size
    return (along(window) - 1) * along(getattr(module, "dilation", 1))


def along(size: int | tuple[int, ...] | Any) -> int:
    """The first of one or two sides."""
    return int(size[0]) if isinstance(size, tuple) else int(size)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (one for one in value if isinstance(one, Tensor))
