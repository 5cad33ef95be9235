"""Dialogs that a deed needs before it is done: delete, name and note, train on, empty the trash. One a session."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from core.config import TrainConfig
from core.data.store import pictures_now
from core.engine.schedule import learning_rate
from core.errors import UserMistake
from core.runs.deeds import (
    NOTE_CHARACTERS,
    TITLE_CHARACTERS,
    delete_run,
    empty_trash,
    note_run,
    rename_run,
    resume_run,
    trash_bytes,
)
from core.runs.run import Run, ask_to_stop, read_run
from pages.parts.cached import LIVE_STATUSES, deleted_runs
from pages.parts.curves import schedule_options
from pages.parts.escape import escape
from pages.parts.frame import boundary
from pages.parts.session import asker, look_at
from pages.parts.starting import supervisor
from pages.parts.telling import is_gone, outcome, quoted, tell, tell_gone

ASKED = "asked_deed"
MOST_NAMED = 6  # runs that a dialog names one by one
MOST_EPOCHS = 1000  # as TrainConfig.epochs allows
POINTS = 120  # of a schedule's curve


@dataclass(frozen=True)
class Asked:
    """What this session's dialog asks about; a full rerun opens it again until it is answered or closed."""

    what: str
    runs: tuple[str, ...]
    note: str = ""  # as it was when the dialog opened, so that nobody overwrites somebody else's unseen


def ask(what: str, runs: Sequence[Run]) -> None:
    note = runs[0].marks.note if len(runs) == 1 else ""
    st.session_state[ASKED] = Asked(what, tuple(run.id for run in runs), note)


def draw_asked() -> None:
    """The dialog that this session has open. Outside of every fragment: a clock would close it."""
    asked: Asked | None = st.session_state.get(ASKED)
    if asked is None:
        return
    title, draw = DIALOGS[asked.what]
    st.dialog(title, on_dismiss=_close)(boundary()(draw))()


def _close() -> None:
    st.session_state.pop(ASKED, None)


def _asked() -> Asked:
    return st.session_state.get(ASKED) or Asked("", ())


def _done() -> None:
    """Close the dialog and draw the page anew."""
    _close()
    st.rerun()


def _there() -> list[Run]:
    """The asked runs that are still there; closes the dialog with a sentence where none is."""
    asked = _asked()
    found = [read_run(run_id) for run_id in asked.runs if not is_gone(run_id)]
    if not found:
        if asked.runs:
            tell_gone(asked.runs[0])
        _done()
    return found


# ---------------------------------------------------------------------------------------------------- delete


def _draw_delete() -> None:
    runs = _there()
    at_work = [run for run in runs if run.state.status in ("starting", "running")]
    for run in runs[:MOST_NAMED]:
        st.markdown(f"**{escape(run.title)}** · {escape(_in_short(run), 120)}")
    if len(runs) > MOST_NAMED:
        st.markdown(f"and {len(runs) - MOST_NAMED} more")
    if at_work:
        _draw_stop_first(runs, at_work)
        return
    waits = any(run.state.status in LIVE_STATUSES for run in runs)
    st.caption(
        ("It is taken out of the line. " if waits and len(runs) == 1 else "")
        + ("It goes" if len(runs) == 1 else "They go")
        + " to the trash, and can be brought back from there."
    )
    _buttons("Delete" if len(runs) == 1 else f"Delete {len(runs)} runs", ":material/delete:", _delete)


def _draw_stop_first(runs: Sequence[Run], at_work: Sequence[Run]) -> None:
    if all((run.folder / "stop").exists() for run in at_work):
        st.markdown("Stopping … It answers the test pictures once more; then it can be deleted.")
        st.fragment(_wait_for_end, run_every=1.0)()
        return
    told = "This run is training." if len(runs) == 1 else f"{quoted(at_work)} is training."
    st.markdown(f"{escape(told, 200)} Stop it first?")
    _buttons("Stop it", ":material/stop:", _stop)


def _wait_for_end() -> None:
    if not any(run.state.status in ("starting", "running") for run in _there()):
        st.rerun()


def _stop() -> None:
    for run in _there():
        with outcome(run.id, quoted([run])):
            ask_to_stop(run)


def _delete() -> None:
    gone: list[Run] = []
    asked = _asked().runs
    for run_id in asked:
        if is_gone(run_id):
            tell_gone(run_id)
            continue
        run = read_run(run_id)
        with outcome(run_id, quoted([run])):
            delete_run(run)
            gone.append(run)
    if gone:
        tell(f"Deleted {quoted(gone)}.", "restore", [run.id for run in gone])
    elif any(not is_gone(run_id) and read_run(run_id).state.status in LIVE_STATUSES for run_id in asked):
        return  # it began to train in between: the dialog asks to stop it first
    _close()


# ---------------------------------------------------------------------------------------------- name and note


def _draw_name() -> None:
    (run,) = _there()
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
        placeholder="What was tried, and what came of it",
        key=f"note.{run.id}",
    )
    if run.marks.note != _asked().note:
        st.warning("Somebody else has changed this note meanwhile; it now says:")
        st.caption(note_in_lines(run.marks.note) or "nothing")
    _buttons("Save", ":material/check:", _save)


