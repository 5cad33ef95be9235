"""Snapshotter: a network in training, by its predictions for a few pictures and its first filters. Changes nothing."""

import numpy as np
import torch
from torch import nn

from core.data.store.batches import Part
from core.data.store.store import TensorStore
from core.engine.evaluate import evaluate
from core.snapshot import Snapshot

PICTURES = 12  # of a snapshot: two or three rows on a page
FILTERS = 64  # of the first convolution, at most


class Snapshotter:
    """A few fixed pictures and the filters that `model` begins with; take() may be called once `fit` has begun.

    The pictures are of the validation part. Only without one are they test pictures: whoever stops a run by their
    predictions has chosen by the test.
    """

    def __init__(self, model: nn.Module, store: TensorStore, device: torch.device) -> None:
        self.model, self.classes = model, store.classes
        self.part_name = "val" if len(store.parts["val"]) else "test"
        self.few = take_few(store, self.part_name, device)
        self.first_filters = first_filters(model)

    def take(self, epoch: int, step: int) -> Snapshot:
        """The network as it is now. Evaluation mode and no gradients: weights, running statistics and the state of
        every random generator are afterwards what they were."""
        evaluation = evaluate(self.model, self.few, self.part_name, self.classes)
        return Snapshot(
            part=self.part_name,
            epoch=epoch,
            step=step,
            indices=evaluation.indices,
            labels=evaluation.labels,
            probabilities=evaluation.probabilities,
            filters=first_filters(self.model),
            first_filters=self.first_filters,
            all_filters=count_filters(self.model),
        )


def take_few(store: TensorStore, part: str, device: torch.device, most: int = PICTURES) -> Part:
    """At most `most` pictures of a part, held in memory, class by class: as many of each class, from all over it; of
    more classes than that, one of each of some."""
    rows = store.parts[part]
    labels = store.labels[rows]
    present = np.unique(labels)
    if len(present) > most:
        present = present[np.linspace(0, len(present) - 1, most).round().astype(int)]
    each = most // max(len(present), 1)
    chosen = [_spread(np.flatnonzero(labels == label), each) for label in present]
    few = rows[np.concatenate(chosen)] if chosen else rows[:0]
    return Part(
        images=torch.from_numpy(store.images[few]).permute(0, 2, 3, 1).contiguous().to(device),
        labels=torch.from_numpy(store.labels[few]).to(device),
        indices=torch.from_numpy(few).to(device),
        preprocess=store.preprocess,
        device=device,
    )


def first_filters(model: nn.Module) -> np.ndarray:
    """float32 (filters, channels, height, width), a copy: weights of the first Conv2d; (0, 0, 0, 0) without one."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return np.array(module.weight[:FILTERS].detach().float().cpu().contiguous().numpy())
    return np.zeros((0, 0, 0, 0), np.float32)


def count_filters(model: nn.Module) -> int:
    """How many filters the first Conv2d has; 0 without one."""
    return next((module.out_channels for module in model.modules() if isinstance(module, nn.Conv2d)), 0)


def _spread(places: np.ndarray, count: int) -> np.ndarray:
    """`count` of the places, evenly: neighbours in a dataset are often nearly the same picture."""
    if len(places) <= count:
        return places
    return places[(np.arange(count) * len(places)) // count]
