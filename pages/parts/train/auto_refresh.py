"""Several people, one store: the page is drawn anew when something changed that others did, and only then."""

from collections.abc import Hashable

import streamlit as st

from core.runs.queue_entries import waiting_ids
from pages.parts.shell.cache import deleted_runs, runs
from pages.parts.shell.frame import boundary

SECONDS = 2.0  # within which everybody sees the same
DRAWN = "runs.drawn"  # hash of all runs when the page was drawn
SHOWN = "runs.shown"  # the state of the run in the panel when the page was drawn
BEHIND = "runs.behind"  # whether the panel was behind its run at the last check


def refresh_when_changed() -> None:
    """Called once a page: a rerun follows as soon as a run came, went, ended, was marked, or moved in the queue.

    What people type, pick and move is their session's own and stays as it is.
    """
    st.session_state[DRAWN] = _hash_runs()
    st.session_state[SHOWN], st.session_state[BEHIND] = _state_shown(), False
    st.fragment(_rerun_if_changed, run_every=SECONDS)()


@boundary()
def _rerun_if_changed() -> None:
    # the panel has a timed fragment of its own, which is faster; where its message was lost, this one helps
    was_behind = st.session_state.get(BEHIND)
    st.session_state[BEHIND] = st.session_state.get(SHOWN) != _state_shown(seconds=1.0)
    if st.session_state.get(DRAWN) != _hash_runs(seconds=1.0) or (was_behind and st.session_state[BEHIND]):
        st.rerun()


def _state_shown(seconds: float = 0.0) -> str | None:
    shown = st.session_state.get("run.address")
    return next((run.state.status for run in runs(True, seconds) if run.id == shown), None)


def _hash_runs(seconds: float = 0.0) -> Hashable:
    # the panel notices the end of its run itself and shows a toast: this fragment must not be faster
    shown = st.session_state.get("run.address")  # what was drawn: the picker's own state may be an older message's
    states = [
        (run.id, None if run.id == shown else run.state.status, run.state.attempt, run.marks)
        for run in runs(True, seconds)
    ]
    return hash((tuple(states), tuple(run.id for run in deleted_runs()), tuple(waiting_ids())))
