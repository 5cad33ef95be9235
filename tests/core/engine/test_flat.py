"""FlatWeights: one vector, many views, the same training."""

import copy

import pytest
import torch
from torch.nn import functional as F

from core.config import TrainConfig
from core.engine.flat import FlatWeights
from core.engine.optimizers import NEEDS_SHAPES, OPTIMIZERS, build_optimizer
from core.models.paper_cnn import PaperCNN


def losses(model, optimizer, backward, zero):
    torch.manual_seed(1)
    images, labels = torch.randn(16, 3, 32, 32), torch.randint(0, 3, (16,))
    losses = []
    for _ in range(4):
        loss = F.cross_entropy(model(images), labels)
        zero()
        backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in NEEDS_SHAPES])
def test_training_over_one_vector_is_training_over_all_tensors(name):
    config = TrainConfig(optimizer=name, learning_rate=0.01, weight_decay=0.0)
    one = PaperCNN(3).to(memory_format=torch.channels_last)
    other = copy.deepcopy(one)
    flat, tensors = FlatWeights(one), build_optimizer(other.parameters(), config)
    mine = losses(one, build_optimizer([flat.vector], config), flat.backward, lambda: None)
    theirs = losses(other, tensors, lambda loss: loss.backward(), tensors.zero_grad)
    assert mine == pytest.approx(theirs, rel=1e-4)


def test_the_weights_keep_their_values_names_and_shapes():
    model = PaperCNN(10)
    before = copy.deepcopy(model.state_dict())
    FlatWeights(model)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_loading_weights_changes_the_vector_too():
    model = PaperCNN(10)
    flat = FlatWeights(model)
    model.load_state_dict({name: torch.ones_like(value) for name, value in model.state_dict().items()})
    assert torch.equal(flat.vector, torch.ones_like(flat.vector))


def test_a_weight_that_the_loss_does_not_reach_has_a_gradient_of_zero():
    model = PaperCNN(3)
    flat = FlatWeights(model)
    flat.backward(model.fc3.bias.sum())
    assert flat.vector.grad.sum() == 3 and (flat.vector.grad != 0).sum() == 3
