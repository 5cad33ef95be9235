"""evaluate: a network's predictions for every picture of a part, in evaluation mode or the paper's own way."""

import copy
import time

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
    """Predictions for a part; the model is left as it was. `which`: the model of a run that it is.

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


def predict_logits(model: nn.Module, images: Tensor) -> Tensor:
    """images float (B, 3, S, S) -> logits float (B, classes) of a network in evaluation mode.

    With flip test-time augmentation (`model.flip_tta`, which build_model sets from ModelConfig) the mean of the logits
    for each picture and its horizontal flip (Krizhevsky et al. 2012, section 4.1).
    """
    logits: Tensor = model(images)
    return (logits + model(images.flip(3))) / 2 if getattr(model, "flip_tta", False) else logits


def evaluation_batch(image_size: int) -> int:
    """Pictures in a batch: 500 of 32 pixels, at least 4. In evaluation mode they do not affect each other."""
    return max(4, EVALUATION_PIXELS // image_size**2)


@torch.no_grad()
def _predict(model: nn.Module, part: Part, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    was_training = model.training
    model.eval()
    try:
        at_once = FEATURES_AT_ONCE if part.holds_features else evaluation_batch(part.preprocess.image_size)
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
