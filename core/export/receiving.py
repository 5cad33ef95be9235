"""What Preprocess and the reading of large pictures do to an RGB picture, as nodes of ONNX: bit for bit as Pillow.

Pillow resizes in whole numbers: weights of 22 binary digits, a pass over the rows, rounded to 8 bits, a pass over the
columns, rounded again (src/libImaging/Resample.c). It reduces to means of squares by a reciprocal of 24 digits
(Reduce.c). A float64 holds all of these numbers exactly, so matrix products in float64 end in the same pixels.
"""

from dataclasses import dataclass

import numpy as np

from core.data.pictures.picture import LARGE
from core.data.pictures.preprocess import WHITE, Preprocess
from core.export.graph import Graph, Value

WEIGHT_BITS = 22  # PRECISION_BITS in Resample.c
REDUCE_BITS = 24  # of the reciprocal in Reduce.c


def receive(graph: Graph, image: Value, preprocess: Preprocess) -> Value:
    """image uint8 (H, W, 3) -> float64 (3, S, S) of whole numbers 0..255: what Preprocess.receive makes of it after
    open_picture has reduced it. All sizes within are int64 (1,)."""
    side = graph.constant([preprocess.image_size], "int64")
    picture, height, width = _reduce(graph, image, preprocess.image_size)
    short, long = graph.call("Min", height, width), graph.call("Max", height, width)
    if preprocess.fit == "squash":
        return _resize(picture, _Axis(height, side), _Axis(width, side))
    if preprocess.fit == "pad":
        down, across = _at_least_one(side * height / long), _at_least_one(side * width / long)
        return _lay_on_white(_resize(picture, _Axis(height, down), _Axis(width, across)), down, across, side)
    scaled, is_tall = side * long / short, graph.call("LessOrEqual", width, height)
    down, across = graph.call("Where", is_tall, scaled, side), graph.call("Where", is_tall, side, scaled)
    return _resize(picture, _middle(height, down, side), _middle(width, across, side))


@dataclass(frozen=True)
class _Axis:
    """How one axis is resized: from `old` to `new` pixels, of which `kept` from `first` on are wanted (None: all)."""

    old: Value
    new: Value
    first: Value | None = None
    kept: Value | None = None


def _middle(old: Value, new: Value, kept: Value) -> _Axis:
    """The middle `kept` of `new` pixels; halves to even, as Python's round."""
    half = (new - kept).cast("float64") / old.graph.constant([2], "float64")
    return _Axis(old, new, old.graph.call("Round", half).cast("int64"), kept)


def _resize(picture: Value, rows: _Axis, columns: _Axis) -> Value:
    """float64 (3, H, W) -> float64 (3, new H, new W): Image.resize(BILINEAR), with only what is kept.

    The columns last where the height shrinks by more than twice what the width does, as in ImagingResampleInner.
    """
    graph, two = picture.graph, picture.graph.constant([2], "int64")
    down = _weights(rows)
    across = graph.call("Transpose", _weights(columns), perm=[1, 0])
    shrunk, narrowed = rows.old - rows.new, columns.old - columns.new
    rows_first = graph.call("Greater", shrunk, graph.call("Max", narrowed * two, graph.constant([0], "int64")))
    return graph.either(
        rows_first,
        lambda: _rounded(_rounded(down @ picture) @ across),
        lambda: _rounded(down @ _rounded(picture @ across)),
    )


def _weights(axis: _Axis) -> Value:
    """float64 (kept, old) of whole numbers: precompute_coeffs and normalize_coeffs_8bpc in Resample.c. A triangle as
    wide as two new pixels, or two old ones where it enlarges, around the centre of each new pixel."""
    graph = axis.old.graph
    half, one = graph.constant([0.5], "float64"), graph.constant([1], "float64")
    scale = axis.old.cast("float64") / axis.new.cast("float64")
    width = graph.call("Max", scale, one)
    places = _count(graph, axis.kept or axis.new)
    places = (places + axis.first if axis.first else places).cast("float64")
    centres = graph.call("Unsqueeze", (places + half) * scale, graph.constant([1], "int64"))
    away = _count(graph, axis.old).cast("float64") - centres + half
    triangle = graph.call("Relu", one - graph.call("Abs", away * (one / width)))
    total = graph.call("ReduceSum", triangle, graph.constant([1], "int64"), keepdims=1)
    return graph.call("Floor", half + triangle / total * graph.constant([2.0**WEIGHT_BITS], "float64"))


