"""Conv2d: torch's, 3 x 3, whose sums can be computed in other ways, where a processor was measured to be faster so."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from core.environment import ConvAlgorithm
from core.models.winograd import conv2d_winograd

SMALL = 8 * 8  # pixels of the largest maps whose filters get their gradient from products of matrices
PIXELS_AT_ONCE = 2048  # whose surroundings in all channels stay in the caches


class Conv2d(nn.Conv2d):
    """images float (B, C, H, W) -> float (B, O, H, W), 3 x 3 with a padding of 1 and without a bias.

    On a CPU its sums are then rounded otherwise than torch's: "winograd" for float32, "matmul" for the gradient of
    the filters in bfloat16.
    """

    algorithm: ConvAlgorithm = "direct"

    def forward(self, input: Tensor) -> Tensor:  # the name is torch's
        if input.device.type == "cpu":
            if self.algorithm == "winograd" and input.dtype == torch.float32:
                return conv2d_winograd(input, self.weight)
            is_small = input.shape[-2] * input.shape[-1] <= SMALL
            if self.algorithm == "matmul" and input.dtype == torch.bfloat16 and is_small:
                outputs: Tensor = _GradientByMatmul.apply(input, self.weight)
                return outputs
        return super().forward(input)


class _GradientByMatmul(torch.autograd.Function):
    """torch's convolution, but for the gradient of the filters: the processors that multiply matrices in bfloat16 are
    many times faster at a product than at oneDNN's sum over the pixels of small maps."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        filters = weight.to(images.dtype)
        ctx.save_for_backward(images, filters)
        return F.conv2d(images, filters, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, filters = ctx.saved_tensors
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            asked = None, (1, 1), (1, 1), (1, 1), False, (0, 0), 1, (True, False, False)
            of_images = torch.ops.aten.convolution_backward(gradient, images, filters, *asked)[0]
        if ctx.needs_input_grad[1]:
            of_weight = filter_gradient(images, gradient)
        return of_images, of_weight


def filter_gradient(images: Tensor, gradient: Tensor) -> Tensor:
    """float32 (O, C, 3, 3): the gradient of 3 x 3 filters, padding 1, from the maps that they read (B, C, H, W) and the
    gradient of those that they wrote (B, O, H, W).

    The 3 x 3 surroundings of all pixels of a block of pictures stand side by side in one matrix (im2col), which is
    multiplied once; the blocks are added up in float32.
    """
    (pictures, inputs, height, width), outputs = images.shape, gradient.shape[1]
    images, gradient = images.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    at_once = max(1, min(pictures, PIXELS_AT_ONCE // (height * width)))
    padded = images.new_zeros(at_once, height + 2, width + 2, inputs)
    surroundings = images.new_empty(at_once, height, width, 9, inputs)
    product, total = images.new_empty(outputs, 9 * inputs), torch.zeros(outputs, 9 * inputs)
    for first in range(0, pictures, at_once):
        block = images[first : first + at_once]
        held = len(block)
        padded[:held, 1:-1, 1:-1] = block
        for place in range(9):
            row, column = divmod(place, 3)
            surroundings[:held, :, :, place] = padded[:held, row : row + height, column : column + width]
        of_block = gradient[first : first + at_once].reshape(held * height * width, outputs)
        total += torch.mm(of_block.T, surroundings[:held].view(len(of_block), -1), out=product)
    return total.view(outputs, 3, 3, inputs).permute(0, 3, 1, 2)
