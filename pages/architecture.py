"""Architecture: the network that will learn, its layers, the size of what flows between them, and its parameters."""

from dataclasses import asdict

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.config import ModelConfig
from pages.parts.cached import datasets
from pages.parts.charts import PLOTLY_CONFIG
from pages.parts.escape import shown
from pages.parts.frame import frame
from pages.parts.palette import BLOCK, CALM

SIZES = [16, 24, 32, 48, 64, 96, 128]
DOES = {
    "Conv2d": "Slides small windows over its input; each map looks for one pattern.",
    "MaxPool2d": "Keeps the strongest of each 2 × 2 answers: three quarters of the values go.",
    "BatchNorm2d": "Brings every map to mean 0 and spread 1, so that learning stays steady.",
    "BatchNorm1d": "Brings every number to mean 0 and spread 1, so that learning stays steady.",
    "Linear": "Weighs every number that comes in, once for each number that goes out.",
}


def main() -> None:
    with frame("Architecture", "The network that will learn, from picture to answer."):
        classes, size = _choose()
        with st.skeleton(height=420):
            layers, text = _read(ModelConfig().model_dump_json(), classes, size)
        _totals(layers)
        figure = draw_network(layers, size)
        st.plotly_chart(figure, config=PLOTLY_CONFIG | {"staticPlot": True}, key="network", alt=_in_words(layers, size))
        slope = ModelConfig().negative_slope
        st.caption(
            f"Blue learns. After every block but the last, a leaky ReLU lets {slope:.0%} of what is negative pass."
        )
        _table(layers)
        with st.expander("The same as torchsummary prints it", icon=":material/receipt_long:"):
            st.code(text, language=None)


def _choose() -> tuple[int, int]:
    """How many classes there are to tell apart, and the side of the picture."""
    names = {dataset.name: len(dataset.classes) for dataset in datasets()}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if names:
            name = st.selectbox(
                "Pictures",
                list(names),
                format_func=lambda name: f"{shown(name, 40)}: {names[name]} classes",
                key="architecture_dataset",
                persist_state="session",
                width=320,
            )
            classes = names[name]
        else:
            classes = st.number_input("Classes", 2, 500, 10, key="architecture_classes", width=160)
        size = st.select_slider(
            "Image size, pixels", SIZES, value=32, key="architecture_size", persist_state="session", width=260
        )
    return int(classes), int(size)


@st.cache_data(max_entries=50, show_spinner=False)
def _read(model: str, classes: int, size: int) -> tuple[list[dict], str]:
    """Every layer as a plain dictionary, and torchsummary's text; torch is imported here and nowhere above."""
    from core.models.build import build_model
    from core.models.summary import layer_table, torchsummary_text

    network = build_model(ModelConfig.model_validate_json(model), classes, size)
    return [asdict(layer) for layer in layer_table(network, size)], torchsummary_text(network, size)


def _totals(layers: list[dict]) -> None:
    total = sum(layer["parameters"] for layer in layers)
    work = sum(layer["multiply_adds"] for layer in layers)
    largest = max(layers, key=lambda layer: layer["parameters"])
    with st.container(horizontal=True):
        st.metric("Parameters", f"{total:,}", border=True, help="Numbers that training finds.")
        st.metric(
            f"of them in {largest['name']}",
            f"{largest['parameters'] / total:.0%}",
            border=True,
            help="The layer with the most parameters.",
        )
        st.metric("Memory", f"{total * 4 / 2**20:.2f} MB", border=True, help="4 bytes a parameter.")
        st.metric("Work for one picture", f"{work:,}", border=True, help="Multiplications, each with an addition.")


