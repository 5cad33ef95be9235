"""Pretrained weights that nobody has to download: random ones, in the files that torchvision publishes."""

import io
from pathlib import Path

import pytest
import torch

from core.backbones.catalogue import TORCHVISION
from core.models.transfer import published_network
from core.models.weights import add_weights

SMALL = "mobilenet_v3_small"  # the quickest one
FAMILIES = [  # one of each
    "googlenet",
    "resnet18",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "vit_b_16",
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "regnet_y_400mf",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11",
]
EVERY = [pytest.param(name, marks=[] if name in FAMILIES else pytest.mark.nightly) for name in TORCHVISION]


def published_file(name: str = SMALL, seed: int = 0) -> bytes:
    """What the file of that network would hold, with weights that the seed draws."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = published_network(name)
    for value in network.state_dict().values():
        if value.is_floating_point() and value.dim() == 1:
            value.uniform_(0.5, 1.5)  # running statistics too, so that nothing is what it is by default
    content = io.BytesIO()
    torch.save(network.state_dict(), content)
    return content.getvalue()


def put_weights(folder: Path, name: str = SMALL, seed: int = 0) -> None:
    """Bring weights to the home at hand, through the door that a user's own file takes."""
    path = folder / f"{name}-{seed}.pth"
    path.write_bytes(published_file(name, seed))
    list(add_weights(name, path))
