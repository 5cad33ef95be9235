"""From the form to a waiting run: what would be learnt from, whether it can be, and the start."""

import secrets
import time
from collections.abc import Sequence

import streamlit as st

from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.images import fingerprint_of
from core.data.store import preprocess_of
from core.data.versions import newest_version
from core.disk import is_read_only
from core.errors import UserMistake
from core.runs.queue import SupervisorHandle, ensure_supervisor, heartbeat, submit
from core.runs.run import create_run
from core.settings import atelier_home
from pages.parts.cached import live_runs, runs
from pages.parts.estimate import draw_estimate
from pages.parts.remarks import Plan, Remark
from pages.parts.run_form import Form
from pages.parts.session import asker, draw_name, look_at
from pages.parts.widgets import draw_remark

PART_SAYS = {"train": "to learn from", "val": "to watch", "test": "to test"}
DOUBLE_CLICK_SECONDS = 2.0
MOST_NOTES = 2  # beside the start; every one stands beside its field


def newest_name(known: Sequence[Dataset]) -> str:
    """The dataset that was added or trained on last, the one that somebody is at work with, in its newest version."""
    touched = {dataset.name: dataset.created for dataset in known}
    for run in runs():
        name = run.config.data.dataset
        if name in touched:
            touched[name] = max(touched[name], run.created)
    by_name = {dataset.name: dataset for dataset in known}
    return newest_version(by_name[max(touched, key=lambda name: touched[name])], known).name


def draw_start(dataset: Dataset, form: Form) -> None:
    """What the run would work with, the button, and why it cannot be pressed or what is worth knowing before."""
    draw_plan(form.plan)
    stops = [remark for remark in form.remarks if remark.stops]
    estimate, name = st.container(gap=None), st.container(gap=None)  # a clock has its place always
    if not stops:
        with estimate:
            draw_estimate(dataset, form.config)
    refused = None
    if live_runs():  # somebody waits, or will: then it helps to know whose run is whose
        with name:
            draw_name()
    if st.button(
        start_label(),
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        key="start",
        disabled=bool(stops),
    ):
        try:
            start(dataset, form.config)
            st.rerun()  # at once with the run in the panel and its place in the line
        except UserMistake as mistake:
            refused = Remark(str(mistake), stops=True)
    notes = [remark for remark in form.remarks if not remark.stops][:MOST_NOTES]
    for remark in [*([refused] if refused else []), *(stops or notes)]:
        draw_remark(remark)


def draw_plan(plan: Plan) -> None:
    told = [f"**{count:,}** {PART_SAYS[part]}" for part, count in plan.pictures.items() if count]
    st.caption(" · ".join(told), help=f"{plan.iterations:,} iterations an epoch, in batches of {plan.batch_size:,}.")


def start_label() -> str:
    """What the button does: train at once, or wait behind others."""
    at_work = live_runs()
    waiting = sum(run.state.status == "queued" for run in at_work)
    if not at_work:
        return "Start training"
    return f"Add to the queue ({waiting} waiting)" if waiting else "Add to the queue (next in line)"


def start(dataset: Dataset, config: RunConfig) -> None:
    """Put a run into the line, make sure that somebody takes it, and open it on this page."""
    fingerprint = fingerprint_of(dataset.content_hash, preprocess_of(config.data))
    told = config.model_dump_json()
    before, moment, key = st.session_state.get("start.wish", ("", 0.0, ""))
    if told != before or time.monotonic() - moment > DOUBLE_CLICK_SECONDS:
        key = secrets.token_hex(8)
    # kept first: the second half of a double click may interrupt this script, and means the run of the first half
    st.session_state["start.wish"] = (told, time.monotonic(), key)
    run = create_run(config, fingerprint, dataset.classes, asker(), key)
    place = submit(run)
    look_at(run.id)
    supervisor()
    at_work = any(run.state.status in ("starting", "running") for run in live_runs())
    st.toast(
        f"In the queue, place {place}" if place > 1 or (place and at_work) else "The training starts",
        icon=":material/play_arrow:",
    )


def supervisor() -> SupervisorHandle | None:
    """The process that trains, with torch already imported; a new one where the old one has ended. None where nothing
    can be written, which the frame says."""
    if is_read_only(atelier_home()):
        return None
    heartbeat()
    return _supervisor(str(atelier_home()))


@st.cache_resource(show_spinner=False, max_entries=4, validate=SupervisorHandle.is_alive)
def _supervisor(home: str) -> SupervisorHandle:
    return ensure_supervisor()
