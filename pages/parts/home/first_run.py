"""How far "start with the samples" is: the pictures are drawn, then a network is trained on them."""

import streamlit as st

from core.jobs.import_job import ImportJob, list_jobs
from core.runs.actions import ask_to_stop
from core.runs.run import Run
from pages.parts.shell.cache import history, runs
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import span
from pages.parts.shell.frame import boundary
from pages.parts.widgets.import_progress import draw_failed_import, draw_import_progress
from pages.parts.widgets.run_progress import describe_queue_position, share_done, time_left
from pages.parts.widgets.training_curves import accuracy_options

STEPS = ("Draw the sample pictures", "Train a network", "See the result")


def find_first_run() -> ImportJob | None:
    """The newest import that a training follows, while it draws or trains, or where it was the last to fail."""
    jobs = list_jobs()
    job = next((job for job in jobs if job.then), None)
    if job is None or job.status == "stopped":
        return None
    if job.status == "done":
        return job if is_at_work(job) else None
    return job if job.is_live or job is jobs[0] else None


def is_at_work(job: ImportJob) -> bool:
    run = _run_of(job)
    return job.is_live or (run is not None and run.state.is_live)


def follow_first_run(job: ImportJob) -> None:
    """Draw its progress, once a second while it is at work; the whole page is drawn when it has ended."""
    live = is_at_work(job)

    @boundary()
    def panel() -> None:
        now = find_first_run()
        if live and (now is None or not is_at_work(now)):
            st.rerun()  # once in full: the interval ends, and the result is shown
        if now is not None:
            _draw(now)

    st.fragment(panel, run_every=1.0 if live else None)()


def _run_of(job: ImportJob) -> Run | None:
    return next((run for run in runs(hidden=True) if run.id == job.run), None)


def _draw(job: ImportJob) -> None:
    run = _run_of(job)
    with st.container(border=True, key="journey"):
        _draw_steps(0 if run is None else 1)
        if run is not None:
            _draw_training(run)
        elif job.is_live:
            draw_import_progress(job)
        else:
            draw_failed_import(job)


def _draw_steps(current: int) -> None:
    with st.container(horizontal=True):
        for number, step in enumerate(STEPS):
            done = number < current
            icon = "check_circle" if done else "radio_button_checked" if number == current else "circle"
            text = f":material/{icon}: {step}"
            st.markdown(f"**{text}**" if number == current else f":gray[{text}]", width="content")


def _draw_training(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(share_done(run.state), text=_describe(run))
        stopping = run.stop_requested
        if st.button("Stop", key="stop_run", icon=":material/stop:", disabled=stopping):
            ask_to_stop(run)
    rows = history(run)
    if not rows.is_empty:
        st.caption("Accuracy after each epoch, in per cent")  # also room for the chart's toolbar, away from the button
        options = accuracy_options(rows, run.config.train.epochs, len(run.classes))
        st.echarts_chart(options, key="home_accuracy", height=220, alt="Accuracy after each epoch, in per cent")


def _describe(run: Run) -> str:
    state = run.state
    if state.status == "queued":
        return describe_queue_position(run)
    if not state.steps:
        return escape(state.message) if state.message else "Getting ready: the training process is starting"
    left = time_left(state)
    return f"Epoch {max(1, state.epoch)} of {state.epochs}" + ("" if left is None else f", {span(left)} left")
