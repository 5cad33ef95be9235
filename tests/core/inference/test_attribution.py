"""Attribution: maps for every network, which methods apply, and that a network is left exactly as it was."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from core.config import ModelConfig
from core.data.pictures.preprocess import Preprocess
from core.engine.evaluate import predict_logits
from core.errors import UserMistake
from core.inference.attribution import METHODS, Explainer, attribute, methods_for
from core.inference.attribution_layers import default_layer, layers_for
from core.models.build import build_model
from core.models.transfer import TransferModel, cut_last, published_network

SIDE, PATCH = 32, 12  # pixels
PREPROCESS = Preprocess(image_size=SIDE)
NETWORKS = {
    "paper_cnn": ModelConfig(),
    "relu": ModelConfig(name="cnn", activation="relu"),
    "elu_average": ModelConfig(name="cnn", activation="elu", pool="average"),
    "gelu_strided": ModelConfig(name="cnn", activation="gelu", pool="strided", norm_conv="all"),
    "silu_dropout": ModelConfig(name="cnn", activation="silu", dropout_conv=0.5, dropout_linear=0.5),
    "tanh_same": ModelConfig(name="cnn", activation="tanh", padding="same", kernel=5, norm_linear="none"),
    "sigmoid_deep": ModelConfig(name="cnn", activation="sigmoid", channels=(4, 8, 8), convolutions=2, padding="same"),
    "no_pooling": ModelConfig(name="cnn", channels=(4,), pool="none", norm_conv="none", linear=()),
    "resnet": ModelConfig(name="resnet", width=8, depth=2),
    "compact": ModelConfig(name="compact", width=8),
    "flip_tta": ModelConfig(flip_tta=True),
    "crop_tta": ModelConfig(flip_tta=True, crop_tta=True),
}


@pytest.fixture(autouse=True)
def same_networks():
    """Every test draws the same weights every time: of some networks nothing speaks for a class, and Grad-CAM is 0."""
    torch.manual_seed(1)


def noise(count=1, seed=0):
    """uint8 (count, 3, SIDE, SIDE)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)


def planted(count, seed):
    """Grey noise with one square of the class's colour in a random place: uint8 (N, 3, S, S), int64 (N,), and the
    square as bool (N, S, S)."""
    random = np.random.default_rng(seed)
    images = random.integers(96, 160, (count, 3, SIDE, SIDE)).astype(np.uint8)
    labels, inside = np.arange(count) % 3, np.zeros((count, SIDE, SIDE), bool)
    colours = np.array([(230, 30, 30), (30, 200, 60), (40, 60, 230)], np.uint8)
    for place, (top, left) in enumerate(random.integers(0, SIDE - PATCH + 1, (count, 2))):
        inside[place, top : top + PATCH, left : left + PATCH] = True
        images[place][:, inside[place]] = colours[labels[place]][:, None]
    return images, labels, inside


def on_frozen_backbone(network, classes=3):
    return TransferModel(*cut_last(network), classes, frozen=True).eval()


