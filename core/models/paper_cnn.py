"""The paper's small network: two convolutions with pooling, then three linear layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import ModelConfig
from core.models.shapes import check_network

LANES = 8  # float32 numbers in a vector register of 256 bits


class PaperCNN(nn.Module):
    """images float (B, 3, S, S) -> logits float (B, classes); 81,574 parameters for S = 32 and 10 classes.

    The paper applies leaky ReLU before each pooling. It grows strictly, so the maximum of its values is its value
    of the maximum: pooling first gives the same result, forward and backward, for a quarter of the work.
    """

    def __init__(self, classes: int, image_size: int = 32, negative_slope: float = 0.01) -> None:
        super().__init__()
        check_network(ModelConfig(name="paper_cnn"), classes, image_size)
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
        if self.training and images.device.type == "cpu":
            x = self._convolve_padded(images)
        else:
            x = self.conv2_bn(self.conv2(self._leaky(self.pool1(self.conv1(images)))))
        x = self._leaky(self.pool2(x))
        x = self._leaky(self.dense1_bn(self.fc1(torch.flatten(x, 1))))
        return self.fc3(self._leaky(self.fc2(x)))

    def _convolve_padded(self, images: Tensor) -> Tensor:
        """conv1 to conv2_bn in training with conv1's 6 channels padded by 2 of zeros, which change no result.

        Kernels on the CPU work on 8 channels at a time; on 6 the pooling of this network takes twice as long. conv1's
        bias is added after the pooling, a quarter of the sums: max(x + b) = max(x) + b. Batch norm takes the mean
        away again that conv2's bias adds, so the gradient of that bias is zero, and is not summed up to find that.
        """
        more, bias = -self.conv1.out_channels % LANES, self.conv1.bias
        assert bias is not None
        weight = F.pad(self.conv1.weight, (0, 0, 0, 0, 0, 0, 0, more)).contiguous(memory_format=torch.channels_last)
        x = self.pool1(F.conv2d(images, weight)) + F.pad(bias, (0, more)).view(1, -1, 1, 1)
        weight = F.pad(self.conv2.weight, (0, 0, 0, 0, 0, more)).contiguous(memory_format=torch.channels_last)
        assert self.conv2.bias is not None
        return self.conv2_bn(F.conv2d(self._leaky(x), weight, self.conv2.bias.detach()))

    def _leaky(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)
