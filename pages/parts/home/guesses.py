"""A line on the guesses in the notebook: how many are open and how many were right, and the way to them."""

import streamlit as st

from core.notebook.notebook import read_notebook
from core.notebook.scoring import count_guesses
from core.people import Person, acting
from pages.parts.shell.cache import scores_of


def draw_guesses() -> None:
    """Of who looks; nothing where that person has written none."""
    scores = [score for score in scores_of(read_notebook()) if _is_own(score.guess.owner)]
    if not scores:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="guesses"):
        st.markdown(f":material/psychology_alt: Your guesses: {count_guesses(scores)}", width="content")
        st.page_link(
            "pages/results.py",
            label="Open the notebook",
            icon=":material/arrow_forward:",
            query_params={"show": "Notebook"},
            width="content",
        )


def _is_own(owner: Person | None) -> bool:
    return (owner.id if owner else "") == acting().id