@pytest.fixture(scope="module")
def patch_finder():
    """A small network that has learnt the colour of the square, as an Explainer."""
    model = build_model(ModelConfig(name="cnn", channels=(8, 16), padding="same", linear=()), 3, SIDE)
    images, labels, _ = planted(256, seed=1)
    floats, targets = torch.from_numpy(images).float() / 127.5 - 1, torch.from_numpy(labels)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for start in [*range(0, 256, 32)] * 5:
        optimizer.zero_grad()
        F.cross_entropy(model(floats[start : start + 32]), targets[start : start + 32]).backward()
        optimizer.step()
    return Explainer(model.eval(), PREPROCESS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_explained_by_every_method(name, method):
    model = build_model(NETWORKS[name], 3, SIDE).eval()
    found = attribute(model, noise()[0], PREPROCESS, method, target=1)
    assert (found.method, found.target) == (method, 1)
    assert found.map.shape == (SIDE, SIDE) and found.map.dtype == np.float32
    assert found.map.min() >= 0 and found.map.max() in (0, 1)
    assert (found.layer != "") == (method == "grad_cam")
    layers = {layer.name: layer.resolution for layer in layers_for(model, SIDE)}
    assert found.resolution == {"grad_cam": layers.get(found.layer), "occlusion": (15, 15)}.get(method, (SIDE, SIDE))


@pytest.mark.parametrize("method", METHODS)
def test_a_patch_that_defines_the_class_draws_most_of_the_energy(patch_finder, method):
    shares = []
    for image, label, inside in zip(*planted(12, seed=2), strict=True):
        heat = patch_finder.attribute(image, method, int(label)).map
        shares.append(heat[inside].sum() / heat.sum())
    assert np.mean(shares) >= 0.6  # the square is a seventh of the picture


@pytest.mark.parametrize("method", METHODS)
def test_randomised_weights_give_another_map(patch_finder, method):
    other = build_model(ModelConfig(name="cnn", channels=(8, 16), padding="same", linear=()), 3, SIDE, seed=7).eval()
    random, images = Explainer(other, PREPROCESS), planted(12, seed=3)[0]
    alike = [
        spearmanr(*(who.attribute(image, method, 0).map.ravel() for who in (patch_finder, random))).statistic
        for image in images
    ]
    assert np.nanmean(alike) < 0.3


@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_a_class_is_not_that_of_the_next_one(patch_finder, method):
    for image in planted(3, seed=4)[0]:
        maps = [patch_finder.attribute(image, method, target).map for target in range(3)]
        assert all(np.abs(one - next_one).mean() > 0.02 for one, next_one in pairwise(maps))


@pytest.mark.parametrize("name", ["relu", "silu_dropout", "resnet", "frozen", "flip_tta", "crop_tta"])
def test_the_network_is_left_exactly_as_it_was(name):
    model = on_frozen_backbone(build_model(ModelConfig(), 4, SIDE)) if name == "frozen" else None
    model = (model or build_model(NETWORKS[name], 3, SIDE)).train()
    seen = []
    handle = next(model.children()).register_forward_hook(lambda *_: seen.append(1))
    before, random = state_of(model), torch.random.get_rng_state()
    for method in METHODS:
        attribute(model, noise()[0], PREPROCESS, method, target=0)
    after = state_of(model)
    assert torch.equal(random, torch.random.get_rng_state()) and seen == []
    assert before[1:] == after[1:] and all(map(torch.equal, before[0], after[0]))
    handle.remove()


def state_of(model):
    """Every number of a network; then everything else that attribution could change."""
    modules = list(model.modules())
    flags = [
        (module.training, getattr(module, "inplace", None), getattr(module, "frozen", None), len(module._forward_hooks))
        for module in modules
    ]
    learns = [(weight.requires_grad, weight.grad is None) for weight in model.parameters()]
    return [value.clone() for value in model.state_dict().values()], flags, learns


def test_activations_in_place_change_no_map():
    model = build_model(NETWORKS["relu"], 3, SIDE).eval()
    plain = {method: attribute(model, noise()[0], PREPROCESS, method, 0).map for method in METHODS}
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    for method in METHODS:
        assert np.array_equal(attribute(model, noise()[0], PREPROCESS, method, 0).map, plain[method])


@pytest.mark.parametrize("method", METHODS)
def test_a_frozen_backbone_gives_the_map_of_the_same_network_not_frozen(method):
    frozen = on_frozen_backbone(build_model(NETWORKS["relu"], 4, SIDE))
    explained = attribute(frozen, noise()[0], PREPROCESS, method, 1).map
    assert frozen.frozen and explained.max() == 1
    frozen.frozen = False
    assert np.array_equal(attribute(frozen, noise()[0], PREPROCESS, method, 1).map, explained)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["flip_tta"])
def test_with_flips_a_flipped_picture_has_the_flipped_map(method, name):
    explainer = Explainer(build_model(NETWORKS[name], 3, SIDE).eval(), PREPROCESS)
    picture = noise()[0]
    ours, flipped = (explainer.attribute(p, method, 2).map for p in (picture, picture[:, :, ::-1].copy()))
    assert np.allclose(ours, flipped[:, ::-1], atol=1e-3) and not np.allclose(ours, ours[:, ::-1], atol=1e-2)


