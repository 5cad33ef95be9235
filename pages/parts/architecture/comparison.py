"""The Compare networks tab: both drawings, and what each number differs by."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.parts.architecture.cost import Totals, in_bytes, in_short
from pages.parts.architecture.diagram import draw_network
from pages.parts.architecture.layer_texts import Layer
from pages.parts.architecture.layers import size_of


def draw_comparison(
    layers: Sequence[Layer], now: Totals, name: str, others: Sequence[Layer], before: Totals, size: int
) -> None:
    """`others`: the layers of the network that is called `name`, for the same pictures."""
    left, right = st.container(key="columns-compare").columns(2, gap="large")
    with left:
        st.markdown("**This network**")
        draw_network(layers, size, "network-this", columns=4)
    with right:
        st.markdown(f"**{name}**")
        draw_network(others, size, "network-other", columns=4)
    rows = [
        ("Parameters", f"{now.parameters:,}", f"{before.parameters:,}", times(now.parameters, before.parameters)),
        ("Multiply-adds", in_short(now.work), in_short(before.work), times(now.work, before.work)),
        ("Memory in training", in_bytes(now.memory), in_bytes(before.memory), times(now.memory, before.memory)),
        ("Layers", f"{len(layers)}", f"{len(others)}", times(len(layers), len(others))),
        ("Convolutions and linear layers", *_weighted(layers, others)),
        ("Last map", last_map(layers), last_map(others), ""),
        ("Its receptive field", *_receptive_field(layers, others)),
    ]
    table = pd.DataFrame(rows, columns=["", "This network", "The other", "Difference"])
    st.dataframe(table, hide_index=True, height="content", width="content", alt="Both networks in numbers")


def times(now: float, before: float) -> str:
    """How many times the other one it is: 'the same', '1.5 ×', '0.02 ×'."""
    if now == before:
        return "the same"
    return f"{now / before:.3g} ×" if before else "–"


def last_map(layers: Sequence[Layer]) -> str:
    """The size of what the linear layers are given."""
    return next((size_of(one["output_shape"]) for one in reversed(layers) if len(one["output_shape"]) == 3), "none")


def _weighted(layers: Sequence[Layer], others: Sequence[Layer]) -> tuple[str, str, str]:
    one, other = (sum(layer["multiply_adds"] > 0 for layer in both) for both in (layers, others))
    return f"{one}", f"{other}", times(one, other)


def _receptive_field(layers: Sequence[Layer], others: Sequence[Layer]) -> tuple[str, str, str]:
    one, other = (
        next((layer["receptive_field"] for layer in reversed(both) if len(layer["output_shape"]) == 3), 0)
        for both in (layers, others)
    )
    return f"{one} × {one} pixels", f"{other} × {other} pixels", times(one, other)
