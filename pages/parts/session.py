"""Who sits in front of this browser tab: a token that the program draws, and a name that the person may give."""

import secrets

import streamlit as st

from core.runs.people import NAME_CHARACTERS, Asker

WANTED = "run.wanted"
_NAME = "asker_name"


def session_token() -> str:
    """Random, the same for as long as this tab is open; it says nothing about the person."""
    if "session_token" not in st.session_state:
        st.session_state["session_token"] = secrets.token_hex(8)
    return str(st.session_state["session_token"])


def asker_name() -> str:
    """What the person calls herself, "" where she has not said. Her words: escape them."""
    return asker().name


def asker() -> Asker:
    """Who asks, as a run keeps it."""
    return Asker(session=session_token(), name=str(st.session_state.get(_NAME) or ""))


def look_at(run_id: str) -> None:
    """Let the Train page show this run when it is drawn next.

    Not by the picker's own state: the tick of a clock that is on its way from the browser brings along what the picker
    showed there when it left, and would undo it.
    """
    st.session_state[WANTED] = run_id


def draw_name() -> None:
    """A small field for one's name, so that others see whose run is in front of theirs."""
    st.text_input(
        "Your name",
        key=_NAME,
        placeholder="optional",
        max_chars=NAME_CHARACTERS,
        help="Shown to others who wait in the queue. It is kept with the runs that you start.",
        persist_state="session",
    )
