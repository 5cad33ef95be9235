"""What came of a deed, in one sentence: a toast, or a line that stays where something went wrong or can be undone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.errors import UserMistake
from core.incidents import report_incident
from core.runs.deeds import hide_run, restore_run
from core.runs.run import Run, read_run
from core.settings import runs_root, trash_root
from pages.parts.escape import escape
from pages.parts.session import look_at

TOLD = "told"
Undo = Literal["", "restore", "show"]
GONE = "This run was deleted by somebody."
GONE_FOR_GOOD = "This run was deleted for good; nothing of it is left."


@dataclass(frozen=True)
class Told:
    """One sentence, as plain text, and the way back: bring runs back from the trash, or show hidden ones again."""

    sentence: str
    undo: Undo = ""
    runs: tuple[str, ...] = ()
    wrong: bool = False


def tell(sentence: str, undo: Undo = "", runs: Sequence[str] = (), wrong: bool = False) -> None:
    """Say it when the page is drawn next, in this session only."""
    st.session_state[TOLD] = Told(sentence, undo, tuple(runs), wrong)


@contextmanager
def outcome(run_id: str, named: str = "This run") -> Iterator[None]:
    """Around a deed: whatever goes wrong becomes a sentence on the page, also where somebody else was faster."""
    try:
        yield
    except UserMistake as mistake:
        if is_gone(run_id):
            tell_gone(run_id)
        else:
            tell(str(mistake).replace(f"Run {run_id}", named), wrong=True)  # people know it by its title
    except Exception as error:
        number = report_incident(error)
        tell(f"Something went wrong. The details are in the log under incident {number}.", wrong=True)


def is_gone(run_id: str) -> bool:
    return not (runs_root() / run_id).exists()


def tell_gone(run_id: str) -> None:
    if (trash_root() / run_id).exists():
        tell(GONE, "restore", [run_id], wrong=True)
    else:
        tell(GONE_FOR_GOOD, wrong=True)


def told_of(run_id: str) -> bool:
    """Whether what stands on the page is about this run already."""
    told: Told | None = st.session_state.get(TOLD)
    return told is not None and run_id in told.runs


def quoted(runs: Sequence[Run]) -> str:
    """'“first try”', or '3 runs' for several."""
    return f"“{runs[0].title}”" if len(runs) == 1 else f"{len(runs)} runs"


def draw_told() -> None:
    """The newest outcome of this session; what needs no answer is a toast, and the rest stays until it is closed."""
    told: Told | None = st.session_state.get(TOLD)
    if told is None:
        return
    if not (told.undo or told.wrong):
        del st.session_state[TOLD]
        st.toast(escape(told.sentence, 600), icon=":material/check:")
        return
    icon = "info" if told.wrong else "undo" if told.undo == "show" else "delete"
    with st.container(border=True, horizontal=True, wrap=False, vertical_alignment="center", gap="small", key="told"):
        st.markdown(f":material/{icon}: {escape(told.sentence, 600)}", width="stretch")
        if told.undo:
            st.button("Undo", key="undo", icon=":material/undo:", on_click=_undo, args=(told,))
        st.button("", key="told.close", icon=":material/close:", type="tertiary", help="Close", on_click=_close)


def draw_gone(run_id: str) -> None:
    """For a panel whose run has vanished while somebody looked at it."""
    if not is_gone(run_id):
        return
    tell_gone(run_id)
    st.rerun()


def _close() -> None:
    st.session_state.pop(TOLD, None)


def _undo(told: Told) -> None:
    _close()
    back: list[Run] = []
    for run_id in told.runs:
        with outcome(run_id):
            back.append(bring_back(run_id) if told.undo == "restore" else hide_run(read_run(run_id), False))
    if back:
        tell(f"{quoted(back)} {'is' if len(back) == 1 else 'are'} back.")
        if len(back) == 1:
            look_at(back[0].id)


def bring_back(run_id: str) -> Run:
    """A run from the trash; one that somebody else has brought back already is simply there."""
    if not is_gone(run_id):
        return read_run(run_id)
    if not (trash_root() / run_id).exists():
        raise UserMistake(GONE_FOR_GOOD)
    return restore_run(run_id)
