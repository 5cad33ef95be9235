"""The tabs below the drawing: all layers, the activations of a picture, and the comparison with another network."""

import streamlit as st

from pages.parts.architecture.activations import draw_activations
from pages.parts.architecture.comparison import draw_comparison
from pages.parts.architecture.cost import totals_of
from pages.parts.architecture.designed import Compared, Designed
from pages.parts.architecture.layer_table import draw_table
from pages.parts.architecture.layers import read_summary
from pages.parts.architecture.network_panel import open_layer
from pages.parts.shell.escape import escape
from pages.parts.shell.frame import boundary
from pages.parts.widgets.activations_button import TAB, TABS_KEY


def draw_tabs(designed: Designed, compared: Compared) -> None:
    table, activations, comparison = st.tabs(["All layers", TAB, "Compare networks"], key=TABS_KEY, on_change="rerun")
    if table.open:
        with table:
            draw_table(designed.layers, open_layer)
            _draw_summary(designed)
    if activations.open:
        with activations, boundary():
            config = designed.config
            draw_activations(designed.dataset, config.data, config.model, designed.classes, designed.finished)
    if comparison.open:
        with comparison:
            _draw_comparison(designed, compared)


def _draw_summary(designed: Designed) -> None:
    text = st.expander("As torchsummary prints it", icon=":material/receipt_long:", key="summary", on_change="rerun")
    if text.open:
        with text, boundary():
            model = designed.config.model.model_dump_json()
            st.code(read_summary(model, designed.classes, designed.size), language=None)


def _draw_comparison(designed: Designed, compared: Compared) -> None:
    name = escape(compared.name, 60)
    if not compared.layers:
        st.info(f"{name} cannot be built for pictures of {designed.size} pixels.", icon=":material/block:")
        return
    st.caption("Choose the other network above the totals, under Compare with.")
    now, before = (totals_of(layers, designed.batch) for layers in (designed.layers, compared.layers))
    draw_comparison(designed.layers, now, name, compared.layers, before, designed.size)
