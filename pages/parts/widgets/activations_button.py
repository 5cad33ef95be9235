"""The button that leads from a picture to what each layer of a network makes of it, on the Architecture page."""

import streamlit as st

from core.data.datasets.dataset import Dataset
from pages.parts.shell.navigation import go_to

TABS_KEY, TAB = "more", "Activations"  # of the Architecture page
PICTURE_KEY = "activations.asked"  # (content hash, place in the dataset)


def draw_activations_button(dataset: Dataset, index: int) -> None:
    if st.button("Activations", icon=":material/layers:", key="show_activations", type="tertiary"):
        st.session_state[PICTURE_KEY] = (dataset.content_hash, index)
        st.session_state["architecture_dataset"] = dataset.name
        st.session_state[TABS_KEY] = TAB
        go_to("pages/architecture.py")
