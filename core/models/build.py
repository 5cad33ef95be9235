"""build_model: from a ModelConfig to a network with fresh weights."""

from collections.abc import Callable

import torch
from torch import nn

from core.config import ModelConfig
from core.errors import UserMistake
from core.models.cnn import CNN
from core.models.paper_cnn import PaperCNN
from core.models.pretrained import OnTrunk, cut_last, learnt_config, published_network, with_versions
from core.models.resnet import ResNet
from core.models.shapes import check_network
from core.models.weights import load_trunk
from core.trunks import Source, check_weights, source_of

MODELS: dict[str, Callable[[ModelConfig, int, int], nn.Module]] = {
    "paper_cnn": lambda config, classes, image_size: PaperCNN(classes, image_size, config.negative_slope),
    "cnn": CNN,
    "resnet": ResNet,
}


def build_model(
    config: ModelConfig,
    classes: int,
    image_size: int,
    seed: int = 0,
    *,
    learnt: bool = True,
    source: Source | None = None,
) -> nn.Module:
    """The network for `classes` classes and pictures of (3, image_size, image_size), weights drawn from `seed`.

    A network on a trunk begins with what that has learnt. With learnt=False no weights are read, for whoever brings
    them or only wants the layers; `source` is then how the trunk of a run is built, where the card of a model has it.
    The global random state is left as it was. An unknown network, an impossible size or weights that are not here raise
    UserMistake.
    """
    if config.name not in MODELS and config.name not in ("pretrained", "transfer"):
        raise UserMistake(f"unknown model {config.name!r}; known: {sorted([*MODELS, 'pretrained', 'transfer'])}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        if config.name in MODELS:
            model = MODELS[config.name](config, classes, image_size)
        else:
            model = _on_trunk(config, classes, image_size, learnt, source)
    model.mirror = config.mirror  # type: ignore[assignment]  # what core/engine/evaluate.py `answer` goes by
    return model


def _on_trunk(config: ModelConfig, classes: int, image_size: int, learnt: bool, source: Source | None) -> OnTrunk:
    source = source or source_of(config)
    check_network(config, classes, image_size, source)
    if learnt:
        check_weights(config)
    if source is None:
        trunk, features = cut_last(published_network(config.trunk))
        if learnt:
            trunk.load_state_dict(with_versions(load_trunk(config.trunk), trunk))
    else:
        network = build_model(learnt_config(source), source.classes, image_size, learnt=False, source=source.source)
        if learnt:
            network.load_state_dict(load_trunk(config.trunk))
        trunk, features = cut_last(network)
    return OnTrunk(trunk, features, classes, frozen=config.trainable == "head")
