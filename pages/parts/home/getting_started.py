"""The next step on Home: the samples while there is nothing, then training on what was added, then more pictures."""

from collections.abc import Sequence

import streamlit as st

from core.data.datasets.dataset import Dataset
from pages.parts.shell.cache import dataset_named, runs
from pages.parts.shell.escape import escape
from pages.parts.widgets.dataset_versions import train_on
from pages.parts.widgets.next_step import SAMPLES, draw_samples_button


def draw_getting_started(found: Sequence[Dataset]) -> None:
    if found:
        _draw_next_step(found)
        return
    with st.container(border=True):
        st.markdown("**From nothing to a trained network in under two minutes**")
        st.caption("Draws a thousand artworks like these, trains a network to tell the styles apart, and tests it.")
        draw_samples_button(primary=True)
    label = "Or bring your own pictures, or CIFAR-10"
    st.page_link("pages/data.py", label=label, icon=":material/add_photo_alternate:")


def _draw_next_step(found: Sequence[Dataset]) -> None:
    trained = {run.config.data.dataset for run in runs() if run.state.status == "done"}
    untrained = [dataset for dataset in found if dataset.name not in trained]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="next-step"):
        if untrained:
            _draw_train_button(untrained[0], primary=not trained)
        if SAMPLES not in trained:
            draw_samples_button(primary=False)
        label = "Add pictures" if dataset_named("cifar10") else "Bring your own pictures, or CIFAR-10"
        st.page_link("pages/data.py", label=label, icon=":material/add_photo_alternate:")


def _draw_train_button(dataset: Dataset, primary: bool) -> None:
    label = f"Start training on {escape(dataset.name, 40)}"
    icon = ":material/model_training:"
    if st.button(label, type="primary" if primary else "secondary", icon=icon, key="next_train"):
        train_on(dataset)
