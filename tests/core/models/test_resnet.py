"""The residual network: whitened first layer, shortcuts, quick biases."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from core.config import ModelConfig, TrainConfig
from core.data.store.batches import load_part
from core.engine.fit import fit
from core.errors import UserMistake
from core.models.build import build_model
from core.models.conv2d import Conv2d
from core.models.resnet import BIAS_SCALE, Norm, ResNet
from core.models.shapes import RESNET_SMALLEST
from core.models.summary import count_parameters, layer_table, torchsummary_text
from core.presets import preset
from core.rows import EpochRow
from tests import tiny
from tests.core.engine.test_fit import CPU

SMALL = ModelConfig(name="resnet", width=8)


def test_its_parameters_are_those_of_its_convolutions_biases_and_answer():
    # 3x3 convolutions 24-64-64, 64-256-256, 256-256-256; whitening 24 filters of 12 and their bias; scale and bias
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    norms = 2 * 2 * (64 + 256 + 256)
    assert count_parameters(ResNet(ModelConfig(name="resnet"), 10)) == convolutions + norms + 24 * 13 + 256 * 10


def test_the_first_layer_whitens_the_pictures_and_is_not_learnt():
    model = ResNet(SMALL, 3)
    torch.manual_seed(0)
    images = F.avg_pool2d(torch.randn(300, 3, 34, 34), 3, 1)  # neighbours are alike, as in pictures
    model.init_whitening(images)
    spread = model.whiten(images).transpose(0, 1).flatten(1).square().mean(1)
    assert torch.allclose(spread[:12], torch.ones(12), atol=0.05)
    assert torch.equal(model.whiten.weight[12:], -model.whiten.weight[:12])
    assert not model.whiten.weight.requires_grad and model.whiten.bias.requires_grad


def test_training_begins_by_looking_at_pictures_and_leaves_the_filters_as_they_are():
    store = tiny.colour_store()
    model = build_model(SMALL, 2, 16)
    first = copy.deepcopy(model.whiten.weight)
    seen = []
    for _ in fit(
        model, load_part(store, "train"), None, 2, TrainConfig(epochs=2, batch_size=8, learning_rate=0.1), CPU
    ):
        seen.append(model.whiten.weight.clone())
    assert not torch.equal(first, seen[0]) and torch.equal(seen[0], seen[-1])


def test_it_tells_the_colours_apart():
    store = tiny.colour_store()
    model = build_model(SMALL, 2, 16)
    config = TrainConfig(epochs=6, batch_size=8, learning_rate=0.1, optimizer="nesterov", schedule="one_cycle")
    rows = list(fit(model, load_part(store, "train"), load_part(store, "val"), 2, config, CPU))
    assert rows[-1].val_accuracy == 1.0


def test_a_block_adds_what_its_later_convolutions_find_to_what_the_first_one_found():
    block = ResNet(SMALL, 3).block2.eval()
    images = torch.randn(2, 8, 12, 12)
    torch.nn.init.zeros_(block.conv2.weight)
    first = block.act1(block.norm1(block.pool(block.conv1(images))))
    assert torch.allclose(block(images), F.gelu(first))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_block_has_as_many_convolutions_as_it_is_asked_for(depth):
    names = [layer.name for layer in layer_table(ResNet(ModelConfig(name="resnet", width=8, depth=depth), 3), 32)]
    assert sum(name.startswith("block2.conv") for name in names) == depth


def test_the_bias_of_a_norm_acts_many_times_over_and_its_scale_is_not_learnt():
    norm = Norm(3).eval()
    torch.nn.init.ones_(norm.bias)
    x = torch.randn(2, 3, 4, 4)
    assert torch.allclose(norm(x), x / (1 + norm.eps) ** 0.5 + BIAS_SCALE) and not norm.weight.requires_grad


@pytest.mark.parametrize("side", [RESNET_SMALLEST, 10, 32, 33, 64])
def test_it_takes_pictures_of_any_size_from_the_smallest_on(side):
    assert ResNet(SMALL, 7, side).eval()(torch.randn(2, 3, side, side)).shape == (2, 7)


def test_pictures_that_are_too_small_are_refused_with_the_smallest_size():
    with pytest.raises(UserMistake, match="at least 9 pixels; the image size is 8"):
        ResNet(SMALL, 10, RESNET_SMALLEST - 1)


def test_the_tables_know_every_layer_once():
    model = ResNet(SMALL, 10)
    layers = layer_table(model, 32)
    assert len({layer.name for layer in layers}) == len(layers)
    assert sum(layer.parameters for layer in layers) == count_parameters(model)
    assert f"Total params: {count_parameters(model):,}" in torchsummary_text(model, 32)


@pytest.mark.parametrize("name", ["best", "speedrun"])
def test_the_presets_train_it_a_few_steps_and_the_loss_falls(name):
    store = tiny.colour_store()
    config = preset(name, 32)
    model = build_model(config.model.model_copy(update={"width": 8}), 2, 16, config.train.seed)
    short = config.train.model_copy(update={"epochs": 4})
    rows = [row for row in fit(model, load_part(store, "train"), None, 2, short, CPU) if isinstance(row, EpochRow)]
    assert config.train.batch_size == 16 and config.train.epochs > 400
    assert rows[-1].train_loss < rows[0].train_loss


def test_it_learns_the_same_whichever_way_its_sums_are_computed():
    store = tiny.colour_store()
    config = TrainConfig(epochs=1, batch_size=8, learning_rate=0.01)
    losses, filters = [], []
    for algorithm in ("direct", "winograd"):
        model = build_model(ModelConfig(name="resnet", width=32), 2, 16)
        hardware = replace(CPU, conv_algorithm=algorithm)
        rows = list(fit(model, load_part(store, "train"), load_part(store, "val"), 2, config, hardware))
        used = [layer.algorithm for layer in model.modules() if isinstance(layer, Conv2d)]
        assert used == ["direct", "direct", "direct", *[algorithm] * 3]  # those from 128 channels to 128
        losses.append((rows[-1].train_loss, rows[-1].val_loss))
        filters.append(model.block2.conv2.weight.detach())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert not torch.equal(*filters) and torch.allclose(*filters, atol=1e-4)  # rounded otherwise
