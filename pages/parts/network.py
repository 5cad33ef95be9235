"""A network on the screen: its layers read once, drawn in groups from picture to answer, each with what it does."""

import importlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.config import ModelConfig
from core.errors import UserMistake
from pages.parts.charts import PLOTLY_CONFIG
from pages.parts.palette import ACCENT, BLOCK, CALM

Layer = dict[str, Any]  # core.models.summary.Layer: a page holds no class of a module with torch
COLUMNS = 6  # groups beside each other; then the next line
HEAD = 146  # pixels of a group above its layers: title, maps, their size, parameters
LINE, THIN, GAP = 20, 8, 2  # pixels: a layer, one that is only hinted at, the space between two
ROOMY = 7  # layers of a group that all have room for their names
MOST = 26  # layers of a group that are drawn; the table has all
BLOCKS = 24  # parts of a larger group that become groups themselves; with more it stays one
LARGEST = 76  # pixels: the side of the picture
REACH = 60  # pixels from the middle of a layer at which a click still means it

DOES = {  # kind -> what it does, in two sentences
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
SHORT = {
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
_MINOR = (
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
_NAME = re.compile(r"(?:conv|pool|drop|block)(\d+)")


@dataclass(frozen=True)
class Group:
    """Layers that belong together: a block, or one linear layer with what follows it."""

    title: str
    layers: tuple[Layer, ...]
    shape: tuple[int, ...]  # of what leaves it: the maps of all its branches

    @property
    def parameters(self) -> int:
        return sum(layer["parameters"] for layer in self.layers)

    @property
    def learns(self) -> bool:
        return any(layer["learnt"] for layer in self.layers)

    @property
    def main(self) -> Layer:
        return max(self.layers, key=lambda layer: layer["parameters"])


# ------------------------------------------------------------------------------------------------------ reading


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
    """Begin to import torch beside the first page that will need it, once a server."""
    thread = threading.Thread(target=importlib.import_module, args=("core.models.summary",), daemon=True)
    thread.start()
    return thread


@st.cache_data(max_entries=200, show_spinner=False)
def read_layers(model: str, classes: int, size: int) -> list[Layer]:
    """Every layer of the network, in the order in which a picture passes them. No weight is drawn for it.

    UserMistake where there is no such network. Torch is imported here, and nowhere above.
    """
    import torch

    from core.models.build import build_model
    from core.models.summary import layer_table

    with torch.device("meta"):
        network = build_model(ModelConfig.model_validate_json(model), classes, size, learnt=False)
    return [asdict(layer) | {"memory": layer.memory} for layer in layer_table(network, size)]


@st.cache_data(max_entries=20, show_spinner="Building the network …")
def read_summary(model: str, classes: int, size: int) -> str:
    """What torchsummary prints."""
    from core.models.build import build_model
    from core.models.summary import torchsummary_text

    return torchsummary_text(build_model(ModelConfig.model_validate_json(model), classes, size, learnt=False), size)


def layers_of(model: ModelConfig, classes: int, size: int) -> tuple[list[Layer], str]:
    """The layers, or none and the sentence that says which layer fails."""
    try:
        return read_layers(model.model_dump_json(), classes, size), ""
    except UserMistake as mistake:
        return [], str(mistake)


def group_layers(layers: Sequence[Layer]) -> list[Group]:
    """Convolutions with what follows them as blocks; a pooling or a flattening between blocks goes with what comes.

    A part with several layers is a group of its own, whatever its first layer is; what is left of one that was split
    goes with its neighbours.
    """
    groups: list[tuple[str, list[Layer]]] = []
    waiting: list[Layer] = []
    keys = _keys(layers)
    split = {key.rpartition(".")[0] for key in keys}
    for layer, key in zip(layers, keys, strict=True):
        learns = layer["parameters"] > 0 and layer["kind"] not in _MINOR
        inside = len(_path(layer)) > key.count(".") + 1 and not any(part.startswith(key) for part in split)
        inside &= layer["kind"] != "Identity"  # a head that was cut off
        if groups and (key == groups[-1][0] or not (learns or inside or _ends(layer, key))) and not waiting:
            groups[-1][1].append(layer)
        elif not learns and (waiting or (groups and _ends(layer, key))):
            waiting.append(layer)
        else:
            groups.append((key, [*waiting, layer]))
            waiting = []
    if waiting:
        groups.append((_key(waiting[0], 1), waiting))
    given = [inside[0].get("input_shape", ()) for _, inside in groups[1:]]
    return [
        # branches are put together before the next group, which may also begin by laying its input out anew
        Group(
            _title(key), tuple(inside), tuple(after if len(after) == len(gives) and after[1:] == gives[1:] else gives)
        )
        for (key, inside), after in zip(groups, [*given, ()], strict=True)
        for gives in [inside[-1]["output_shape"]]
    ]


def _keys(layers: Sequence[Layer]) -> list[str]:
    """What each layer belongs to: its outermost part, or where that is too large to be drawn a part of it, and so on.

    Where torchvision has all blocks in one list, `features`, the blocks are the parts, whatever their size.
    """
    sizes: Counter[str] = Counter()
    parts: dict[str, set[str]] = {}
    for layer in layers:
        path = _path(layer)
        for depth in range(1, len(path)):
            whole = ".".join(path[:depth])
            sizes[whole] += 1
            parts.setdefault(whole, set()).add(path[depth])
    keys = []
    for layer in layers:
        path, depth = _path(layer), 1
        while path[0] != "features" and depth < len(path) - 1:
            whole = ".".join(path[:depth])
            if sizes[whole] <= MOST or len(parts[whole]) > BLOCKS:
                break
            depth += 1
        keys.append(_key(layer, depth))
    return keys


def _path(layer: Layer) -> list[str]:
    return str(layer["name"]).removeprefix("trunk.").split(".")


def _key(layer: Layer, depth: int) -> str:
    path = _path(layer)
    first = path[0]
    if len(path) > 1:
        return ".".join(path[: 2 if first == "features" else depth])
    if numbered := _NAME.match(first):
        return f"block{numbered[1]}"
    return re.sub(r"_(bn|act|drop)$", "", first)


def _title(key: str) -> str:
    numbered = re.fullmatch(r"block(\d+)", key)
    if numbered:
        return f"Block {numbered[1]}"
    *before, last = key.split(".")
    return f"{before[-1]}.{last}" if before and last.isdigit() else last


def _ends(layer: Layer, key: str) -> bool:
    """Whether it leads from the maps to the linear layers."""
    top = "." not in layer["name"].removeprefix("trunk.")
    return layer["kind"] == "Flatten" or (layer["kind"].startswith("Adaptive") and top)


# ------------------------------------------------------------------------------------------------------ drawing


def draw_network(
    layers: Sequence[Layer], size: int, key: str, picked: str = "", on_pick: Any = None, columns: int = COLUMNS
) -> None:
    """The groups from left to right. on_pick(name) is called when somebody clicks a layer."""
    figure = network_figure(group_layers(layers), size, picked, columns)
    common: dict[str, Any] = {"key": key, "alt": in_words(layers, size)}
    if on_pick is None:
        st.plotly_chart(figure, config=PLOTLY_CONFIG, **common)
    else:
        st.plotly_chart(
            figure,
            config=PLOTLY_CONFIG,
            selection_mode="points",
            on_select=lambda: _take_click(key, on_pick),
            **common,
        )


def _take_click(key: str, on_pick: Callable[[str], None]) -> None:
    points = st.session_state[key].selection.points
    if points and points[0].get("customdata"):
        told = points[0]["customdata"]
        on_pick(told if isinstance(told, str) else told[0])


def network_figure(groups: Sequence[Group], size: int, picked: str = "", columns: int = COLUMNS) -> go.Figure:
    """No axis: across, one unit is one group; down, one unit is one pixel. A layer is a bar that can be clicked."""
    crowded = max((len(group.layers) for group in groups), default=0) > ROOMY
    board = _Board(size, crowded, picked)
    units = [Group("Picture", (), (3, size, size)), *groups]
    top = 0.0
    for start in range(0, len(units), columns):
        line = units[start : start + columns]
        for column, group in enumerate(line):
            board.put(group, column, top, first=start + column == 0, last=column == len(line) - 1)
        top -= HEAD + max(board.height_of(group) for group in line) + 14
    return board.figure(top, min(len(units), columns))


class _Board:
    """What is drawn, piece by piece; a figure has few traces, because each costs time."""

    def __init__(self, size: int, crowded: bool, picked: str) -> None:
        self.size, self.crowded, self.picked = size, crowded, picked
        self.shapes: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self.sheets: list[tuple[float, float, float, str]] = []  # x, y, pixels, colour
        self.names: list[tuple[float, float, str]] = []
        self.sizes: list[tuple[float, float, str]] = []
        self.targets: list[tuple[float, float, str, str]] = []  # x, y, layer, what the pointer tells

    def height_of(self, group: Group) -> float:
        return sum(self._line(layer) + GAP for layer in group.layers[:MOST]) + (LINE if len(group.layers) > MOST else 0)

    def put(self, group: Group, column: int, top: float, first: bool, last: bool) -> None:
        middle, centre = column + 0.5, top - 70
        colour = BLOCK if group.learns else CALM
        self._note(middle, top - 10, f"<b>{group.title}</b>")
        self._maps(group, middle, centre, colour)
        shape = next((one["output_shape"] for one in reversed(group.layers) if len(one["output_shape"]) == 3), None)
        shape = group.shape if len(group.shape) in (1, 3) or shape is None else shape
        self._note(middle, top - 120, size_of(shape))
        told = f"{group.parameters:,}" if group.parameters else "nothing to learn"
        self._note(middle, top - 135, "input" if first else told, small=True)
        if not last:
            self._arrow(column + 0.95, column + 1.05, centre)
        if first:
            return
        self.targets.append((middle, centre, group.main["name"], _pointed(group.main)))
        self._layers(group, column, top - HEAD)

    def _maps(self, group: Group, x: float, y: float, colour: str) -> None:
        if len(group.shape) == 3:
            side = max(5.0, LARGEST * group.shape[1] / self.size)
            sheets = min(group.shape[0], 5)
            for sheet in reversed(range(sheets)):
                shift = 3 * (sheet - (sheets - 1) / 2)
                self.sheets.append((x + shift / 110, y + shift, side, colour))
        else:
            half = min(LARGEST, max(8.0, 5 * group.shape[0] ** 0.5)) / 2
            self._box(x - 0.04, x + 0.04, y - half, y + half, colour, "white")

    def _layers(self, group: Group, column: int, top: float) -> None:
        before: tuple[int, ...] = ()
        for layer in group.layers[:MOST]:
            height, shape = self._line(layer), tuple(layer["output_shape"])
            y = top - height / 2
            chosen = layer["name"] == self.picked
            colour = f"{BLOCK}55" if layer["learnt"] else f"{CALM}38"
            self._box(column + 0.04, column + 0.96, y - height / 2, y + height / 2, colour, ACCENT if chosen else "")
            if height == LINE:
                self.names.append((column + 0.05, y, short_name(layer)))
                if shape != before and len(shape) == 3:
                    self.sizes.append((column + 0.95, y, f"{shape[1]}×{shape[2]}"))
            self.targets.append((column + 0.5, y, layer["name"], _pointed(layer)))
            before, top = shape, top - height - GAP
        if len(group.layers) > MOST:
            self._note(column + 0.5, top - LINE / 2, f"{len(group.layers) - MOST} more in the table", small=True)

    def _line(self, layer: Layer) -> int:
        """Pixels of a layer: in a crowd, what changes no size and is not a convolution is only hinted at."""
        minor = layer["kind"] in _MINOR or layer["kind"] in ACTIVATION_KINDS
        return THIN if self.crowded and minor else LINE

    def _box(self, x0: float, x1: float, y0: float, y1: float, colour: str, edge: str) -> None:
        line = {"color": edge or "rgba(0,0,0,0)", "width": 2 if edge == ACCENT else 1}
        place = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
        self.shapes.append({"type": "rect", **place, "layer": "below", "fillcolor": colour, "line": line})

    def _note(self, x: float, y: float, text: str, small: bool = False) -> None:
        self.notes.append({"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": 11 if small else 12}})

    def _arrow(self, x0: float, x1: float, y: float) -> None:
        self.notes.append(
            {"x": x1, "y": y, "ax": x0, "ay": y, "axref": "x", "ayref": "y", "text": "", "showarrow": True}
            | {"arrowhead": 2, "arrowsize": 0.9, "arrowwidth": 1.3, "arrowcolor": CALM}
        )

    def figure(self, bottom: float, columns: int) -> go.Figure:
        figure = go.Figure()
        figure.add_scatter(
            x=[x for x, *_ in self.sheets],
            y=[y for _, y, *_ in self.sheets],
            mode="markers",
            marker={
                "symbol": "square",
                "size": [side for _, _, side, _ in self.sheets],
                "color": [colour for *_, colour in self.sheets],
                "line": {"color": "white", "width": 1},
                "opacity": 1,
            },
            unselected={"marker": {"opacity": 1}},
            hoverinfo="skip",
        )
        for texts, where, pixels in ((self.names, "middle right", 11), (self.sizes, "middle left", 10)):
            figure.add_scatter(
                x=[x for x, *_ in texts],
                y=[y for _, y, _ in texts],
                text=[text for *_, text in texts],
                mode="text",
                textposition=where,
                textfont={"size": pixels},
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[x for x, *_ in self.targets],
            y=[y for _, y, *_ in self.targets],
            customdata=[name for _, _, name, _ in self.targets],
            text=[told for *_, told in self.targets],
            mode="markers",
            marker={"size": 12, "opacity": 0},
            selected={"marker": {"opacity": 0}},
            unselected={"marker": {"opacity": 0}},
            hovertemplate="%{text}<extra></extra>",
        )
        figure.update_layout(
            shapes=self.shapes,
            annotations=self.notes,
            height=max(round(-bottom), 120),
            margin={"l": 0, "r": 0, "t": 0, "b": 0},
            showlegend=False,
            dragmode=False,
            hovermode="closest",
            hoverdistance=REACH,
            plot_bgcolor="rgba(0,0,0,0)",
            xaxis={"visible": False, "range": [0, columns], "fixedrange": True},
            yaxis={"visible": False, "range": [bottom, 0], "fixedrange": True},
        )
        return figure


ACTIVATION_KINDS = ("ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Tanh", "Sigmoid", "Hardswish", "ReLU6")


def short_name(layer: Layer) -> str:
    """What stands on a layer: its name where it has weights, else what it is."""
    kind, name = layer["kind"], str(layer["name"]).rpartition(".")[2]
    if kind == "Conv2d" and (name == "conv" or name.isdigit()):  # in a branch or a list: all of them are called so
        window = re.search(r"kernel (\d+)x(\d+)", layer["detail"])
        return f"conv {window[1]}×{window[2]}" if window else "conv"
    if kind == "Linear" and name.isdigit():
        return "linear"
    return SHORT.get(kind, kind if kind in ACTIVATION_KINDS else name)


def _pointed(layer: Layer) -> str:
    learnt = f"{layer['parameters']:,} parameters" if layer["parameters"] else "nothing to learn"
    learnt += ", which stay as they came" if layer["parameters"] and not layer["learnt"] else ""
    return f"<b>{layer['name']}</b> · {layer['kind']}<br>{size_of(layer['output_shape'])}<br>{learnt}"


def size_of(shape: Sequence[int]) -> str:
    return " × ".join(str(side) for side in shape)


def in_words(layers: Sequence[Layer], size: int) -> str:
    steps = ", ".join(f"{layer['name']} {size_of(layer['output_shape'])}" for layer in layers[:60])
    rest = f" and {len(layers) - 60} more layers" if len(layers) > 60 else ""
    return f"From a picture of 3 × {size} × {size} through {steps}{rest}"


# ---------------------------------------------------------------------------------------- one layer, all layers


def draw_layer(layer: Layer, layers: Sequence[Layer], size: int) -> None:
    """A card: what it does in two sentences, its numbers, and its formula with them put in."""
    parameters = sum(one["parameters"] for one in layers)
    work = sum(one["multiply_adds"] for one in layers)
    seen = layer["receptive_field"]
    facts = {
        "Output": size_of(layer["output_shape"]),
        "Parameters": _with_share(layer["parameters"], parameters),
        "Multiply-adds": _with_share(layer["multiply_adds"], work),
        "Receptive field": f"{seen} × {seen} pixels" if seen < size else "the whole picture",
        "Memory": f"{layer['memory']:,} bytes",
    }
    with st.container(border=True, key="layer"):
        settings = layer["detail"].replace("->", "→")
        st.markdown(f"**{layer['name']}** · {layer['kind']}{f' · {settings}' if settings else ''}")
        if told := DOES.get(layer["kind"]):
            st.markdown(told)
        with st.container(horizontal=True, gap="medium", key="layer-facts"):
            for name, value in facts.items():
                with st.container(gap=None, width="content"):
                    st.caption(name)
                    st.markdown(value)
        if layer["formulas"]:
            st.code("\n".join(layer["formulas"]), language=None, wrap_lines=True)


def _with_share(number: int, total: int) -> str:
    share = f"{number / total:.0%}" if 200 * number >= total else "<1%"
    return f"{number:,} ({share})" if number else "none"


def draw_table(layers: Sequence[Layer], on_pick: Callable[[str], None]) -> None:
    """Every layer; a ticked row is opened above, which is also the way for those who use no mouse."""
    table = pd.DataFrame(
        {
            "Layer": [layer["name"] for layer in layers],
            "Kind": [layer["kind"] for layer in layers],
            "Settings": [layer["detail"].replace("->", "→") for layer in layers],
            "Output": [size_of(layer["output_shape"]) for layer in layers],
            "Parameters": [layer["parameters"] for layer in layers],
            "Multiply-adds": [layer["multiply_adds"] for layer in layers],
            "Sees": [layer["receptive_field"] for layer in layers],
            "What it does": [DOES.get(layer["kind"], "").partition(". ")[0].rstrip(".") for layer in layers],
        }
    )
    key = f"layers.{len(layers)}"

    def take() -> None:
        if rows := st.session_state[key].selection.rows:
            on_pick(layers[rows[0]]["name"])

    st.dataframe(
        table,
        hide_index=True,
        key=key,
        height="content" if len(layers) <= 16 else 560,
        on_select=take,
        selection_mode="single-row",
        column_config={
            "Parameters": st.column_config.NumberColumn(format="localized", width="small"),
            "Multiply-adds": st.column_config.NumberColumn(format="localized"),
            "Sees": st.column_config.NumberColumn(
                format="%d px", width="small", help="Side of the part of the picture that one number depends on."
            ),
            "What it does": st.column_config.TextColumn(width="large"),
        },
        alt="Layers with output sizes and parameters",
    )
