"""The compact network: fewer than 100,000 parameters, and a first layer that nothing has to come back to."""

import pytest
import torch
from torch import nn

from core.config import ModelConfig, TrainConfig
from core.data.store.batches import load_part
from core.engine.fit import fit
from core.errors import UserMistake
from core.models.build import build_model
from core.models.compact import Compact
from core.models.summary import count_parameters, layer_table, torchsummary_text
from core.presets import preset
from tests import tiny
from tests.core.engine.test_fit import CPU

SMALL = ModelConfig(name="compact", width=8)


def test_the_preset_has_fewer_than_100_000_parameters():
    # 3x3 convolutions 24-32-32, 32-48-48, 48-48-48; 24 whitening filters of 12; scale and bias of two norms a block
    convolutions = 9 * (24 * 32 + 32 * 32 + 32 * 48 + 3 * 48 * 48)
    norms = 2 * 2 * (32 + 48 + 48)
    network = build_model(preset("tiny").model, 10, 32)
    assert count_parameters(network) == convolutions + norms + 24 * 12 + 48 * 10 == 93_440


def test_no_gradient_comes_back_to_the_first_layer():
    model = Compact(SMALL, 3)
    model.init_whitening(torch.randn(50, 3, 16, 16))
    seen = []
    model.whiten_act.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    model(torch.randn(4, 3, 16, 16)).sum().backward()
    assert seen == [False] and model.whiten.weight.grad is None and model.block1.conv1.weight.grad is not None


def test_it_tells_the_colours_apart():
    store = tiny.colour_store()
    model = build_model(SMALL, 2, 16)
    config = TrainConfig(epochs=6, batch_size=8, learning_rate=0.1, optimizer="nesterov", schedule="one_cycle")
    rows = list(fit(model, load_part(store, "train"), load_part(store, "val"), 2, config, CPU))
    assert rows[-1].val_accuracy == 1.0


def test_every_layer_is_in_both_tables_and_half_as_wide_again_after_the_first_block():
    model = Compact(ModelConfig(name="compact", width=10, depth=3), 3)
    layers = {layer.name: layer for layer in layer_table(model, 32)}
    assert [layers[f"block{n}.conv3"].output_shape[0] for n in (1, 2, 3)] == [10, 15, 15]
    assert "SiLU" in torchsummary_text(model, 32) and not any(isinstance(m, nn.GELU) for m in model.modules())


def test_pictures_that_are_too_small_are_refused_with_the_smallest_size():
    assert Compact(SMALL, 7, 9).eval()(torch.randn(2, 3, 9, 9)).shape == (2, 7)
    with pytest.raises(UserMistake, match="compact needs pictures of at least 9 pixels; the image size is 8"):
        Compact(SMALL, 3, 8)
