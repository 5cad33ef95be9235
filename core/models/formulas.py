"""formulas: what a layer computes, with its own numbers put in."""

from math import floor, prod

from torch import nn

from core.models.receptive import WHOLE, Field, along, is_attention, is_windowed, reach

Shape = tuple[int, ...]  # without the batch: (channels, height, width) or (features,)

_CURVES: dict[type[nn.Module], str] = {
    nn.ReLU: "f(x) = max(0, x)",
    nn.ELU: "f(x) = x above zero, e^x − 1 below",
    nn.GELU: "f(x) = x · Φ(x), Φ(x) the share of a normal distribution below x",
    nn.SiLU: "f(x) = x / (1 + e^−x)",
    nn.Tanh: "f(x) = tanh(x), between −1 and 1",
    nn.Sigmoid: "f(x) = 1 / (1 + e^−x), between 0 and 1",
    nn.Hardswish: "f(x) = x · min(max(x + 3, 0), 6) / 6",
}


def formulas(module: nn.Module, shape_in: Shape, shape_out: Shape, before: Field, after: Field) -> tuple[str, ...]:
    """One line a quantity; `before` and `after`: receptive fields of the input and of the output.

    A layer that is not known here has no line.
    """
    lines = _lines(module, shape_in, shape_out)
    if after.side < WHOLE and after.side != before.side:
        lines.append(f"receptive field = {before.side} + {reach(module)} · {before.step} = {after.side} pixels")
    return tuple(lines)


def _lines(module: nn.Module, shape_in: Shape, shape_out: Shape) -> list[str]:
    if isinstance(module, nn.Conv2d):
        return _of_convolution(module, shape_in, shape_out)
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        kind = "largest" if isinstance(module, nn.MaxPool2d) else "mean"
        window = along(module.kernel_size)
        return [f"y = {kind} of {window} × {window} neighbours", _side(module, shape_in, shape_out)]
    if isinstance(module, nn.Linear):
        return _of_linear(module, shape_out)
    if is_attention(module):
        return _of_attention(module, shape_out)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return _of_norm(module)
    if isinstance(module, nn.LeakyReLU):
        return [f"f(x) = x above zero, {module.negative_slope:g} · x below"]
    if isinstance(module, nn.Dropout | nn.Dropout2d):
        return _of_dropout(module)
    if isinstance(module, nn.Flatten):
        return [f"{' · '.join(f'{side:,}' for side in shape_in)} = {prod(shape_in):,} numbers"]
    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) and len(shape_in) == 3:
        kind = "largest" if isinstance(module, nn.AdaptiveMaxPool2d) else "mean"
        return [f"y = {kind} of all {shape_in[1]} · {shape_in[2]} = {shape_in[1] * shape_in[2]:,} numbers of a map"]
    return [curve for kind, curve in _CURVES.items() if isinstance(module, kind)][:1]


def attention_work(module: nn.Module, shape_out: Shape) -> int:
    """Multiply-adds of attention: four projections of each token, its score with every token that it attends to, and
    the weighted sum of their values."""
    tokens, near, width = _attention_sizes(module, shape_out)
    return 4 * tokens * width**2 + 2 * tokens * near * width


def _attention_sizes(module: nn.Module, shape_out: Shape) -> tuple[int, int, int]:
    """(tokens, tokens that each attends to, features of each)."""
    if isinstance(module, nn.MultiheadAttention):
        tokens, width = shape_out
        return tokens, tokens, width
    if is_windowed(module):  # (side, side, width), filled up to whole windows
        height, width = (
            -(-side // window) * window for side, window in zip(shape_out, module.window_size, strict=False)
        )
        return height * width, prod(module.window_size), shape_out[2]
    groups, near, width = shape_out  # MaxViT: windows, or grids
    return groups * near, near, width


def _of_linear(module: nn.Linear, shape_out: Shape) -> list[str]:
    inputs, outputs, has_bias = module.in_features, module.out_features, module.bias is not None
    factors = " · ".join(f"{count:,}" for count in (*shape_out, inputs))
    return [
        f"y = w₁x₁ + … + wₙxₙ{' + b' * has_bias}, n = {inputs:,}",
        f"parameters = {outputs:,} · {f'({inputs:,} + 1)' if has_bias else f'{inputs:,}'} = "
        f"{outputs * (inputs + has_bias):,}",
        f"multiply-adds = {factors} = {prod(shape_out) * inputs:,}",
    ]


def _of_attention(module: nn.Module, shape_out: Shape) -> list[str]:
    tokens, near, width = _attention_sizes(module, shape_out)
    others = f"{tokens}²" if near == tokens else f"{tokens:,} · {near}"
    work = attention_work(module, shape_out)
    return [f"multiply-adds = 4 · {tokens:,} · {width}² + 2 · {others} · {width} = {work:,}"]


def _of_dropout(module: nn.Dropout | nn.Dropout2d) -> list[str]:
    kept, what = 1 - module.p, "map" if isinstance(module, nn.Dropout2d) else "number"
    return [
        f"in training: each {what} becomes 0 with {module.p:.0%}, else it is multiplied by 1 / {kept:g} = "
        f"{1 / kept:.2f}; afterwards y = x"
    ]


def _of_convolution(module: nn.Conv2d, shape_in: Shape, shape_out: Shape) -> list[str]:
    (height, width), inputs = module.kernel_size, module.in_channels // module.groups
    window, has_bias = f"{inputs} · {height} · {width}", module.bias is not None
    weights = inputs * height * width
    parameters = shape_out[0] * (weights + has_bias)
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    lines = [
        f"y = w₁x₁ + … + wₙxₙ{' + b' * has_bias}, n = {window} = {weights:,}",
        _side(module, shape_in, shape_out),
        f"parameters = {shape_out[0]} · {f'({window} + 1)' if has_bias else window} = {parameters:,}",
        f"multiply-adds = {' · '.join(map(str, shape_out))} · {window} = {prod(shape_out) * weights:,}",
    ]
    if trainable < parameters:
        lines.append(f"of the parameters {trainable:,} are trainable, the others are fixed")
    return lines


def _of_norm(module: nn.BatchNorm1d | nn.BatchNorm2d) -> list[str]:
    what = "map" if isinstance(module, nn.BatchNorm2d) else "number"
    if not module.affine:
        return [f"y = (x − mean) / √(variance + {module.eps:g}), mean and variance of each {what} over the batch"]
    count = module.num_features
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    lines = [
        f"y = γ · (x − mean) / √(variance + {module.eps:g}) + β, mean and variance of each {what} over the batch",
        f"parameters = 2 · {count:,} = {2 * count:,}",
    ]
    return lines + [f"of the parameters {trainable:,} are trainable, the others are fixed"] * (trainable < 2 * count)


def _side(module: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d, shape_in: Shape, shape_out: Shape) -> str:
    window, step = reach(module) + 1, along(module.stride)
    padding = 0 if isinstance(module.padding, str) else along(module.padding)
    whole = (shape_in[1] + 2 * padding - window) / step
    divided = f"({shape_in[1]} + 2 · {padding} − {window}) / {step}"
    if not whole.is_integer():  # ceil_mode rounds up, but for a last window that would lie in the padding alone
        divided = f"⌊{divided}⌋" if floor(whole) + 1 == shape_out[1] else f"⌈{divided}⌉"
    return f"side = {divided} + 1 = {shape_out[1]}"