def _save() -> None:
    run_id = _asked().runs[0]
    if is_gone(run_id):
        tell_gone(run_id)
        _close()
        return
    run, before = read_run(run_id), _asked().note
    title, note = str(st.session_state[f"name.{run_id}"]), str(st.session_state[f"note.{run_id}"])
    if run.marks.note not in (before, note):
        ask("name", [run])  # theirs is shown; saving once more replaces it
        st.session_state[ASKED] = replace(_asked(), note=run.marks.note)
        tell("Somebody else has changed this note meanwhile.", wrong=True)
        return
    saved = False
    with outcome(run_id, quoted([run])):
        run = rename_run(run, title)
        run = note_run(run, note)
        tell(f"Saved {quoted([run])}.")
        saved = True
    if saved or is_gone(run_id):  # else what was typed stays in the dialog, to be mended
        _close()


def note_in_lines(note: str) -> str:
    """A note as Markdown that shows it as it was written, line by line."""
    return "  \n".join(escape(line, NOTE_CHARACTERS) for line in note.splitlines())


# --------------------------------------------------------------------------------------------------- train on


def _draw_train_on() -> None:
    (run,) = _there()
    train = run.config.train
    early = stopped_early(run)
    least, most = (0 if early else 1), min(MOST_EPOCHS - train.epochs, max(50, 2 * train.epochs))
    if most < 1 and not early:
        st.markdown(f"This run has {train.epochs:,} epochs already, as many as a run may have.")
        return
    if early:
        left = train.epochs - run.state.epoch
        st.markdown(f"It stopped early, after epoch {run.state.epoch:,}. The {left:,} that were left are trained now.")
    more = 0
    if most > least:
        usual = 0 if early else min(most, train.epochs)
        more = st.slider("Epochs beyond that" if early else "More epochs", least, most, usual, key=f"more.{run.id}")
    longer = train.model_copy(update={"epochs": train.epochs + more})
    if more:
        st.caption(what_becomes_of_the_rate(train, longer))
    if train.schedule != "constant":
        rates = [learning_rate(longer, step, POINTS) for step in range(POINTS)]
        st.echarts_chart(
            schedule_options(rates, longer.epochs), key="train_on.schedule", height=110, alt="Learning rate by epoch"
        )
    _buttons(f"Train on to epoch {longer.epochs:,}", ":material/play_arrow:", _train_on)


def stopped_early(run: Run) -> bool:
    """Whether a run is done because its validation loss fell no more, with epochs left."""
    return run.state.status == "done" and 0 < run.state.epoch < run.config.train.epochs


def what_becomes_of_the_rate(train: TrainConfig, longer: TrainConfig) -> str:
    """What more epochs do to the learning rate, in one or two sentences with its numbers."""
    if train.schedule == "constant":
        return f"The learning rate stays at {train.learning_rate:g}: the curves go on as if the run had been longer."
    steps = 1000 * train.epochs
    before = learning_rate(train, steps - 1, steps)
    after = learning_rate(longer, steps, 1000 * longer.epochs)
    ended = f"{before:.2g}" if before > train.learning_rate / 1000 else "nearly zero"
    name = train.schedule.replace("_", "-")
    return (
        f"The {name} schedule is stretched over all {longer.epochs:,} epochs: the learning rate had come down to "
        f"{ended} and goes on with {after:.2g}. The first steps may therefore undo a little of what it had learnt."
    )


def _train_on() -> None:
    run_id = _asked().runs[0]
    with outcome(run_id):
        run = read_run(run_id)
        more = int(st.session_state.get(f"more.{run_id}", 0))
        resume(run, run.config.train.epochs + more if more else None)
    _close()


def resume(run: Run, epochs: int | None = None) -> None:
    """Put a run that has ended into the line again, to go on from where it was."""
    again = resume_run(run, *pictures_now(run.config.data), epochs=epochs, in_line=True, asker=asker())
    supervisor()
    look_at(again.id)
    tell(f"{quoted([again])} goes on.")


# ---------------------------------------------------------------------------------------------------- the trash


def _draw_empty() -> None:
    count = len(deleted_runs())
    if not count:
        _done()
    st.markdown(
        f"**{count} {'run' if count == 1 else 'runs'}** with {'its' if count == 1 else 'their'} networks and answers "
        f"are deleted for good; that frees {trash_bytes() / 2**20:,.0f} MB. This cannot be undone."
    )
    _buttons("Empty the trash", ":material/delete_forever:", _empty)


def _empty() -> None:
    try:
        removed = empty_trash()
        tell(f"The trash is empty: {removed} {'run' if removed == 1 else 'runs'} deleted for good.")
    except UserMistake as mistake:
        tell(str(mistake), wrong=True)
    _close()


def _buttons(label: str, icon: str, do: Callable[[], None]) -> None:
    """The deed and the way out."""
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if st.button("Cancel", key="asked.cancel"):
            _done()
        if st.button(label, type="primary", icon=icon, key="asked.do", on_click=do):
            st.rerun()


def _in_short(run: Run) -> str:
    told = f"epoch {run.state.epoch} of {run.config.train.epochs}" if run.state.epoch else "not started"
    return f"{run.config.data.dataset} · {told}"


DIALOGS: dict[str, tuple[str, Callable[[], None]]] = {
    "delete": ("Delete this run?", _draw_delete),
    "delete_several": ("Delete these runs?", _draw_delete),
    "name": ("Name and note", _draw_name),
    "train_on": ("Train on", _draw_train_on),
    "empty": ("Empty the trash?", _draw_empty),
}
