"""Activations of a picture, layer by layer: feature maps, activation functions, filters; and the dead units of many."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.data.pictures.preprocess import Preprocess
from core.data.store.batches import normalise
from core.engine.evaluate import evaluation_batch
from core.models.build import build_model
from core.models.cnn import CNN
from core.models.paper_cnn import PaperCNN
from core.models.summary import maps_first, whole_layers

MOST_MAPS = 64  # of a layer that are kept
MOST_SIDE = 64  # pixels of a kept map; larger ones are subsampled
MOST_FEATURES = 2048  # of a layer without maps
MOST_FILTERS = 64
BINS = 48
BRIGHTEST = 99.5  # percentile: the few values beyond it would leave the rest grey
SATURATES_AT = {nn.Tanh: 3.0, nn.Sigmoid: 5.0}  # from here on they change by less than a hundredth of their range
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.ReLU6)
_HOOKED = threading.Lock()  # hooks are the network's, and sessions share one: only one at a time may have its own


@dataclass(frozen=True)
class Curve:
    """An activation function over the range of this picture's values, and the histograms of its inputs and outputs."""

    x: np.ndarray  # float32 (P,), ascending
    y: np.ndarray  # float32 (P,)
    before: np.ndarray  # int64 (BINS,): inputs, in equal steps over the range of x
    after: np.ndarray  # int64 (BINS,): outputs, in equal steps over after_range
    after_range: tuple[float, float]


@dataclass(frozen=True)
class LayerActivation:
    """The output of one layer for the picture."""

    name: str
    kind: str
    shape: tuple[int, ...]  # (channels, height, width) or (features,)
    maps: np.ndarray  # uint8 (M, h, w), the first MOST_MAPS; of features (1, 1, F), the first MOST_FEATURES; 0 is 128
    top: float  # the value that is 255; its negative is 1
    curve: Curve | None = None  # of an activation function


@dataclass(frozen=True)
class PictureActivations:
    layers: tuple[LayerActivation, ...]  # in the order in which the picture passes them
    filters: np.ndarray  # float32 (K, C, h, w): of the first convolution, at most MOST_FILTERS; without one, K is 0
    all_filters: int  # that this convolution has
    probabilities: np.ndarray  # float32 (classes,)


@dataclass(frozen=True)
class Units:
    """The units of one activation layer, and those that are dead: inactive for every picture of a sample."""

    name: str
    kind: str
    units: int  # maps, or features of a linear layer
    dead: tuple[int, ...]  # never above zero; of tanh and sigmoid, always saturated


def fresh_network(config: ModelConfig, classes: int, image_size: int, seed: int = 0) -> nn.Module:
    """An untrained network in evaluation mode, as a run with that seed begins."""
    return layer_by_layer(build_model(config, classes, image_size, seed))


def layer_by_layer(model: nn.Module) -> nn.Module:
    """A network in evaluation mode whose activation functions are layers too, with the same logits.

    PaperCNN applies them as functions, which take no hooks; a CNN of default settings has the same layers and weights.
    """
    if isinstance(model, PaperCNN):
        side = round((model.fc1.in_features / model.conv2.out_channels) ** 0.5)
        config = ModelConfig(name="cnn", negative_slope=model.negative_slope)
        twin = CNN(config, model.fc3.out_features, 4 * side + 6)
        names = {name: name.replace("dense1_bn", "fc1_bn") for name in model.state_dict()}
        twin.load_state_dict({names[name]: value for name, value in model.state_dict().items()})
        model = twin
    return model.eval()


@torch.no_grad()
def picture_activations(model: nn.Module, received: np.ndarray, preprocess: Preprocess) -> PictureActivations:
    """received: uint8 (3, S, S), after `preprocess`; model: from layer_by_layer, left as it was."""
    layers: list[LayerActivation] = []

    def note(name: str, module: nn.Module, given: Tensor, output: Tensor) -> None:
        curve = activation_curve(module, given[0], output[0]) if isinstance(module, ACTIVATIONS) else None
        output = _maps_first(output)
        maps, top = as_grey(output[0].float().numpy())
        layers.append(LayerActivation(name, type(module).__name__, tuple(output.shape[1:]), maps, top, curve))

    with layer_hooks(model, note):
        logits = model(_ready(received[None], preprocess))
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    filters = np.zeros((0, 0, 0, 0), np.float32) if first is None else first.weight[:MOST_FILTERS].numpy().copy()
    return PictureActivations(tuple(layers), filters, first.out_channels if first else 0, logits.softmax(1)[0].numpy())


