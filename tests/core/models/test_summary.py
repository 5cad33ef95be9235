"""The layer table and torchsummary's text: the numbers that the paper prints."""

import copy
import sys
import threading

import pytest
import torch
from torch import nn
from torchvision import models

from core.backbones.catalogue import PUBLISHED
from core.config import ModelConfig
from core.errors import UserMistake
from core.models.build import build_model
from core.models.paper_cnn import PaperCNN
from core.models.summary import PARAMETER, count_parameters, layer_table, maps_first, torchsummary_text
from tests.backbones import EVERY

PAPER = [  # name, output, parameters; multiply-adds = outputs x window x channels in, or in x out
    ("conv1", (6, 30, 30), 168, 6 * 30 * 30 * 3 * 3 * 3),
    ("pool1", (6, 15, 15), 0, 0),
    ("conv2", (16, 13, 13), 880, 16 * 13 * 13 * 3 * 3 * 6),
    ("conv2_bn", (16, 13, 13), 32, 0),
    ("pool2", (16, 6, 6), 0, 0),
    ("fc1", (120,), 69_240, 576 * 120),
    ("dense1_bn", (120,), 240, 0),
    ("fc2", (84,), 10_164, 120 * 84),
    ("fc3", (10,), 850, 84 * 10),
]


def test_the_table_is_the_papers():
    layers = layer_table(PaperCNN(10), 32)
    assert [(layer.name, layer.output_shape, layer.parameters, layer.multiply_adds) for layer in layers] == PAPER
    assert sum(layer.parameters for layer in layers) == count_parameters(PaperCNN(10)) == 81_574


def test_a_layer_says_what_it_is():
    layers = {layer.name: (layer.kind, layer.detail) for layer in layer_table(PaperCNN(10), 32)}
    assert layers["conv1"] == ("Conv2d", "3 -> 6, kernel 3x3, stride 1")
    assert layers["pool1"] == ("MaxPool2d", "window 2x2, stride 2")
    assert layers["conv2_bn"] == ("BatchNorm2d", "16 channels")
    assert layers["dense1_bn"] == ("BatchNorm1d", "120 features")
    assert layers["fc3"] == ("Linear", "84 -> 10")


@pytest.mark.parametrize("name", EVERY)
def test_the_layers_of_a_published_network_come_to_what_torchvision_says(name):
    side = PUBLISHED[name].side
    with torch.device("meta"):
        network = build_model(ModelConfig(name="pretrained", backbone=name), 1000, side, load_weights=False)
    layers = layer_table(network, side)
    assert sum(layer.parameters for layer in layers) == count_parameters(network)
    work = 1e9 * models.get_model_weights(name).DEFAULT.meta["_ops"]
    if name.startswith("squeezenet"):  # its last layer, a convolution of 13 x 13 places, is a linear one here
        work -= 13 * 13 * 512 * 1000
    assert sum(layer.multiply_adds for layer in layers) == pytest.approx(work, rel=0.02)


def test_maps_are_told_with_their_channels_first_however_a_network_lays_them_out():
    assert maps_first((56, 56, 96)) == (96, 56, 56) and maps_first((96, 56, 56)) == (96, 56, 56)
    assert maps_first((7, 7, 7)) == (7, 7, 7) and maps_first((197, 768)) == (197, 768) and maps_first((10,)) == (10,)


def test_attention_in_windows_sees_a_window_more_and_works_within_it():
    with torch.device("meta"):
        network = build_model(ModelConfig(name="pretrained", backbone="swin_t"), 3, 224, load_weights=False)
    first = next(layer for layer in layer_table(network, 224) if layer.kind == "ShiftedWindowAttention")
    assert first.output_shape == (96, 56, 56) and first.detail == "windows of 7x7, 3 heads"
    assert first.receptive_field == 4 + 6 * 4  # patches of 4 pixels, 6 more of them
    assert first.formulas[0] == "multiply-adds = 4 · 3,136 · 96² + 2 · 3,136 · 49 · 96 = 145,108,992"


def test_weights_outside_of_layers_have_lines_of_their_own():
    with torch.device("meta"):
        network = build_model(ModelConfig(name="pretrained", backbone="vit_b_16"), 3, 224, load_weights=False)
    layers = {layer.name: layer for layer in layer_table(network, 224) if layer.kind == PARAMETER}
    assert {name: layer.parameters for name, layer in layers.items()} == {
        "backbone.encoder.pos_embedding": 197 * 768,
        "backbone.class_token": 768,
    }
    assert all(layer.trainable == layer.multiply_adds == 0 for layer in layers.values())


def test_every_token_is_work_also_in_the_formula():
    with torch.device("meta"):
        network = build_model(ModelConfig(name="pretrained", backbone="vit_b_16"), 3, 224, load_weights=False)
    layers = {layer.kind: layer.formulas for layer in layer_table(network, 224)}
    assert layers["MultiheadAttention"] == ("multiply-adds = 4 · 197 · 768² + 2 · 197² · 768 = 524,391,936",)
    lines = [line for layer in layer_table(network, 224) if layer.kind == "Linear" for line in layer.formulas]
    assert "multiply-adds = 197 · 3,072 · 768 = 464,781,312" in lines and "multiply-adds = 3 · 768 = 2,304" in lines


def test_torchsummary_of_attention_is_refused_in_one_sentence():
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

        def forward(self, x):
            rows = x.flatten(2).transpose(1, 2)
            return self.attention(rows, rows, rows)[0]

    with pytest.raises(UserMistake, match="cannot print a network with attention"):
        torchsummary_text(Looks(), 8)


@pytest.mark.parametrize(("classes", "total"), [(10, "81,574"), (3, "80,979")])
def test_torchsummary_says_what_the_paper_prints(classes, total):
    text = torchsummary_text(PaperCNN(classes), 32)
    for line in (f"Total params: {total}", f"Trainable params: {total}", "Non-trainable params: 0"):
        assert line in text
    for line in ("Input size (MB): 0.01", "Forward/backward pass size (MB): 0.10", "Params size (MB): 0.31"):
        assert line in text
    assert "Estimated Total Size (MB): 0.42" in text
    kinds = ["Conv2d", "MaxPool2d", "Conv2d", "BatchNorm2d", "MaxPool2d", "Linear", "BatchNorm1d", "Linear", "Linear"]
    assert [line.split()[0] for line in text.splitlines()[3:12]] == [f"{kind}-{k}" for k, kind in enumerate(kinds, 1)]


@pytest.mark.parametrize("training", [True, False])
def test_looking_leaves_the_network_and_the_random_state_alone(training):
    net = PaperCNN(3, 16).train(training)
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    layer_table(net, 16), torchsummary_text(net, 16)
    assert torch.equal(torch.rand(1), expected) and net.training is training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_two_pages_may_look_at_once_and_print_nothing(capsys):
    texts, out = [], sys.stdout
    threads = [threading.Thread(target=lambda: texts.append(torchsummary_text(PaperCNN(3), 32))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts)) == 1 and texts[0].count("Total params") == 1
    assert sys.stdout is out and capsys.readouterr().out == ""
