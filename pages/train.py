"""Train: choose the pictures and the settings, start, and watch the network learn."""

import streamlit as st

from pages.parts.asking import draw_asked
from pages.parts.cached import datasets, runs
from pages.parts.frame import boundary, frame
from pages.parts.live import show_run
from pages.parts.queue_line import draw_line
from pages.parts.rate_finder import draw_finder
from pages.parts.run_form import draw_form, pick_dataset
from pages.parts.run_table import draw_runs, pick_run
from pages.parts.starting import draw_start, newest_name, supervisor
from pages.parts.telling import draw_told
from pages.parts.together import stay_together


@st.fragment  # a slider draws this side anew, and the run beside stays still
@boundary()
def choose_and_start() -> None:
    known = datasets()
    dataset = pick_dataset(known, newest_name(known))
    form = draw_form(dataset)
    with form.rate:
        draw_finder(dataset, form.config)
    with form.middle:
        draw_start(dataset, form)


with frame("Train"):
    if not datasets():
        st.info("There are no pictures to learn from yet.", icon=":material/photo_library:")
        st.page_link("pages/data.py", label="Add pictures on the Data page", icon=":material/photo_library:")
        st.page_link("streamlit_app.py", label="Or start with the samples", icon=":material/home:")
        st.stop()

    left, panel = st.columns([4, 7], gap="large")
    with left:
        choose_and_start()
    with panel:
        told = st.container()
        draw_line()
        run_id = pick_run()
        with told:
            draw_told()
        if run_id is not None:
            show_run(run_id)
        elif runs(hidden=True):
            st.caption("Every run is hidden. They are in the table below.")
        else:
            st.caption("Nothing has been trained yet. The curves appear here.")
    draw_runs()
    draw_asked()
    stay_together()
    supervisor()  # last, so that it warms up while the person looks at the form
