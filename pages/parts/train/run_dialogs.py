"""The dialogs of run actions: delete, name and note, train longer, empty the trash. At most one is open a session."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from core.config import TrainConfig
from core.data.store.store import read_fingerprint
from core.display_names import display_name
from core.engine.schedule import learning_rate
from core.errors import UserMistake
from core.runs.actions import (
    NOTE_CHARACTERS,
    TITLE_CHARACTERS,
    ask_to_stop,
    delete_run,
    empty_trash,
    note_run,
    rename_run,
    resume_run,
    trash_bytes,
)
from core.runs.run import Run, read_run
from pages.parts.form.start_run import supervisor
from pages.parts.shell.cache import deleted_runs
from pages.parts.shell.escape import escape
from pages.parts.shell.frame import boundary
from pages.parts.shell.notifications import is_deleted, notify, notify_deleted, notify_errors, quoted
from pages.parts.shell.session import requester, select_run
from pages.parts.widgets.training_curves import schedule_options

OPEN = "dialog.open"
MOST_NAMED = 6  # runs that a dialog names one by one
MOST_EPOCHS = 1000  # as TrainConfig.epochs allows
POINTS = 120  # of a schedule's curve


@dataclass(frozen=True)
class Dialog:
    """The open dialog of this session and its runs; a full rerun opens it again until it is confirmed or closed."""

    kind: str  # of DIALOGS
    runs: tuple[str, ...]
    note: str = ""  # as it was when the dialog opened, so that nobody overwrites one that somebody else wrote meanwhile


def open_dialog(kind: str, runs: Sequence[Run]) -> None:
    note = runs[0].marks.note if len(runs) == 1 else ""
    st.session_state[OPEN] = Dialog(kind, tuple(run.id for run in runs), note)


def draw_dialog() -> None:
    """The dialog that this session has open. Outside of every fragment: a timed one would close it."""
    dialog: Dialog | None = st.session_state.get(OPEN)
    if dialog is None:
        return
    title, draw = DIALOGS[dialog.kind]
    st.dialog(title, on_dismiss=_close)(boundary()(draw))()


def _close() -> None:
    st.session_state.pop(OPEN, None)


def _current() -> Dialog:
    return st.session_state.get(OPEN) or Dialog("", ())


def _close_and_rerun() -> None:
    _close()
    st.rerun()


def _existing_runs() -> list[Run]:
    """The runs of the dialog that still exist; closes it with a notification where none does."""
    dialog = _current()
    found = [read_run(run_id) for run_id in dialog.runs if not is_deleted(run_id)]
    if not found:
        if dialog.runs:
            notify_deleted(dialog.runs[0])
        _close_and_rerun()
    return found


# ---------------------------------------------------------------------------------------------------- delete


def _draw_delete() -> None:
    runs = _existing_runs()
    at_work = [run for run in runs if run.state.is_training]
    for run in runs[:MOST_NAMED]:
        st.markdown(f"**{escape(run.title)}** · {escape(_in_short(run), 120)}")
    if len(runs) > MOST_NAMED:
        st.markdown(f"and {len(runs) - MOST_NAMED} more")
    if at_work:
        _draw_stop_first(runs, at_work)
        return
    waits = any(run.state.is_live for run in runs)
    st.caption(
        ("It is removed from the queue. " if waits and len(runs) == 1 else "")
        + ("It goes" if len(runs) == 1 else "They go")
        + " to the trash, and can be brought back from there."
    )
    _buttons("Delete" if len(runs) == 1 else f"Delete {len(runs)} runs", ":material/delete:", _delete)


def _draw_stop_first(runs: Sequence[Run], at_work: Sequence[Run]) -> None:
    if all(run.stop_requested for run in at_work):
        st.markdown("Stopping … It is evaluated on the test pictures; then it can be deleted.")
        st.fragment(_wait_for_end, run_every=1.0)()
        return
    text = "This run is training." if len(runs) == 1 else f"{quoted(at_work)} is training."
    st.markdown(f"{escape(text, 200)} Stop it first?")
    _buttons("Stop it", ":material/stop:", _stop)


def _wait_for_end() -> None:
    if not any(run.state.is_training for run in _existing_runs()):
        st.rerun()


def _stop() -> None:
    for run in _existing_runs():
        with notify_errors(run.id, quoted([run])):
            ask_to_stop(run)


def _delete() -> None:
    deleted: list[Run] = []
    chosen = _current().runs
    for run_id in chosen:
        if is_deleted(run_id):
            notify_deleted(run_id)
            continue
        run = read_run(run_id)
        with notify_errors(run_id, quoted([run])):
            delete_run(run)
            deleted.append(run)
    if deleted:
        notify(f"Deleted {quoted(deleted)}.", "restore", [run.id for run in deleted])
    elif any(not is_deleted(run_id) and read_run(run_id).state.is_live for run_id in chosen):
        return  # it began to train in between: the dialog asks to stop it first
    _close()


# ---------------------------------------------------------------------------------------------- name and note


def _draw_name() -> None:
    (run,) = _existing_runs()
    st.text_input(
        "Name",
        run.marks.title,
        help=f"At most {TITLE_CHARACTERS} characters.",  # max_chars would drop a longer paste silently
        placeholder=replace(run, marks=run.marks.model_copy(update={"title": ""})).title,
        key=f"name.{run.id}",
    )
    st.text_area(
        "Note",
        run.marks.note,
        height=160,
        placeholder="What was tried, and with what result",
        key=f"note.{run.id}",
    )
    if run.marks.note != _current().note:
        st.warning("Somebody else has changed this note meanwhile. It now is:")
        st.caption(note_in_lines(run.marks.note) or "empty")
    _buttons("Save", ":material/check:", _save)


def _save() -> None:
    run_id = _current().runs[0]
    if is_deleted(run_id):
        notify_deleted(run_id)
        _close()
        return
    run, before = read_run(run_id), _current().note
    title, note = str(st.session_state[f"name.{run_id}"]), str(st.session_state[f"note.{run_id}"])
    if run.marks.note not in (before, note):
        open_dialog("name", [run])  # theirs is shown; saving once more replaces it
        st.session_state[OPEN] = replace(_current(), note=run.marks.note)
        notify("Somebody else has changed this note meanwhile.", wrong=True)
        return
    saved = False
    with notify_errors(run_id, quoted([run])):
        run = rename_run(run, title)
        run = note_run(run, note)
        notify(f"Saved {quoted([run])}.")
        saved = True
    if saved or is_deleted(run_id):  # else what was typed stays in the dialog, to be mended
        _close()


def note_in_lines(note: str) -> str:
    """A note as Markdown that shows it as it was written, line by line."""
    return "  \n".join(escape(line, NOTE_CHARACTERS) for line in note.splitlines())


# ----------------------------------------------------------------------------------------------- train longer


def _draw_train_longer() -> None:
    (run,) = _existing_runs()
    train = run.config.train
    early = stopped_early(run)
    least, most = (0 if early else 1), min(MOST_EPOCHS - train.epochs, max(50, 2 * train.epochs))
    if most < 1 and not early:
        st.markdown(f"This run has {train.epochs:,} epochs already, as many as a run may have.")
        return
    if early:
        reached, left = run.state.epoch, train.epochs - run.state.epoch
        st.markdown(f"It stopped early, after epoch {reached:,}. The {left:,} epochs that were left are trained now.")
    more = 0
    if most > least:
        default = 0 if early else min(most, train.epochs)
        more = st.slider("Epochs beyond that" if early else "More epochs", least, most, default, key=f"more.{run.id}")
    longer = train.model_copy(update={"epochs": train.epochs + more})
    if more:
        st.caption(describe_new_schedule(train, longer))
    if train.schedule != "constant":
        rates = [learning_rate(longer, step, POINTS) for step in range(POINTS)]
        options = schedule_options(rates, longer.epochs)
        st.echarts_chart(options, key="train_longer.schedule", height=110, alt="Learning rate by epoch")
    _buttons(f"Train longer, to epoch {longer.epochs:,}", ":material/play_arrow:", _train_longer)


def stopped_early(run: Run) -> bool:
    """Whether a run is done because its validation loss fell no more, with epochs left."""
    return run.state.status == "done" and 0 < run.state.epoch < run.config.train.epochs


def describe_new_schedule(train: TrainConfig, longer: TrainConfig) -> str:
    """What more epochs do to the learning rate, in one or two sentences with its numbers."""
    if train.schedule == "constant":
        return f"The learning rate stays at {train.learning_rate:g}: the curves continue as if the run had been longer."
    steps = 1000 * train.epochs
    before = learning_rate(train, steps - 1, steps)
    after = learning_rate(longer, steps, 1000 * longer.epochs)
    ended = f"{before:.2g}" if before > train.learning_rate / 1000 else "nearly zero"
    name = display_name("train.schedule", train.schedule).lower()
    return (
        f"The {name} schedule is stretched over all {longer.epochs:,} epochs: the learning rate had come down to "
        f"{ended} and continues with {after:.2g}. The first steps may therefore undo a little of what it had learnt."
    )


def _train_longer() -> None:
    run_id = _current().runs[0]
    with notify_errors(run_id):
        run = read_run(run_id)
        more = int(st.session_state.get(f"more.{run_id}", 0))
        resume(run, run.config.train.epochs + more if more else None)
    _close()


def resume(run: Run, epochs: int | None = None) -> None:
    """Put a run that has ended into the queue again, to continue from its last checkpoint."""
    again = resume_run(run, *read_fingerprint(run.config.data), epochs=epochs, queue=True, requester=requester())
    supervisor()
    select_run(again.id)
    notify(f"{quoted([again])} {'trains longer' if epochs else 'resumes'}.")


# ---------------------------------------------------------------------------------------------------- the trash


def _draw_empty() -> None:
    count = len(deleted_runs())
    if not count:
        _close_and_rerun()
    named, their = ("1 run", "its") if count == 1 else (f"{count} runs", "their")
    st.markdown(
        f"**{named}** with {their} networks and predictions are deleted for good; that frees "
        f"{trash_bytes() / 2**20:,.0f} MB. This cannot be undone."
    )
    _buttons("Empty the trash", ":material/delete_forever:", _empty)


def _empty() -> None:
    try:
        removed = empty_trash()
        notify(f"The trash is empty: {removed} {'run' if removed == 1 else 'runs'} deleted for good.")
    except UserMistake as mistake:
        notify(str(mistake), wrong=True)
    _close()


def _buttons(label: str, icon: str, do: Callable[[], None]) -> None:
    """The button that confirms, and Cancel."""
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if st.button("Cancel", key="dialog.cancel"):
            _close_and_rerun()
        if st.button(label, type="primary", icon=icon, key="dialog.confirm", on_click=do):
            st.rerun()


def _in_short(run: Run) -> str:
    reached = f"epoch {run.state.epoch} of {run.config.train.epochs}" if run.state.epoch else "not started"
    return f"{run.config.data.dataset} · {reached}"


DIALOGS: dict[str, tuple[str, Callable[[], None]]] = {
    "delete": ("Delete this run?", _draw_delete),
    "delete_several": ("Delete these runs?", _draw_delete),
    "name": ("Name and note", _draw_name),
    "train_longer": ("Train longer", _draw_train_longer),
    "empty": ("Empty the trash?", _draw_empty),
}
