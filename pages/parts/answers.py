"""Pictures with what a run answered and what they are, as a grid of cards."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.data.images import fingerprint_of
from core.data.ledger import disarm
from core.data.store import preprocess_of
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.runs.run import Run
from pages.parts.cached import dataset_named, thumbnail
from pages.parts.escape import escape

SHOWN = 12  # pictures at once; more come with the button
ORDERS = {"sure": "most sure first", "unsure": "least sure first"}


def pictures_of(run: Run) -> Dataset | None:
    """The dataset that a run learnt from; None where it is gone or another one has its name."""
    dataset = dataset_named(run.config.data.dataset)
    if dataset is None or fingerprint_of(dataset.content_hash, preprocess_of(run.config.data)) != run.fingerprint:
        return None
    return dataset


def evaluation_or_none(run: Run, part: str, measure: str = "evaluation") -> Evaluation | None:
    """The answers of a run on one part; None where there are none, they are empty, or the file is damaged."""
    try:
        evaluation = run.evaluation(part, measure)  # type: ignore[arg-type]
    except UserMistake:
        return None
    return evaluation if evaluation is not None and evaluation.n else None


def draw_answers(run: Run, evaluation: Evaluation, chosen: np.ndarray, key: str) -> None:
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
            draw_answer(dataset, evaluation, int(place))
    with st.container(horizontal=True, gap="small"):
        if len(chosen) > shown:
            st.button(f"Show more · {shown} of {len(chosen):,}", key=f"{key}.more", on_click=_more, args=(key, shown))
        st.download_button(
            f"Names of {'this one' if len(chosen) == 1 else f'all {len(chosen):,}'} (CSV)",
            lambda: answers_csv(dataset, evaluation, chosen),  # made when somebody asks for it
            "answers.csv",
            "text/csv",
            icon=":material/download:",
            key=f"{key}.csv",
            type="tertiary",
            on_click="ignore",
        )


def draw_answer(dataset: Dataset, evaluation: Evaluation, place: int) -> None:
    index = int(evaluation.indices[place])
    true = evaluation.classes[int(evaluation.labels[place])]
    answered = evaluation.classes[int(evaluation.predictions[place])]
    sure = float(evaluation.probabilities[place].max())
    right = answered == true
    mark = ":green[:material/check:]" if right else ":red[:material/close:]"
    with st.container(gap="xxsmall"):
        st.image(
            thumbnail(dataset, index),
            width="stretch",
            alt=f"{true}, answered {answered}",
        )
        st.markdown(f"{mark} :small[{escape(answered, 24)} {sure:.0%}]")
        if not right:
            st.caption(f"it is {escape(true, 24)}")
        st.caption(escape(dataset.names[index].rsplit("/", 1)[-1], 24))


def answers_csv(dataset: Dataset, evaluation: Evaluation, chosen: np.ndarray) -> bytes:
    """One line a picture: its name, what it is, what was answered and how sure the run was, 0..1."""
    classes, indices = evaluation.classes, evaluation.indices[chosen]
    table = pd.DataFrame(
        {
            "picture": [disarm(dataset.names[int(index)]) for index in indices],
            "class": [disarm(classes[label]) for label in evaluation.labels[chosen]],
            "answered": [disarm(classes[label]) for label in evaluation.predictions[chosen]],
            "probability": evaluation.probabilities[chosen].max(axis=1).round(4),
            "probability of class": evaluation.probabilities[chosen, evaluation.labels[chosen]].round(4),
            "part": evaluation.part,
        }
    )
    return table.to_csv(index=False).encode("utf-8-sig")


def ordered(evaluation: Evaluation, mask: np.ndarray, order: str) -> np.ndarray:
    """Places of the pictures in `mask`, by how sure the run was; ties stay in store order."""
    places = np.flatnonzero(mask)
    sure = evaluation.probabilities[places].max(axis=1)
    return places[np.argsort(-sure if order == "sure" else sure, kind="stable")]


def classes_in(evaluation: Evaluation) -> Sequence[int]:
    return [index for index, count in enumerate(evaluation.counts) if count]


def _more(key: str, shown: int) -> None:
    st.session_state[f"{key}.shown"] = shown + SHOWN
