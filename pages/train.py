"""Train: choose the pictures and the settings, start, and watch the network learn."""

import streamlit as st

from core.errors import UserMistake
from pages.parts.cached import datasets, runs
from pages.parts.escape import escape
from pages.parts.frame import frame
from pages.parts.live import show_run
from pages.parts.run_form import draw_form
from pages.parts.run_table import draw_runs, pick_run
from pages.parts.starting import check_ready, draw_plan, draw_preparing, start

with frame("Train", "Pick the pictures and the settings, start, and watch."):
    known = datasets()
    if not known:
        st.info("There are no pictures to learn from yet.", icon=":material/photo_library:")
        st.page_link("pages/data.py", label="Add pictures on the Data page", icon=":material/arrow_forward:")
    else:
        form, panel = st.columns([4, 7], gap="large")
        with form:
            names = [dataset.name for dataset in known]
            if st.session_state.get("train_dataset") not in names:
                st.session_state["train_dataset"] = names[0]
            name = st.selectbox("Pictures", names, key="train_dataset", format_func=escape, persist_state="session")
            dataset = known[names.index(name)]
            try:
                config = draw_form(name)
                plan = check_ready(dataset, config)
                reason = None
            except UserMistake as mistake:
                plan, reason = None, str(mistake)
            if plan is not None:
                draw_plan(plan, config)
            started = st.button(
                "Start training",
                type="primary",
                icon=":material/play_arrow:",
                width="stretch",
                key="start",
                disabled=reason is not None,
            )
            if reason is not None:
                st.caption(f":material/block: {escape(reason, 400)}")
            elif started:
                start(config)
        with panel:
            draw_preparing()
            run_id = pick_run()
            if run_id is None:
                st.caption("Nothing has been trained yet. The curves appear here.")
            else:
                show_run(run_id)
    if runs():
        st.subheader("Runs", anchor=False)
        draw_runs()
