"""The queue: which run trains now, which ones wait, and buttons that move or cancel them."""

from collections.abc import Callable

import streamlit as st

from core.runs.actions import ask_to_stop
from core.runs.queue import move_in_queue, queue_position, waiting_runs
from core.runs.run import Run, read_run
from pages.parts.shell.cache import live_runs
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import clock
from pages.parts.shell.frame import boundary
from pages.parts.shell.notifications import notify, notify_errors, quoted
from pages.parts.shell.session import select_run
from pages.parts.widgets.run_progress import share_done, time_left

MOST_OPEN = 5  # waiting runs that are seen without scrolling


def draw_queue() -> None:
    """Drawn only while something waits; then once a second, and nothing around it."""
    waiting = bool(waiting_runs())
    st.fragment(_draw_entries, run_every=1.0 if waiting else None)()


@boundary()
def _draw_entries() -> None:
    waiting = waiting_runs()
    if not waiting:
        return
    at_work = next((run for run in live_runs() if run.state.status != "queued"), None)
    with st.container(border=True, gap="xsmall", key="queue"):
        if at_work is not None:
            st.progress(share_done(at_work.state), text=describe_running(at_work))
        with st.container(
            height=230 if len(waiting) > MOST_OPEN else "content", border=False, gap=None, key="queue-entries"
        ):
            for place, run in enumerate(waiting, 1):
                _draw_entry(place, len(waiting), run, at_work)


def describe_running(run: Run) -> str:
    """Markdown: the name of the run that trains, whose it is, how far it is, and the time left."""
    text = f"**Training now** {escape(run.title, 60)}{_whose(run)}"
    if not run.state.steps:
        return text
    left = time_left(run.state)
    return f"{text} · {share_done(run.state):.0%}" + ("" if left is None else f" · {clock(left)} left")


def _draw_entry(place: int, places: int, run: Run, at_work: Run | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"queue.{run.id}"):
        st.badge("Next" if place == 1 else str(place), color="primary" if place == 1 else "gray")
        _button("open", run, escape(run.title, 60), "", "Open", _open)
        text = _whose(run).removeprefix(" · ")
        if place == 1 and at_work is not None and (left := time_left(at_work.state)) is not None:
            text += f"{' · ' if text else ''}in {clock(left)}"
        st.caption(text, width="stretch")
        with st.container(horizontal=True, width="content", gap=None, key=f"queue.actions.{run.id}"):
            if places > 1:
                _button("front", run, "", "vertical_align_top", "To the front", _to_front, place == 1)
                _button("up", run, "", "arrow_upward", "One place up", _up, place == 1)
                _button("down", run, "", "arrow_downward", "One place down", _down, place == places)
            _button("cancel", run, "", "close", "Remove from the queue", _cancel)


def _button(
    name: str, run: Run, label: str, icon: str, help: str, do: Callable[[Run], None], disabled: bool = False
) -> None:
    clicked = st.button(
        label or f":material/{icon}:",
        key=f"queue.{name}.{run.id}",
        help=help,
        type="tertiary",
        width="content" if label else 32,  # a finger's worth
        disabled=disabled,
        on_click=_do,
        args=(do, run.id),
    )
    if clicked:
        st.rerun()  # all of the page: the panel of the run shows its new place


def _do(do: Callable[[Run], None], run_id: str) -> None:
    with notify_errors(run_id):
        do(read_run(run_id))


def _open(run: Run) -> None:
    select_run(run.id)


def _to_front(run: Run) -> None:
    _move(run, 1)


def _up(run: Run) -> None:
    _move(run, max(1, (queue_position(run) or 1) - 1))


def _down(run: Run) -> None:
    _move(run, (queue_position(run) or 1) + 1)


def _move(run: Run, position: int) -> None:
    if queue_position(run) is None:
        notify(f"{quoted([run])} is not in the queue any more.")
        return
    move_in_queue(run, position)
    now = queue_position(run)
    notify(f"{quoted([run])} is next." if now == 1 else f"{quoted([run])} is number {now} in the queue.")


def _cancel(run: Run) -> None:
    notify(ask_to_stop(run).replace(f"Run {run.id}", quoted([run])))


def _whose(run: Run) -> str:
    return f" · {escape(run.requester.name, 40)}" if run.requester and run.requester.name else ""
