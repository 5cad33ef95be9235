"""The designed network: what it is compared with, the way to Train, its drawing with one layer open, and its totals."""

import streamlit as st

from pages.parts.architecture.cost import draw_totals, totals_of
from pages.parts.architecture.design import keep, pick_compared
from pages.parts.architecture.designed import Compared, Designed
from pages.parts.architecture.diagram import draw_network
from pages.parts.architecture.layer_table import draw_layer
from pages.parts.architecture.layers import layers_of
from pages.parts.form.run_form import take_config
from pages.parts.shell.escape import escape
from pages.parts.shell.navigation import go_to

OPEN_LAYER = "architecture.layer"  # the name of the layer that is open


def draw_head(designed: Designed) -> Compared:
    """Which network it is compared with, the way to Train, and why it cannot be built."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="head"):
        name, model = pick_compared(designed.finished)
        _draw_actions(designed)
    if designed.mistake:
        kept = " Below is the last one that can." if designed.layers else ""
        st.error(f"This network cannot be built. {escape(designed.mistake, 400)}.{kept}", icon=":material/block:")
    return Compared(name, model, layers_of(model, designed.classes, designed.size)[0])


def _draw_actions(designed: Designed) -> None:
    broken = bool(designed.mistake)
    st.button(
        "Keep this one",
        icon=":material/push_pin:",
        on_click=keep,
        args=(designed.config.model,),
        disabled=broken,
        help="From now on, what you change is compared with the network as it is now.",
    )
    if designed.dataset is not None and st.button(
        "Train this network", icon=":material/model_training:", type="primary", disabled=broken
    ):
        take_config(designed.config)
        go_to("pages/train.py")


def _draw_totals(designed: Designed, compared: Compared) -> None:
    batch, others = designed.batch, compared.layers
    earlier = totals_of(others, batch) if others else None
    timed = None
    if designed.dataset is not None:
        timed = (designed.dataset, designed.config, compared.model if others else None)
    draw_totals(totals_of(designed.layers, batch), earlier, batch, timed)


def draw_layers(designed: Designed, compared: Compared) -> None:
    """The drawing, its totals, and a card of the layer that was clicked, or of the first one with parameters."""
    layers = designed.layers
    names = [layer["name"] for layer in layers]
    picked = str(st.session_state.get(OPEN_LAYER))
    if picked not in names:
        picked = next((str(layer["name"]) for layer in layers if layer["parameters"]), names[0])
    draw_network(layers, designed.size, "network", picked, open_layer)
    _draw_totals(designed, compared)
    st.caption(f"{_describe_parameters(designed)} Click a layer to see what it does.")
    draw_layer(layers[names.index(picked)], layers, designed.size)


def _describe_parameters(designed: Designed) -> str:
    layers = designed.layers
    largest = max(layers, key=lambda layer: layer["parameters"])
    parameters, learnt = (sum(layer[which] for layer in layers) for which in ("parameters", "trainable"))
    if learnt < parameters:
        return f"Blue is trained: {learnt:,} of {parameters:,} parameters; the others are frozen."
    share = largest["parameters"] / max(1, parameters)
    return f"Blue is trained; {share:.0%} of the parameters are in {largest['name']}."


def open_layer(name: str) -> None:
    st.session_state[OPEN_LAYER] = name
