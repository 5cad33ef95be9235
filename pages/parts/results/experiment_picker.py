"""Choosing an experiment or a sweep, and the dataset of a new one."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.data.datasets.dataset import Dataset
from core.experiments.ablation.spec import ExperimentSpec
from core.experiments.sweeps.spec import SweepSpec
from pages.parts.form.start_run import newest_name
from pages.parts.shell.cache import datasets
from pages.parts.shell.escape import shown
from pages.parts.widgets.next_step import draw_next_step

NEW = "new"


def pick_experiment(noun: str, specs: Mapping[str, ExperimentSpec | SweepSpec]) -> str:
    """The id that was picked, or NEW; the first one where nobody has picked yet. specs: by id."""
    picked = f"{noun}.picked"
    if st.session_state.get(picked, NEW) not in (NEW, *specs):
        st.session_state.pop(picked)  # somebody has deleted it
    options = [*specs, NEW]
    # not by the widget's own key: it has been drawn when Start is pressed
    wanted = st.session_state.pop(_wanted(noun), None)
    if wanted in specs:
        st.session_state[picked] = wanted
    st.session_state.setdefault(picked, options[0])
    if specs:
        st.selectbox(
            noun.capitalize(),
            options,
            key=picked,
            format_func=lambda name: f"New {noun}" if name == NEW else _label(name, specs[name]),
            persist_state="session",
        )
    return str(st.session_state[picked])


def show_next(noun: str, spec_id: str) -> None:
    """Pick one that has just been started when the page is drawn again."""
    st.session_state[_wanted(noun)] = spec_id


def datasets_or_hint(asker: str) -> Sequence[Dataset]:
    """The datasets; where there are none, the page says that `asker` ("A sweep") needs one, and where to add it."""
    known = datasets()
    if not known:
        st.info(f"{asker} needs a dataset. Add one first, or take a sample.", icon=":material/photo_library:")
        draw_next_step()
    return known


def pick_dataset(noun: str, known: Sequence[Dataset]) -> Dataset:
    names, key = [dataset.name for dataset in known], f"{noun}.dataset"
    if st.session_state.get(key) not in names:
        st.session_state[key] = newest_name(known)
    return known[names.index(st.selectbox("Dataset", names, key=key, format_func=shown))]


def _wanted(noun: str) -> str:
    return f"{noun}.wanted"


def _label(spec_id: str, spec: ExperimentSpec | SweepSpec) -> str:
    return f"{shown(spec.title, 70)} · {spec.created[:16].replace('T', ' ')} · {spec_id[-4:]}"
