"""How many pictures of each class are in each part of a split."""

import numpy as np
import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.duplicates.duplicates import duplicates_path
from pages.parts.shell.cache import parts_of, stamp_of


def part_counts(content_hash: str, data: str, dataset: Dataset) -> dict[str, list[int]]:
    """Pictures of each class in each part, for a DataConfig as JSON; duplicates count once they are found."""
    return _part_counts(content_hash, data, stamp_of(duplicates_path(dataset)), dataset)


@st.cache_data(max_entries=200, show_spinner=False)
def _part_counts(content_hash: str, data: str, duplicates: int, _dataset: Dataset) -> dict[str, list[int]]:
    parts = parts_of(_dataset, DataConfig.model_validate_json(data))
    classes = len(_dataset.classes)
    return {part: np.bincount(_dataset.labels[rows], minlength=classes).tolist() for part, rows in parts.items()}


@st.cache_data(max_entries=200, show_spinner=False)
def given_parts(content_hash: str, _dataset: Dataset) -> frozenset[int]:
    """The parts that the dataset brings along, by their numbers in PARTS: 1 val, 2 test."""
    return frozenset(np.unique(_dataset.given_parts).tolist()) & {1, 2}
