"""build_model: from a ModelConfig to a network with fresh weights."""

from collections.abc import Callable

import torch
from torch import nn

from core.config import ModelConfig
from core.errors import UserMistake
from core.models.cnn import CNN
from core.models.paper_cnn import PaperCNN
from core.models.resnet import ResNet

MODELS: dict[str, Callable[[ModelConfig, int, int], nn.Module]] = {
    "paper_cnn": lambda config, classes, image_size: PaperCNN(classes, image_size, config.negative_slope),
    "cnn": CNN,
    "resnet": ResNet,
}


def build_model(config: ModelConfig, classes: int, image_size: int, seed: int = 0) -> nn.Module:
    """The network for `classes` classes and pictures of (3, image_size, image_size), weights drawn from `seed`.

    The global random state is left as it was. An unknown network or an impossible size raises UserMistake.
    """
    if config.name not in MODELS:
        raise UserMistake(f"unknown model {config.name!r}; known: {sorted(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        model = MODELS[config.name](config, classes, image_size)
    model.mirror = config.mirror  # type: ignore[assignment]  # what core/engine/evaluate.py `answer` goes by
    return model
