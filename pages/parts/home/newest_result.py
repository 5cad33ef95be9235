"""The newest finished network on test pictures: its accuracy, and a few predictions with their probabilities."""

from typing import Literal

import numpy as np
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.evaluation import Evaluation
from core.intervals import wilson
from core.runs.run import Run
from pages.parts.shell.cache import received_picture, thumbnail
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.formatting import interval_of, share, span
from pages.parts.shell.navigation import go_to
from pages.parts.shell.theme import class_colours
from pages.parts.widgets.charts import PLOTLY_CONFIG, probability_figure
from pages.parts.widgets.prediction_grid import evaluation_or_none, pictures_of

SHOWN = 4  # predictions
SIDE = 200  # pixels


def draw_newest_result(run: Run) -> None:
    """Nothing is drawn where the run was not tested; the pictures are left out where they are no longer there."""
    test, dataset = evaluation_or_none(run, "test"), pictures_of(run)
    if test is None:
        return
    right = int(test.correct.sum())
    with st.container(border=True, key="answers"):
        st.markdown(f"**{_headline(test)}**")
        with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="accuracy"):
            st.html(f'<span class="hero">{share(test.accuracy)}</span>', width="content")
            with st.container(gap=None):
                st.markdown(f"{right:,} of {test.n:,} test pictures of {escape(run.config.data.dataset, 40)}")
                st.html(interval_bar(test.accuracy, *wilson(right, test.n), test.chance))
                st.caption(
                    f"95 % interval {interval_of(right, test.n)}, guessing would give {share(test.chance)}, the mark. "
                    f"{span(run.state.whole_seconds)} of training."
                )
        _draw_links(run, test)
        if dataset is not None:
            with st.grid(SHOWN, min_column_width=200, gap="medium"):
                for place in pick_predictions(test, SHOWN):
                    _draw_prediction(run, dataset, test, place)


def interval_bar(value: float, low: float, high: float, chance: float) -> str:
    """HTML: an accuracy of 0..1 on a line from 0 to 100 %, its interval as a band, guessing as a mark."""
    label = f"{share(value)} with the interval from {share(low)} to {share(high)}; guessing gives {share(chance)}"
    return (
        f'<div class="interval" role="img" aria-label="{label}">'
        f'<i class="band" style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>'
        f'<i class="chance" style="left:{100 * chance:.1f}%"></i>'
        f'<i class="value" style="left:{100 * value:.1f}%"></i></div>'
    )


def _headline(test: Evaluation) -> str:
    if test.beats_chance:
        return "The newest network gets right"
    return "The newest network does no better than guessing"


def _draw_links(run: Run, test: Evaluation) -> None:
    kind: Literal["primary", "secondary"] = "primary" if test.beats_chance else "secondary"
    with st.container(horizontal=True, vertical_alignment="center"):
        if not test.beats_chance and st.button(
            "Train another one", type="primary", icon=":material/tune:", key="retry"
        ):
            go_to("pages/train.py", run=run.id)
        if st.button("Try it on a picture of yours", type=kind, icon=":material/image_search:", key="try"):
            go_to("pages/try_it.py", run=run.id)
        side = "cifar" if run.config.data.dataset == "cifar10" else "own"
        st.page_link(
            "pages/results.py", label="See all results", icon=":material/insights:", query_params={side: run.id}
        )


def _draw_prediction(run: Run, dataset: Dataset, test: Evaluation, place: int) -> None:
    index, truth, predicted = int(test.indices[place]), int(test.labels[place]), int(test.predictions[place])
    with st.container(gap="xsmall"):
        data = run.config.data
        received = received_picture(dataset, index, data.image_size, data.fit, SIDE)
        with st.grid(2, min_column_width=60, wrap=False, gap="xsmall"):
            st.image(thumbnail(dataset, index, SIDE), width="stretch", alt=shown(dataset.names[index]))
            st.image(received, width="stretch", alt="What the network received of it")
        icon, colour = (":material/check:", "green") if truth == predicted else (":material/close:", "red")
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.badge(f"{escape(test.classes[predicted], 20)}", icon=icon, color=colour)  # type: ignore[arg-type]
            if truth != predicted:
                st.caption(f"it is {escape(test.classes[truth], 20)}", width="content")
        _draw_probabilities(test, place)


def _draw_probabilities(test: Evaluation, place: int) -> None:
    ranked = sorted(zip(test.classes, test.probabilities[place].tolist(), strict=True), key=lambda pair: -pair[1])
    figure = probability_figure(ranked, class_colours(test.classes), most=3)
    alt = ", ".join(f"{shown(name, 20)} {share(value)}" for name, value in ranked[:3])
    st.plotly_chart(figure, config=PLOTLY_CONFIG | {"staticPlot": True}, key=f"answer_{place}", alt=alt)


def pick_predictions(test: Evaluation, most: int) -> list[int]:
    """Places of `most` predictions: the classes in turn, whether right or wrong; the same ones on every visit."""
    order = np.random.default_rng(0).permutation(test.n)
    chosen: list[int] = []
    for label in range(len(test.classes)):
        chosen += [int(place) for place in order if test.labels[place] == label][:1]
    chosen += [int(place) for place in order if int(place) not in chosen]
    return chosen[:most]