@pytest.mark.parametrize("name", ["flip_tta", "crop_tta"])
def test_what_is_explained_is_the_averaged_answer(name):
    model = build_model(NETWORKS[name], 3, SIDE).eval()
    explainer = Explainer(model, PREPROCESS)
    image = explainer.prepare(noise()[0])
    with torch.no_grad():
        expected = predict_logits(model, image).softmax(1).numpy()
        answers = explainer._answers(image).softmax(1).numpy()
    assert np.allclose(explainer.probabilities(image), expected, atol=1e-6)
    assert np.allclose(answers, expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_of_a_picture_that_was_not_asked_flipped_only_its_own_side_is_explained(method):
    model = build_model(NETWORKS["flip_tta"], 3, SIDE).eval()
    both = attribute(model, noise()[0], PREPROCESS, method, 2).map
    model.flip_tta = False
    one = attribute(model, noise()[0], PREPROCESS, method, 2).map
    model.flip_tta, model.tta_below = True, 0.0  # sure of every picture
    assert np.array_equal(attribute(model, noise()[0], PREPROCESS, method, 2).map, one)
    model.tta_below = 0.999  # of none
    assert np.array_equal(attribute(model, noise()[0], PREPROCESS, method, 2).map, both)
    assert not np.array_equal(one, both)


def test_layers_are_named_with_the_size_of_their_maps():
    found = {layer.name: layer for layer in layers_for(build_model(ModelConfig(), 3, SIDE), SIDE)}
    assert {name: layer.resolution for name, layer in found.items()} == {"conv1": (30, 30), "conv2": (13, 13)}
    assert found["conv2"].output == "conv2_bn" and found["conv1"].output == "conv1"  # behind it comes the pooling


def test_the_default_layer_is_the_last_one_that_shows_places():
    assert default_layer(layers_for(build_model(NETWORKS["paper_cnn"], 3, SIDE), SIDE)).name == "conv2"
    resnet = layers_for(build_model(NETWORKS["resnet"], 3, SIDE), SIDE)
    assert default_layer(resnet).resolution == (7, 7) and resnet[-1].resolution == (3, 3)
    assert default_layer(layers_for(build_model(ModelConfig(), 3, 10), 10)).name == "conv1"  # 8 x 8 cells, then 2 x 2


def test_a_layer_can_be_chosen_and_an_unknown_one_is_refused():
    model = build_model(ModelConfig(), 3, SIDE).eval()
    found = attribute(model, noise()[0], PREPROCESS, "grad_cam", 0, "conv1")
    assert (found.layer, found.resolution) == ("conv1", (30, 30))
    with pytest.raises(UserMistake, match="no convolution called 'fc1'; it has conv1, conv2"):
        attribute(model, noise()[0], PREPROCESS, "grad_cam", 0, "fc1")


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_transformers_say_why_grad_cam_does_not_apply(name):
    with torch.device("meta"):  # no weights: it is only asked what it is made of
        model = on_frozen_backbone(published_network(name))
    why_not = methods_for(model)
    assert "patches" in why_not["grad_cam"] and why_not["integrated_gradients"] == why_not["occlusion"] == ""
    with pytest.raises(UserMistake, match="patches"):
        Explainer(model, PREPROCESS).attribute(noise()[0], "grad_cam", 0)


def test_a_block_that_joins_convolutions_is_chosen_as_a_whole():
    model = on_frozen_backbone(published_network("squeezenet1_1"))
    assert default_layer(layers_for(model, 128)).name == "backbone.features.12"
    assert not any(methods_for(model).values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_0",
        *(
            pytest.param(name, marks=pytest.mark.nightly)
            for name in ("swin_t", "googlenet", "densenet121", "mobilenet_v3_small", "maxvit_t", "convnext_tiny")
        ),
    ],
)
def test_pretrained_networks_are_explained(name):
    model = on_frozen_backbone(published_network(name))
    explainer = Explainer(model, Preprocess(image_size=224))
    picture = np.random.default_rng(0).integers(0, 256, (3, 224, 224), dtype=np.uint8)
    for method, why_not in explainer.methods.items():
        if not why_not:
            found = explainer.attribute(picture, method, 1)
            assert found.map.shape == (224, 224) and np.isfinite(found.map).all()
            assert method != "grad_cam" or min(found.resolution) >= 6
    assert bool(explainer.methods["grad_cam"]) == (name == "swin_t")