def _rounded(sums: Value) -> Value:
    """Sums of pixels times weights -> pixels."""
    half, whole = (sums.graph.constant([2.0**bits], "float64") for bits in (WEIGHT_BITS - 1, WEIGHT_BITS))
    return sums.graph.call("Floor", (sums + half) / whole)


def _reduce(graph: Graph, image: Value, image_size: int) -> tuple[Value, Value, Value]:
    """uint8 (H, W, 3) -> (float64 (3, h, w), h, w): Image.reduce(factor) of pictures whose longest side is above LARGE,
    with the factor of open_picture; others stay as they are."""
    one = graph.constant([1], "int64")
    shape = graph.call("Shape", image)
    height, width = (graph.call("Gather", shape, graph.constant([axis], "int64")) for axis in (0, 1))
    short, long = graph.call("Min", height, width), graph.call("Max", height, width)
    is_large = graph.call("Greater", long, graph.constant([LARGE], "int64"))
    factor = _at_least_one(graph.call("Where", is_large, short / graph.constant([2 * image_size], "int64"), one))
    down, across = ((size + factor - one) / factor for size in (height, width))
    pixels = graph.either(
        graph.call("Greater", factor, one),
        lambda: _means(image, factor, (height, down), (width, across)),
        lambda: image.cast("float64"),
    )
    return graph.call("Transpose", pixels, perm=[2, 0, 1]), down, across


def _means(image: Value, factor: Value, rows: tuple[Value, Value], columns: tuple[Value, Value]) -> Value:
    """uint8 (H, W, 3) -> float64 (h, w, 3): means of squares of `factor`, at the edge of what is there of them. rows:
    (H, h), columns: (W, w).

    The sums over rows are products of bytes, so that a large picture is never there as floats.
    """
    graph = image.graph
    zero, one, three = (graph.constant([n], "int64") for n in (0, 1, 3))
    (height, down), (width, across) = rows, columns
    missing = [down * factor - height, across * factor - width, zero]
    pads = graph.call("Concat", zero, zero, zero, *missing, axis=0)
    squares = graph.call("Pad", image, pads, graph.constant(0, "uint8")).reshape(down * factor * across, factor * three)
    adder = graph.call("Tile", graph.constant(np.eye(3), "uint8"), graph.call("Concat", factor, one, axis=0))
    stripes = graph.call("MatMulInteger", squares, adder).reshape(down, factor, across, three)
    sums = graph.call("ReduceSum", stripes, one, keepdims=0).cast("float64")
    return _divided(sums, _stretches(height, down, factor), _stretches(width, across, factor))


def _divided(sums: Value, down: Value, across: Value) -> Value:
    """Sums over squares divided by their pixels: down float64 (h,) times across (w,)."""
    graph = sums.graph
    two, whole = (graph.constant([n], "float64") for n in (2, 2.0**REDUCE_BITS))
    pixels = graph.call("Unsqueeze", down, _list(graph, 1, 2)) * graph.call("Unsqueeze", across, _list(graph, 0, 2))
    reciprocal = graph.call("Floor", whole / pixels)
    return graph.call("Floor", (sums + graph.call("Floor", pixels / two)) * reciprocal / whole)


def _stretches(size: Value, count: Value, factor: Value) -> Value:
    """float64 (count,): how many of `size` pixels are in each stretch of `factor`; in the last one maybe fewer."""
    begins = _count(size.graph, count) * factor
    return size.graph.call("Min", size - begins, factor).cast("float64")


def _lay_on_white(picture: Value, height: Value, width: Value, side: Value) -> Value:
    """float64 (3, height, width) in the middle of a white square."""
    graph = picture.graph
    zero, two = graph.constant([0], "int64"), graph.constant([2], "int64")
    top, left = (side - height) / two, (side - width) / two
    pads = graph.call("Concat", zero, top, left, zero, side - height - top, side - width - left, axis=0)
    return graph.call("Pad", picture, pads, graph.constant(WHITE[0], "float64"))


def _at_least_one(size: Value) -> Value:
    return size.graph.call("Max", size, size.graph.constant([1], "int64"))


def _count(graph: Graph, count: Value) -> Value:
    """int64 (count,): 0, 1, 2, ..."""
    axis = _list(graph, 0)
    zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
    return graph.call("Range", zero, graph.call("Squeeze", count, axis), one)


def _list(graph: Graph, *numbers: int) -> Value:
    return graph.constant(list(numbers), "int64")
