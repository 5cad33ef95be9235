"""From the form to a queued run: the split, the estimate, what keeps it from starting, and the start button."""

import secrets
import time
from collections.abc import Sequence

import streamlit as st

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.data.versions.versions import newest_version
from core.disk import is_read_only
from core.errors import UserMistake
from core.glossary import TERMS
from core.notebook.notebook import write_run_guess
from core.runs.queue import SupervisorHandle, ensure_supervisor, heartbeat, submit
from core.settings import atelier_home
from core.submit import create_checked_run
from pages.parts.form.estimate import draw_estimate
from pages.parts.form.field_widgets import draw_remark
from pages.parts.form.guess import ask_guess, forget_guess
from pages.parts.form.run_form import Form
from pages.parts.form.validation import Remark, SplitSummary
from pages.parts.shell.cache import live_runs, runs
from pages.parts.shell.session import draw_name, requester, select_run

START = "start.last"  # (the settings of the last start as JSON, when it was, its key)
PART_LABELS = {"train": "training", "val": "validation", "test": "test"}
DOUBLE_CLICK_SECONDS = 2.0
MOST_NOTES = 2  # below the start button; every one also stands below its field


def newest_name(known: Sequence[Dataset]) -> str:
    """The name of the dataset that was added or trained on last, in its newest version."""
    touched = {dataset.name: dataset.created for dataset in known}
    for run in runs():
        name = run.config.data.dataset
        if name in touched:
            touched[name] = max(touched[name], run.created)
    by_name = {dataset.name: dataset for dataset in known}
    return newest_version(by_name[max(touched, key=lambda name: touched[name])], known).name


def draw_start(dataset: Dataset, form: Form) -> None:
    """The split, the estimate, the start button, and why it is disabled or what is worth knowing before."""
    draw_split(form.split)
    stops = [remark for remark in form.remarks if remark.stops]
    estimate, name = st.container(gap=None), st.container(gap=None)  # a timed fragment keeps its place
    if not stops:
        with estimate:
            draw_estimate(dataset, form.config)
    refused = None
    if live_runs():  # somebody has to wait: then it helps to know whose run is whose
        with name:
            draw_name()
    guess, wrong = ask_guess(dataset.name, "train")
    stops += [wrong] if wrong else []
    if st.button(
        start_label(),
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="start",
        disabled=bool(stops),
    ):
        try:
            start(dataset, form.config, guess)
            forget_guess("train")
            st.rerun()  # at once with the run in the panel and its place in the queue
        except UserMistake as mistake:
            refused = Remark(str(mistake), stops=True)
    notes = [remark for remark in form.remarks if not remark.stops][:MOST_NOTES]
    for remark in [*([refused] if refused else []), *(stops or notes)]:
        draw_remark(remark)


def draw_split(split: SplitSummary) -> None:
    """The number of training, validation and test pictures."""
    counts = [f"**{count:,}** {PART_LABELS[part]}" for part, count in split.pictures.items() if count]
    batches = f"{split.iterations:,} iterations an epoch, in batches of {split.batch_size:,}."
    st.caption(" · ".join(counts), help=f"{TERMS['Parts']}\n\n{batches}")


def start_label() -> str:
    """What the button does: start at once, or wait in the queue."""
    at_work = live_runs()
    waiting = sum(run.state.status == "queued" for run in at_work)
    if not at_work:
        return "Start training"
    return f"Add to the queue ({waiting} waiting)" if waiting else "Add to the queue (next)"


def start(dataset: Dataset, config: RunConfig, guess: str = "") -> None:
    """Put a run into the queue, make sure that a supervisor takes it, and open it on this page. guess: kept before."""
    settings = config.model_dump_json()
    before, moment, key = st.session_state.get(START, ("", 0.0, ""))
    if settings != before or time.monotonic() - moment > DOUBLE_CLICK_SECONDS:
        key = secrets.token_hex(8)
    # kept first: the second half of a double click may interrupt this script, and means the run of the first half
    st.session_state[START] = (settings, time.monotonic(), key)
    run = create_checked_run(config, requester(), key)
    if guess:
        write_run_guess(run, guess)
    place = submit(run)
    select_run(run.id)
    supervisor()
    at_work = any(run.state.is_training for run in live_runs())
    st.toast(
        f"In the queue, place {place}" if place > 1 or (place and at_work) else "The training starts",
        icon=":material/play_arrow:",
    )


def supervisor() -> SupervisorHandle | None:
    """The process that trains, with torch already imported; a new one where the old one has ended.

    None where nothing can be written; then the frame shows a warning.
    """
    if is_read_only(atelier_home()):
        return None
    heartbeat()
    return _supervisor(str(atelier_home()))


@st.cache_resource(show_spinner=False, max_entries=4, validate=SupervisorHandle.is_alive)
def _supervisor(home: str) -> SupervisorHandle:
    return ensure_supervisor()
