"""The network of a run in memory, loaded once for all pages and sessions, and what computes maps for it."""

from typing import TYPE_CHECKING

import streamlit as st

from core.runs.run import Run
from pages.parts.shell.torch_import import wait_for_torch

if TYPE_CHECKING:
    from core.inference.attribution import Explainer
    from core.inference.predictor import Predictor


def predictor_of(run: Run) -> "Predictor":
    """The network of a run. UserMistake where its weights are damaged."""
    return _predictor(run.id, run.state.updated, run)


def explainer_of(run: Run) -> "Explainer":
    """What computes maps for the network of a run. UserMistake where its weights are damaged."""
    return _explainer(run.id, run.state.updated, run)


@st.cache_resource(max_entries=4, show_spinner="Loading the network; the first time takes a few seconds …")
def _predictor(run_id: str, updated: str, _run: Run) -> "Predictor":
    wait_for_torch()
    from core.inference.predictor import load_predictor  # brings torch, which takes seconds: only when one asks

    return load_predictor(_run)


@st.cache_resource(max_entries=2, show_spinner=False)
def _explainer(run_id: str, updated: str, _run: Run) -> "Explainer":
    wait_for_torch()
    from core.inference.attribution import Explainer

    predictor = predictor_of(_run)
    return Explainer(predictor.model, predictor.preprocess)
