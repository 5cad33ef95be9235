"""Every kind of network answers alike from an ONNX file and from its own source code."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torchvision.models.vision_transformer import VisionTransformer

from core.config import ModelConfig
from core.data.pictures.preprocess import Preprocess
from core.export.answering import Answering, trace
from core.export.network_source import network_source
from core.export.onnx_file import onnx_file
from core.inference.predictor import Predictor
from core.models.build import build_model
from core.models.transfer import TransferModel, cut_last

CLASSES = ("ink", 'oil "on" canvas', "\u6c34\u5f69")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def built(size: int = 32, load_weights: bool = False, **config) -> torch.nn.Module:
    return build_model(ModelConfig(**config), len(CLASSES), size, load_weights=load_weights)


def transformer() -> torch.nn.Module:
    """A small vision transformer of torchvision's own class, frozen, with our head."""
    network = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=48, num_classes=10
    )
    backbone, features = cut_last(network)
    return TransferModel(backbone, features, len(CLASSES), frozen=True)


KINDS = {
    "paper_cnn": lambda: built(name="paper_cnn"),
    "cnn": lambda: built(name="cnn", channels=(8, 12), pool="average", activation="gelu", norm_conv="all"),
    "resnet_flip": lambda: built(name="resnet", width=8, flip_tta=True),
    "resnet_flip_of_the_unsure": lambda: built(name="resnet", width=8, flip_tta=True, tta_below=0.4),
    "resnet_crops_of_the_unsure": lambda: built(name="resnet", width=8, flip_tta=True, crop_tta=True, tta_below=0.4),
    "compact": lambda: built(name="compact", width=8),
    "efficientnet_lite0": lambda: built(64, True, name="pretrained", backbone="efficientnet_lite0"),
    "squeezenet1_0": lambda: built(64, name="pretrained", backbone="squeezenet1_0"),
    "vision_transformer": transformer,
}


def predictor_of(kind: str, fit: str = "crop") -> Predictor:
    torch.manual_seed(0)
    model = KINDS[kind]().eval()
    for module in model.modules():  # running statistics that differ from those that every network begins with
        if isinstance(module, torch.nn.BatchNorm2d) and kind != "efficientnet_lite0":
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    side = 64 if kind in ("efficientnet_lite0", "squeezenet1_0") else 32
    return Predictor(model, CLASSES, Preprocess(image_size=side, fit=fit, **IMAGENET))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_onnx_file_answers_as_the_network_does(kind):
    predictor = predictor_of(kind, fit="pad" if kind == "cnn" else "crop")
    content = onnx_file(trace(predictor, most=1), predictor.preprocess, {"classes": CLASSES, "sha256": "0" * 64})
    model = onnx.load_from_string(content)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("logits"))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(CLASSES)
    for height, width in ((32, 32), (41, 300), (260, 90)):
        picture = noise(height, width)
        received = predictor.preprocess.receive(Image.fromarray(picture))[None]
        with torch.no_grad():
            logits = Answering(predictor)(torch.from_numpy(received)).numpy()
        probabilities, got = session.run(["probabilities", "logits"], {"image": picture})
        assert np.abs(got - logits).max() < 1e-4
        np.testing.assert_allclose(probabilities, predictor.probabilities(received)[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resnet_flip", "resnet_crops_of_the_unsure", "squeezenet1_0", "vision_transformer"])
def test_the_source_code_of_a_network_computes_the_same(kind):
    predictor = predictor_of(kind)
    side = predictor.preprocess.image_size
    scope: dict = {}
    exec(network_source(trace(predictor), side, len(CLASSES)), scope)
    received = np.stack([noise(side, side + n)[:, :side].transpose(2, 0, 1) for n in range(3)])
    got = scope["logits"](predictor.model.state_dict(), torch.from_numpy(received)).softmax(1).numpy()
    np.testing.assert_allclose(got, predictor.probabilities(received), atol=1e-6)