def _table(layers: list[dict]) -> None:
    table = pd.DataFrame(
        {
            "Layer": [layer["name"] for layer in layers],
            "Kind": [layer["kind"] for layer in layers],
            "Settings": [layer["detail"].replace("->", "→") for layer in layers],
            "Output": [_size(layer["output_shape"]) for layer in layers],
            "Parameters": [layer["parameters"] for layer in layers],
            "What it does": [DOES.get(layer["kind"], "") for layer in layers],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={
            "Parameters": st.column_config.NumberColumn(format="localized", width="small"),
            "What it does": st.column_config.TextColumn(width="large"),
        },
        alt="Layers with output sizes and parameters",
    )


def draw_network(layers: list[dict], size: int) -> go.Figure:
    """Blocks from left to right: squares are maps, to scale; bars are rows of numbers. No axis, all drawn as shapes."""
    stages: list[dict] = [{"output_shape": (3, size, size), "names": ["picture"], "parameters": 0}]
    for layer in layers:
        if layer["output_shape"] != stages[-1]["output_shape"]:
            stages.append({"output_shape": layer["output_shape"], "names": [], "parameters": 0})
        stages[-1]["names"].append(layer["name"])
        stages[-1]["parameters"] += layer["parameters"]
    figure = go.Figure()
    shapes: list[dict] = []
    notes: list[dict] = []
    widest = max(stage["output_shape"][0] for stage in stages if len(stage["output_shape"]) == 1)
    for place, stage in enumerate(stages):
        learns = stage["parameters"] > 0
        box = {"type": "rect", "line": {"color": "white", "width": 1}, "fillcolor": BLOCK if learns else CALM}
        if len(stage["output_shape"]) == 3:
            maps, side = stage["output_shape"][0], stage["output_shape"][1] / size
            sheets = min(maps, 6)
            for sheet in reversed(range(sheets)):
                shift = 0.035 * (sheet - (sheets - 1) / 2)
                x0, y0 = place * 1.3 - side / 2 + shift, -side / 2 + shift
                shapes.append(box | {"x0": x0, "x1": x0 + side, "y0": y0, "y1": y0 + side})
            reach = side / 2 + 0.035 * sheets / 2
        else:
            half = max(0.12, 0.6 * (stage["output_shape"][0] / widest) ** 0.5)
            shapes.append(box | {"x0": place * 1.3 - 0.07, "x1": place * 1.3 + 0.07, "y0": -half, "y1": half})
            reach = 0.09
        stage["reach"] = reach
        told = f"<b>{_size(stage['output_shape'])}</b>"
        notes.append({"x": place * 1.3, "y": 0.78, "text": told, "showarrow": False, "font": {"size": 12}})
        below = " + ".join(stage["names"])
        count = f"{stage['parameters']:,}" if learns else "nothing to learn"
        below += f"<br><span style='font-size:11px'>{count if place else 'input'}</span>"
        notes.append({"x": place * 1.3, "y": -0.9, "text": below, "showarrow": False, "font": {"size": 12}})
    for place in range(1, len(stages)):
        x0, x1 = (place - 1) * 1.3 + stages[place - 1]["reach"] + 0.05, place * 1.3 - stages[place]["reach"] - 0.05
        notes.append(
            {"x": x1, "y": 0, "ax": x0, "ay": 0, "axref": "x", "ayref": "y", "text": "", "showarrow": True}
            | {"arrowhead": 2, "arrowsize": 0.9, "arrowwidth": 1.3, "arrowcolor": CALM}
        )
    figure.update_layout(
        shapes=shapes,
        annotations=notes,
        height=300,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={"visible": False, "range": [-0.75, (len(stages) - 1) * 1.3 + 0.6], "fixedrange": True},
        yaxis={"visible": False, "range": [-1.1, 0.95], "scaleanchor": "x", "fixedrange": True},
    )
    return figure


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(side) for side in shape)


def _in_words(layers: list[dict], size: int) -> str:
    steps = ", ".join(f"{layer['name']} {_size(layer['output_shape'])}" for layer in layers)
    return f"From a picture of 3 × {size} × {size} through {steps}"


main()
