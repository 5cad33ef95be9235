"""Networks on a trunk: what is frozen stays, what is not learns, and every published one can be built and cut."""

import pytest
import torch

from core.config import ModelConfig
from core.engine.flat import FlatWeights
from core.errors import UserMistake
from core.models.build import build_model
from core.models.pretrained import OnTrunk, cut_last, published_network
from core.models.shapes import check_network
from core.trunks import PUBLISHED, normalisation_of
from tests.trunks import SMALL, put_weights

FEATURES = {
    "googlenet": 1024,
    "resnet18": 512,
    "mobilenet_v3_small": 1024,
    "mobilenet_v3_large": 1280,
    "efficientnet_b0": 1280,
    "vit_b_16": 768,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("weights")
        patch.setenv("ATELIER_HOME", str(folder / "home"))
        put_weights(folder)
        yield folder


def pretrained(trainable: str = "head", **changes) -> OnTrunk:
    return build_model(ModelConfig(name="pretrained", trunk=SMALL, trainable=trainable, **changes), 3, 32)


def state_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def steps(network, count=3):
    """Train on noise with the optimizer's vector, as `fit` does on one rank."""
    torch.manual_seed(0)
    flat = FlatWeights(network)
    optimizer = torch.optim.SGD([flat.vector], lr=0.1, weight_decay=0.1)
    network.train()
    for _ in range(count):
        logits = network(torch.randn(4, 3, 32, 32))
        flat.backward(torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])))
        optimizer.step()


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "vit_b_16"])
def test_every_published_network_is_cut_behind_its_features(name):
    trunk, features = cut_last(published_network(name))
    assert features == FEATURES[name]
    assert trunk.eval()(torch.randn(2, 3, 32, 32)).shape == (2, features)
    assert trunk.train()(torch.randn(2, 3, 32, 32)).shape == (2, features)  # GoogLeNet without its auxiliary heads


@pytest.mark.slow
def test_the_vision_transformer_takes_its_own_size_only():
    trunk, features = cut_last(published_network("vit_b_16"))
    assert trunk.eval()(torch.randn(1, 3, 224, 224)).shape == (1, FEATURES["vit_b_16"]) == (1, features)


def test_sizes_that_a_network_does_not_take_are_refused_with_the_one_to_set():
    with pytest.raises(UserMistake, match=r"vit_b_16 takes pictures of 224 pixels and no others.*is 32. Set it to 224"):
        check_network(ModelConfig(name="pretrained", trunk="vit_b_16"), 3, 32)
    with pytest.raises(UserMistake, match="googlenet needs pictures of at least 32 pixels"):
        check_network(ModelConfig(name="pretrained"), 3, 16)
    with pytest.raises(UserMistake, match="unknown pretrained network 'vgg'"):
        check_network(ModelConfig(name="pretrained", trunk="vgg"), 3, 224)
    check_network(ModelConfig(name="pretrained"), 3, 32)


def test_a_frozen_trunk_does_not_move_and_its_head_learns(home):
    network = pretrained()
    before = state_of(network)
    steps(network)
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"head.weight", "head.bias"}  # neither weights nor running statistics nor counts of batches
    assert network.training and not any(module.training for module in network.trunk.modules())


def test_a_finetuned_network_moves_as_a_whole(home):
    network = pretrained("all")
    before = state_of(network)
    steps(network)
    still = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert still <= {name for name in before if name.endswith("fc2.bias")}, still
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_it_begins_with_what_was_learnt_and_a_head_of_the_seed(home):
    one, same, other = (build_model(ModelConfig(name="pretrained", trunk=SMALL), 3, 32, seed) for seed in (1, 1, 2))
    assert torch.equal(one.head.weight, same.head.weight) and not torch.equal(one.head.weight, other.head.weight)
    assert torch.equal(one.trunk.features[0][0].weight, other.trunk.features[0][0].weight)


def test_without_weights_it_is_refused_but_its_layers_can_be_looked_at(home):
    with pytest.raises(UserMistake, match="The weights of googlenet are not here yet"):
        build_model(ModelConfig(name="pretrained"), 3, 224)
    assert build_model(ModelConfig(name="pretrained"), 3, 224, learnt=False).head.out_features == 3


def test_pictures_are_normalised_as_the_trunk_knows_them():
    assert normalisation_of(ModelConfig(name="pretrained")) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert normalisation_of(ModelConfig()) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
