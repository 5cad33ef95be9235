"""Train: choose the pictures and the settings, start, and watch the network learn."""

import streamlit as st

from core.errors import UserMistake
from pages.parts.asking import draw_asked
from pages.parts.cached import datasets, runs
from pages.parts.escape import shown
from pages.parts.frame import frame
from pages.parts.live import show_run
from pages.parts.queue_line import draw_line
from pages.parts.run_form import draw_form
from pages.parts.run_table import draw_runs, pick_run
from pages.parts.starting import blocked, check_ready, draw_plan, draw_schedule, newest_name, start, supervisor
from pages.parts.telling import draw_told
from pages.parts.together import stay_together

with frame("Train"):
    known = datasets()
    if not known:
        st.info("There are no pictures to learn from yet.", icon=":material/photo_library:")
        st.page_link("pages/data.py", label="Add pictures on the Data page", icon=":material/photo_library:")
        st.page_link("streamlit_app.py", label="Or start with the samples", icon=":material/home:")
        st.stop()

    form, panel = st.columns([4, 7], gap="large")
    with form:
        names = [dataset.name for dataset in known]
        if st.session_state.get("train_dataset") not in names:
            st.session_state["train_dataset"] = newest_name(known)
        name = st.selectbox("Pictures", names, key="train_dataset", format_func=shown, persist_state="session")
        dataset, plan, reason = known[names.index(name)], None, None
        config, middle = draw_form(dataset)
    with middle:
        try:
            plan = check_ready(dataset, config)
            draw_plan(plan)
        except UserMistake as mistake:
            reason = str(mistake)
        if st.button(
            "Start training",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            key="start",
            disabled=plan is None,
        ):
            try:
                start(dataset, config)
            except UserMistake as mistake:
                reason = str(mistake)
        if reason is not None:
            blocked(reason)
        draw_schedule(config.train)
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
