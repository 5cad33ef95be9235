"""Freezing: the first layer stays as it is from an epoch on, whatever moves the weights, and the rest learns on."""

import pytest
import torch

from core.config import ModelConfig, TrainConfig
from core.data.store.batches import load_part
from core.engine import fit as fit_module
from core.engine.fit import fit
from core.engine.freezing import Freezing, learning_epochs
from core.engine.train_state import TrainState, ask_train_state
from core.models.build import build_model
from core.rows import EpochRow, TickRow
from tests.core.engine.test_fit import CPU
from tests.core.engine.test_fit import weights as every_weight

HALF = TrainConfig(
    epochs=4, batch_size=8, learning_rate=0.05, weight_decay=0.01, optimizer="nesterov", freeze_first=0.5
)
WAYS = {
    "one vector": {},
    "Adam": {"optimizer": "adamw", "learning_rate": 0.002},
    "Muon": {"optimizer": "muon", "filter_rate": 0.05},
    "lookahead and mean": {"lookahead": 2, "ema": 0.9},
    "Muon with lookahead": {"optimizer": "muon", "lookahead": 3},
}


def residual(width=8):
    return build_model(ModelConfig(name="resnet", width=width), 2, 16, 0)


def started(store, config, model, start=None):
    return fit(model, load_part(store, "train"), None, 2, config, CPU, start)


def weights_of_epochs(store, config):
    """(bias of the first layer, filters of the next one) after each epoch."""
    model, seen = residual(), []
    for row in started(store, config, model):
        if isinstance(row, EpochRow):
            seen.append((model.whiten.bias.detach().clone(), model.block1.conv1.weight.detach().clone()))
    assert model.whiten.bias.requires_grad and not model.whiten._forward_hooks, "it was not left as it was given"
    return seen


@pytest.mark.parametrize("changes", [way for way in WAYS.values() if "ema" not in way], ids=str)
def test_the_first_layer_learns_for_its_share_of_the_epochs_and_the_rest_to_the_end(tiny_store, changes):
    (bias1, conv1), (bias2, conv2), (bias3, conv3), (bias4, conv4) = weights_of_epochs(
        tiny_store, HALF.model_copy(update=changes)
    )
    assert not torch.equal(bias1, bias2) and torch.equal(bias2, bias3) and torch.equal(bias3, bias4)
    assert not torch.equal(conv1, conv2) and not torch.equal(conv2, conv3) and not torch.equal(conv3, conv4)


def test_what_is_never_frozen_learns_to_the_end_and_what_is_from_the_start_never_does(tiny_store):
    learnt = [bias for bias, _ in weights_of_epochs(tiny_store, HALF.model_copy(update={"freeze_first": 1.0}))]
    assert not torch.equal(learnt[2], learnt[3])
    never = [bias for bias, _ in weights_of_epochs(tiny_store, HALF.model_copy(update={"freeze_first": 0.0}))]
    assert not any(bias.any() for bias in never), "it begins at zero"


def test_until_it_is_frozen_training_is_that_of_a_layer_that_learns(tiny_store):
    frozen, free = (weights_of_epochs(tiny_store, HALF.model_copy(update={"freeze_first": to})) for to in (0.5, 1.0))
    assert all(torch.equal(one, other) for one, other in zip(frozen[1], free[1], strict=True))
    assert not torch.equal(frozen[2][1], free[2][1])


@pytest.mark.parametrize("step", [2, 8, 14])
@pytest.mark.parametrize("changes", WAYS.values(), ids=WAYS)
def test_training_goes_on_bit_for_bit_before_and_after_it_is_frozen(tiny_store, monkeypatch, changes, step):
    monkeypatch.setattr(fit_module, "SECONDS_A_TICK", -1.0)
    config = HALF.model_copy(update=changes)
    whole = residual()
    for _ in started(tiny_store, config, whole):
        pass
    rows = started(tiny_store, config, residual())
    next(row for row in rows if row.step == step and isinstance(row, TickRow))
    start = TrainState.from_parts(*ask_train_state(rows).to_parts())
    rows.close()
    resumed = residual()
    for _ in started(tiny_store, config, resumed, start):
        pass
    assert torch.equal(every_weight(resumed), every_weight(whole))


def test_with_several_ranks_the_gradient_that_the_others_wait_for_is_computed_and_not_used():
    model = residual()
    bias, freezing = model.whiten.bias.detach().clone(), Freezing(model, HALF, ranks=2)
    freezing.begin(3)
    assert model.whiten.bias.requires_grad and model.whiten(torch.zeros(1, 3, 16, 16)).requires_grad
    with torch.no_grad():
        model.whiten.bias += 1
    freezing.hold()
    assert torch.equal(model.whiten.bias, bias)


def test_alone_no_gradient_of_a_frozen_layer_is_computed():
    model = residual()
    freezing = Freezing(model, HALF, ranks=1)
    freezing.begin(2)
    assert model.whiten(torch.zeros(1, 3, 16, 16)).requires_grad
    freezing.begin(3)
    assert not model.whiten(torch.zeros(1, 3, 16, 16)).requires_grad


@pytest.mark.parametrize("name", ["paper_cnn", "compact"])  # the first layer of the second never learns
def test_a_network_without_such_a_layer_learns_as_a_whole(tiny_store, name):
    ends = []
    for share in (0.0, 1.0):
        model = build_model(ModelConfig(name=name, width=8), 2, 16, 0)
        for _ in started(tiny_store, HALF.model_copy(update={"freeze_first": share}), model):
            pass
        assert not any(layer._forward_hooks for layer in model.modules())
        ends.append(every_weight(model))
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("share", "epochs", "expected"), [(0.3, 10, 3), (0.3, 1, 0), (0.5, 3, 2), (1.0, 7, 7), (0, 7, 0)]
)
def test_a_share_of_the_epochs_is_a_whole_number_of_them(share, epochs, expected):
    assert learning_epochs(TrainConfig(epochs=epochs, freeze_first=share)) == expected
