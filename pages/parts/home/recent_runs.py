"""The newest runs, one line each: status, name, and test accuracy or why it failed."""

import streamlit as st

from core.runs.run import Run
from pages.parts.shell.cache import runs
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import STATUS, share
from pages.parts.shell.frame import boundary
from pages.parts.widgets.prediction_grid import evaluation_or_none
from pages.parts.widgets.run_picker import run_labels

MOST = 5


def draw_recent_runs() -> None:
    st.header("Runs", anchor=False)
    newest = runs()[:MOST]
    names = run_labels(newest)
    for run in newest:
        with st.container(horizontal=True, vertical_alignment="center", key=f"run_{run.id}"), boundary():
            _draw_line(run, names[run.id])
    st.page_link("pages/train.py", label="All runs", icon=":material/arrow_forward:")


def _draw_line(run: Run, name: str) -> None:
    word, icon, colour = STATUS[run.state.status]
    test = evaluation_or_none(run, "test") if run.state.ended else None
    st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]
    st.markdown(escape(name), width="content")
    if test is not None:
        st.markdown(f"**{share(test.accuracy)}** of {test.n:,} test pictures", width="content")
    elif run.state.has_failed:
        st.caption(escape(run.state.message, 160), width="content")
