"""learning_rate: the learning-rate schedules, as functions of the step. No torch: the Train page draws them."""

import math

from core.config import TrainConfig

START_DIVISOR = 25.0  # a one-cycle run starts at a 25th of its peak (Smith 2018; torch.optim.lr_scheduler.OneCycleLR)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Learning rate of iteration `step` (0-based) of `steps`."""
    peak, done = config.learning_rate, step / max(1, steps)
    if config.schedule == "step":
        return peak * 0.1 ** min(2, int(3 * done))
    if config.schedule == "cosine":
        return peak * _fall(done)
    if config.schedule == "one_cycle":
        if done < config.warmup:
            low = peak / START_DIVISOR
            return low + (peak - low) * done / config.warmup
        return peak * _fall((done - config.warmup) / (1 - config.warmup))
    return peak


def _fall(done: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
