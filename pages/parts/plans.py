"""Choosing an experiment or a sweep, and the pictures of a new one: what both parts of the Results page begin with."""

from collections.abc import Mapping, Sequence

import streamlit as st

from core.data.dataset import Dataset
from core.experiments.experiment import Plan
from core.experiments.sweep import SweepPlan
from pages.parts.escape import shown
from pages.parts.starting import newest_name

NEW = "new"


def pick_plan(noun: str, plans: Mapping[str, Plan | SweepPlan]) -> str:
    """The id that was picked, or NEW; the first one where nobody has picked yet. `plans`: id -> plan."""
    picked = f"{noun}.picked"
    if st.session_state.get(picked, NEW) not in (NEW, *plans):
        st.session_state.pop(picked)  # somebody has deleted it
    options = [*plans, NEW]
    # not by the widget's own key: it has been drawn when Start is pressed
    wanted = st.session_state.pop(_wanted(noun), None)
    if wanted in plans:
        st.session_state[picked] = wanted
    st.session_state.setdefault(picked, options[0])
    if plans:
        st.selectbox(
            noun.capitalize(),
            options,
            key=picked,
            format_func=lambda name: f"New {noun}" if name == NEW else _label(name, plans[name]),
            persist_state="session",
        )
    return str(st.session_state[picked])


def show_next(noun: str, plan_id: str) -> None:
    """Pick one that has just been started when the page is drawn again."""
    st.session_state[_wanted(noun)] = plan_id


def pick_pictures(noun: str, known: Sequence[Dataset]) -> Dataset:
    names, key = [dataset.name for dataset in known], f"{noun}.dataset"
    if st.session_state.get(key) not in names:
        st.session_state[key] = newest_name(known)
    return known[names.index(st.selectbox("Pictures", names, key=key, format_func=shown))]


def _wanted(noun: str) -> str:
    return f"{noun}.wanted"


def _label(plan_id: str, plan: Plan | SweepPlan) -> str:
    return f"{shown(plan.title, 70)} · {plan.created[:16].replace('T', ' ')} · {plan_id[-4:]}"
