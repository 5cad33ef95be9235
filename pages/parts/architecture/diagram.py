"""The drawing of a network: groups of layers from picture to answer, each layer a bar that can be clicked."""

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.parts.architecture.layer_groups import MOST, LayerGroup, group_layers
from pages.parts.architecture.layer_texts import ACTIVATION_KINDS, MINOR, Layer, short_name
from pages.parts.architecture.layers import size_of
from pages.parts.shell.theme import ACCENT, BLOCK, CALM
from pages.parts.widgets.charts import PLOTLY_CONFIG

COLUMNS = 6  # groups in a line; then the next line
HEAD = 146  # pixels of a group above its layers: title, maps, their size, parameters
LINE, THIN, GAP = 20, 8, 2  # pixels: a layer, one that is only hinted at, the space between two
ROOMY = 7  # layers of a group that all have room for their names
LARGEST = 76  # pixels: the side of the picture
REACH = 60  # pixels from the middle of a layer at which a click still means it


def draw_network(
    layers: Sequence[Layer],
    size: int,
    key: str,
    picked: str = "",
    on_pick: Callable[[str], None] | None = None,
    columns: int = COLUMNS,
) -> None:
    """The groups from left to right. on_pick(name) is called when somebody clicks a layer."""
    figure = network_figure(group_layers(layers), size, picked, columns)
    common: dict[str, Any] = {"key": key, "alt": describe_network(layers, size)}
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
        name = points[0]["customdata"]
        on_pick(name if isinstance(name, str) else name[0])


def network_figure(groups: Sequence[LayerGroup], size: int, picked: str = "", columns: int = COLUMNS) -> go.Figure:
    """No axis: across, one unit is one group; down, one unit is one pixel. A layer is a bar that can be clicked."""
    crowded = max((len(group.layers) for group in groups), default=0) > ROOMY
    board = _Board(size, crowded, picked)
    units = [LayerGroup("Picture", (), (3, size, size)), *groups]
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
        self.targets: list[tuple[float, float, str, str]] = []  # x, y, layer, what the pointer shows

    def height_of(self, group: LayerGroup) -> float:
        return sum(self._line(layer) + GAP for layer in group.layers[:MOST]) + (LINE if len(group.layers) > MOST else 0)

    def put(self, group: LayerGroup, column: int, top: float, first: bool, last: bool) -> None:
        middle, centre = column + 0.5, top - 70
        colour = BLOCK if group.learns else CALM
        self._note(middle, top - 10, f"<b>{group.title}</b>")
        self._maps(group, middle, centre, colour)
        shape = next((one["output_shape"] for one in reversed(group.layers) if len(one["output_shape"]) == 3), None)
        shape = group.shape if len(group.shape) in (1, 3) or shape is None else shape
        self._note(middle, top - 120, size_of(shape))
        count = f"{group.parameters:,}" if group.parameters else "no parameters"
        self._note(middle, top - 135, "input" if first else count, small=True)
        if not last:
            self._arrow(column + 0.95, column + 1.05, centre)
        if first:
            return
        self.targets.append((middle, centre, group.main["name"], _hover(group.main)))
        self._layers(group, column, top - HEAD)

    def _maps(self, group: LayerGroup, x: float, y: float, colour: str) -> None:
        if len(group.shape) == 3:
            side = max(5.0, LARGEST * group.shape[1] / self.size)
            sheets = min(group.shape[0], 5)
            for sheet in reversed(range(sheets)):
                shift = 3 * (sheet - (sheets - 1) / 2)
                self.sheets.append((x + shift / 110, y + shift, side, colour))
        else:
            half = min(LARGEST, max(8.0, 5 * group.shape[0] ** 0.5)) / 2
            self._box(x - 0.04, x + 0.04, y - half, y + half, colour, "white")

    def _layers(self, group: LayerGroup, column: int, top: float) -> None:
        before: tuple[int, ...] = ()
        for layer in group.layers[:MOST]:
            height, shape = self._line(layer), tuple(layer["output_shape"])
            y = top - height / 2
            chosen = layer["name"] == self.picked
            colour = f"{BLOCK}55" if layer["trainable"] else f"{CALM}38"
            self._box(column + 0.04, column + 0.96, y - height / 2, y + height / 2, colour, ACCENT if chosen else "")
            if height == LINE:
                self.names.append((column + 0.05, y, short_name(layer)))
                if shape != before and len(shape) == 3:
                    self.sizes.append((column + 0.95, y, f"{shape[1]}×{shape[2]}"))
            self.targets.append((column + 0.5, y, layer["name"], _hover(layer)))
            before, top = shape, top - height - GAP
        if len(group.layers) > MOST:
            self._note(column + 0.5, top - LINE / 2, f"{len(group.layers) - MOST} more in the table", small=True)

    def _line(self, layer: Layer) -> int:
        """Pixels of a layer: in a crowd, what changes no size and is not a convolution is only hinted at."""
        minor = layer["kind"] in MINOR or layer["kind"] in ACTIVATION_KINDS
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
            text=[text for *_, text in self.targets],
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


def _hover(layer: Layer) -> str:
    learnt = f"{layer['parameters']:,} parameters" if layer["parameters"] else "no parameters"
    learnt += ", frozen" if layer["parameters"] and not layer["trainable"] else ""
    return f"<b>{layer['name']}</b> · {layer['kind']}<br>{size_of(layer['output_shape'])}<br>{learnt}"


def describe_network(layers: Sequence[Layer], size: int) -> str:
    steps = ", ".join(f"{layer['name']} {size_of(layer['output_shape'])}" for layer in layers[:60])
    rest = f" and {len(layers) - 60} more layers" if len(layers) > 60 else ""
    return f"From a picture of 3 × {size} × {size} through {steps}{rest}"
