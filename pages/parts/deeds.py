"""What a person can do with a run as it is now: a row of buttons, and a menu for what is rarer."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from core.runs.deeds import clone_config, hide_run, star_run
from core.runs.run import Run, ask_to_stop, read_run
from pages.parts.asking import ask, note_in_lines, resume
from pages.parts.cached import LIVE_STATUSES
from pages.parts.run_form import take_config
from pages.parts.telling import outcome, quoted, tell

LONG_NOTE = 6  # lines; a longer one scrolls


@dataclass(frozen=True)
class Deed:
    """One thing to do: its words, and a function that does it to the run as it is at that moment."""

    label: str
    icon: str
    help: str
    do: Callable[[Run], None]


def draw_deeds(run: Run) -> None:
    """The row of one run, and the note that people gave it."""
    front, rest = offered(run)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="deeds"):
        for name in front:
            _draw_button(name, run)
        _draw_button("unstar" if run.marks.star else "star", run, type="tertiary")
        chosen = st.menu_button(
            "More",
            rest,
            key="more",
            icon=":material/more_horiz:",
            type="tertiary",
            format_func=lambda name: f":material/{DEEDS[name].icon}: {DEEDS[name].label}",
            on_click=_do_chosen,
            args=(run.id,),
        )
        if chosen is not None:
            st.rerun()
        if run.marks.hidden:
            st.badge("Hidden", icon=":material/visibility_off:", color="gray")
    draw_note(run)


def offered(run: Run) -> tuple[list[str], list[str]]:
    """(buttons, menu): names of the deeds that make sense for a run in its present state."""
    status = run.state.status
    if status in LIVE_STATUSES:
        front, more = ["cancel" if status == "queued" else "stop"], ["clone"]
    elif status == "done":
        front, more = (["train_on", "clone"] if _can_go_on(run) else ["clone"]), []
    elif has_diverged(run):  # resumed, it would diverge again
        front, more = ["clone_slower", "clone"], []
    else:
        front, more = ["resume", "clone"], []
    return front, ["name", *more, "show" if run.marks.hidden else "hide", "delete"]


def _can_go_on(run: Run) -> bool:
    return (run.folder / "checkpoint").is_dir()


def has_diverged(run: Run) -> bool:
    return run.state.try_rate is not None


def draw_note(run: Run) -> None:
    """What people wrote about a run, as they wrote it."""
    if not run.marks.note:
        return
    long = len(run.marks.note.splitlines()) > LONG_NOTE or len(run.marks.note) > 100 * LONG_NOTE
    with st.container(border=True, height=150 if long else "content", key="note"):
        st.caption(f":material/sticky_note_2: {note_in_lines(run.marks.note)}")


def stop_asked(run: Run) -> bool:
    return (run.folder / "stop").exists()


def _draw_button(name: str, run: Run, type: str = "secondary") -> None:
    deed = DEEDS[name]
    stopping = name == "stop" and stop_asked(run)
    clicked = st.button(
        "Stopping …" if stopping else deed.label,
        key=f"deed.{name}",
        icon=f":material/{deed.icon}:" if deed.icon else None,
        help=deed.help,
        type=type,  # type: ignore[arg-type]
        disabled=stopping,
        on_click=_do,
        args=(name, run.id),
    )
    if clicked:
        st.rerun()  # all of the page: the picker, the table and the form say the same


def _do_chosen(run_id: str) -> None:
    _do(str(st.session_state["more"]), run_id)


def _do(name: str, run_id: str) -> None:
    with outcome(run_id):
        run = read_run(run_id)
        with outcome(run_id, quoted([run])):
            DEEDS[name].do(run)


def _stop(run: Run) -> None:
    tell(ask_to_stop(run).replace(f"Run {run.id}", quoted([run])))


def _clone(run: Run) -> None:
    take_config(run.config)
    tell(f"The form has the settings of {quoted([run])}.")


def _clone_slower(run: Run) -> None:
    rate = run.state.try_rate
    take_config(clone_config(run, {"train.learning_rate": rate}))
    tell(f"The form has learning rate {rate:g}, and else the settings of {quoted([run])}.")


def _star(run: Run) -> None:
    star_run(run)
    tell(f"{quoted([run])} has a star.")


def _unstar(run: Run) -> None:
    star_run(run, False)
    tell(f"{quoted([run])} has no star any more.")


def _hide(run: Run) -> None:
    hide_run(run)
    tell(f"{quoted([run])} is left out of lists from now on.", "show", [run.id])


def _show(run: Run) -> None:
    hide_run(run, False)
    tell(f"{quoted([run])} is in the lists again.")


DEEDS: dict[str, Deed] = {
    "cancel": Deed("Cancel", "close", "Takes it out of the line.", _stop),
    "stop": Deed("Stop", "stop", "Ends the training; what it has learnt is kept.", _stop),
    "resume": Deed("Resume", "play_arrow", "Goes on from the last state that was saved.", resume),
    "train_on": Deed("Train on", "fast_forward", "Gives it more epochs.", lambda run: ask("train_on", [run])),
    "clone": Deed("Clone", "content_copy", "Fills the form with these settings, to change some and start.", _clone),
    "clone_slower": Deed(
        "Clone with a tenth of the learning rate",
        "content_copy",
        "Fills the form with these settings and a rate that should not diverge.",
        _clone_slower,
    ),
    "star": Deed("☆ Star", "", "Marks it, so that it is found again.", _star),
    "unstar": Deed(":orange[★] Starred", "", "Takes the star away.", _unstar),
    "name": Deed("Name and note", "edit", "", lambda run: ask("name", [run])),
    "hide": Deed("Hide", "visibility_off", "", _hide),
    "show": Deed("Show again", "visibility", "", _show),
    "delete": Deed("Delete", "delete", "", lambda run: ask("delete", [run])),
}
