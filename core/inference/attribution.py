"""Attribution: which places of a picture speak for a class, by Grad-CAM, integrated gradients or occlusion (captum).

captum is imported when the first map is computed: it takes two seconds, because it brings matplotlib.
"""

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.data.pictures.preprocess import Preprocess
from core.data.store.batches import normalise
from core.engine.evaluate import augments, evaluation_batch, is_unsure, predict_logits, views_of
from core.errors import UserMistake
from core.inference.attribution_layers import MapLayer, cuts_patches_only, default_layer, shared_copy, trace_layers

Method = Literal["grad_cam", "integrated_gradients", "occlusion"]
METHODS: tuple[Method, ...] = get_args(Method)
STEPS = 32  # points between the neutral picture and the picture
FINE_SIDE = (
    64  # pixels: up to here a window of occlusion moves by 1/16 of the side, above by 1/8, for a quarter of the time
)
PEAK = 99.5  # per cent: the few pixels beyond it would leave the rest dark
NO_MAPS = (
    "Grad-CAM weighs the maps of a convolution, and this network's only one cuts the picture into patches before "
    "attention compares them."
)


@dataclass(frozen=True)
class Attribution:
    """How much each place of a picture speaks for a class."""

    method: Method
    target: int  # index of the class
    map: np.ndarray  # float32 (S, S), 0..1: 1 speaks most for the class, 0 not at all or against it
    resolution: tuple[int, int]  # height and width of the map before it was enlarged
    layer: str  # whose maps Grad-CAM weighed; "" for other methods