@torch.no_grad()
def count_dead(model: nn.Module, images: np.ndarray, preprocess: Preprocess) -> list[Units]:
    """The dead units of every activation layer over a sample: images uint8 (N, 3, S, S), N at least 1."""
    alive: dict[str, Tensor] = {}
    kinds: dict[str, str] = {}

    def note(name: str, module: nn.Module, given: Tensor, output: Tensor) -> None:
        if not isinstance(module, ACTIVATIONS):
            return
        given = _maps_first(given)
        active = given.abs() < SATURATES_AT[type(module)] if type(module) in SATURATES_AT else given > 0
        units = 1 if active.dim() == 4 else active.dim() - 1  # the dimension of maps, or of features
        active = active.movedim(units, 0).flatten(1).any(1)
        alive[name] = alive.get(name, torch.zeros_like(active)) | active
        kinds[name] = type(module).__name__

    with layer_hooks(model, note):
        for block in np.array_split(images, -(-len(images) // evaluation_batch(images.shape[-1]))):
            model(_ready(block, preprocess))
    return [
        Units(name, kinds[name], len(active), tuple(torch.nonzero(~active).flatten().tolist()))
        for name, active in alive.items()
    ]


@contextmanager
def layer_hooks(model: nn.Module, note: Callable[[str, nn.Module, Tensor, Tensor], Any]) -> Iterator[None]:
    """Call note(name, layer, input, output) for every layer (whole_layers) in every forward pass.

    A layer that is passed again has its turn in its name from the second on. Others wait until the hooks are removed.
    """
    with _HOOKED:
        turns: Counter[str] = Counter()
        given: dict[str, Tensor] = {}
        handles = [model.register_forward_pre_hook(lambda *_: turns.clear())]
        for name, module in whole_layers(model):

            def before(module: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
                given[name] = inputs[0].clone()  # a layer may write its output over it

            def after(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                turns[name] += 1
                output = output[0] if isinstance(output, tuple) else output
                note(name if turns[name] == 1 else f"{name} ({turns[name]})", module, given.pop(name), output)

            handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def activation_curve(module: nn.Module, given: Tensor, output: Tensor, points: int = 201) -> Curve:
    """given, output: float, any shape, before and after `module`."""
    values, left = given.float().flatten().numpy(), output.float().flatten().numpy()
    reach = max(1.0, float(np.abs(values).max()))
    x = torch.linspace(-reach, reach, points)
    y = module.forward(x.clone()).numpy()  # not module(x): that would call the hooks
    low, high = float(min(y.min(), left.min())), float(max(y.max(), left.max()))
    before, _ = np.histogram(values, BINS, (-reach, reach))
    after, _ = np.histogram(left, BINS, (low, high))
    return Curve(x.numpy(), y, before, after, (low, high))


def as_grey(values: np.ndarray) -> tuple[np.ndarray, float]:
    """float (C, h, w) or (F,) -> uint8 of the first maps, 128 where zero, and the value that 255 stands for."""
    if values.ndim != 3:
        values = values.reshape(1, 1, -1)[..., :MOST_FEATURES]
    step = -(-max(values.shape[1], 1) // MOST_SIDE) if values.shape[1] > 1 else 1
    top = max(float(np.percentile(np.abs(values), BRIGHTEST)), 1e-12)
    kept = values[:MOST_MAPS, ::step, :: step if values.shape[1] > 1 else 1]
    return np.clip(128 + 127 * kept / top, 0, 255).round().astype(np.uint8), top


def _maps_first(values: Tensor) -> Tensor:
    """(N, channels, side, side) of (N, side, side, channels), as core.models.summary.maps_first."""
    return values if maps_first(values.shape[1:]) == values.shape[1:] else values.permute(0, 3, 1, 2)


def _ready(received: np.ndarray, preprocess: Preprocess) -> Tensor:
    return normalise(torch.from_numpy(np.ascontiguousarray(received.transpose(0, 2, 3, 1))), preprocess)
