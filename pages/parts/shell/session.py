"""Who sits in front of this browser tab: a token that the program draws, and a name that the person may give."""

import secrets

import streamlit as st

from core.people import acting
from core.runs.requester import NAME_CHARACTERS, Requester, requester_now

WANTED = "run.wanted"
FORM_TOKEN = "form.token"
_PAGE = "page.drawn"  # the page that this tab showed last
_ARRIVED = "page.arrived"
_NAME = "requester_name"


def session_token() -> str:
    """Random, the same for as long as this tab is open; it says nothing about the person."""
    if "session_token" not in st.session_state:
        st.session_state["session_token"] = secrets.token_hex(8)
    return str(st.session_state["session_token"])


def form_token() -> str:
    """Under which the Train page keeps this tab's form for a reload; it stands in the address."""
    if FORM_TOKEN not in st.session_state:
        st.session_state[FORM_TOKEN] = secrets.token_hex(4)
    return str(st.session_state[FORM_TOKEN])


def note_page(title: str) -> None:
    """For the frame: this page is drawn."""
    st.session_state[_ARRIVED] = st.session_state.get(_PAGE) != title
    st.session_state[_PAGE] = title


def has_arrived() -> bool:
    """Whether this page is drawn for the first time since another one, or since the tab was opened."""
    return bool(st.session_state.get(_ARRIVED, True))


def requester() -> Requester:
    """Who starts a run, as the run keeps it; the name is what somebody typed: escape it."""
    chosen = Requester(session=session_token(), name=str(st.session_state.get(_NAME) or ""))
    return requester_now(chosen) or chosen


def select_run(run_id: str) -> None:
    """Let the Train page show this run when it is drawn next.

    Not by the picker's own state: a fragment's rerun that is on its way from the browser brings along what the picker
    showed there when it left, and would undo it.
    """
    st.session_state[WANTED] = run_id


def draw_name() -> None:
    """A small field for one's name, so that others see whose run is ahead of theirs."""
    if acting().id:  # signed in: the name is known
        return
    st.text_input(
        "Your name",
        key=_NAME,
        placeholder="optional",
        max_chars=NAME_CHARACTERS,
        help="Shown to others who wait in the queue. It is kept with the runs that you start.",
        persist_state="session",
    )
