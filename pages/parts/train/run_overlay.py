"""Earlier runs whose curves are compared with those of the run in the panel."""

from collections.abc import Sequence

import streamlit as st

from core.runs.run import Run
from pages.parts.shell.cache import history, runs
from pages.parts.shell.theme import CLASS_COLOURS
from pages.parts.train.run_table import OVERLAY
from pages.parts.widgets.run_picker import run_labels
from pages.parts.widgets.training_curves import COLOURS, Overlaid

MOST = 6
# of the palette, those that no curve of the run itself has
OVERLAY_COLOURS = [colour for colour in CLASS_COLOURS if colour not in COLOURS.values()][:MOST]
ASSIGNED = "overlay.colours"  # run id -> colour


def pick_overlaid(run: Run) -> list[Overlaid]:
    """A select box of earlier runs, and their curves. The same choice as the ticks in the table below."""
    others = {other.id: other for other in _in_order(run, runs())}
    if not others:
        return []
    chosen = [run_id for run_id in st.session_state.get(OVERLAY, []) if run_id in others][:MOST]
    if st.session_state.get(OVERLAY, []) != chosen:
        st.session_state[OVERLAY] = chosen  # without the run itself, and without those that are gone
    labels = run_labels([run, *others.values()])
    st.multiselect(
        "Compare curves",
        list(others),
        key=OVERLAY,
        format_func=lambda run_id: labels.get(run_id, run_id),
        max_selections=MOST,
        placeholder="Compare curves with earlier runs",
        label_visibility="collapsed",
        persist_state="session",
    )
    picked = st.session_state[OVERLAY]
    st.session_state[ASSIGNED] = assign_colours(picked, st.session_state.get(ASSIGNED, {}))
    taken = set(COLOURS)
    return [
        Overlaid(
            labels[run_id] if labels[run_id] not in taken else f"{labels[run_id]} · {run_id}",
            st.session_state[ASSIGNED][run_id],
            history(others[run_id]),
        )
        for run_id in picked
    ]


def assign_colours(picked: Sequence[str], before: dict[str, str]) -> dict[str, str]:
    """A colour for each picked run: the one that it has, else the first that is free."""
    assigned = {run_id: before[run_id] for run_id in picked if run_id in before}
    for run_id in picked:
        if run_id not in assigned:
            assigned[run_id] = next(colour for colour in OVERLAY_COLOURS if colour not in assigned.values())
    return assigned


def _in_order(run: Run, listed: Sequence[Run]) -> list[Run]:
    """Runs that have trained, those on the same pictures first."""
    others = [other for other in listed if other.id != run.id and other.state.step]
    return sorted(others, key=lambda other: other.config.data.dataset != run.config.data.dataset)
