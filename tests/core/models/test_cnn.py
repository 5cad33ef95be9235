"""The family: the paper's network and PyTorch's tutorial are two of its settings, and every other one trains."""

import copy
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import ModelConfig, TrainConfig
from core.engine.flat import FlatWeights
from core.engine.optimizers import build_optimizer
from core.models.build import build_model
from core.models.cnn import CNN
from core.models.paper_cnn import PaperCNN
from core.models.summary import count_parameters, layer_table, torchsummary_text

TUTORIAL = ModelConfig(
    name="cnn", channels=(6, 16), kernel=5, activation="relu", norm_conv="none", norm_linear="none", linear=(120, 84)
)
FULL = ModelConfig(
    name="cnn",
    channels=(8, 12),
    convolutions=2,
    padding="same",
    pool="strided",
    activation="gelu",
    norm_conv="all",
    norm_linear="all",
    dropout_conv=0.2,
    dropout_linear=0.3,
    linear=(20,),
)


def choices(field):
    return get_args(ModelConfig.model_fields[field].annotation)


@pytest.mark.parametrize(("classes", "total"), [(10, 81_574), (3, 80_979)])
def test_as_it_is_given_it_has_as_many_parameters_as_the_papers_network(classes, total):
    assert count_parameters(CNN(ModelConfig(name="cnn"), classes)) == total == count_parameters(PaperCNN(classes))


def test_with_the_same_weights_it_answers_and_learns_as_the_papers_network():
    paper, family = PaperCNN(10), CNN(ModelConfig(name="cnn"), 10)
    names = {"conv2_bn": "conv2_bn", "dense1_bn": "fc1_bn"}
    rename = {name: name.replace("dense1_bn", names["dense1_bn"]) for name in paper.state_dict()}
    family.load_state_dict({rename[name]: value for name, value in paper.state_dict().items()})
    images, labels = torch.randn(8, 3, 32, 32), torch.randint(0, 10, (8,))
    assert torch.allclose(paper.eval()(images), family.eval()(images), rtol=1e-5, atol=1e-6)
    logits = paper.train()(images), family.train()(images)
    assert torch.allclose(*logits, rtol=1e-4, atol=1e-5)
    for answer in logits:
        F.cross_entropy(answer, labels).backward()
    assert torch.allclose(paper.conv1.weight.grad, family.conv1.weight.grad, rtol=1e-3, atol=1e-5)


def test_the_same_seed_gives_the_papers_first_weights():
    one, other = (build_model(ModelConfig(name=name), 10, 32, seed=3) for name in ("paper_cnn", "cnn"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_pytorchs_tutorial_is_one_setting():
    model = CNN(TUTORIAL, 10)
    # 6*(3*25+1) + 16*(6*25+1) + 120*(400+1) + 84*(120+1) + 10*(84+1)
    assert count_parameters(model) == 456 + 2_416 + 48_120 + 10_164 + 850 == 62_006
    assert [type(layer) for layer in model if not isinstance(layer, nn.MaxPool2d)] == [
        *(nn.Conv2d, nn.ReLU, nn.Conv2d, nn.ReLU, nn.Flatten),
        *(nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear),
    ]


def test_stacked_convolutions_come_before_one_pooling():
    config = ModelConfig(name="cnn", channels=(4, 8), convolutions=2, activation="gelu", norm_conv="all")
    block = ("conv1_1", "conv1_1_bn", "conv1_1_act", "conv1_2", "conv1_2_bn", "conv1_2_act", "pool1")
    assert tuple(dict(CNN(config, 3).named_children()))[:7] == block


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "tanh", "sigmoid"])
def test_pooling_before_an_activation_gives_the_same_values_and_gradients(name):
    config = ModelConfig(name="cnn", activation=name, norm_conv="none")
    first = CNN(config, 3)
    layers = dict(copy.deepcopy(first).named_children())
    order = [name.replace("pool", "X") for name in layers]
    for block in (1, 2):  # as it is printed: conv, act, pool
        conv = order.index(f"conv{block}")
        order[conv + 1 : conv + 3] = [f"conv{block}_act", f"pool{block}"]
    printed = nn.Sequential(*(layers[name] for name in order))
    images = torch.randn(4, 3, 32, 32)
    answers = first(images), printed(images)
    assert torch.allclose(*answers, rtol=1e-5, atol=1e-6)
    for answer in answers:
        answer.square().sum().backward()
    assert torch.allclose(first.conv1.weight.grad, printed[0].weight.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {field: value}
        for field in ("activation", "pool", "padding", "norm_conv", "norm_linear")
        for value in choices(field)
    ]
    + [
        {"kernel": 1},
        {"kernel": 5, "padding": "same"},
        {"convolutions": 3, "padding": "same"},
        {"linear": ()},
        {"dropout_conv": 0.5},
        {"dropout_linear": 0.5},
        {"channels": (4,)},
        {"channels": (4, 4, 4, 4), "padding": "same"},
    ],
    ids=str,
)
def test_every_setting_learns_a_batch_by_heart_over_one_vector(changes):
    model = build_model(ModelConfig(name="cnn", **changes), 2, 16, seed=0).to(memory_format=torch.channels_last)
    flat = FlatWeights(model)
    optimizer = build_optimizer([flat.vector], TrainConfig(optimizer="adam", learning_rate=0.01))
    torch.manual_seed(0)
    images, labels = torch.randn(16, 3, 16, 16).contiguous(memory_format=torch.channels_last), torch.arange(16) % 2
    images[labels == 1] += 0.5
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(model(images), labels)
        flat.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < losses[0] - 0.1, losses


def test_dropout_blanks_whole_maps_and_single_numbers_in_training_only():
    model = build_model(FULL, 3, 16)
    assert [type(m) for m in model if "Dropout" in type(m).__name__] == [nn.Dropout2d, nn.Dropout2d, nn.Dropout]
    images = torch.randn(4, 3, 16, 16)
    assert torch.equal(model.eval()(images), model(images)) and not torch.equal(model.train()(images), model(images))


@pytest.mark.parametrize("config", [ModelConfig(name="cnn"), TUTORIAL, FULL], ids=["paper", "tutorial", "full"])
def test_the_tables_know_every_layer(config):
    model = build_model(config, 10, 32)
    layers = layer_table(model, 32)
    assert [layer.name for layer in layers] == [name for name, _ in model.named_children()]
    assert sum(layer.parameters for layer in layers) == count_parameters(model)
    assert f"Total params: {count_parameters(model):,}" in torchsummary_text(model, 32)
