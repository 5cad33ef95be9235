"""What can be done with a run in its present state: a row of buttons, and a menu for what is rarer."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from core.people import may_change
from core.runs.actions import ask_to_stop, clone_config, hide_run, star_run
from core.runs.run import Run, read_run
from pages.parts.form.run_form import take_config
from pages.parts.shell.notifications import notify, notify_errors, quoted
from pages.parts.train.run_dialogs import note_in_lines, open_dialog, resume
from pages.parts.widgets.command import draw_command

LONG_NOTE = 6  # lines; a longer one scrolls


@dataclass(frozen=True)
class RunAction:
    """Label, icon and help of an action, and the function that is called with the run as it is at that moment."""

    label: str
    icon: str
    help: str
    do: Callable[[Run], None]


def draw_run_actions(run: Run) -> None:
    """The buttons of one run, and the note that people gave it."""
    front, rest = offered(run)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="actions"):
        for name in front:
            _draw_button(name, run)
        if rest:
            _draw_rest(run, rest)
        draw_command(run.config, "train")
        if run.marks.hidden:
            st.badge("Hidden", icon=":material/visibility_off:", color="gray")
    draw_note(run)


def _draw_rest(run: Run, rest: list[str]) -> None:
    _draw_button("unstar" if run.marks.star else "star", run, type="tertiary")
    chosen = st.menu_button(
        "More",
        rest,
        key="more",
        icon=":material/more_horiz:",
        type="tertiary",
        format_func=lambda name: f":material/{RUN_ACTIONS[name].icon}: {RUN_ACTIONS[name].label}",
        on_click=_do_chosen,
        args=(run.id,),
    )
    if chosen is not None:
        st.rerun()


def offered(run: Run) -> tuple[list[str], list[str]]:
    """(buttons, menu): names of the actions that make sense for a run in its present state; of another person's run
    only what changes nothing."""
    if not may_change(run.owner):
        return ["clone"], []
    status = run.state.status
    if run.state.is_live:
        front, more = ["cancel" if status == "queued" else "stop"], ["clone"]
    elif status == "done":
        front, more = (["train_longer", "clone"] if run.has_checkpoint else ["clone"]), []
    elif has_diverged(run):  # resumed, it would diverge again
        front, more = ["clone_slower", "clone"], []
    else:
        front, more = ["resume", "clone"], []
    return front, ["name", *more, "show" if run.marks.hidden else "hide", "delete"]


def has_diverged(run: Run) -> bool:
    return run.state.try_rate is not None


def draw_note(run: Run) -> None:
    """What people wrote about a run, as they wrote it."""
    if not run.marks.note:
        return
    long = len(run.marks.note.splitlines()) > LONG_NOTE or len(run.marks.note) > 100 * LONG_NOTE
    with st.container(border=True, height=150 if long else "content", key="note"):
        st.caption(f":material/sticky_note_2: {note_in_lines(run.marks.note)}")


def _draw_button(name: str, run: Run, type: str = "secondary") -> None:
    action = RUN_ACTIONS[name]
    stopping = name == "stop" and run.stop_requested
    clicked = st.button(
        "Stopping …" if stopping else action.label,
        key=f"action.{name}",
        icon=f":material/{action.icon}:" if action.icon else None,
        help=action.help,
        type=type,  # type: ignore[arg-type]
        disabled=stopping,
        on_click=_do,
        args=(name, run.id),
    )
    if clicked:
        st.rerun()  # all of the page: the picker, the table and the form change with it


def _do_chosen(run_id: str) -> None:
    _do(str(st.session_state["more"]), run_id)


def _do(name: str, run_id: str) -> None:
    with notify_errors(run_id):
        run = read_run(run_id)
        with notify_errors(run_id, quoted([run])):
            RUN_ACTIONS[name].do(run)


def _stop(run: Run) -> None:
    notify(ask_to_stop(run).replace(f"Run {run.id}", quoted([run])))


def _clone(run: Run) -> None:
    take_config(run.config)
    notify(f"The form has the settings of {quoted([run])}.")


def _clone_slower(run: Run) -> None:
    rate = run.state.try_rate
    take_config(clone_config(run, {"train.learning_rate": rate}))
    notify(f"The form has learning rate {rate:g}, and else the settings of {quoted([run])}.")


def _star(run: Run) -> None:
    star_run(run)
    notify(f"{quoted([run])} has a star.")


def _unstar(run: Run) -> None:
    star_run(run, False)
    notify(f"{quoted([run])} has no star any more.")


def _hide(run: Run) -> None:
    hide_run(run)
    notify(f"{quoted([run])} is left out of lists from now on.", "show", [run.id])


def _show(run: Run) -> None:
    hide_run(run, False)
    notify(f"{quoted([run])} is in the lists again.")


RUN_ACTIONS: dict[str, RunAction] = {
    "cancel": RunAction("Cancel", "close", "Removes it from the queue.", _stop),
    "stop": RunAction("Stop", "stop", "Ends the training; the network as it is then is kept.", _stop),
    "resume": RunAction("Resume", "play_arrow", "Continues from the last checkpoint.", resume),
    "train_longer": RunAction(
        "Train longer", "fast_forward", "Gives it more epochs.", lambda run: open_dialog("train_longer", [run])
    ),
    "clone": RunAction(
        "Clone", "content_copy", "Fills the form with these settings, to change some and start.", _clone
    ),
    "clone_slower": RunAction(
        "Clone with a tenth of the learning rate",
        "content_copy",
        "Fills the form with these settings and a rate that should not diverge.",
        _clone_slower,
    ),
    "star": RunAction("☆ Star", "", "Marks it, so that it is found again.", _star),
    "unstar": RunAction(":orange[★] Starred", "", "Takes the star away.", _unstar),
    "name": RunAction("Name and note", "edit", "", lambda run: open_dialog("name", [run])),
    "hide": RunAction("Hide", "visibility_off", "", _hide),
    "show": RunAction("Show again", "visibility", "", _show),
    "delete": RunAction("Delete", "delete", "", lambda run: open_dialog("delete", [run])),
}
