"""time_run: how long a run would take, from a few timed batches and answers. Its Speed comes last.

*steps, speed = time_run(model, parts, pictures, classes, TrainConfig(), Hardware(torch.device("cpu")))
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from core.config import TrainConfig
from core.data.batches import Part
from core.engine.evaluate import evaluate, mean_loss_and_predictions
from core.engine.fit import fit
from core.engine.hardware import Hardware
from core.evaluation import MEASURES
from core.rows import EpochRow, TickRow

WARM_SECONDS = 0.5  # of training that are left out: the first steps choose kernels and fill caches
TIMED_SECONDS = 1.6
FEWEST_TICKS = 3  # after the warm-up, however long they take
ANSWERED = 1_000  # pictures of a part that are answered in each measure; the rest takes as long in proportion
ENDLESS = 1_000_000  # epochs: more than any of these tests lasts


@dataclass(frozen=True)
class Timed:
    """How far the timing is: for a progress bar."""

    done: int  # hundredths
    total: int = 100


@dataclass(frozen=True)
class Speed:
    images_per_second: float  # training pictures
    seconds_per_epoch: float  # training and the pass over the validation part
    evaluation_seconds: float  # answering every part in every measure, once, at the end
    warm_seconds: float  # by which the first steps took longer than later ones
    batches: int  # that were timed


def time_run(
    model: nn.Module,
    parts: dict[str, Part],
    pictures: dict[str, int],
    classes: int,
    config: TrainConfig,
    hardware: Hardware,
) -> Iterator[Timed | Speed]:
    """Time the training loop itself on `model` (fresh weights, of no use afterwards). Takes two to three seconds.

    `parts`: pictures of "train" and, where there are some, of "val" and "test"; they may be fewer than the numbers
    in `pictures`, which are those of the run. The warm-up is left out; of the ticks of `fit` the median counts, or,
    where whole epochs are short enough to be seen, the median epoch. Raises UserMistake as `fit` does.
    """
    train, val = parts["train"], parts.get("val")
    config = config.model_copy(update={"epochs": ENDLESS, "learning_rate": 1e-5, "schedule": "constant", "patience": 0})
    ticks: list[float] = []  # pictures a second
    epochs: list[float] = []  # seconds, with what happens between two of them
    epoch_began: float | None = None
    warm_steps, warm_seconds, last_step, began = 0, 0.0, 0, time.perf_counter()
    rows = fit(model, train, None, classes, config, hardware)
    for row in rows:
        now = time.perf_counter() - began
        if isinstance(row, EpochRow):
            if epoch_began is not None:
                epochs.append(now - epoch_began)
            epoch_began = now if warm_steps else None
        elif isinstance(row, TickRow):
            last_step = row.step
            if now < WARM_SECONDS or not warm_steps:
                warm_steps, warm_seconds = row.step, now
            else:
                ticks.append(row.images_per_second)
                yield Timed(min(80, int(80 * now / (WARM_SECONDS + TIMED_SECONDS))))
            if now > WARM_SECONDS + TIMED_SECONDS and len(ticks) >= FEWEST_TICKS:
                break
    rows.close()
    rate = statistics.median(ticks)
    seconds = pictures["train"] / rate
    if len(train) == pictures["train"] and len(epochs) >= FEWEST_TICKS:
        seconds = statistics.median(epochs)
    warm_seconds = max(0.0, warm_seconds - warm_steps * min(config.batch_size, len(train)) / rate)
    yield Timed(85)
    if val is not None and len(val):
        few = first_pictures(val, ANSWERED)
        val_began = time.perf_counter()
        mean_loss_and_predictions(model, few)
        seconds += (time.perf_counter() - val_began) * pictures["val"] / len(few)
    yield Timed(90)
    answered = 0.0
    few = first_pictures(train, ANSWERED)
    names = tuple(str(number) for number in range(classes))
    for measure in MEASURES:
        answered += evaluate(model, few, "train", names, measure).seconds / len(few)
    yield Speed(
        images_per_second=rate,
        seconds_per_epoch=seconds,
        evaluation_seconds=answered * sum(pictures.values()),
        warm_seconds=warm_seconds,
        batches=last_step - warm_steps,
    )


def first_pictures(part: Part, most: int) -> Part:
    """A part of at most `most` pictures."""
    if len(part) <= most:
        return part
    images = part.images[:most] if isinstance(part.images, torch.Tensor) else part.images
    return replace(part, images=images, labels=part.labels[:most], indices=part.indices[:most])
