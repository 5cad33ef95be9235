"""Convolutions after Winograd: the sums and gradients of torch's own, for any size and any number of pictures."""

import copy

import pytest
import torch

from core.models import winograd
from core.models.conv2d import Conv2d


def layer(inputs, outputs):
    torch.manual_seed(0)
    return Conv2d(inputs, outputs, 3, padding=1, bias=False).to(memory_format=torch.channels_last)


def found(convolution, images, gradient):
    """(outputs, gradient of the images, gradient of the filters)."""
    asked = images.clone().requires_grad_()
    outputs = convolution(asked)
    of_images, of_filters = torch.autograd.grad(outputs, (asked, convolution.weight), gradient)
    return outputs.detach(), of_images, of_filters


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 4), (7, 7), (15, 15), (8, 5)])
@pytest.mark.parametrize("pictures", [1, 5])
def test_it_gives_what_torch_gives_whatever_hangs_over(monkeypatch, size, pictures):
    monkeypatch.setattr(winograd, "TILES_AT_ONCE", 8)  # several blocks, the last of which is not full
    winograd._plan.cache_clear()
    direct = layer(6, 10)
    fast = copy.deepcopy(direct)
    fast.algorithm = "winograd"
    images, gradient = torch.randn(pictures, 6, *size), torch.randn(pictures, 10, *size)
    for expected, value in zip(found(direct, images, gradient), found(fast, images, gradient), strict=True):
        assert value.shape == expected.shape and torch.allclose(value, expected, atol=1e-4, rtol=1e-4)
    winograd._plan.cache_clear()


def test_its_products_are_exact_in_exact_numbers():
    # by hand: a filter of one in the middle gives the picture back
    convolution = layer(2, 2)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 1, 1] = convolution.weight[1, 1, 1, 1] = 1
    convolution.algorithm = "winograd"
    images = torch.arange(2 * 2 * 25.0).view(2, 2, 5, 5)
    assert torch.allclose(convolution(images), images, atol=1e-4)


def test_filters_that_are_not_learnt_and_pictures_that_need_no_gradient_are_left_alone():
    convolution = layer(4, 4)
    convolution.algorithm = "winograd"
    convolution(torch.randn(2, 4, 7, 7)).sum().backward()
    assert convolution.weight.grad is not None
    convolution.weight.requires_grad_(False)
    assert not convolution(torch.randn(2, 4, 7, 7)).requires_grad


def test_other_numbers_are_computed_as_torch_does():
    convolution = layer(4, 4)
    images = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    convolution = convolution.double()
    expected = convolution(images)
    convolution.algorithm = "winograd"
    assert torch.equal(convolution(images), expected)


def test_the_same_sums_come_again_bit_for_bit():
    convolution = layer(64, 128)
    convolution.algorithm = "winograd"
    images, gradient = torch.randn(40, 64, 7, 7), torch.randn(40, 128, 7, 7)
    first, again = found(convolution, images, gradient), found(convolution, images, gradient)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
