"""Pictures with what a run predicted and what they are, as a grid of cards."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.dataset_runs import is_run_on
from core.runs.run import Run
from core.spreadsheet import csv_file
from pages.parts.shell.cache import dataset_named, thumbnail
from pages.parts.shell.escape import escape
from pages.parts.widgets.closer_look import look_closer
from pages.parts.widgets.edits import describe_edit, draw_pending_edits

SHOWN = 12  # pictures at once; more come with the button
ORDERS = {"sure": "most confident first", "unsure": "least confident first"}


def pictures_of(run: Run) -> Dataset | None:
    """The dataset that a run was trained on; None where it is gone or another one has its name."""
    dataset = dataset_named(run.config.data.dataset)
    return dataset if dataset is not None and is_run_on(dataset, run) else None


def evaluation_or_none(run: Run, part: str, measure: str = "evaluation") -> Evaluation | None:
    """The predictions of a run on one part; None where there are none, they are empty, or the file is damaged."""
    try:
        evaluation = run.evaluation(part, measure)  # type: ignore[arg-type]
    except UserMistake:
        return None
    return evaluation if evaluation is not None and evaluation.n else None


def draw_predictions(run: Run, evaluation: Evaluation, chosen: np.ndarray, key: str) -> None:
    """Cards for the pictures at the places `chosen` of the evaluation, in that order."""
    dataset = pictures_of(run)
    if dataset is None:
        st.caption("The pictures of this run are no longer there, so they cannot be shown.")
        return
    if not len(chosen):
        st.caption("There is no such picture.")
        return
    shown = st.session_state.get(f"{key}.shown", SHOWN)
    with st.grid(min_column_width=130, gap="small"):
        for place in chosen[:shown]:
            _draw_card(run, dataset, evaluation, int(place), key)
    with st.container(horizontal=True, gap="small"):
        if len(chosen) > shown:
            st.button(f"Show more · {shown} of {len(chosen):,}", key=f"{key}.more", on_click=_more, args=(key, shown))
        st.download_button(
            f"Names of {'this one' if len(chosen) == 1 else f'all {len(chosen):,}'} (CSV)",
            lambda: predictions_csv(dataset, evaluation, chosen),  # made when somebody asks for it
            "predictions.csv",
            "text/csv",
            icon=":material/download:",
            key=f"{key}.csv",
            type="tertiary",
            on_click="ignore",
        )
    draw_pending_edits(dataset, key)


def _draw_card(run: Run, dataset: Dataset, evaluation: Evaluation, place: int, key: str) -> None:
    index = int(evaluation.indices[place])
    true = evaluation.classes[int(evaluation.labels[place])]
    predicted = evaluation.classes[int(evaluation.predictions[place])]
    confidence = float(evaluation.probabilities[place].max())
    right = predicted == true
    mark = ":green[:material/check:]" if right else ":red[:material/close:]"
    with st.container(gap="xxsmall"):
        st.image(
            thumbnail(dataset, index),
            width="stretch",
            alt=f"{true}, predicted {predicted}",
        )
        st.markdown(f"{mark} :small[{escape(predicted, 24)} {confidence:.0%}]")
        if not right:
            st.caption(f"it is {escape(true, 24)}")
        if edited := describe_edit(dataset, index):
            st.caption(edited)
        name = escape(dataset.names[index].rsplit("/", 1)[-1], 24)
        if st.button(name, key=f"{key}.look.{place}", type="tertiary", help="Which places spoke for this, and edits"):
            look_closer(run, dataset, evaluation, place)


def predictions_csv(dataset: Dataset, evaluation: Evaluation, chosen: np.ndarray) -> bytes:
    """UTF-8, one line a picture: its name, true and predicted class, and the probability of both, 0 to 1."""
    classes, indices = evaluation.classes, evaluation.indices[chosen]
    columns = {
        "picture": [dataset.names[int(index)] for index in indices],
        "class": [classes[label] for label in evaluation.labels[chosen]],
        "predicted": [classes[label] for label in evaluation.predictions[chosen]],
        "probability": evaluation.probabilities[chosen].max(axis=1).round(4),
        "probability of class": evaluation.probabilities[chosen, evaluation.labels[chosen]].round(4),
        "part": [evaluation.part] * len(chosen),
    }
    return csv_file(columns, zip(*columns.values(), strict=True))


def ordered(evaluation: Evaluation, mask: np.ndarray, order: str) -> np.ndarray:
    """Places of the pictures in `mask`, by confidence as ORDERS names it; ties stay in store order."""
    places = np.flatnonzero(mask)
    confidence = evaluation.probabilities[places].max(axis=1)
    return places[np.argsort(-confidence if order == "sure" else confidence, kind="stable")]


def classes_in(evaluation: Evaluation) -> Sequence[int]:
    return [index for index, count in enumerate(evaluation.counts) if count]


def _more(key: str, shown: int) -> None:
    st.session_state[f"{key}.shown"] = shown + SHOWN
