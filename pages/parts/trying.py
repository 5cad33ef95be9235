"""What Try-It asks for and answers: uploads, the camera, test pictures to click, and one card a picture."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from core.data.dataset import Dataset
from core.data.picture import Refusal
from core.runs.run import Run
from core.settings import load_limits
from pages.parts.answers import evaluation_or_none, pictures_of
from pages.parts.cached import grey, pixels_to_png, thumbnail, uncut
from pages.parts.charts import PLOTLY_CONFIG, probability_figure
from pages.parts.escape import escape
from pages.parts.palette import class_colours

ENDINGS = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"]
OFFERED = 6  # test pictures to click
AT_ONCE = 50  # pictures answered in one go


@dataclass(frozen=True)
class Asked:
    """A picture that somebody wants to have answered."""

    name: str
    content: bytes
    place: int  # in the row of answers; two may be the same picture
    true: str | None = None  # its class where it is known

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def uploads() -> list[Asked]:
    """What was dropped, pasted or photographed; the newest files stay until they are removed."""
    given = st.file_uploader(
        "Your pictures",
        type=ENDINGS,
        accept_multiple_files=True,
        key="pictures",
        max_upload_size=max(1, load_limits().picture_bytes // 2**20),
        help="Drop one or more pictures, or paste one with Ctrl+V.",
    )
    asked = [Asked(file.name, file.getvalue(), place) for place, file in enumerate(given[:AT_ONCE])]
    if len(given) > AT_ONCE:
        st.caption(f"The first {AT_ONCE} of {len(given)} pictures are answered.")
    if st.toggle("Use the camera", key="camera-on"):
        photo = st.camera_input("Photograph an artwork", key="camera")
        if photo is not None:
            asked.insert(0, Asked("camera", photo.getvalue(), len(asked)))
    return asked


def draw_offer(run: Run) -> list[Asked]:
    """A few test pictures of the run's own dataset to click; the clicked one is asked."""
    dataset, test = pictures_of(run), evaluation_or_none(run, "test")
    if dataset is None or test is None:
        return []
    mixed = np.random.default_rng(0).permutation(test.indices).tolist()
    index = pick_offered("No picture at hand? Take one of these.", "Try", dataset, mixed, run.id)
    if index is None:
        return []
    true = dataset.classes[int(dataset.labels[index])]
    return [Asked(str(dataset.names[index]), dataset.original(index), 0, true)]


def pick_offered(
    told: str, word: str, dataset: Dataset, places: Sequence[int], owner: str, form: str = ""
) -> int | None:
    """A few pictures of the dataset at a time, each with a button that says `word`; the place of the one that was last
    clicked for this owner, None where none was."""
    turn = st.session_state.get(f"{form}offer", 0)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(told, width="content")
        if len(places) > OFFERED:
            icon = ":material/shuffle:"
            st.button("Others", f"{form}others", icon=icon, type="tertiary", on_click=_next_offer, args=(form,))
    with st.grid(3, min_column_width=64, gap="small"):
        for number in range(min(OFFERED, len(places))):
            index = places[(turn * OFFERED + number) % len(places)]
            with st.container(gap="xxsmall"):
                st.image(thumbnail(dataset, index), width="stretch", alt=f"Test picture {number + 1}")
                asked = (form, owner, index)
                st.button(word, key=f"{form}ask.{number}", width="stretch", on_click=_ask, args=asked)
    by, chosen = st.session_state.get(f"{form}asked", (None, None))
    return chosen if by == owner else None


def predictions(run: Run, pictures: Sequence[Asked]) -> list[Any]:
    """A Prediction for each picture; answered once per run and picture, whoever asks."""
    if not pictures:
        return []
    with st.spinner("Loading the network; the first time takes a few seconds …", show_time=False):
        return [_predict(run.id, run.state.updated, asked.sha256, asked.name, run, asked.content) for asked in pictures]


def draw_prediction(run: Run, prediction: Any, asked: Asked) -> None:
    """One card: the answer, the picture, what the network received, and the classes with their probabilities."""
    if prediction.error is not None:
        st.warning(f"**{escape(asked.name, 60)}** {escape(prediction.error, 400)}", icon=":material/broken_image:")
        return
    best, sure = prediction.classes[0]
    size = prediction.received.shape[-1]
    with st.container(border=True):
        st.markdown(f"### {escape(best, 40)} · {sure:.0%}")
        if asked.true is not None:
            verdict = "Right" if asked.true == best else f"Wrong, it is {escape(asked.true, 40)}"
            st.caption(f"{verdict}. A test picture that it had never seen.")
        else:
            st.caption(escape(asked.name, 60))
        with st.grid(3, min_column_width=150, gap="small"):
            st.image(_preview(asked.sha256, asked.content), width="stretch", caption="Original", alt=asked.name)
            st.image(
                pixels_to_png(prediction.received, 340),
                width="stretch",
                caption=f"What the network sees: {size} × {size}",
                alt=f"The {size} by {size} pixels that the network received",
            )
            st.plotly_chart(
                probability_figure(prediction.classes, class_colours(run.classes)),
                key=f"bars.{asked.place}",
                config=PLOTLY_CONFIG,
                alt=f"{best} with {sure:.0%}",
            )


@st.cache_resource(max_entries=2, show_spinner=False)
def _predictor(run_id: str, updated: str, _run: Run) -> Any:
    from core.inference.predictor import load_predictor  # brings torch, which takes seconds: only when one asks

    return load_predictor(_run)


@st.cache_data(max_entries=500, show_spinner=False)
def _predict(run_id: str, updated: str, sha256: str, name: str, _run: Run, _content: bytes) -> Any:
    return _predictor(run_id, updated, _run).predict([(name, _content)])[0]


@st.cache_data(max_entries=200, show_spinner=False)
def _preview(sha256: str, _content: bytes) -> bytes:
    """The picture as a person knows it, uncut and small."""
    try:
        return uncut(_content, 480)
    except Refusal:
        return grey()


def _ask(form: str, owner: str, index: int) -> None:
    st.session_state[f"{form}asked"] = (owner, index)


def _next_offer(form: str) -> None:
    st.session_state[f"{form}offer"] = st.session_state.get(f"{form}offer", 0) + 1
