"""The split and the preprocessing that the tabs of the Data page show, and the way to Train with them."""

from typing import Any

import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.presets import PRESETS
from pages.parts.form.run_form import DEFAULT_PRESET, set_field
from pages.parts.widgets.dataset_versions import train_on

VALIDATION = round(100 * PRESETS[DEFAULT_PRESET].data.val_fraction)  # per cent; what Train proposes
# what the tabs begin with: only what somebody changed goes along to Train, so that its preset keeps the rest
PROPOSED = DataConfig(val_fraction=VALIDATION / 100, duplicates="together")
SPLIT_FIELDS = ("balance", "split", "test_fraction", "val_fraction")
RECEIVED_FIELDS = ("image_size", "fit")


def data_config(dataset: Dataset) -> DataConfig:
    """What is set in the tabs, also in those that are closed."""
    state = st.session_state
    return DataConfig(
        dataset=dataset.name,
        image_size=state.get("tab_size") or PROPOSED.image_size,
        fit=state.get("tab_fit") or PROPOSED.fit,
        balance="smallest" if state.get("data_balance") else "none",
        split=state.get("data_split") or "stratified",
        test_fraction=state.get("data_test", 20) / 100,
        val_fraction=state.get("data_val", VALIDATION) / 100,
        duplicates=PROPOSED.duplicates,
    )


def changed_settings(dataset: Dataset) -> dict[str, Any]:
    """Field of DataConfig -> value, of the settings in the tabs that are not as the page proposes them."""
    config = data_config(dataset)
    fields = (*SPLIT_FIELDS, *RECEIVED_FIELDS)
    return {field: getattr(config, field) for field in fields if getattr(config, field) != getattr(PROPOSED, field)}


def train_with(dataset: Dataset, settings: dict[str, Any]) -> None:
    """Go to the Train page with this dataset; settings: field of DataConfig -> value."""
    for field, value in settings.items():
        set_field(f"data.{field}", value)
    train_on(dataset)
