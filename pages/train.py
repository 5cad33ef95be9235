"""Train: choose the dataset and the settings, start, and watch the network learn."""

import streamlit as st

from core.data.datasets.dataset import Dataset
from pages.parts.form.run_form import Form, draw_form, pick_dataset
from pages.parts.form.start_run import draw_start, newest_name, supervisor
from pages.parts.shell.cache import datasets, runs
from pages.parts.shell.frame import boundary, frame
from pages.parts.shell.notifications import draw_notifications
from pages.parts.train.auto_refresh import refresh_when_changed
from pages.parts.train.before_start import draw_before_start
from pages.parts.train.live_run import show_run
from pages.parts.train.lr_finder import draw_finder
from pages.parts.train.queue import draw_queue
from pages.parts.train.run_dialogs import draw_dialog
from pages.parts.train.run_table import draw_runs, has_runs, pick_run
from pages.parts.widgets.next_step import draw_next_step

WIDTHS = (4, 7)  # of the form, and of what happens
# on a narrow page, where columns still stand side by side, the form's names and numbers need half of it
STYLE = """<style>@media (min-width: 640px) and (max-width: 1000px) {
.st-key-train-layout > [data-testid=stLayoutWrapper] > [data-testid=stHorizontalBlock] > [data-testid=stColumn] {
  flex: 1 1 0; } }</style>"""


def choose_and_start() -> tuple[Dataset, Form]:
    known = datasets()
    dataset = pick_dataset(known, newest_name(known))
    form = draw_form(dataset)
    with form.rate:
        draw_finder(dataset, form.config)
    with form.middle:
        draw_start(dataset, form)
    return dataset, form


@st.fragment  # a slider draws this column anew, and the run next to it stays still
@boundary()
def draw_form_column() -> None:
    dataset, form = choose_and_start()
    with st.expander("What will happen", icon=":material/visibility:", key="before.open", on_change="rerun") as ahead:
        if ahead.open:
            draw_before_start(dataset, form)


@st.fragment  # where no run is shown: what will happen stands in its place, and moves with the sliders
@boundary()
def draw_form_and_preview() -> None:
    left, right = st.container(key="train-layout").columns(WIDTHS, gap="large")
    with left:
        dataset, form = choose_and_start()
    with right:
        draw_before_start(dataset, form)


with frame("Train"):
    st.html(STYLE)
    if not datasets():
        st.info("There is no dataset to train on yet.", icon=":material/photo_library:")
        draw_next_step()
        st.stop()

    if has_runs():
        left, panel = st.container(key="train-layout").columns(WIDTHS, gap="large")
        with left:
            draw_form_column()
        with panel:
            notifications = st.container()
            draw_queue()
            run_id = pick_run()
            with notifications:
                draw_notifications()
            if run_id is not None:
                with boundary():
                    show_run(run_id)
    else:
        pick_run()  # which also says that a link leads to a run that is not here
        draw_notifications()
        draw_queue()
        draw_form_and_preview()
        if runs(hidden=True):
            st.caption("Every run is hidden. They are in the table below.")
    with boundary():
        draw_runs()
    draw_dialog()
    refresh_when_changed()
    supervisor()  # last, so that it warms up while the person looks at the form
