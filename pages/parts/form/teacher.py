"""The choice of a teacher: the finished runs that learnt from the same parts of the same dataset, best ones first."""

from typing import Any

import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.store.store import store_fingerprint
from core.display_names import display_name
from core.errors import UserMistake
from core.runs.naming import name_runs
from core.runs.run import Run, read_run
from core.runs.teachers import teacher_name
from core.submit import SPLITTING
from pages.parts.form.state import form_values, key_and_default, key_of
from pages.parts.shell.cache import accuracy_of_run, dataset_named, runs, score_of
from pages.parts.shell.escape import shown
from pages.parts.shell.formatting import share

FIELD = "train.teacher"
MOST = 50  # runs that are offered


def draw_teacher(common: dict[str, Any], dataset: str, form: str) -> None:
    """common: label and help of the field's widget; dataset: the name of the one that the form trains on."""
    values = form_values(form)
    labels = {"": display_name(FIELD, "")} | _fitting(dataset_named(dataset), values)
    chosen = values[FIELD]
    if chosen not in labels:
        labels[chosen] = f"{display_name(FIELD, chosen)} (does not fit, or is not here)"
    key, default = key_and_default(key_of(FIELD, form), chosen)
    options = list(labels)
    st.selectbox(
        options=options,
        index=options.index(default) if default in options else 0,
        format_func=lambda name: labels.get(name, name),
        key=key,
        **common,
    )
    if len(labels) == 1:
        st.caption("No finished run has learnt from these parts of this dataset yet.")


def _fitting(dataset: Dataset | None, values: dict[str, Any]) -> dict[str, str]:
    """Name of a teacher -> its title with its accuracy; whether it really fits is checked once it is chosen."""
    if dataset is None:
        return {}
    alike = [run for run in runs(hidden=True) if run.state.is_finished and _splits_alike(run.config.data, values)]
    best = sorted((run for run in alike if _is_of(run, dataset)), key=accuracy_of_run, reverse=True)[:MOST]
    titles = name_runs(best)
    named = {_name(run.id, run.state.updated): run for run in best}
    return {name: f"{shown(titles[run.id], 60)} · {_accuracy(run)}" for name, run in named.items() if name}


def _splits_alike(data: DataConfig, values: dict[str, Any]) -> bool:
    return all(getattr(data, name) == values[f"data.{name}"] for name in SPLITTING)


def _is_of(run: Run, dataset: Dataset) -> bool:
    data = run.config.data.model_copy(update={"dataset": dataset.name})
    return run.classes == dataset.classes and store_fingerprint(dataset, data) == run.fingerprint


def _accuracy(run: Run) -> str:
    right, n = score_of(run)
    return share(right / n) if n else "not tested"


@st.cache_data(max_entries=2000, show_spinner=False)
def _name(run_id: str, updated: str) -> str:
    """What the settings call the run, "" for one without a model; read anew when the run has changed."""
    try:
        return teacher_name(read_run(run_id))
    except UserMistake:
        return ""
