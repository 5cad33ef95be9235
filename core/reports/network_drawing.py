"""The drawing of a network in a report: its stages from picture to answer, as SVG. No torch."""

from collections.abc import Sequence
from html import escape
from itertools import chain
from typing import Protocol

WIDTH, COLUMNS, ROW = 720, 6, 172  # pixels of the drawing, stages in a row, pixels of a row
LARGEST, SHIFT, SHEETS = 64, 3, 5  # pixels of the picture's side, between two maps, maps that are drawn
FEWEST_STAGES, MOST_STAGES, MOST_KINDS = 4, 18, 3
LEARNS, FIXED = "#1f5fa8", "#8a8a8a"


class DrawnLayer(Protocol):
    """What the drawing asks of a layer of core.models.summary."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def output_shape(self) -> tuple[int, ...]: ...
    @property
    def parameters(self) -> int: ...
    @property
    def trainable(self) -> int: ...


def draw_network(layers: Sequence[DrawnLayer], size: int) -> bytes:
    """Each stage as maps or a bar, with its shape, its parameters and what it is made of; size: the picture's side."""
    stages = stages_of(layers)
    rows = -(-(len(stages) + 1) // COLUMNS)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {rows * ROW}" font-family="sans-serif">']
    parts.append(f'<rect width="{WIDTH}" height="{rows * ROW}" fill="white"/>')
    parts += _draw_stage(0, "picture", (3, size, size), size, FIXED, ["input"])
    for place, stage in enumerate(stages, start=1):
        learns = any(layer.trainable for layer in stage)
        total = sum(layer.parameters for layer in stage)
        texts = [f"{total:,} parameters" if total else "nothing to learn", *_kinds(stage)]
        colour = LEARNS if learns else FIXED
        parts += _draw_stage(place, _title(stage), stage[-1].output_shape, size, colour, texts)
        if place % COLUMNS:
            x, y = place % COLUMNS * WIDTH / COLUMNS, place // COLUMNS * ROW + 56
            parts.append(f'<path d="M{x - 9:.0f} {y}h14m-5 -4l5 4l-5 4" stroke="#666" fill="none"/>')
    return ("".join(parts) + "</svg>").encode()


def stages_of(layers: Sequence[DrawnLayer]) -> list[list[DrawnLayer]]:
    """Layers that are drawn as one: what learns with what follows it, or the parts of a network that has many."""
    stages = _by_learning(layers)
    for depth in range(max(layer.name.count(".") for layer in layers), 0, -1):
        if len(stages) <= MOST_STAGES or len(coarser := _by_path(layers, depth)) < FEWEST_STAGES:
            break
        stages = coarser
    each = -(-len(stages) // MOST_STAGES)  # 1, but for one list of many blocks: then neighbours together
    return [list(chain(*stages[first : first + each])) for first in range(0, len(stages), each)]


def _by_learning(layers: Sequence[DrawnLayer]) -> list[list[DrawnLayer]]:
    stages: list[list[DrawnLayer]] = []
    for layer in layers:
        begins = layer.parameters and "Norm" not in layer.kind
        if begins or not stages:
            stages.append([])
        stages[-1].append(layer)
    return stages


def _by_path(layers: Sequence[DrawnLayer], depth: int) -> list[list[DrawnLayer]]:
    stages: list[list[DrawnLayer]] = []
    before = None
    for layer in layers:
        key = layer.name.split(".")[:depth]
        if key != before:
            stages.append([])
        stages[-1].append(layer)
        before = key
    return stages


def _title(stage: Sequence[DrawnLayer]) -> str:
    """The name of its first layer, or what the names of its layers have in common."""
    first, last = stage[0].name.split("."), stage[-1].name.split(".")
    if len(stage) == 1 or len(first) == 1:
        return stage[0].name
    common = [one for one, other in zip(first, last, strict=False) if one == other]
    return ".".join(common) or f"{first[0]} to {last[0]}"


def _kinds(stage: Sequence[DrawnLayer]) -> list[str]:
    counts: dict[str, int] = {}
    for layer in stage:
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
    texts = [f"{count} x {kind}" if count > 1 else kind for kind, count in counts.items()]
    return texts if len(texts) <= MOST_KINDS else [*texts[: MOST_KINDS - 1], f"and {len(texts) - MOST_KINDS + 1} more"]


def _draw_stage(
    place: int, title: str, shape: tuple[int, ...], size: int, colour: str, texts: Sequence[str]
) -> list[str]:
    middle = (place % COLUMNS + 0.5) * WIDTH / COLUMNS
    top = place // COLUMNS * ROW
    parts = [f'<g font-size="11" text-anchor="middle"><text x="{middle}" y="{top + 13}">{escape(_short(title))}</text>']
    if len(shape) == 3:
        side = max(4.0, LARGEST * min(1.0, shape[1] / size))
        sheets = min(shape[0], SHEETS)
        for sheet in reversed(range(sheets)):
            moved = SHIFT * (sheet - (sheets - 1) / 2)
            x, y = middle - side / 2 + moved, top + 56 - side / 2 - moved
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" fill="{colour}" stroke="white"/>'
            )
    else:
        height = min(float(LARGEST), max(8.0, 5 * shape[-1] ** 0.5))
        parts.append(
            f'<rect x="{middle - 5}" y="{top + 56 - height / 2:.1f}" width="10" height="{height:.1f}" fill="{colour}"/>'
        )
    lines = [" × ".join(map(str, shape)), *texts]
    for line, text in enumerate(lines):
        weight = ' font-weight="bold"' if line == 0 else ' fill="#555"'
        parts.append(f'<text x="{middle}" y="{top + 108 + 13 * line}"{weight}>{escape(text)}</text>')
    return [*parts, "</g>"]


def _short(title: str) -> str:
    return title if len(title) <= 18 else f"…{title[-17:]}"
