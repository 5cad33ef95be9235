"""The paper's network: its layers, its numbers, and its order of pooling and activation."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.errors import UserMistake
from core.models.paper_cnn import PaperCNN
from core.models.shapes import PAPER_SMALLEST

PARAMETERS = {"conv1": 168, "conv2": 880, "conv2_bn": 32, "fc1": 69_240, "dense1_bn": 240, "fc2": 10_164}


class AsPrinted(nn.Module):
    """The paper's order: every activation before the pooling that follows it."""

    def __init__(self, net: PaperCNN) -> None:
        super().__init__()
        self.net = net

    def forward(self, images):
        net, slope = self.net, self.net.negative_slope
        x = F.max_pool2d(F.leaky_relu(net.conv1(images), slope), 2, 2)
        x = F.max_pool2d(F.leaky_relu(net.conv2_bn(net.conv2(x)), slope), 2, 2)
        x = F.leaky_relu(net.dense1_bn(net.fc1(x.reshape(len(x), -1))), slope)
        return net.fc3(F.leaky_relu(net.fc2(x), slope))


@pytest.mark.parametrize(("classes", "fc3", "total"), [(10, 850, 81_574), (3, 255, 80_979)])
def test_it_has_the_papers_parameters_in_every_layer(classes, fc3, total):
    net = PaperCNN(classes)
    counts = {name: sum(p.numel() for p in layer.parameters()) for name, layer in net.named_children()}
    assert {name: count for name, count in counts.items() if count} == PARAMETERS | {"fc3": fc3}
    assert sum(counts.values()) == total == sum(p.numel() for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize("slope", [0.01, 0.0, 0.3])
def test_pooling_first_gives_the_papers_values_and_gradients(slope):
    torch.manual_seed(0)
    ours = PaperCNN(10, 32, slope)
    theirs = AsPrinted(copy.deepcopy(ours))
    images, labels = torch.randn(32, 3, 32, 32), torch.randint(0, 10, (32,))
    assert torch.equal(ours.eval()(images), theirs.eval()(images))
    logits = ours.train()(images), theirs.train()(images)
    assert torch.allclose(*logits, rtol=1e-5, atol=1e-5)  # the bias is added after the pooling: another rounding
    for answer in logits:
        F.cross_entropy(answer, labels).backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        found = torch.zeros_like(mine) if mine.grad is None else mine.grad  # conv2.bias: batch norm takes it away
        assert torch.allclose(found, other.grad, rtol=1e-4, atol=1e-6), name
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [PAPER_SMALLEST, 11, 32, 33, 64])
def test_it_takes_pictures_of_any_size_from_the_smallest_on(side):
    assert PaperCNN(7, side)(torch.randn(2, 3, side, side)).shape == (2, 7)


def test_pictures_that_are_too_small_are_refused_with_the_smallest_size():
    with pytest.raises(UserMistake, match="at least 10 pixels; the image size is 9"):
        PaperCNN(10, PAPER_SMALLEST - 1)


def test_the_slope_below_zero_acts():
    images = torch.randn(8, 3, 32, 32)
    nets = [PaperCNN(3, 32, slope) for slope in (0.01, 0.5)]
    nets[1].load_state_dict(nets[0].state_dict())
    assert not torch.allclose(nets[0](images), nets[1](images))
