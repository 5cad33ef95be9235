"""Picking a picture of a dataset that is here."""

from collections.abc import Sequence

import streamlit as st

from core.data.datasets.dataset import Dataset
from pages.parts.shell.cache import thumbnail

OFFERED = 6  # test pictures to click


def pick_offered(
    heading: str, label: str, dataset: Dataset, places: Sequence[int], owner: str, prefix: str = ""
) -> int | None:
    """A few pictures of the dataset at a time, each with a button; the index of the one that was clicked last.

    None where none was clicked for this `owner`, whatever the pictures are asked for. `prefix` is of the keys.
    """
    turn = st.session_state.get(f"{prefix}offer", 0)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(heading, width="content")
        if len(places) > OFFERED:
            icon = ":material/shuffle:"
            st.button("Others", f"{prefix}others", icon=icon, type="tertiary", on_click=_next_offer, args=(prefix,))
    with st.grid(3, min_column_width=64, gap="small"):
        for number in range(min(OFFERED, len(places))):
            index = places[(turn * OFFERED + number) % len(places)]
            with st.container(gap="xxsmall"):
                st.image(thumbnail(dataset, index), width="stretch", alt=f"Test picture {number + 1}")
                picked = (prefix, owner, index)
                st.button(label, key=f"{prefix}ask.{number}", width="stretch", on_click=_pick, args=picked)
    by, chosen = st.session_state.get(f"{prefix}asked", (None, None))
    return chosen if by == owner else None


def _pick(prefix: str, owner: str, index: int) -> None:
    st.session_state[f"{prefix}asked"] = (owner, index)


def _next_offer(prefix: str) -> None:
    st.session_state[f"{prefix}offer"] = st.session_state.get(f"{prefix}offer", 0) + 1
