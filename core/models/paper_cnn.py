"""The paper's small network: two convolutions with pooling, then three linear layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import UserMistake

SMALLEST_IMAGE = 10  # pixels; below, the second pooling has no full window: (10-2)/2 = 4, (4-2)/2 = 1


class PaperCNN(nn.Module):
    """images float (B, 3, S, S) -> logits float (B, classes); 81,574 parameters for S = 32 and 10 classes.

    The paper applies leaky ReLU before each pooling. It grows strictly, so the maximum of its values is its value
    of the maximum: pooling first gives the same result, forward and backward, for a quarter of the work.
    """

    def __init__(self, classes: int, image_size: int = 32, negative_slope: float = 0.01) -> None:
        super().__init__()
        if image_size < SMALLEST_IMAGE:
            raise UserMistake(
                f"paper_cnn needs pictures of at least {SMALLEST_IMAGE} pixels; the image size is {image_size}"
            )
        side = ((image_size - 2) // 2 - 2) // 2  # 3x3 convolution takes 2 pixels, 2x2 pooling halves; twice
        self.negative_slope = negative_slope
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.pool1 = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.conv2_bn = nn.BatchNorm2d(16)
        self.pool2 = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.dense1_bn = nn.BatchNorm1d(120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self._leaky(self.pool1(self.conv1(images)))
        x = self._leaky(self.pool2(self.conv2_bn(self.conv2(x))))
        x = self._leaky(self.dense1_bn(self.fc1(torch.flatten(x, 1))))
        return self.fc3(self._leaky(self.fc2(x)))

    def _leaky(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)
