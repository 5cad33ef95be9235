"""Which networks answer: one, and others beside it."""

from collections.abc import Sequence

import streamlit as st

from core.runs.run import Run
from pages.parts.widgets.run_picker import run_labels, run_picker, summary

BESIDE = "beside"  # ids of the others
MOST_BESIDE = 3


def pick_networks(finished: Sequence[Run]) -> list[Run]:
    """The network that answers, and those that answer beside it."""
    usual = min(finished, key=lambda run: run.state.status != "done")  # the newest that was trained to its end
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", wrap=False):
        run = run_picker("Network", "run", finished, usual) or usual
        others = {one.id: one for one in finished if one.id != run.id}
        beside = _pick_beside(others) if others else []
    st.caption(summary(run))
    return [run, *beside]


def _pick_beside(others: dict[str, Run]) -> list[Run]:
    labels = run_labels(list(others.values()))
    chosen = [run_id for run_id in st.session_state.get(BESIDE, []) if run_id in others]
    st.session_state[BESIDE] = chosen
    label = f"Compare · {len(chosen)}" if chosen else "Compare"
    with st.popover(label, icon=":material/compare:", key="beside-open", help="Let other networks answer as well"):
        picked = st.multiselect(
            "These answer as well",
            list(others),
            format_func=lambda run_id: labels[run_id],
            max_selections=MOST_BESIDE,
            key=BESIDE,
            persist_state="session",
        )
    return [others[run_id] for run_id in picked]
