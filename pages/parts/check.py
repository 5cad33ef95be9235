"""The Check tab: are these pictures ready, can they be told by something trivial, and which labels are doubtful."""

import streamlit as st

from core.config import DataConfig
from core.data.dataset import Dataset
from pages.parts.doubtful import draw_doubtful
from pages.parts.readiness import draw_readiness
from pages.parts.shortcuts import draw_shortcuts


def draw_check(dataset: Dataset, data: DataConfig) -> None:
    with st.grid(2, min_column_width=420, gap="medium"):
        with st.container(border=True, height="stretch"):
            draw_readiness(dataset, data)
        with st.container(border=True, height="stretch"):
            draw_shortcuts(dataset, data)
    with st.container(border=True):
        draw_doubtful(dataset)
