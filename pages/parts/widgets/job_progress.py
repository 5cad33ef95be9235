"""A background job of a dataset on a page: the button that starts it, how far it is with Cancel, or why it failed."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.jobs.dataset_job import DatasetJob, JobStatus, cancel_dataset_job, read_dataset_job, start_dataset_job
from pages.parts.shell.cache import live_runs
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import span
from pages.parts.shell.frame import boundary


@dataclass(frozen=True)
class JobLabels:
    """What a page calls a background job and its phases."""

    button: str
    icon: str
    phases: dict[str, str]  # phase of its Progress -> label
    counts: bool = True  # whether `done` counts pictures and is written out; else only the bar shows it
    primary: bool = True  # the colour of the button


def draw_job(job: DatasetJob, labels: JobLabels) -> None:
    """A button that starts it or, while it runs, its progress; the whole page is drawn anew when it has ended."""
    status = read_dataset_job(job)
    live = status is not None and status.is_live
    st.fragment(_draw, run_every=1 if live else None)(job, labels, live)


@boundary()
def _draw(job: DatasetJob, labels: JobLabels, was_live: bool) -> None:
    status, key = read_dataset_job(job), job.folder.name
    if status is not None and status.is_live:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.progress(status.share, text=_describe(status, labels))
            if st.button("Cancel", key=f"cancel_{key}", icon=":material/close:", disabled=status.stop_requested):
                cancel_dataset_job(job)
        busy = " A run is training and goes first, so this takes longer." if live_runs(seconds=1.0) else ""
        st.caption(f"You may close this page: it goes on.{busy}")
        return
    if was_live:
        st.rerun()  # it is over, and what it has found is drawn outside this fragment
    if status is not None:
        st.error(escape(status.message, 600), icon=":material/info:")
    kind: Literal["primary", "secondary"] = "primary" if labels.primary else "secondary"
    if st.button(labels.button, type=kind, icon=labels.icon, key=f"start_{key}"):
        start_dataset_job(job)
        st.rerun()


def _describe(status: JobStatus, labels: JobLabels) -> str:
    if status.stop_requested:
        return "Cancelling"
    text = labels.phases.get(status.phase, "Starting")
    if status.total and labels.counts:
        text += f", {status.done:,} of {status.total:,}"
    if status.seconds_left is not None and status.share > 0.05:  # before that it is a guess that jumps
        text += f", {span(status.seconds_left)} left"
    return text
