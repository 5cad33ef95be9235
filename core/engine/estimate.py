"""time_run: how long a run would take, from a few timed batches and predictions. Its Speed comes last.

*steps, speed = time_run(model, parts, pictures, classes, TrainConfig(), Hardware(torch.device("cpu")))
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from core.config import TrainConfig
from core.data.store.batches import Part
from core.engine.evaluate import evaluate, mean_loss_and_predictions, views_of
from core.engine.fit import fit
from core.engine.hardware import Hardware, autocast
from core.engine.schedule import endless, mean_work
from core.engine.train_state import TrainState
from core.evaluation import MEASURES
from core.fields import expected_views
from core.rows import EpochRow, Row, TickRow

WARM_SECONDS = 0.5  # of training that are left out: the first steps choose kernels and fill caches
TIMED_SECONDS = 1.6
FEWEST_TICKS = 3  # after the warm-up, however long they take
PREDICTED = 1_000  # pictures of a part that are predicted in each measure; the rest takes as long in proportion


@dataclass(frozen=True)
class Timed:
    """How far the timing is: for a progress bar."""

    done: int  # hundredths
    total: int = 100


@dataclass(frozen=True)
class Speed:
    images_per_second: float  # training pictures
    seconds_per_epoch: float  # training and the pass over the validation part
    evaluation_seconds: float  # predicting every part in every measure, once, at the end
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
    """Time the training loop itself on `model` (fresh weights, useless afterwards). Takes two to three seconds.

    `parts`: pictures of "train" and, where there are some, of "val" and "test"; they may be fewer than the numbers
    in `pictures`, which are those of the run. The warm-up is left out; of the ticks of `fit` the median counts, or,
    where whole epochs are short enough to be timed, the median epoch. Raises UserMistake as `fit` does.
    """
    train = parts["train"]
    timing = _TrainingTime()
    yield from _time_training(timing, model, train, classes, config, hardware)
    rate = statistics.median(timing.rates)
    seconds = pictures["train"] / rate
    if len(train) == pictures["train"] and len(timing.epochs) >= FEWEST_TICKS:
        seconds = statistics.median(timing.epochs)
    if getattr(model, "takes_any_size", False):
        seconds *= mean_work(config, train.preprocess.image_size)
    yield Timed(85)
    with autocast(config, hardware):
        seconds += _time_validation(model, parts.get("val"), pictures)
    yield Timed(90)
    with autocast(config, hardware):
        seconds_a_picture = _seconds_a_picture(model, train, classes)
    yield Speed(
        images_per_second=rate,
        seconds_per_epoch=seconds,
        evaluation_seconds=seconds_a_picture * sum(pictures.values()),
        warm_seconds=max(0.0, timing.warm_seconds - timing.warm_steps * min(config.batch_size, len(train)) / rate),
        batches=timing.step - timing.warm_steps,
    )


class _TrainingTime:
    """What the rows of fit say of its speed, from when this is made."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.rates: list[float] = []  # pictures a second, one a tick
        self.epochs: list[float] = []  # seconds, with what happens between two of them
        self.epoch_began: float | None = None
        self.step = self.warm_steps = 0
        self.seconds = self.warm_seconds = 0.0

    def note(self, row: Row | TickRow) -> None:
        self.seconds = time.perf_counter() - self.began
        if isinstance(row, EpochRow):
            if self.epoch_began is not None:
                self.epochs.append(self.seconds - self.epoch_began)
            self.epoch_began = self.seconds if self.warm_steps else None
        elif isinstance(row, TickRow):
            self.step = row.step
            if self.seconds < WARM_SECONDS or not self.warm_steps:
                self.warm_steps, self.warm_seconds = row.step, self.seconds
            else:
                self.rates.append(row.images_per_second)

    @property
    def is_enough(self) -> bool:
        return self.seconds > WARM_SECONDS + TIMED_SECONDS and len(self.rates) >= FEWEST_TICKS


def _time_training(
    timing: _TrainingTime, model: nn.Module, train: Part, classes: int, config: TrainConfig, hardware: Hardware
) -> Iterator[Timed]:
    rows = fit(model, train, None, classes, endless(config), hardware)
    for row in rows:
        assert not isinstance(row, TrainState), "a state comes only when it is asked for"
        timing.note(row)
        if isinstance(row, TickRow) and timing.rates:
            yield Timed(min(80, int(80 * timing.seconds / (WARM_SECONDS + TIMED_SECONDS))))
        if isinstance(row, TickRow) and timing.is_enough:
            break
    rows.close()


def _time_validation(model: nn.Module, val: Part | None, pictures: dict[str, int]) -> float:
    """Seconds of the pass over the validation part, 0.0 without one."""
    if val is None or not len(val):
        return 0.0
    few = first_pictures(val, PREDICTED)
    began = time.perf_counter()
    mean_loss_and_predictions(model, few)
    return (time.perf_counter() - began) * pictures["val"] / len(few)


def _seconds_a_picture(model: nn.Module, train: Part, classes: int) -> float:
    """Of predicting in every measure; a network that has learnt nothing yet is unsure of more than it will be."""
    few = first_pictures(train, PREDICTED)
    names = tuple(str(number) for number in range(classes))
    seconds = {measure: evaluate(model, few, "train", names, measure).seconds for measure in MEASURES}
    views = len(views_of(model, torch.empty(1, 3, 32, 32)))
    seconds["evaluation"] *= expected_views(views, getattr(model, "tta_below", 1.0)) / views
    return sum(seconds.values()) / len(few)


def first_pictures(part: Part, most: int) -> Part:
    """A part of at most `most` pictures."""
    if len(part) <= most:
        return part
    images = part.images[:most] if isinstance(part.images, torch.Tensor) else part.images
    return replace(part, images=images, labels=part.labels[:most], indices=part.indices[:most])
