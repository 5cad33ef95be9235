"""How far an import is, with a button that cancels it, and why one has failed. Drawn by Data and Home."""

import streamlit as st

from core.data.sources.listing import TABLE_OPTION
from core.jobs.import_job import ImportJob, cancel_import, forget_job
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import span


def draw_import_progress(job: ImportJob) -> None:
    """One bar with what is being done, and a button that cancels it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(job.share or 0.0, text=_describe(job))
        if st.button("Cancel", key=f"cancel_{job.id}", icon=":material/close:", disabled=job.stop_requested):
            cancel_import(job)


def draw_failed_import(job: ImportJob) -> None:
    """Why the pictures were not added."""
    show = st.warning if job.status == "refused" else st.error
    title = f"{escape(job.name)} was not {'trained on' if job.dataset else 'added'}"
    show(escape(say_on_page(job.message), 900), title=title, icon=":material/info:")
    if st.button("OK", key=f"forget_{job.id}"):
        forget_job(job)
        st.rerun()


def say_on_page(mistake: str) -> str:
    """Why pictures cannot be added, with what to do on the page in place of an option of the command line."""
    return TABLE_OPTION.sub("are read too: choose it in “Classes from a table”", mistake)


def _describe(job: ImportJob) -> str:
    """ "artworks: reading pictures, 1,200 of 5,400, 9 s left" for a progress bar."""
    if job.stop_requested:
        return f"{escape(job.name)}: cancelling"
    reading = "drawing the pictures" if job.kind == "sample" else "reading the pictures"
    phase = {"reading": reading, "saving": "saving", "": "starting"}.get(job.phase, job.phase)
    text = f"{escape(job.name)}: {escape(phase)}"
    if job.total:
        if job.total > 10_000_000:  # a download counts bytes
            text += f", {job.done / 1e6:,.0f} of {job.total / 1e6:,.0f} MB"
        else:
            text += f", {job.done:,} of {job.total:,}"
    if job.seconds_left is not None and (job.share or 0) > 0.05:  # before that it is a guess that jumps
        text += f", {span(job.seconds_left)} left"
    return text
