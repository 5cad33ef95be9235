"""A card for each dataset in the store: its name, how many pictures it has, a few of them, and its classes."""

from collections.abc import Sequence

import streamlit as st

from core.data.datasets.dataset import Dataset
from pages.parts.home.welcome import pick_pictures
from pages.parts.shell.cache import thumbnail
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary

PICTURES = 5  # on a card
CLASSES = 5  # named on a card


def draw_dataset_cards(found: Sequence[Dataset]) -> None:
    st.header("Datasets", anchor=False)
    with st.grid(3, min_column_width=300, gap="small"):
        for dataset in found:
            with st.container(border=True, gap="xsmall", height="stretch", key=f"dataset_{dataset.id}"), boundary():
                _draw_card(dataset)


def _draw_card(dataset: Dataset) -> None:
    st.markdown(f"**{escape(dataset.name, 40)}** · {dataset.used:,} pictures")
    with st.grid(PICTURES, min_column_width=40, wrap=False, gap="xxsmall"):
        for _, index in pick_pictures([dataset], PICTURES):
            st.image(thumbnail(dataset, index), width="stretch", alt=shown(dataset.names[index]))
    names = ", ".join(escape(name, 24) for name in dataset.classes[:CLASSES])
    more = f" and {len(dataset.classes) - CLASSES} more" if len(dataset.classes) > CLASSES else ""
    st.caption(f"{names}{more}")
    icon = ":material/arrow_forward:"
    st.page_link("pages/data.py", label="See the pictures", icon=icon, query_params={"dataset": dataset.name})
