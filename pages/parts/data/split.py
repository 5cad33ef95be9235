"""Balance and split: how many pictures each class has, and how they are split into training, validation and test."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.quality.readiness import UNEVEN
from pages.parts.data.data_settings import SPLIT_FIELDS, VALIDATION, data_config, train_with
from pages.parts.shell.cache import parts_of
from pages.parts.shell.theme import PART_NAMES
from pages.parts.widgets.charts import PLOTLY_CONFIG, balance_figure, parts_figure

SPLITS = {"stratified": "At random", "paper": "In name order, as the paper"}


def draw_split(dataset: Dataset) -> None:
    """The settings of the split, with what they make of this dataset."""
    _ask_split(dataset)
    config = data_config(dataset)
    parts = parts_of(dataset, config)
    before = _class_counts(dataset, np.arange(dataset.used))
    by_part = {part: _class_counts(dataset, chosen) for part, chosen in parts.items()}
    after = np.sum(list(by_part.values()), axis=0)
    left, right = st.columns(2, gap="medium")
    with left:
        figure = balance_figure(dataset.classes, before.tolist(), after.tolist())
        _draw_chart("Pictures per class", _describe_balance(before, after, config), figure, "balance_chart")
    with right:
        counts = {part: len(chosen) for part, chosen in parts.items()}
        figure = parts_figure(dataset.classes, {part: of_each.tolist() for part, of_each in by_part.items()})
        _draw_chart("Pictures per part", _describe_split(dataset, counts), figure, "parts_chart")
    if st.button("Train with these settings", icon=":material/model_training:", key="train_with"):
        train_with(dataset, {field: getattr(config, field) for field in SPLIT_FIELDS})


def _ask_split(dataset: Dataset) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.toggle("Balance the classes", key="data_balance", persist_state="session")
        st.segmented_control(
            "Split",
            list(SPLITS),
            format_func=lambda split: SPLITS[split],
            default="stratified",
            required=True,
            key="data_split",
            persist_state="session",
        )
        st.slider(
            "Test share, %",
            5,
            50,
            20,
            5,
            key="data_test",
            persist_state="session",
            width=180,
            disabled=bool((dataset.given_parts > 0).any()),
            help="Not used where the dataset brings a test part along.",
        )
        st.slider("Validation share, %", 0, 40, VALIDATION, 5, key="data_val", persist_state="session", width=180)


def _draw_chart(title: str, text: str, figure: go.Figure, key: str) -> None:
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{title}**")
        st.caption(text)
        st.plotly_chart(figure, config=PLOTLY_CONFIG, key=key, alt=title)


def _class_counts(dataset: Dataset, rows: np.ndarray | Sequence[int]) -> np.ndarray:
    """int64 (classes,): how many of these rows each class has."""
    return np.bincount(dataset.labels[rows], minlength=len(dataset.classes))


def _describe_balance(before: np.ndarray, after: np.ndarray, config: DataConfig) -> str:
    """before, after: pictures of each class, in the dataset and in all parts together."""
    if config.balance == "smallest":
        out = int(before.sum() - after.sum())
        if not out:
            return "The classes are equal already: nothing is left out."
        return f"Every class is cut to the size of the smallest: {out:,} pictures are left out."
    if before.min() == before.max():
        return "All classes have the same number of pictures."
    times = before.max() / max(1, before.min())
    text = f"The largest class has {times:.1f} times as many pictures as the smallest"
    text += ": even enough. Balancing" if times < UNEVEN else ". A network then favours it; balancing"
    return f"{text} cuts every class to the smallest."


def _describe_split(dataset: Dataset, counts: dict[str, int]) -> str:
    text = " · ".join(f"{PART_NAMES[part]} {count:,}" for part, count in counts.items() if count)
    if (dataset.given_parts == 2).any():
        return f"{text}. The test part came with the pictures and stays as it is."
    return f"{text}. No picture is in two parts: the network is tested on pictures that it was not trained on."
