"""What came of an action, in one sentence: a toast, or a line that stays where something failed or can be undone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.errors import UserMistake
from core.incidents import report_incident
from core.runs.actions import hide_run, restore_run
from core.runs.run import Run, read_run
from core.settings import runs_root, trash_root
from pages.parts.shell.escape import escape
from pages.parts.shell.session import select_run

NOTIFICATION = "notification"
Undo = Literal["", "restore", "show"]
DELETED = "This run was deleted by somebody."
DELETED_FOR_GOOD = "This run was deleted for good; nothing of it is left."


@dataclass(frozen=True)
class Notification:
    """One sentence, as plain text, and the way back: bring runs back from the trash, or show hidden ones again."""

    sentence: str
    undo: Undo = ""
    runs: tuple[str, ...] = ()
    wrong: bool = False


def notify(sentence: str, undo: Undo = "", runs: Sequence[str] = (), wrong: bool = False) -> None:
    """Show it when the page is drawn next, in this session only."""
    st.session_state[NOTIFICATION] = Notification(sentence, undo, tuple(runs), wrong)


@contextmanager
def notify_errors(run_id: str, named: str = "This run") -> Iterator[None]:
    """Whatever an action on a run raises becomes a notification, also where somebody else was faster."""
    try:
        yield
    except UserMistake as mistake:
        if is_deleted(run_id):
            notify_deleted(run_id)
        else:
            notify(str(mistake).replace(f"Run {run_id}", named), wrong=True)  # people know it by its title
    except Exception as error:
        number = report_incident(error)
        notify(f"Something went wrong. The details are in the log under incident {number}.", wrong=True)


def is_deleted(run_id: str) -> bool:
    return not (runs_root() / run_id).exists()


def notify_deleted(run_id: str) -> None:
    if (trash_root() / run_id).exists():
        notify(DELETED, "restore", [run_id], wrong=True)
    else:
        notify(DELETED_FOR_GOOD, wrong=True)


def is_notified_about(run_id: str) -> bool:
    """Whether the notification on the page is about this run already."""
    notification: Notification | None = st.session_state.get(NOTIFICATION)
    return notification is not None and run_id in notification.runs


def quoted(runs: Sequence[Run]) -> str:
    """'“first try”', or '3 runs' for several."""
    return f"“{runs[0].title}”" if len(runs) == 1 else f"{len(runs)} runs"


def draw_notifications() -> None:
    """The newest one of this session: a toast where it needs no answer, else a line that stays until it is closed."""
    notification: Notification | None = st.session_state.get(NOTIFICATION)
    if notification is None:
        return
    if not (notification.undo or notification.wrong):
        del st.session_state[NOTIFICATION]
        st.toast(escape(notification.sentence, 600), icon=":material/check:")
        return
    icon = "info" if notification.wrong else "undo" if notification.undo == "show" else "delete"
    with st.container(key="notification", border=True, horizontal=True, wrap=False, vertical_alignment="center"):
        st.markdown(f":material/{icon}: {escape(notification.sentence, 600)}", width="stretch")
        if notification.undo:
            st.button("Undo", key="undo", icon=":material/undo:", on_click=_undo, args=(notification,))
        st.button("", key="notification.close", icon=":material/close:", type="tertiary", help="Close", on_click=_close)


def rerun_if_deleted(run_id: str) -> None:
    """For a panel whose run was deleted while it was shown."""
    if is_deleted(run_id):
        notify_deleted(run_id)
        st.rerun()


def _close() -> None:
    st.session_state.pop(NOTIFICATION, None)


def _undo(notification: Notification) -> None:
    _close()
    back: list[Run] = []
    for run_id in notification.runs:
        with notify_errors(run_id):
            restore = notification.undo == "restore"
            back.append(restore_from_trash(run_id) if restore else hide_run(read_run(run_id), False))
    if back:
        notify(f"{quoted(back)} {'is' if len(back) == 1 else 'are'} back.")
        if len(back) == 1:
            select_run(back[0].id)


def restore_from_trash(run_id: str) -> Run:
    """A run from the trash; one that somebody else has brought back already is simply there."""
    if not is_deleted(run_id):
        return read_run(run_id)
    if not (trash_root() / run_id).exists():
        raise UserMistake(DELETED_FOR_GOOD)
    return restore_run(run_id)
