"""Several people, one store: a page notices what others did, and draws itself anew then, and only then."""

from collections.abc import Hashable

import streamlit as st

from core.runs.tickets import waiting_ids
from pages.parts.cached import deleted_runs, runs
from pages.parts.frame import boundary

SECONDS = 2.0  # within which everybody sees the same
DRAWN = "runs.drawn"
SHOWN = "runs.shown"  # the state of the run in the panel when the page was drawn
BEHIND = "runs.behind"  # whether the panel was behind its run at the last look


def stay_together() -> None:
    """Called once a page: a rerun follows as soon as runs came, went, ended, were marked, or changed places.

    What people type, pick and move is their session's own and stays as it is.
    """
    st.session_state[DRAWN] = _seen()
    st.session_state[SHOWN], st.session_state[BEHIND] = _state_shown(), False
    st.fragment(_look, run_every=SECONDS)()


@boundary()
def _look() -> None:
    # the panel has a clock of its own, which is faster; where a message was lost with that clock, this one helps
    was_behind = st.session_state.get(BEHIND)
    st.session_state[BEHIND] = st.session_state.get(SHOWN) != _state_shown(seconds=1.0)
    if st.session_state.get(DRAWN) != _seen(seconds=1.0) or (was_behind and st.session_state[BEHIND]):
        st.rerun()


def _state_shown(seconds: float = 0.0) -> str | None:
    shown = st.session_state.get("run.address")
    return next((run.state.status for run in runs(True, seconds) if run.id == shown), None)


def _seen(seconds: float = 0.0) -> Hashable:
    # the run in the panel tells its end itself, with a word about it: this clock must not be faster
    shown = st.session_state.get("run.address")  # what was drawn: the picker's own state may be that of a late tick
    told = [
        (run.id, None if run.id == shown else run.state.status, run.state.attempt, run.marks)
        for run in runs(True, seconds)
    ]
    return hash((tuple(told), tuple(run.id for run in deleted_runs()), tuple(waiting_ids())))
