"""Answers on the page: one picture and what each chosen network says, or a card for each of several pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.inference.in_words import in_percent
from core.runs.run import Run
from pages.parts.shell.cache import pixels_to_png
from pages.parts.shell.escape import escape, plotted, shown
from pages.parts.shell.frame import boundary
from pages.parts.shell.theme import CALM, class_colours
from pages.parts.try_it.answers import answer, answer_all
from pages.parts.try_it.given import FOCUS, GivenPicture, may_be_read, preview
from pages.parts.widgets.run_picker import run_labels

if TYPE_CHECKING:
    from core.inference.predictor import Prediction

MOST = 5  # classes under an answer


def draw_answers(runs: Sequence[Run], picture: GivenPicture) -> None:
    """The picture, and beside it the answer of every run."""
    with st.container(border=True, key="answer"):
        st.caption(_origin(picture))
        with st.container(key="answer-columns"):
            st.image(preview(picture), width="stretch", alt=shown(picture.name, 60))
            with st.container(gap="medium"):
                labels = run_labels(runs) if len(runs) > 1 else {}
                for run in runs:
                    with boundary():
                        _draw_answer(run, picture, labels.get(run.id, ""))


def _origin(picture: GivenPicture) -> str:
    if picture.is_example:
        return "**An example.** This is a test picture; the answer to yours appears here."
    return escape(picture.name.rsplit("/", 1)[-1], 60)


def _draw_answer(run: Run, picture: GivenPicture, label: str) -> None:
    """label: what the run is called beside the others; "" where it is the only one."""
    said = answer(run, picture)
    if said.prediction.error is not None:
        name = escape(picture.name.rsplit("/", 1)[-1], 60)
        st.warning(f"**{name}** {escape(said.prediction.error, 400)}.", icon=":material/broken_image:")
        return
    best, sure = said.ranked[0]
    with st.container(gap="xsmall"):
        if label:
            st.caption(escape(label, 60))
        if said.verdict is not None and said.verdict.none_of_these:
            st.markdown("### None of these")
            st.markdown(
                f":orange[:material/help:] More unlike its training pictures than {said.verdict.unlike:.0%} of the "
                f"validation pictures. If it had to be one: **{escape(best, 40)}** {escape(in_percent(sure))}."
            )
        else:
            st.markdown(f"### {escape(best, 40)} · {escape(in_percent(sure))}")
        if picture.true is not None:
            st.markdown(_verdict(picture.true, best))
        st.html(bars_html(said.ranked, class_colours(run.classes)))
        if said.note:
            st.caption(escape(said.note, 400))
        _draw_received(said.prediction)


def _verdict(true: str, answered: str) -> str:
    if true == answered:
        return ":green[:material/check: Right.] :small[A test picture, which it was not trained on.]"
    told = f"Wrong, it is {escape(true, 40)}."
    return f":red[:material/close: {told}] :small[A test picture, which it was not trained on.]"


def _draw_received(prediction: "Prediction") -> None:
    assert prediction.received is not None, prediction.file
    size = prediction.received.shape[-1]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.image(
            pixels_to_png(prediction.received, 72),
            width=72,
            alt=f"The {size} by {size} pixels that the network received",
        )
        st.caption(f"What the network received: {size} × {size} pixels", width="stretch")


def bars_html(classes: Sequence[tuple[str, float]], colours: dict[str, str], most: int = MOST) -> str:
    """Ranked classes with a bar each, as HTML: it is there at once, where a chart takes a moment to be drawn."""
    rows = "".join(
        f'<div title="{plotted(name, 200)}" style="overflow:hidden;text-overflow:ellipsis;white-space:nowrap">'
        f'{plotted(name, 200)}</div><div style="background:rgba(128,128,128,.16);border-radius:4px;height:14px">'
        f'<div style="width:{max(100 * share, 0.5):.1f}%;height:14px;border-radius:4px;'
        f'background:{colours.get(name, CALM)}"></div></div>'
        f'<div style="text-align:right">{in_percent(share)}</div>'
        for name, share in classes[:most]
    )
    left = len(classes) - most
    more = f'<div style="opacity:.75">and {left:,} more</div><div></div><div></div>' if left > 0 else ""
    columns = "grid-template-columns:fit-content(45%) minmax(24px,1fr) 3.2rem"
    return f'<div style="display:grid;{columns};gap:6px 10px;align-items:center">{rows}{more}</div>'


def draw_overview(run: Run, pictures: Sequence[GivenPicture]) -> None:
    """A small card a picture; a click looks at it closely."""
    st.markdown(f"**All {len(pictures)} pictures** :small[answered by {escape(run_labels([run])[run.id], 60)}]")
    with st.grid(min_column_width=120, gap="small"):
        for place, (picture, said) in enumerate(zip(pictures, answer_all(run, pictures), strict=True)):
            with st.container(gap="xxsmall"):
                st.image(preview(picture, 160), width="stretch", alt=shown(picture.name, 60))
                if said.prediction.error is not None:
                    st.markdown(f":orange[:material/broken_image:] :small[{escape(said.prediction.error, 120)}]")
                    continue
                best, sure = said.ranked[0]
                none = said.verdict is not None and said.verdict.none_of_these
                label = "none of these" if none else f"{escape(best, 24)} {escape(in_percent(sure))}"
                st.button(label, key=f"look.{place}", width="stretch", on_click=_look_at, args=(picture.sha256,))


def focused(pictures: Sequence[GivenPicture]) -> GivenPicture:
    """The picture that was clicked, else the first that is one."""
    wanted = st.session_state.get(FOCUS)
    clicked = [picture for picture in pictures if picture.sha256 == wanted]
    return next(iter(clicked or (one for one in pictures if may_be_read(one.content))), pictures[0])


def _look_at(sha256: str) -> None:
    st.session_state[FOCUS] = sha256
