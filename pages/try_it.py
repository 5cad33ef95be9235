"""Try-It: drag in an artwork and see what a trained network says."""

import streamlit as st

from pages.parts.cached import runs
from pages.parts.frame import boundary, frame
from pages.parts.next_step import draw_next_step
from pages.parts.run_table import run_picker, summary, visible
from pages.parts.trying import draw_offer, draw_prediction, predictions, uploads

with frame("Try-It", "Drag in a picture and see what the network makes of it."):
    finished = visible([run for run in runs(hidden=True) if run.has_model and run.state.ended], "run")
    if not finished:
        st.info("No network has been trained yet.", icon=":material/image_search:")
        draw_next_step()
        st.stop()
    ask, answer = st.columns([4, 7], gap="large")
    with ask:
        usual = min(finished, key=lambda run: run.state.status != "done")  # the newest that was trained to its end
        run = run_picker("Network", "run", finished, usual) or usual
        st.caption(summary(run))
        pictures = uploads()
        if not pictures:
            pictures = draw_offer(run)
    with answer, boundary():
        if not pictures:
            st.caption("The answer appears here.")
        for prediction, content in zip(predictions(run, pictures), pictures, strict=True):
            draw_prediction(run, prediction, content)
