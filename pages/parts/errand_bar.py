"""An errand on a page: how far it is with Cancel, why it failed, or the invitation to begin it."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from pages.parts.cached import live_runs
from pages.parts.errands import Doing, Errand, cancel_errand, read_doing, start_errand
from pages.parts.escape import escape
from pages.parts.frame import boundary
from pages.parts.words import span


@dataclass(frozen=True)
class Words:
    """What a page calls an errand."""

    button: str
    icon: str
    phases: dict[str, str]  # of its Progress
    counts: bool = True  # whether `done` counts pictures that can be told; else only the bar shows it
    primary: bool = True  # the colour of the button


def draw_errand(errand: Errand, words: Words) -> None:
    """A button that begins it or, while it is at work, its progress; the whole page is drawn when it is over."""
    doing = read_doing(errand)
    live = doing is not None and doing.live
    st.fragment(_draw, run_every=1 if live else None)(errand, words, live)


@boundary()
def _draw(errand: Errand, words: Words, was_live: bool) -> None:
    doing, key = read_doing(errand), errand.folder.name
    if doing is not None and doing.live:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.progress(doing.share, text=_describe(doing, words))
            if st.button("Cancel", key=f"cancel_{key}", icon=":material/close:", disabled=doing.stop_asked):
                cancel_errand(errand)
        busy = " A run is training and goes first, so this takes longer." if live_runs(seconds=1.0) else ""
        st.caption(f"You may close this page: it goes on.{busy}")
        return
    if was_live:
        st.rerun()  # it is over, and what it has found is drawn outside this fragment
    if doing is not None:
        st.error(escape(doing.message, 600), icon=":material/info:")
    kind: Literal["primary", "secondary"] = "primary" if words.primary else "secondary"
    if st.button(words.button, type=kind, icon=words.icon, key=f"start_{key}"):
        start_errand(errand)
        st.rerun()


def _describe(doing: Doing, words: Words) -> str:
    if doing.stop_asked:
        return "Cancelling"
    told = words.phases.get(doing.phase, "Starting")
    if doing.total and words.counts:
        told += f", {doing.done:,} of {doing.total:,}"
    if doing.seconds_left is not None and doing.share > 0.05:  # before that it is a guess that jumps
        told += f", {span(doing.seconds_left)} left"
    return told
