"""evaluate: a network's predictions for every picture of a part, in evaluation mode or the paper's own way."""

import copy
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.data.store.batches import Part, ordered_batches
from core.evaluation import Evaluation, Measure, Which

EVALUATION_PIXELS = 500 * 32 * 32  # in a batch: 6 MB as floats, so that large pictures do not exhaust the memory
FEATURES_AT_ONCE = 4096  # 16 MB of 1,024 floats
PAPER_BATCH = 32  # section 3 of the paper
PAPER_COUNTED = 2  # its loop runs over len(data), which is 2 (images, labels)


def evaluate(
    model: nn.Module,
    part: Part,
    part_name: str,
    classes: tuple[str, ...],
    measure: Measure = "evaluation",
    which: Which = "last",
) -> Evaluation:
    """Predictions for a part; the model is left as it was. `which`: the model of a run that it is. Under the autocast
    of a training they are computed in its number format.

    "evaluation": every picture, running statistics. "paper": the first two of each batch of 32, statistics of the
    current batch, the part in a mixed order (the same every time): 626 of 10,000 pictures, 134 of 2,142.
    """
    began = time.perf_counter()
    indices, labels, logits = (_predict if measure == "evaluation" else _predict_like_the_paper)(
        model, part, len(classes)
    )
    return Evaluation(
        part=part_name,
        measure=measure,
        classes=classes,
        indices=indices.cpu().numpy(),
        labels=labels.cpu().numpy(),
        probabilities=np.asarray(logits.float().softmax(1).cpu().numpy(), dtype=np.float32),
        seconds=time.perf_counter() - began,
        model=which,
    )


@dataclass(frozen=True)
class View:
    """Pictures as they are looked at in test-time augmentation."""

    images: Tensor  # float (B, 3, S, S)
    weight: float  # of its logits; those of all views together are 1
    is_flipped: bool


def predict_logits(model: nn.Module, images: Tensor) -> Tensor:
    """images float (B, 3, S, S) -> logits float (B, classes) of a network in evaluation mode.

    With test-time augmentation (`model.flip_tta`, `model.crop_tta`, which build_model sets from ModelConfig) the mean
    of the logits for the views of each picture; with `model.tta_below` under 1 only for pictures of which the network
    is unsure.
    """
    logits = _logits(model, images)
    if not augments(model):
        return logits
    unsure = is_unsure(model, logits)
    if unsure is None:
        return _mean_of_views(model, images, logits)
    if torch.compiler.is_exporting():  # a program for any pictures: both answers, of which one is taken
        return torch.where(unsure[:, None], _mean_of_views(model, images, logits), logits)
    if not unsure.any():
        return logits
    return logits.index_put((unsure,), _mean_of_views(model, images[unsure], logits[unsure]))


def augments(model: nn.Module) -> bool:
    """Whether the network looks at more than the pictures as they are."""
    return bool(getattr(model, "flip_tta", False) or getattr(model, "crop_tta", False))


def is_unsure(model: nn.Module, logits: Tensor) -> Tensor | None:
    """bool (B,): whether the likeliest class got less probability than `model.tta_below`; None where that is 1, so that
    all views of every picture count."""
    below = getattr(model, "tta_below", 1.0)
    return None if below >= 1 else logits.float().softmax(1).amax(1) < below


def views_of(model: nn.Module, images: Tensor) -> list[View]:
    """The pictures as they are first; then, as the network is made, their horizontal flips (Krizhevsky et al. 2012,
    section 4.1) and both shifted by a thirty-second of the side, up to the left and down to the right, mirrored where
    that leaves the picture (Jordan 2024: together they weigh as much as what is not shifted)."""
    flips, side = bool(getattr(model, "flip_tta", False)), images.shape[-1]
    centres = [images]
    if getattr(model, "crop_tta", False):
        step = view_step(side)
        padded = nn.functional.pad(images, (step, step, step, step), "reflect")
        centres += [padded[..., :side, :side], padded[..., 2 * step :, 2 * step :]]
    weights = [0.5, 0.25, 0.25] if len(centres) > 1 else [1.0]
    return [
        View(centre.flip(3) if flipped else centre, weight / 2 if flips else weight, flipped)
        for centre, weight in zip(centres, weights, strict=True)
        for flipped in ((False, True) if flips else (False,))
    ]


def view_step(side: int) -> int:
    """Pixels by which a picture of that side is shifted."""
    return max(1, round(side / 32))


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    """float (B, classes), for sums: not in bfloat16, which holds 3 digits, where autocast computes in it."""
    logits: Tensor = model(images)
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def _mean_of_views(model: nn.Module, images: Tensor, logits: Tensor) -> Tensor:
    """float (B, classes); `logits`: those of the pictures as they are."""
    first, *others = views_of(model, images)
    mean = logits * first.weight
    for view in others:
        mean = mean + _logits(model, view.images) * view.weight
    return mean


def evaluation_batch(image_size: int, has_wide_maps: bool = False) -> int:
    """Pictures in a batch: 500 of 32 pixels, at least 4; a quarter for a network with many channels, whose maps of more
    pictures leave the caches (docs/performance.md). In evaluation mode pictures do not affect each other."""
    return max(4, EVALUATION_PIXELS // image_size**2 // (4 if has_wide_maps else 1))


@torch.no_grad()
def _predict(model: nn.Module, part: Part, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    was_training = model.training
    model.eval()
    try:
        leaves_caches = part.device.type == "cpu" and getattr(model, "has_wide_maps", False)
        at_once = evaluation_batch(part.preprocess.image_size, leaves_caches)
        at_once = FEATURES_AT_ONCE if part.holds_features else at_once
        batches = ordered_batches(part, at_once)
        blocks = [predict_logits(model, batch.images) for batch in batches]
    finally:
        model.train(was_training)
    logits = torch.cat(blocks) if blocks else torch.empty(0, classes, device=part.device)
    return part.indices, part.labels, logits


@torch.no_grad()
def _predict_like_the_paper(model: nn.Module, part: Part, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    # a copy in training mode: batch norm uses the current batch, and the model's own running statistics stay
    copied = copy.deepcopy(model).train()
    with torch.random.fork_rng(devices=[]):  # dropout acts too, as it would in the paper, and the same each time
        torch.default_generator.manual_seed(0)
        return _count_the_papers_way(copied, part, classes)


def _count_the_papers_way(copied: nn.Module, part: Part, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    mixed = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
    counted: list[tuple[Tensor, Tensor, Tensor]] = []
    for batch in ordered_batches(part, PAPER_BATCH, mixed):
        if len(batch.labels) >= PAPER_COUNTED:  # batch norm has no statistics of a single picture
            logits = copied(batch.images)[:PAPER_COUNTED]
            counted.append((batch.indices[:PAPER_COUNTED], batch.labels[:PAPER_COUNTED], logits))
    if not counted:
        return part.indices[:0], part.labels[:0], torch.empty(0, classes)
    indices, labels, logits = (torch.cat(column) for column in zip(*counted, strict=True))
    return indices, labels, logits


@torch.no_grad()
def mean_loss_and_predictions(model: nn.Module, part: Part) -> tuple[float, Tensor]:
    """(cross-entropy, int64 (n,) predicted classes) in evaluation mode: the mean over the part, which has at least one
    picture, without smoothing."""
    _, labels, logits = _predict(model, part, 0)
    return float(nn.functional.cross_entropy(logits.float(), labels)), logits.argmax(1)
