"""build_model: from a ModelConfig to a network with fresh weights."""

from collections.abc import Callable

import torch
from torch import nn

from core.backbones.registry import BackboneSource, check_weights, source_of
from core.config import ModelConfig
from core.errors import UserMistake
from core.models.cnn import CNN
from core.models.compact import Compact
from core.models.paper_cnn import PaperCNN
from core.models.resnet import ResNet
from core.models.shapes import check_network
from core.models.transfer import TransferModel, cut_last, published_network, trainable_config, with_versions
from core.models.weights import load_backbone

MODELS: dict[str, Callable[[ModelConfig, int, int], nn.Module]] = {
    "paper_cnn": lambda config, classes, image_size: PaperCNN(classes, image_size, config.negative_slope),
    "cnn": CNN,
    "resnet": ResNet,
    "compact": Compact,
}


def build_model(
    config: ModelConfig,
    classes: int,
    image_size: int,
    seed: int = 0,
    *,
    load_weights: bool = True,
    source: BackboneSource | None = None,
) -> nn.Module:
    """The network for `classes` classes and pictures of (3, image_size, image_size), weights drawn from `seed`.

    A pretrained backbone comes with its weights. With load_weights=False none are read, for whoever loads them later or
    only wants the layers; `source` is then how the backbone of a run is built, where the card of a model has it.
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
            model = _transfer_model(config, classes, image_size, load_weights, source)
    # read by predict_logits in core/engine/evaluate.py
    model.flip_tta, model.crop_tta = config.flip_tta, config.crop_tta  # type: ignore[assignment]
    model.tta_below = config.tta_below  # type: ignore[assignment]
    return model


def _transfer_model(
    config: ModelConfig, classes: int, image_size: int, load_weights: bool, source: BackboneSource | None
) -> TransferModel:
    source = source or source_of(config)
    check_network(config, classes, image_size, source)
    if load_weights:
        check_weights(config)
    if source is None:
        backbone, features = cut_last(published_network(config.backbone))
        if load_weights:
            backbone.load_state_dict(with_versions(load_backbone(config.backbone), backbone))
    else:
        config_of_run = trainable_config(source)
        network = build_model(config_of_run, source.classes, image_size, load_weights=False, source=source.source)
        if load_weights:
            network.load_state_dict(load_backbone(config.backbone))
        backbone, features = cut_last(network)
    return TransferModel(backbone, features, classes, frozen=config.trainable == "head")
