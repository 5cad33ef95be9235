"""find_rate: the learning-rate range test (Smith 2017): the rate rises with every batch, and the loss says which suits.

points = list(find_rate(model, train, classes, TrainConfig(), Hardware(torch.device("cpu"))))
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from core.config import TrainConfig
from core.data.store.batches import Batch, Part, training_batches
from core.engine.flat import FlatWeights
from core.engine.hardware import Hardware, autocast
from core.engine.loss import Loss
from core.engine.optimizers import NEEDS_SHAPES, build_optimizer
from core.fields import check_with_data

BATCHES = 100  # as fastai's lr_find
LOWEST, HIGHEST = 1e-7, 10.0  # as there; clipped to what TrainConfig allows
MEMORY = 0.9  # of the running mean: a loss counts for about ten batches
TOO_HIGH = 4.0  # times the smallest loss so far: the test has seen enough


@dataclass(frozen=True)
class RatePoint:
    """One batch of the test."""

    rate: float
    loss: float  # of this batch, before its step; may be infinite or NaN at the last point
    smoothed: float  # running mean of the losses, corrected for its start


@dataclass(frozen=True)
class Suggestion:
    rate: float
    low: float  # from here on the loss falls: a tenth of the whole fall is done
    high: float  # where the loss is smallest: above it, training becomes unstable


def find_rate(
    model: nn.Module, train: Part, classes: int, config: TrainConfig, hardware: Hardware, batches: int = BATCHES
) -> Iterator[RatePoint]:
    """Train `model` (fresh weights, useless afterwards) for `batches` batches, each with a higher rate.

    Optimizer, momentum, weight decay, loss, batch size, augmentation and precision are those of `config`.
    Ends early where the smoothed loss is above 4 times its minimum or not finite. Small parts are passed over again.
    """
    check_with_data(config.model_copy(update={"patience": 0}), {"train": len(train), "val": 0})
    lowest, highest = rate_range()
    batch_size = min(config.batch_size, len(train))
    model.to(device=hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    flat = None if config.optimizer in NEEDS_SHAPES else FlatWeights(model)
    optimizer = build_optimizer([flat.vector] if flat else model.parameters(), config)
    half_precision, criterion = autocast(config, hardware), Loss(config, train.labels, classes)
    mean, smallest = 0.0, math.inf
    for number, batch in zip(range(batches), _endless(train, batch_size, config), strict=False):
        rate = lowest * (highest / lowest) ** (number / (batches - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with half_precision:
            logits = model(batch.images)
        loss = criterion(logits.float(), batch)
        if flat:
            flat.backward(loss)
        else:
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        batch_loss = float(loss.detach())
        mean = MEMORY * mean + (1 - MEMORY) * batch_loss
        smoothed = mean / (1 - MEMORY ** (number + 1))
        yield RatePoint(rate, batch_loss, smoothed)
        smallest = min(smallest, smoothed)
        if not math.isfinite(smoothed) or smoothed > TOO_HIGH * smallest:
            return


def suggest_rate(points: Sequence[RatePoint]) -> Suggestion | None:
    """The rate at which half of the fall of the smoothed loss is done; None where it never fell.

    The fall is from the loss of the first fifth of the points (their median: rates too small to change anything) to
    the minimum. On an S-shaped curve that is its steepest place, but found from the whole curve instead of from two
    neighbouring points.

    Measured with the paper's network, three seeds each, against short runs at fixed rates (CIFAR-10: 2 epochs of 12,000
    pictures, two seeds a rate; in brackets the rates within a point of the best accuracy). CIFAR-10: sgd at batch 32
    0.045 to 0.074 (0.01 to 0.02, and 0.05 one and a half below), nesterov at 256 with one-cycle 0.063 to 0.074 (0.2;
    0.05 is three below), adam at 32 0.0028 to 0.0055 (0.001 to 0.002), adamw at 256 with one-cycle 0.0034 to 0.0046
    (0.01 to 0.02; 0.003 is two below), rmsprop at 64 0.0002 to 0.0003 (0.0001 to 0.0003). Artworks: sgd 0.017 to
    0.02, nesterov 0.015 to 0.02, adam 0.0015 to 0.0024, adamw 0.0017 to 0.0021, rmsprop 0.00007 to 0.00009. A tenth of
    the minimum's rate differed by up to a factor of 13 between these seeds, the steepest pair of points by one of 8.
    """
    finite = [point for point in points if math.isfinite(point.smoothed)]
    if len(finite) < 5:
        return None
    start = sorted(point.smoothed for point in finite[: len(finite) // 5 + 1])[len(finite) // 10]
    bottom = min(range(len(finite)), key=lambda i: finite[i].smoothed)
    fall = start - finite[bottom].smoothed
    if fall < 0.02 * start:  # the wobble of the batches is about as large
        return None

    def after(share: float) -> float:
        """The first rate from which on, down to the bottom, that share of the fall stays done."""
        level = start - share * fall
        above = [i for i in range(bottom + 1) if finite[i].smoothed > level]
        return finite[min(above[-1] + 1, bottom) if above else 0].rate

    # two digits: other seeds move it by far more
    return Suggestion(rate=float(f"{after(0.5):.2g}"), low=after(0.1), high=finite[bottom].rate)


def rate_range() -> tuple[float, float]:
    """1e-7 to 10, clipped to what TrainConfig allows."""
    rules = TrainConfig.model_fields["learning_rate"].metadata
    low = max(getattr(rule, "ge", LOWEST) for rule in rules)
    high = min(getattr(rule, "le", HIGHEST) for rule in rules)
    return max(LOWEST, low), min(HIGHEST, high)


def _endless(train: Part, batch_size: int, config: TrainConfig) -> Iterator[Batch]:
    """Epoch after epoch, in the order in which a run with this seed sees them."""
    epoch = 1
    while True:
        yield from training_batches(train, batch_size, config.augment, config.seed, epoch, flips=config.flips)
        epoch += 1