class Explainer:
    """A network prepared for attribution; it works on a copy that shares the weights, and leaves the network alone."""

    def __init__(self, model: nn.Module, preprocess: Preprocess) -> None:
        self.preprocess = preprocess
        self.methods = methods_for(model)
        self._answers = _Answers(shared_copy(model))
        self._one_at_a_time = threading.Lock()  # captum's hooks are the copy's, and sessions may share an Explainer

    @cached_property
    def layers(self) -> tuple[MapLayer, ...]:
        return trace_layers(self._answers.network, self.preprocess.image_size)

    def attribute(self, received: np.ndarray, method: Method, target: int, layer: str = "") -> Attribution:
        """received uint8 (3, S, S), as the preprocess receives pictures; layer only for Grad-CAM, "" for the default.

        UserMistake for a method that does not apply to this network and for a layer that it does not have.
        """
        if why_not := self.methods[method]:
            raise UserMistake(why_not)
        image = self.prepare(received)
        with self._one_at_a_time, torch.enable_grad():
            self._answers.look_at(image)
            if method == "grad_cam":
                return self._grad_cam(image, target, layer)
            if method == "integrated_gradients":
                return self._integrated_gradients(image, target)
            return self._occlude(image, target)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> np.ndarray:
        """images float (B, 3, S, S), normalised -> float32 (B, classes)."""
        blocks = images.split(evaluation_batch(images.shape[-1]))
        logits = [predict_logits(self._answers.network, block) for block in blocks]
        return np.asarray(torch.cat(logits).float().softmax(1).cpu().numpy(), dtype=np.float32)

    def prepare(self, received: np.ndarray) -> Tensor:
        """uint8 (3, S, S) -> float (1, 3, S, S), normalised; zeros are the neutral colour."""
        pixels = torch.from_numpy(np.ascontiguousarray(received.transpose(1, 2, 0)).copy())[None]
        return normalise(pixels, self.preprocess).to(next(self._answers.parameters()).device)

    def _grad_cam(self, image: Tensor, target: int, layer: str) -> Attribution:
        from captum.attr import LayerGradCam

        chosen = self._choose_layer(layer)
        module = self._answers.network.get_submodule(chosen.output)
        weighed = LayerGradCam(self._answers, module).attribute(image, target)
        maps = self._answers.put_together(weighed)
        enlarged = F.interpolate(maps, image.shape[2:], mode="bilinear", align_corners=False)
        return Attribution("grad_cam", target, _as_shares(enlarged), chosen.resolution, chosen.name)

    def _integrated_gradients(self, image: Tensor, target: int) -> Attribution:
        from captum.attr import IntegratedGradients

        at_once = evaluation_batch(image.shape[-1])
        parts = IntegratedGradients(self._answers).attribute(
            image, torch.zeros_like(image), target, n_steps=STEPS, internal_batch_size=at_once
        )
        size = (image.shape[2], image.shape[3])
        return Attribution("integrated_gradients", target, _as_shares(parts), size, "")

    def _occlude(self, image: Tensor, target: int) -> Attribution:
        from captum.attr import Occlusion

        side = image.shape[-1]
        step = max(1, side // (16 if side <= FINE_SIDE else 8))
        window = 2 * step
        with torch.no_grad():
            parts = Occlusion(self._answers).attribute(
                image, (3, window, window), step, 0, target, perturbations_per_eval=evaluation_batch(side)
            )
        places = 1 + -(-(side - window) // step)
        return Attribution("occlusion", target, _as_shares(parts), (places, places), "")

    def _choose_layer(self, name: str) -> MapLayer:
        if not name:
            return default_layer(self.layers)
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            known = ", ".join(layer.name for layer in self.layers)
            raise UserMistake(f"This network has no convolution called {name!r}; it has {known}")
        return found


def methods_for(model: nn.Module) -> dict[Method, str]:
    """Every method, with "" where it applies to this network and else a sentence that says why not."""
    return {method: NO_MAPS if method == "grad_cam" and cuts_patches_only(model) else "" for method in METHODS}


def attribute(
    model: nn.Module, received: np.ndarray, preprocess: Preprocess, method: Method, target: int, layer: str = ""
) -> Attribution:
    """As Explainer.attribute, for a single map."""
    return Explainer(model, preprocess).attribute(received, method, target, layer)


class _Answers(nn.Module):
    """images float (B, 3, S, S) -> logits float (B, classes), as core.engine.evaluate.predict_logits gives them.

    With test-time augmentation all views pass the network in one batch, so that a layer is seen once, with maps of
    all: captum keeps what a layer made of the last batch alone. Where they count for unsure pictures only, the picture
    that is explained, see look_at, says once whether they do: not each change of it anew.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.augments = network, augments(network)

    @torch.no_grad()
    def look_at(self, image: Tensor) -> None:
        """image float (1, 3, S, S): the one that is explained next."""
        if augments(self.network) and getattr(self.network, "tta_below", 1.0) < 1:
            self.augments = bool(is_unsure(self.network, self.network(image)))

    def forward(self, images: Tensor) -> Tensor:
        if not self.augments:
            logits: Tensor = self.network(images)
            return logits
        views = views_of(self.network, images)
        answers = self.network(torch.cat([view.images for view in views])).chunk(len(views))
        weighed: Tensor = torch.stack([answer * view.weight for answer, view in zip(answers, views, strict=True)])
        return weighed.sum(0)

    def put_together(self, maps: Tensor) -> Tensor:
        """Maps of a layer, float (views B, 1, h, w) -> (B, 1, h, w): those of a flipped picture are turned back; by how
        little a view is shifted a map does not show."""
        if not self.augments:
            return maps
        views = views_of(self.network, torch.empty(1, 3, 32, 32))
        maps_of = zip(maps.chunk(len(views)), views, strict=True)
        return torch.stack([one.flip(3) if view.is_flipped else one for one, view in maps_of]).sum(0)


def _as_shares(values: Tensor | tuple[Any, ...]) -> np.ndarray:
    """float (1, channels, S, S) -> float32 (S, S), 0..1: the channels added, what speaks against the class left out."""
    assert isinstance(values, Tensor), type(values)
    speaks = values[0].sum(0).clamp(min=0).detach().float().cpu().numpy()
    top = float(np.percentile(speaks, PEAK)) or float(speaks.max())
    return np.asarray((speaks / top).clip(0, 1) if top > 0 else speaks, dtype=np.float32)
