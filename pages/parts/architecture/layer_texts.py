"""What each kind of layer does in two sentences, and what it is called on the drawing."""

import re
from typing import Any

Layer = dict[str, Any]  # core.models.summary.Layer: a page holds no class of a module with torch
DESCRIPTIONS = {  # kind -> what it does, in two sentences
    "Conv2d": "Slides small windows over its input; each map looks for one pattern. The weights of a window are the "
    "same everywhere, so a pattern is found wherever it lies.",
    "MaxPool2d": "Keeps the strongest of neighbouring answers. What was found counts, and where exactly no longer "
    "does.",
    "AvgPool2d": "Takes the mean of neighbouring answers. Small shifts of the picture change little after it.",
    "AdaptiveAvgPool2d": "Takes the mean of each map. What is left says how much of a pattern there is, not where.",
    "AdaptiveMaxPool2d": "Keeps the strongest answer of each map. What is left says whether a pattern is there, not "
    "where.",
    "BatchNorm2d": "Brings every map to mean 0 and spread 1, so that learning stays steady. Two learnt numbers a map "
    "may move and stretch it again.",
    "BatchNorm1d": "Brings every number to mean 0 and spread 1, so that learning stays steady. Two learnt numbers may "
    "move and stretch each again.",
    "Norm": "Brings every map to mean 0 and spread 1, so that learning stays steady. One learnt number a map moves it "
    "again.",
    "Linear": "Weighs every number that comes in, once for each number that goes out. Here what was found in the "
    "picture is put together to an answer.",
    "Flatten": "Lays all maps out as one row of numbers. Nothing is lost but the knowledge of what was beside what.",
    "Dropout": "Blanks some numbers in every training step, so that none is relied upon. A finished network has them "
    "all.",
    "Dropout2d": "Blanks whole maps in every training step, so that no pattern is relied upon. A finished network has "
    "them all.",
    "LayerNorm": "Brings the numbers of every place to mean 0 and spread 1, so that learning stays steady. Two learnt "
    "numbers may move and stretch each again.",
    "LayerNorm2d": "Brings the numbers of every place to mean 0 and spread 1, so that learning stays steady. Two "
    "learnt numbers a map may move and stretch them again.",
    "ShiftedWindowAttention": "Lets every place of the picture look at those in the same window and take over what "
    "suits it. The next layer's windows lie half a window further, so that all places come together in the end.",
    "ShiftedWindowAttentionV2": "Lets every place of the picture look at those in the same window and take over what "
    "suits it. How alike two places are decides, so that none of them drowns out the others.",
    "RelativePositionalMultiHeadAttention": "Lets every place look at those in the same window, or at those of a grid "
    "over the whole picture, and take over what suits it. How far two places lie apart counts, and is learnt.",
    "Parameter": "Numbers of the network's own that are learnt as weights are, and belong to no layer: where in the "
    "picture a place lies, or how much of a branch counts. They are added to, or multiplied with, what passes.",
    "StochasticDepth": "Leaves out a whole branch now and then in training, so that none is relied upon. A finished "
    "network has them all.",
    "Permute": "Lays the same numbers out in another order. Nothing is calculated.",
    "SwapAxes": "Lays the same numbers out in another order. Nothing is calculated.",
    "WindowPartition": "Cuts the map into windows. Nothing is calculated.",
    "WindowDepartition": "Puts the windows together to a map again. Nothing is calculated.",
    "Identity": "Passes on what comes in, as it is. Other networks of this kind have a layer in its place.",
    "Hardswish": "Lets what is positive pass and makes what is far below zero zero, with a small dip between. It is "
    "SiLU, made of pieces that are quicker to calculate.",
    "Hardsigmoid": "Squeezes every number between 0 and 1, along a straight line. It is the sigmoid, made of pieces "
    "that are quicker to calculate.",
    "ReLU6": "Lets what lies between 0 and 6 pass and cuts off the rest. What is cut off above keeps numbers small.",
    "MultiheadAttention": "Lets every place of the picture look at every other one and take over what suits it. What "
    "it looks at is learnt.",
    "ReLU": "Lets what is positive pass and makes all else zero. Without such a bend, all layers together could do no "
    "more than one.",
    "LeakyReLU": "Lets what is positive pass, and a little of what is negative. So a unit that is always below zero "
    "can still learn its way back.",
    "ELU": "Lets what is positive pass and bends what is negative towards −1. The mean of its values stays near zero.",
    "GELU": "Lets what is positive pass, softly near zero. It has a small dip below zero instead of a corner.",
    "SiLU": "Multiplies each number by how positive it is, from 0 to 1. It has a small dip below zero instead of a "
    "corner.",
    "Tanh": "Squeezes every number between −1 and 1. Far from zero it is nearly flat, and learning slows down there.",
    "Sigmoid": "Squeezes every number between 0 and 1. Far from zero it is nearly flat, and learning slows down there.",
}
SHORT_NAMES = {
    "MaxPool2d": "max pool",
    "AvgPool2d": "mean pool",
    "AdaptiveMaxPool2d": "max of map",
    "AdaptiveAvgPool2d": "mean of map",
    "BatchNorm2d": "batch norm",
    "BatchNorm1d": "batch norm",
    "Norm": "batch norm",
    "LeakyReLU": "leaky ReLU",
    "Dropout": "dropout",
    "Dropout2d": "dropout",
    "Flatten": "flatten",
    "MultiheadAttention": "attention",
    "ShiftedWindowAttention": "attention",
    "ShiftedWindowAttentionV2": "attention",
    "RelativePositionalMultiHeadAttention": "attention",
    "LayerNorm": "layer norm",
    "LayerNorm2d": "layer norm",
    "StochasticDepth": "depth",
    "WindowPartition": "windows",
    "WindowDepartition": "windows",
    "SwapAxes": "swap",
    "Permute": "swap",
}
MINOR = (
    "BatchNorm2d",
    "BatchNorm1d",
    "Norm",
    "LayerNorm",
    "LayerNorm2d",
    "Dropout",
    "Dropout2d",
    "StochasticDepth",
    "Identity",
    "Permute",
    "SwapAxes",
    "WindowPartition",
    "WindowDepartition",
    "Parameter",
)
ACTIVATION_KINDS = ("ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Tanh", "Sigmoid", "Hardswish", "ReLU6")


def short_name(layer: Layer) -> str:
    """The text on a layer: its name where it has weights, else its kind."""
    kind, name = layer["kind"], str(layer["name"]).rpartition(".")[2]
    if kind == "Conv2d" and (name == "conv" or name.isdigit()):  # in a branch or a list: all of them are called so
        window = re.search(r"kernel (\d+)x(\d+)", layer["detail"])
        return f"conv {window[1]}×{window[2]}" if window else "conv"
    if kind == "Linear" and name.isdigit():
        return "linear"
    return SHORT_NAMES.get(kind, kind if kind in ACTIVATION_KINDS else name)
