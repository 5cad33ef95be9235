"""Readiness, in the Quality tab: readiness for training, shortcut baselines, and label issues."""

import streamlit as st

from core.data.datasets.dataset import Dataset
from core.presets import PRESETS
from pages.parts.data.data_settings import data_config
from pages.parts.data.label_issues import draw_label_issues
from pages.parts.data.readiness import draw_readiness
from pages.parts.data.shortcuts import draw_shortcuts
from pages.parts.form.run_form import DEFAULT_PRESET


def draw_quality(dataset: Dataset) -> None:
    treated = PRESETS[DEFAULT_PRESET].data.duplicates  # as the run would split that Train proposes
    data = data_config(dataset).model_copy(update={"duplicates": treated})
    with st.grid(2, min_column_width=420, gap="medium"):
        with st.container(border=True, height="stretch"):
            draw_readiness(dataset, data)
        with st.container(border=True, height="stretch"):
            draw_shortcuts(dataset, data)
    with st.container(border=True):
        draw_label_issues(dataset)
