"""What turns it: the picture cropped, turned, brightened, blurred or covered, and at which point the answer turns."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from core.data.pictures.preprocess import Preprocess
from core.data.pictures.viewer import show_picture
from core.inference.in_words import in_percent
from core.inference.picture_edits import (
    SLIDES,
    UNCHANGED,
    PictureEdit,
    Slide,
    describe_turns,
    edit_picture,
    neutral_colour,
    receive_edited,
    slide_values,
)
from core.runs.run import Run
from pages.parts.shell.escape import escape, plotted, shown
from pages.parts.shell.frame import boundary
from pages.parts.shell.theme import CALM, class_colours
from pages.parts.try_it.answer_card import bars_html
from pages.parts.try_it.answers import predict
from pages.parts.try_it.given import GivenPicture
from pages.parts.try_it.patch import draw_patch
from pages.parts.try_it.pictures import to_jpeg
from pages.parts.widgets.loaded_network import predictor_of

SIDE = 360  # pixels of the picture that is covered on the page


@dataclass(frozen=True)
class _Slider:
    label: str
    low: float
    high: float
    step: float
    format: str


SLIDERS: dict[Slide, _Slider] = {
    "crop": _Slider("Cut away", 0.0, 0.85, 0.01, "percent"),
    "turn": _Slider("Turn", -180.0, 180.0, 5.0, "%d°"),
    "brightness": _Slider("Brightness", 0.1, 3.0, 0.05, "percent"),
    "blur": _Slider("Blur", 0.0, 15.0, 0.25, "%.2f %%"),
}


def draw_changes(run: Run, picture: GivenPicture) -> None:
    """The picture with its sliders and the answer to what has become of it; then where each slider turns the answer."""
    if predict(run, picture).received is None:
        st.caption("There is nothing to change: the picture could not be read.")
        return
    st.fragment(_draw_changed)(run, picture)


@boundary()
def _draw_changed(run: Run, picture: GivenPicture) -> None:
    predictor = predictor_of(run)
    preprocess = predictor.preprocess
    original = _original(picture.sha256, preprocess.image_size, picture.content)
    left, right = st.columns([1, 1], gap="medium")
    with right:
        edit = _choose_edit()
    with left:
        square = preprocess.model_copy(update={"image_size": SIDE})
        pixels = square.receive(edit_picture(original, edit, preprocess))
        label = "Covered square: drag it, or move it with the arrow keys"
        at = draw_patch(to_jpeg(pixels), edit.patch, neutral_colour(preprocess), label, "change.patch")
    received = receive_edited(original, replace(edit, at=at), preprocess)
    probabilities = predictor.probabilities(received[None])[0]
    with left:
        _draw_changed_answer(run, predict(run, picture).classes, probabilities)
    _draw_turns(run, picture, predict(run, picture).classes[0][0], preprocess)


def _choose_edit() -> PictureEdit:
    """The sliders; the place of the covered square is the picture's business."""
    chosen: dict[str, Any] = {}
    for name, slider in SLIDERS.items():
        usual = float(getattr(UNCHANGED, name))
        chosen[name] = st.slider(
            slider.label, slider.low, slider.high, usual, slider.step, slider.format, key=f"change.{name}"
        )
    patch = st.slider("Covered square", 0.0, 0.8, 0.25, 0.05, "percent", key="change.size")
    st.button("As it was", icon=":material/undo:", type="tertiary", key="change.reset", on_click=_reset)
    return PictureEdit(**chosen, patch=patch)


def _reset() -> None:
    for name in SLIDERS:
        st.session_state[f"change.{name}"] = float(getattr(UNCHANGED, name))
    st.session_state["change.size"] = 0.0


def _draw_changed_answer(run: Run, before: tuple[tuple[str, float], ...], probabilities: np.ndarray) -> None:
    ranked = sorted(zip(run.classes, probabilities.tolist(), strict=True), key=lambda one: -one[1])
    (now, sure), was = ranked[0], before[0][0]
    if now == was:
        st.markdown(f"**Still {escape(now, 40)}** · {100 * sure:.1f} %")  # a digit more: it moves with the square
    else:
        st.markdown(f":orange[:material/sync_alt: **Turned from {escape(was, 40)} to {escape(now, 40)}**]")
    st.html(bars_html(ranked, class_colours(run.classes), most=3))


def _draw_turns(run: Run, picture: GivenPicture, now: str, preprocess: Preprocess) -> None:
    """For each slider a strip of what the answer becomes on the way, and where it turns, in words."""
    st.markdown("**At which point does the answer turn?** :small[Each slider alone, the others as they were.]")
    colours = class_colours(run.classes)
    with st.spinner("Trying every slider …", show_time=False):
        tried = _tried(run.id, run.state.updated, picture.sha256, run, picture)
    for name, answers in tried.items():
        strip = "".join(
            f'<div title="{plotted(_tick(name, value))}: {plotted(best)} {plotted(in_percent(sure))}" '
            f'style="flex:1;height:18px;background:{colours.get(best, CALM)};opacity:{0.25 + 0.75 * sure:.2f}"></div>'
            for value, (best, sure) in zip(SLIDES[name], answers, strict=True)
        )
        ends = [plotted(_tick(name, value)) for value in (SLIDES[name][0], SLIDES[name][-1])]
        turns = shown(describe_turns(name, [shown(best, 40) for best, _ in answers], shown(now, 40)), 300)
        st.html(
            f'<div style="margin-bottom:10px"><div><b>{SLIDERS[name].label}</b> · {plotted(turns, 300)}</div>'
            f'<div style="display:flex;gap:2px;border-radius:4px;overflow:hidden;margin:4px 0">{strip}</div>'
            f'<div style="display:flex;justify-content:space-between;font-size:.8rem;opacity:.75">'
            f"<span>{ends[0]}</span><span>{ends[1]}</span></div></div>"
        )
    legend = "".join(
        f'<span style="display:inline-block;width:.8em;height:.8em;border-radius:2px;background:{colours[name]}">'
        f'</span><span style="margin-right:1em"> {plotted(name, 40)}</span>'
        for name in dict.fromkeys(best for answers in tried.values() for best, _ in answers)
    )
    st.html(f'<div style="font-size:.85rem">{legend}<span style="opacity:.75">pale: not sure</span></div>')


def _tick(name: Slide, value: float) -> str:
    if name == "turn":
        return f"{value:.0f}°"
    return f"{value:g} %" if name == "blur" else f"{value:.0%}"


@st.cache_data(max_entries=100, show_spinner=False)
def _tried(
    run_id: str, updated: str, sha256: str, _run: Run, _picture: GivenPicture
) -> dict[Slide, list[tuple[str, float]]]:
    """For each slider, for each of its values, the answer and its probability."""
    predictor = predictor_of(_run)
    original = _original(sha256, predictor.preprocess.image_size, _picture.content)
    found: dict[Slide, list[tuple[str, float]]] = {}
    for name in SLIDES:
        images = slide_values(original, name, UNCHANGED, predictor.preprocess)
        probabilities = predictor.probabilities(images)
        found[name] = [(predictor.classes[int(row.argmax())], float(row.max())) for row in probabilities]
    return found


@st.cache_data(max_entries=20, show_spinner=False)
def _original(sha256: str, image_size: int, _content: bytes) -> Image.Image:
    """As training reads it, before it is cut to the network's square."""
    return show_picture(_content, image_size)
