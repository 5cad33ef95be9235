"""The waiting line as people understand it: what trains now, who is next, and what can be done about it."""

from collections.abc import Callable

import streamlit as st

from core.runs.queue import move_in_queue, queue_position, waiting_runs
from core.runs.run import Run, RunState, ask_to_stop, read_run
from pages.parts.cached import live_runs
from pages.parts.escape import escape
from pages.parts.frame import boundary
from pages.parts.session import look_at
from pages.parts.telling import outcome, quoted, tell
from pages.parts.words import clock

MOST_OPEN = 5  # waiting runs that are seen without scrolling


def draw_line() -> None:
    """Drawn only while something waits; then once a second, and nothing around it."""
    waiting = bool(waiting_runs())
    st.fragment(_line, run_every=1.0 if waiting else None)()


@boundary()
def _line() -> None:
    waiting = waiting_runs()
    if not waiting:
        return
    at_work = next((run for run in live_runs() if run.state.status != "queued"), None)
    with st.container(border=True, gap="xsmall", key="line"):
        if at_work is not None:
            st.progress(share_done(at_work.state), text=now_in_words(at_work))
        with st.container(
            height=230 if len(waiting) > MOST_OPEN else "content", border=False, gap=None, key="line-rows"
        ):
            for place, run in enumerate(waiting, 1):
                _draw_place(place, len(waiting), run, at_work)


def now_in_words(run: Run) -> str:
    told = f"**Training now** {escape(run.title, 60)}{_whose(run)}"
    if not run.state.steps:
        return told
    left = run.state.seconds_left
    return f"{told} · {share_done(run.state):.0%}" + ("" if left is None else f" · {clock(left)} left")


def share_done(state: RunState) -> float:
    return min(1.0, state.step / state.steps) if state.steps else 0.0


def _draw_place(place: int, places: int, run: Run, at_work: Run | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"line.{run.id}"):
        st.badge("Next" if place == 1 else str(place), color="primary" if place == 1 else "gray")
        _button("open", run, escape(run.title, 60), "", "Look at it", _open)
        told = _whose(run).removeprefix(" · ")
        if place == 1 and at_work is not None and at_work.state.seconds_left is not None:
            told += f"{' · ' if told else ''}in {clock(at_work.state.seconds_left)}"
        st.caption(told, width="stretch")
        with st.container(horizontal=True, width="content", gap=None, key=f"line.deeds.{run.id}"):
            if places > 1:
                _button("front", run, "", "vertical_align_top", "To the front", _to_front, place == 1)
                _button("up", run, "", "arrow_upward", "One place up", _up, place == 1)
                _button("down", run, "", "arrow_downward", "One place down", _down, place == places)
            _button("cancel", run, "", "close", "Take it out of the line", _cancel)


def _button(
    name: str, run: Run, label: str, icon: str, help: str, do: Callable[[Run], None], disabled: bool = False
) -> None:
    clicked = st.button(
        label or f":material/{icon}:",
        key=f"line.{name}.{run.id}",
        help=help,
        type="tertiary",
        width="content" if label else 32,  # a finger's worth
        disabled=disabled,
        on_click=_do,
        args=(do, run.id),
    )
    if clicked:
        st.rerun()  # all of the page: the panel of the run says its new place


def _do(do: Callable[[Run], None], run_id: str) -> None:
    with outcome(run_id):
        do(read_run(run_id))


def _open(run: Run) -> None:
    look_at(run.id)


def _to_front(run: Run) -> None:
    _move(run, 1)


def _up(run: Run) -> None:
    _move(run, max(1, (queue_position(run) or 1) - 1))


def _down(run: Run) -> None:
    _move(run, (queue_position(run) or 1) + 1)


def _move(run: Run, position: int) -> None:
    if queue_position(run) is None:
        tell(f"{quoted([run])} does not wait any more.")
        return
    move_in_queue(run, position)
    now = queue_position(run)
    tell(f"{quoted([run])} is next." if now == 1 else f"{quoted([run])} is number {now} in the line.")


def _cancel(run: Run) -> None:
    tell(ask_to_stop(run).replace(f"Run {run.id}", quoted([run])))


def _whose(run: Run) -> str:
    return f" · {escape(run.asker.name, 40)}" if run.asker and run.asker.name else ""
