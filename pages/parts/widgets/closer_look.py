"""A closer look at a picture that a network answered: the places that spoke for its answer, and what to do with it."""

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.data.pictures.picture import Refusal
from core.data.pictures.viewer import show_picture
from core.display_names import display_name
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.inference.heat_map import draw_heat_map
from core.runs.run import Run
from pages.parts.shell.cache import received_pixels, whole_picture
from pages.parts.shell.escape import escape
from pages.parts.widgets.edits import draw_edit_one
from pages.parts.widgets.loaded_network import explainer_of

if TYPE_CHECKING:
    from core.inference.attribution import Attribution

SIDE = 480  # pixels of a picture in the dialog
NAMED = 5  # classes whose probabilities are told


@st.dialog("A closer look", width="large", on_dismiss="rerun")
def look_closer(run: Run, dataset: Dataset, evaluation: Evaluation, place: int) -> None:
    """The picture at that place of the evaluation, with the map of its answer, and its edit."""
    row = int(evaluation.indices[place])
    true, predicted = int(evaluation.labels[place]), int(evaluation.predictions[place])
    name = evaluation.classes[predicted]
    st.markdown(f"**{escape(dataset.names[row], 200)}**")
    picture, heat = st.columns(2, gap="medium")
    with picture:
        st.image(
            whole_picture(dataset, row, SIDE), width="stretch", caption=f"It is {escape(evaluation.classes[true], 40)}."
        )
    with heat:
        _draw_heat(run, dataset, row, predicted, name)
    probabilities = evaluation.probabilities[place]
    ranked = np.argsort(-probabilities, kind="stable")[:NAMED]
    said = ", ".join(f"{escape(evaluation.classes[one], 40)} {probabilities[one]:.1%}" for one in ranked)
    st.markdown(f"The {run.describe_model(evaluation.model)} answered: {said}.")
    draw_edit_one(dataset, row)
    st.caption(
        "An edit waits below the pictures until it becomes a new version of the dataset; this one stays as it is."
    )


def _draw_heat(run: Run, dataset: Dataset, row: int, predicted: int, name: str) -> None:
    try:
        with st.spinner("Computing the map …"):
            explainer = explainer_of(run)
            found = _attribution(run.id, run.state.updated, dataset.content_hash, row, predicted, run, dataset)
            content = dataset.original(row)
            map_over = draw_heat_map(show_picture(content, SIDE), found.map, explainer.preprocess)
    except (UserMistake, Refusal, OSError) as why:
        st.caption(f"There is no map: {escape(why, 300)}")
        return
    st.image(
        map_over,
        width="stretch",
        caption=f"{display_name('attribution', found.method)}: the brighter, the more a place speaks for "
        f"{escape(name, 40)}.",
    )


@st.cache_data(max_entries=100, show_spinner=False)
def _attribution(
    run_id: str, updated: str, content_hash: str, row: int, target: int, _run: Run, _dataset: Dataset
) -> "Attribution":
    """By Grad-CAM, which takes a moment, or by the first method that applies to the network."""
    explainer = explainer_of(_run)
    methods = [method for method, why_not in explainer.methods.items() if not why_not]
    method = "grad_cam" if "grad_cam" in methods else methods[0]
    received = received_pixels(_dataset, (row,), explainer.preprocess)[0]
    return explainer.attribute(received, method, target, "")
