"""Data: which pictures there are, how they are balanced and split, and what the network receives of them."""

from collections.abc import Callable

import streamlit as st

from core.data.datasets.dataset import Dataset
from pages.parts.data.duplicates import draw_duplicates
from pages.parts.data.embedding_map import draw_map
from pages.parts.data.gallery import draw_gallery
from pages.parts.data.header import draw_header
from pages.parts.data.import_log import draw_import_log
from pages.parts.data.import_panel import asks_for_pictures, draw_import_panel, follow_import
from pages.parts.data.quality import draw_quality
from pages.parts.data.received import draw_received
from pages.parts.data.split import draw_split
from pages.parts.data.statistics import draw_statistics
from pages.parts.shell.cache import datasets
from pages.parts.shell.frame import boundary, frame
from pages.parts.widgets.dataset_versions import draw_made

# each tab has one view or several, one of which is chosen above it
TABS: dict[str, dict[str, Callable[[Dataset], None]]] = {
    "Pictures": {"Gallery": draw_gallery, "Embedding map": draw_map},
    "Split and size": {
        "Balance and split": draw_split,
        "What the network receives": draw_received,
        "Sizes and colours": draw_statistics,
    },
    "Quality": {"Readiness": draw_quality, "Duplicates": draw_duplicates},
    "History": {"Import log": draw_import_log},
}
FORMER = {"Data quality": "Readiness", "Copies": "Duplicates", "Check": "Readiness", "Ledger": "Import log"}


def open_named_view() -> None:
    """Open the tab of a view that another page, or an address of an earlier version, names in place of a tab."""
    named = st.session_state.get("tab") or st.query_params.get("tab", "")
    view = FORMER.get(named, named)
    tab = next((tab for tab, views in TABS.items() if view in views), None)
    if tab is not None:
        st.session_state["tab"], st.session_state[key_of(tab)] = tab, view


def key_of(tab: str) -> str:
    """Of the choice among its views, in the session and in the address; no other page has a widget of that key."""
    return f"{tab.split()[0].lower()}_view"


def draw_tab(tab: str, dataset: Dataset) -> None:
    views = TABS[tab]
    view = next(iter(views))
    if len(views) > 1:
        chosen = st.segmented_control(
            tab,
            list(views),
            default=None if key_of(tab) in st.session_state else view,
            required=True,
            key=key_of(tab),
            bind="query-params",
            label_visibility="collapsed",
        )
        view = chosen or view
    with boundary():
        views[view](dataset)


with frame("Data", "The pictures that a network learns from."):
    follow_import()
    found = datasets()
    dataset = draw_header(found) if found else None
    if asks_for_pictures(found):
        with st.container(border=True, key="add_panel"):
            draw_import_panel()
    if dataset is not None:
        draw_made(dataset)
        open_named_view()
        tabs = st.tabs(list(TABS), on_change="rerun", key="tab", bind="query-params")
        for tab, name in zip(tabs, TABS, strict=True):
            if tab.open:
                with tab:
                    draw_tab(name, dataset)
