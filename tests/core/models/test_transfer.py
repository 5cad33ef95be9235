"""TransferModel: a frozen backbone stays, a trainable one learns, and every published network can be built and cut."""

import numpy as np
import pytest
import safetensors.torch
import torch

from core.backbones.catalogue import PUBLISHED
from core.backbones.registry import natural_side, normalisation_of
from core.config import ModelConfig
from core.data.pictures.preprocess import Preprocess
from core.engine.flat import FlatWeights
from core.errors import UserMistake
from core.inference.activations import layer_by_layer, picture_activations
from core.models.build import build_model
from core.models.shapes import check_network
from core.models.summary import torchsummary_text
from core.models.transfer import TransferModel, cut_last, last_layer, published_network
from core.models.weights import add_weights
from tests.backbones import EVERY, FAMILIES, SMALL, put_weights

FEATURES = {"googlenet": 1024, "resnet18": 512, "mobilenet_v3_small": 1024, "efficientnet_b0": 1280, "vit_b_16": 768}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("weights")
        patch.setenv("ATELIER_HOME", str(folder / "home"))
        put_weights(folder)
        yield folder


def pretrained(trainable: str = "head", **changes) -> TransferModel:
    return build_model(ModelConfig(name="pretrained", backbone=SMALL, trainable=trainable, **changes), 3, 32)


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def steps(network, count=3, side=32):
    """Train on noise with the optimizer's vector, as `fit` does on one rank."""
    torch.manual_seed(0)
    flat = FlatWeights(network)
    optimizer = torch.optim.SGD([flat.vector], lr=0.1, weight_decay=0.1)
    network.train()
    for _ in range(count):
        logits = network(torch.randn(4, 3, side, side))
        flat.backward(torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])))
        optimizer.step()


@pytest.mark.parametrize("name", EVERY)
def test_every_published_network_is_cut_behind_its_features(name):
    known = PUBLISHED[name]
    side = known.side if known.only_side else known.smallest
    with torch.device("meta"):
        backbone, features = cut_last(published_network(name))
        assert features == FEATURES.get(name, features)
        assert backbone.eval()(torch.randn(2, 3, side, side)).shape == (2, features)
        assert backbone.train()(torch.randn(2, 3, side, side)).shape == (2, features)  # without its auxiliary heads


def saved_as_safetensors(network, folder):
    safetensors.torch.save_model(network, folder / "own.safetensors")
    return folder / "own.safetensors"


SOONER = ("squeezenet1_1", "resnet18", "swin_t", "shufflenet_v2_x0_5")  # one of each way to end; the others at night
TRAINED = [name for name in FAMILIES if name not in ("vgg11", "alexnet")]  # 500 and 200 MB


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SOONER else pytest.mark.nightly) for name in TRAINED]
)
def test_one_of_each_family_trains_a_new_head_and_shows_its_activations(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    put_weights(tmp_path, name)
    known = PUBLISHED[name]
    side = known.side if known.only_side else known.smallest
    network = build_model(ModelConfig(name="pretrained", backbone=name), 3, side)
    fresh = published_network(name)
    fresh.load_state_dict(torch.load(tmp_path / f"{name}-0.pth", weights_only=True))
    _, last = last_layer(fresh)
    heard = []
    last.register_forward_hook(lambda _layer, given, _answers: heard.append(given[0]))
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        fresh.eval()(images)
        features = network.eval().backbone(images)
    whole = heard[0] if heard[0].dim() == 2 else heard[0].relu().mean((2, 3))
    assert torch.allclose(features, whole, atol=1e-4)  # what the last layer is given in the network as published
    steps(network, side=side)
    picture = np.random.default_rng(0).integers(0, 256, (3, side, side), dtype=np.uint8)
    seen = picture_activations(layer_by_layer(network), picture, Preprocess(image_size=side))
    assert len(seen.layers) > 15 and np.isfinite(seen.probabilities).all()
    assert all(
        layer.shape[1] == layer.shape[2]
        for layer in seen.layers
        if len(layer.shape) == 3 and "attention" not in layer.name
    )
    if name in ("vit_b_16", "densenet121"):  # more than one tensor out, or in
        with pytest.raises(UserMistake, match="torchsummary cannot print"):
            torchsummary_text(network, side)
    else:
        assert torchsummary_text(network, side).count("\n") > 15
    plain = {key: value.clone() for key, value in network.state_dict().items()}  # as checkpoints and models are kept
    network.load_state_dict(plain)
    list(add_weights(name, saved_as_safetensors(fresh, tmp_path)))


def test_sizes_that_a_network_does_not_take_are_refused_with_the_one_to_set():
    with pytest.raises(UserMistake, match=r"vit_b_16 takes pictures of 224 pixels and no others.*is 32. Set it to 224"):
        check_network(ModelConfig(name="pretrained", backbone="vit_b_16"), 3, 32)
    with pytest.raises(UserMistake, match="googlenet needs pictures of at least 32 pixels"):
        check_network(ModelConfig(name="pretrained"), 3, 16)
    with pytest.raises(UserMistake, match=r"unknown pretrained network 'vgg'.*vgg19.*python -m core weights list"):
        check_network(ModelConfig(name="pretrained", backbone="vgg"), 3, 224)
    with pytest.raises(UserMistake, match="inception_v3 needs pictures of at least 75 pixels, and was trained on 299"):
        check_network(ModelConfig(name="pretrained", backbone="inception_v3"), 3, 64)
    check_network(ModelConfig(name="pretrained"), 3, 32)


def test_each_network_proposes_the_side_that_it_was_measured_with():
    sides = {name: natural_side(ModelConfig(name="pretrained", backbone=name)) for name in PUBLISHED}
    assert sides["googlenet"] == 224 and sides["inception_v3"] == 299 and sides["swin_v2_t"] == 256
    assert sides["efficientnet_b7"] == 512  # of 600, which no image size can be


def test_a_frozen_backbone_does_not_move_and_its_head_learns(home):
    network = pretrained()
    before = state_of(network)
    steps(network)
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"head.weight", "head.bias"}  # neither weights nor running statistics nor counts of batches
    assert network.training and not any(module.training for module in network.backbone.modules())


def test_a_finetuned_network_moves_as_a_whole(home):
    network = pretrained("all")
    before = state_of(network)
    steps(network)
    still = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert still <= {name for name in before if name.endswith("fc2.bias")}, still
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_it_begins_with_what_was_learnt_and_a_head_of_the_seed(home):
    one, same, other = (build_model(ModelConfig(name="pretrained", backbone=SMALL), 3, 32, seed) for seed in (1, 1, 2))
    assert torch.equal(one.head.weight, same.head.weight) and not torch.equal(one.head.weight, other.head.weight)
    assert torch.equal(one.backbone.features[0][0].weight, other.backbone.features[0][0].weight)


def test_without_weights_it_is_refused_but_its_layers_can_be_built(home):
    with pytest.raises(UserMistake, match="The weights of googlenet are not here yet"):
        build_model(ModelConfig(name="pretrained"), 3, 224)
    assert build_model(ModelConfig(name="pretrained"), 3, 224, load_weights=False).head.out_features == 3


def test_pictures_are_normalised_as_the_backbone_was_trained():
    assert normalisation_of(ModelConfig(name="pretrained")) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    own = normalisation_of(ModelConfig(name="pretrained", backbone="efficientnet_v2_l"))
    assert own == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert normalisation_of(ModelConfig()) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
