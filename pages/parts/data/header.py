"""The head of the Data page: which dataset, what it holds, and the button that leads to Train."""

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from core.data.datasets.dataset import Dataset
from pages.parts.data.data_settings import changed_settings, train_with
from pages.parts.data.import_panel import draw_add_button
from pages.parts.shell.cache import runs
from pages.parts.shell.escape import shown
from pages.parts.widgets.dataset_versions import NEWEST, in_families, standing_of


def draw_header(found: Sequence[Dataset]) -> Dataset:
    """The row above the tabs; the chosen one of the datasets that are there."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        dataset = _pick(found)
        _draw_summary(dataset, found)
        st.space("stretch")
        draw_add_button()
        _draw_start(dataset)
    return dataset


def _pick(found: Sequence[Dataset]) -> Dataset:
    """The chosen dataset; its name is in the address, so that a link leads to it."""
    by_name = {dataset.name: dataset for dataset in in_families(found)}
    added = st.session_state.pop("dataset_added", None)
    if added in by_name:
        st.session_state["dataset"] = added
    elif (linked := st.query_params.get("dataset")) == next(iter(by_name)):
        # Streamlit takes a default out of the address unread, and would show what was chosen before this link
        st.session_state["dataset"] = linked
    name = st.selectbox(
        "Dataset",
        list(by_name),
        format_func=shown,  # it is what stands in the address
        key="dataset",
        bind="query-params",
        width=340,
    )
    return by_name[name]


def _draw_summary(dataset: Dataset, found: Sequence[Dataset]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", height=40, border=False, width="content"):
        st.markdown(f"**{dataset.used:,}** pictures in **{len(dataset.classes)}** classes", width="content")
        if dataset.drawn:
            st.badge("drawn by the program", icon=":material/draw:", color="violet")
        if dataset.refused:
            st.badge(f"{len(dataset.refused):,} refused", icon=":material/block:", color="orange")
        if standing := standing_of(dataset, found):
            st.badge(standing, icon=":material/history:", color="blue" if standing == NEWEST else "gray")
        if (dataset.given_parts >= 0).any():
            st.badge("brings its own split", icon=":material/call_split:", color="gray")


def _draw_start(dataset: Dataset) -> None:
    """The way on; in colour while nothing has been trained on this dataset."""
    trained = any(run.config.data.dataset == dataset.name for run in runs())
    kind: Literal["primary", "secondary"] = "secondary" if trained else "primary"
    if st.button("Start training", type=kind, icon=":material/model_training:", key="start_training"):
        train_with(dataset, changed_settings(dataset))
