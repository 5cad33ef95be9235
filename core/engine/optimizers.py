"""build_optimizer: torch's optimizer by its name in TrainConfig."""

from collections.abc import Callable, Iterable

from torch import nn, optim

from core.config import TrainConfig
from core.engine.muon import MuonOnFilters

Build = Callable[[Iterable[nn.Parameter], TrainConfig], optim.Optimizer]


def _sgd(parameters: Iterable[nn.Parameter], config: TrainConfig, nesterov: bool = False) -> optim.Optimizer:
    return optim.SGD(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=nesterov and config.momentum > 0,  # without momentum there is nothing to look ahead along
        fused=True,
    )


OPTIMIZERS: dict[str, Build] = {
    "sgd": _sgd,
    "nesterov": lambda parameters, config: _sgd(parameters, config, nesterov=True),
    "adam": lambda parameters, config: optim.Adam(
        parameters,
        lr=config.learning_rate,
        betas=(config.momentum, 0.999),
        weight_decay=config.weight_decay,
        fused=True,
    ),
    "adamw": lambda parameters, config: optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=(config.momentum, 0.999),
        weight_decay=config.weight_decay,
        fused=True,
    ),
    "rmsprop": lambda parameters, config: optim.RMSprop(
        parameters,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        foreach=True,
    ),
    "muon": MuonOnFilters,
}
NEEDS_SHAPES = ("muon",)  # rules that act on a layer as a whole; the others act on each number alone, in one vector


def build_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> optim.Optimizer:
    return OPTIMIZERS[config.optimizer](parameters, config)
