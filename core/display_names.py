"""display_name: an identifier as a person reads it: "One-cycle" for one_cycle, "Paper CNN" for paper_cnn. No torch."""

import re
from collections.abc import Iterable
from typing import Any

# dotted field of RunConfig, or another kind of identifier -> its values -> what stands on the screen
DISPLAY_NAMES: dict[str, dict[str, str]] = {
    "preset": {
        "paper": "Paper",
        "quick": "Quick",
        "better": "Better",
        "best": "Best",
        "tiny": "Tiny",
        "scratch": "From scratch",
        "speedrun": "Speedrun",
        "pretrained": "Pretrained",
    },
    "part": {"train": "Training", "val": "Validation", "test": "Test"},
    "measure": {"evaluation": "Evaluation mode", "paper": "Paper's measure"},
    "attribution": {
        "grad_cam": "Grad-CAM",
        "integrated_gradients": "Integrated gradients",
        "occlusion": "Occlusion",
        "random": "Random order",
    },
    "novelty": {
        "knn": "Nearest neighbours",
        "mahalanobis": "Mahalanobis distance",
        "first_layer": "First-layer distance",
        "max_softmax": "Max-softmax",
    },
    "data.fit": {"crop": "Centre crop", "squash": "Squash", "pad": "Pad"},
    "data.balance": {"none": "None", "smallest": "Smallest class"},
    "data.split": {"stratified": "Stratified", "paper": "Name order"},
    "data.duplicates": {"ignore": "Ignore", "together": "Keep together"},
    "model.name": {
        "paper_cnn": "Paper CNN",
        "cnn": "CNN (own layers)",
        "resnet": "ResNet",
        "compact": "Compact",
        "pretrained": "Pretrained (ImageNet)",
        "transfer": "Transfer (from a run)",
    },
    "model.trainable": {"head": "Last layer only", "all": "All layers"},
    "model.padding": {"none": "None", "same": "Same"},
    "model.pool": {"max": "Max", "average": "Average", "strided": "Strided convolution", "none": "None"},
    "model.activation": {
        "relu": "ReLU",
        "leaky_relu": "Leaky ReLU",
        "elu": "ELU",
        "gelu": "GELU",
        "silu": "SiLU",
        "tanh": "Tanh",
        "sigmoid": "Sigmoid",
    },
    "model.norm_conv": {"none": "None", "last": "Last convolution", "all": "All convolutions"},
    "model.norm_linear": {"none": "None", "first": "First layer", "all": "All layers"},
    "train.optimizer": {
        "sgd": "SGD",
        "nesterov": "SGD + Nesterov momentum",
        "adam": "Adam",
        "adamw": "AdamW",
        "rmsprop": "RMSprop",
        "muon": "Muon",
    },
    "train.schedule": {
        "constant": "Constant",
        "step": "Step",
        "linear": "Linear",
        "cosine": "Cosine",
        "one_cycle": "One-cycle",
    },
    "train.augment": {
        "flip": "Horizontal flip",
        "shift_crop": "Random shift",
        "rotate": "Rotation",
        "colour": "Colour jitter",
        "cutout": "Cutout",
        "mixup": "Mixup",
    },
    "train.flips": {"random": "Random", "alternating": "Alternating"},
    "train.class_weights": {"none": "None", "balanced": "Balanced"},
    "train.precision": {"float32": "float32", "bfloat16": "bfloat16"},
}

# names of backbones, torchvision's family by family: the groups are put in with capital letters
_BACKBONES: tuple[tuple[str, str], ...] = (
    (r"googlenet", "GoogLeNet"),
    (r"alexnet", "AlexNet"),
    (r"inception_v3", "Inception v3"),
    (r"resnet(\d+)", "ResNet-{}"),
    (r"wide_resnet(\d+)_2", "Wide ResNet-{}-2"),
    (r"resnext(\d+)_(\w+)", "ResNeXt-{} {}"),
    (r"densenet(\d+)", "DenseNet-{}"),
    (r"convnext_(\w+)", "ConvNeXt {}"),
    (r"efficientnet_lite(\d)", "EfficientNet-Lite{}"),
    (r"efficientnet_b(\d)", "EfficientNet-B{}"),
    (r"efficientnet_lite(\d)", "EfficientNet-Lite{}"),
    (r"efficientnet_v2_([sml])", "EfficientNetV2-{}"),
    (r"maxvit_(t)", "MaxViT-{}"),
    (r"mnasnet(\d)_(\d+)", "MNASNet {}.{}"),
    (r"mobilenet_v2", "MobileNetV2"),
    (r"mobilenet_v3_(\w+)", "MobileNetV3 {}"),
    (r"regnet_([xy])_(\d+)([mg])f", "RegNet{} {} {}F"),
    (r"regnet_([xy])_(\d)_(\d)gf", "RegNet{} {}.{} GF"),
    (r"shufflenet_v2_x(\d)_(\d)", "ShuffleNetV2 x{}.{}"),
    (r"squeezenet(\d)_(\d)", "SqueezeNet {}.{}"),
    (r"swin_([tsb])", "Swin-{}"),
    (r"swin_v2_([tsb])", "SwinV2-{}"),
    (r"vgg(\d+)", "VGG-{}"),
    (r"vgg(\d+)_bn", "VGG-{} BN"),
    (r"vit_([bl])_(\d+)", "ViT-{}/{}"),
)
_KEPT_RUN = re.compile(r"[a-z0-9]{8}([a-z0-9]{4})-[0-9a-f]{8}")  # as core/backbones/registry.py names it


def display_name(field: str, value: Any) -> str:
    """`field`: dotted, as train.augment, or "preset", "part", "measure", "attribution" or "novelty". A name that
    people gave, as that of a preset of their own, comes back as it is: escape it on a page."""
    if field == "model.backbone":
        return _backbone_name(str(value))
    if field == "train.teacher":
        return _backbone_name(str(value)) if value else "None"
    names = DISPLAY_NAMES.get(field, {})
    if isinstance(value, str):
        return names.get(value, value)
    if names and isinstance(value, tuple | list):
        return " + ".join(names.get(str(one), str(one)) for one in value) or "None"
    return format_value(value)


def format_value(value: Any) -> str:
    """A setting's value without its field: 0.001, 5e-5, "6, 16", on; an identifier with spaces for underscores."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list):
        return _format_list(value)
    if isinstance(value, float):
        return f"{value:.6g}".replace("e-0", "e-")  # 1e-7, as people write it
    return str(value).replace("_", " ")


def _format_list(values: Iterable[Any]) -> str:
    if any(isinstance(one, int) for one in values):
        return ", ".join(map(str, values))
    return " + ".join(word.replace("_", "-") for word in values) or "none"


def _backbone_name(name: str) -> str:
    if run := _KEPT_RUN.fullmatch(name):
        return f"run {run[1]}"
    for pattern, written in _BACKBONES:
        if found := re.fullmatch(pattern, name):
            return written.format(*(part.upper() if len(part) < 3 else part.capitalize() for part in found.groups()))
    return name
