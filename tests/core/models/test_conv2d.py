"""Conv2d with the gradient of its filters from products of matrices: what torch gives, for any size and number."""

import copy

import pytest
import torch

from core.models import conv2d
from core.models.conv2d import Conv2d, filter_gradient

SIZES = [(1, 1), (3, 3), (7, 7), (8, 5)]


def layer(inputs, outputs, algorithm="direct"):
    torch.manual_seed(0)
    made = Conv2d(inputs, outputs, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    made.algorithm = algorithm
    return made


def found(convolution, images, gradient):
    """(outputs, gradient of the images, gradient of the filters), in bfloat16 where a run computes in it."""
    asked = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = convolution(asked)
    of_images, of_filters = torch.autograd.grad(outputs, (asked, convolution.weight), gradient)
    return outputs.detach(), of_images, of_filters


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pictures", [1, 5, 12])
def test_the_gradient_of_filters_is_torchs_whatever_the_last_block_lacks(monkeypatch, size, pictures):
    monkeypatch.setattr(conv2d, "PIXELS_AT_ONCE", 200)
    convolution = layer(6, 10)
    images, gradient = torch.randn(pictures, 6, *size), torch.randn(pictures, 10, *size)
    (expected,) = torch.autograd.grad(convolution(images), convolution.weight, gradient)
    assert torch.allclose(filter_gradient(images, gradient), expected, atol=1e-4, rtol=1e-4)


def test_the_gradient_of_one_pixel_is_its_surroundings():
    # by hand: the gradient of the pixel in the middle is 1, so that a filter's is the picture itself
    images, gradient = torch.arange(9.0).view(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    gradient[0, 0, 1, 1] = 1
    assert torch.equal(filter_gradient(images, gradient), images)


@pytest.mark.parametrize("size", SIZES)
def test_in_bfloat16_it_answers_and_learns_as_torchs_does(size):
    direct, products = layer(24, 16), layer(24, 16, "matmul")
    images, gradient = torch.randn(40, 24, *size).bfloat16(), torch.randn(40, 16, *size).bfloat16()
    (answers, of_images, of_filters), others = found(direct, images, gradient), found(products, images, gradient)
    assert torch.equal(answers, others[0]) and torch.equal(of_images, others[1])
    assert others[2].dtype == torch.float32
    assert torch.allclose(of_filters, others[2], atol=0.02 * float(of_filters.abs().max()))


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 7), (torch.bfloat16, 9)])
def test_other_numbers_and_larger_maps_are_left_to_torch(monkeypatch, dtype, size):
    monkeypatch.setattr(conv2d, "filter_gradient", lambda *_: pytest.fail("not asked for"))
    products = layer(4, 4, "matmul").to(dtype)
    products(torch.randn(2, 4, size, size, dtype=dtype)).sum().backward()
    assert products.weight.grad is not None


def test_filters_that_are_not_learnt_and_pictures_that_need_no_gradient_are_left_alone(monkeypatch):
    images = torch.randn(2, 4, 7, 7).bfloat16()
    convolution = layer(4, 4, "matmul")
    convolution(images).sum().backward()
    assert convolution.weight.grad is not None
    monkeypatch.setattr(conv2d, "filter_gradient", lambda *_: pytest.fail("not asked for"))
    convolution.weight.requires_grad_(False)
    convolution(images.requires_grad_()).sum().backward()
    assert images.grad is not None


def test_no_pictures_have_no_outputs_and_no_gradient():
    convolution = layer(4, 6, "matmul")
    outputs = convolution(torch.randn(0, 4, 7, 7).bfloat16())
    outputs.sum().backward()
    assert outputs.shape == (0, 6, 7, 7) and not convolution.weight.grad.any()


def test_the_same_sums_come_again_bit_for_bit():
    convolution = layer(64, 128, "matmul")
    images, gradient = torch.randn(90, 64, 7, 7).bfloat16(), torch.randn(90, 128, 7, 7).bfloat16()
    first, again = found(convolution, images, gradient), found(convolution, images, gradient)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_copy_computes_the_same_way():
    assert copy.deepcopy(layer(4, 4, "matmul")).algorithm == "matmul"
