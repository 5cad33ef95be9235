"""learning_rate, picture_side: what changes while a run trains, as functions of how far it is. No torch: the Train page
draws them."""

import math

from core.config import TrainConfig
from core.fields import RESNET_SMALLEST

GROWN = 2 / 3  # of the epochs, after which pictures have their whole size
ENDLESS = 1_000_000  # epochs: more than any timing lasts
START_DIVISOR = 25.0  # a one-cycle run starts at a 25th of its peak (Smith 2018; torch.optim.lr_scheduler.OneCycleLR)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Learning rate of iteration `step` (0-based) of `steps`."""
    peak, done = config.learning_rate, step / max(1, steps)
    if config.schedule == "step":
        return peak * 0.1 ** min(2, int(3 * done))
    if config.schedule == "linear":
        return peak * max(0.0, 1 - done)
    if config.schedule == "cosine":
        return peak * _fall(done)
    if config.schedule == "one_cycle":
        if done < config.warmup:
            low = peak / START_DIVISOR
            return low + (peak - low) * done / config.warmup
        return peak * _fall((done - config.warmup) / (1 - config.warmup))
    return peak


def picture_side(config: TrainConfig, side: int, epoch: int) -> int:
    """Side in pixels of the pictures of an epoch (from 1 on) that are `side` pixels in the end: with progressive
    resizing fewer at first, in even steps (Howard 2018, fast.ai's entry to DAWNBench)."""
    if config.progressive == 1:
        return side
    done = (epoch - 1) / (GROWN * config.epochs)
    if done >= 1:
        return side
    share = config.progressive + (1 - config.progressive) * done
    return max(min(RESNET_SMALLEST, side), min(side, 2 * round(share * side / 2)))


def work_done(config: TrainConfig, side: int, done: float) -> float:
    """Share of the work of all epochs that is behind a run which has done that share of its steps: an epoch costs as
    many times as much as its pictures have pixels."""
    costs = [picture_side(config, side, epoch) ** 2 for epoch in range(1, config.epochs + 1)]
    whole, rest = divmod(done * config.epochs, 1)
    begun = rest * costs[int(whole)] if int(whole) < len(costs) else 0.0
    return (sum(costs[: int(whole)]) + begun) / sum(costs)


def mean_work(config: TrainConfig, side: int) -> float:
    """What an epoch costs in the mean, by what it costs with pictures of the whole size."""
    sides = [picture_side(config, side, epoch) for epoch in range(1, config.epochs + 1)]
    return sum((own / side) ** 2 for own in sides) / len(sides)


def endless(config: TrainConfig) -> TrainConfig:
    """The same training without an end, for whoever times it: small steps that nothing stops, against the labels, as a
    teacher's answers, once kept, take next to no time; on pictures of the whole size, for mean_work counts that they
    grow; and with the first layer frozen where it is for most of the epochs."""
    still: dict[str, object] = {"learning_rate": 1e-5, "schedule": "constant", "patience": 0}
    still["freeze_first"] = 0.0 if config.freeze_first < 0.5 else 1.0
    return config.model_copy(update=still | {"epochs": ENDLESS, "teacher": "", "progressive": 1.0})


def _fall(done: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
