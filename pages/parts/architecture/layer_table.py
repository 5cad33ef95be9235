"""The layers of a network in words and numbers: a card of one, a table of all."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from pages.parts.architecture.layer_texts import DESCRIPTIONS, Layer
from pages.parts.architecture.layers import size_of


def draw_layer(layer: Layer, layers: Sequence[Layer], size: int) -> None:
    """A card: two sentences, its numbers, and its formula with them put in; size: side of the picture in pixels."""
    parameters = sum(one["parameters"] for one in layers)
    work = sum(one["multiply_adds"] for one in layers)
    field = layer["receptive_field"]
    facts = {
        "Output": size_of(layer["output_shape"]),
        "Parameters": _with_share(layer["parameters"], parameters),
        "Multiply-adds": _with_share(layer["multiply_adds"], work),
        "Receptive field": f"{field} × {field} pixels" if field < size else "the whole picture",
        "Memory": f"{layer['memory']:,} bytes",
    }
    with st.container(border=True, key="layer"):
        settings = layer["detail"].replace("->", "→")
        st.markdown(f"**{layer['name']}** · {layer['kind']}{f' · {settings}' if settings else ''}")
        if text := DESCRIPTIONS.get(layer["kind"]):
            st.markdown(text)
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
    """Every layer; on_pick(name) is called when a row is ticked, which also works without a mouse."""
    table = pd.DataFrame(
        {
            "Layer": [layer["name"] for layer in layers],
            "Kind": [layer["kind"] for layer in layers],
            "Settings": [layer["detail"].replace("->", "→") for layer in layers],
            "Output": [size_of(layer["output_shape"]) for layer in layers],
            "Parameters": [layer["parameters"] for layer in layers],
            "Multiply-adds": [layer["multiply_adds"] for layer in layers],
            "Receptive field": [layer["receptive_field"] for layer in layers],
            "What it does": [DESCRIPTIONS.get(layer["kind"], "").partition(". ")[0].rstrip(".") for layer in layers],
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
            "Receptive field": st.column_config.NumberColumn(
                format="%d px", width="small", help="Side of the part of the picture that one number depends on."
            ),
            "What it does": st.column_config.TextColumn(width="large"),
        },
        alt="Layers with output sizes and parameters",
    )
