"""The choice of what a network learns on from: one of torchvision's with its weights, or a finished run."""

from typing import Any

import streamlit as st

from core.config import ModelConfig, acts
from core.errors import UserMistake
from core.published import PUBLISHED
from core.runs.run import read_run
from core.runs.trunks import keep_trunk
from core.trunks import is_kept_run, natural_side, read_trunk
from pages.parts.cached import runs
from pages.parts.escape import escape, shown
from pages.parts.fetching import draw_weights
from pages.parts.form_state import TRAIN, held, put

FIELD, SIDE = "model.trunk", "data.image_size"


def take_network(form: str = TRAIN) -> None:
    """A network was chosen: one on a trunk gets a trunk that is there, and the image size that this has learnt from."""
    state = st.session_state
    name, before = held(form)["model.name"], f"{form}.side.before"
    if acts("trunk", {"name": name}):
        state.setdefault(before, held(form).get(SIDE))
    elif (side := state.pop(before, None)) is not None:
        put(SIDE, side, form)
    if name == "pretrained":
        _put_trunk(name, next(iter(PUBLISHED)), form)
    if name == "transfer" and (ended := _finished()):
        _learn_on_from(next(iter(ended)), form)


def draw_trunk(common: dict[str, Any], form: str) -> None:
    """common: label and help of the field's widget."""
    said = {"label": common["label"], "help": common["help"]}
    value = held(form)[FIELD]
    if held(form).get("model.name") == "transfer":
        _draw_runs(said, value, form)
    else:
        _draw_published(said, value, form)


def _draw_published(said: dict[str, Any], value: str, form: str) -> None:
    key = f"{form}.trunk.published"
    st.session_state[key] = value if value in PUBLISHED else None
    st.selectbox(
        options=list(PUBLISHED), format_func=_say_published, key=key, on_change=_take_published, args=(form,), **said
    )
    if value in PUBLISHED:
        draw_weights(value)


def _draw_runs(said: dict[str, Any], value: str, form: str) -> None:
    ended, key = _finished(), f"{form}.trunk.run"
    chosen = value.partition("-")[0] if is_kept_run(value) else ""
    card = read_trunk(value) if chosen else None
    titles = {run_id: shown(title, 60) for run_id, title in ended.items()}
    if card and card.source:
        titles.setdefault(chosen, f"{shown(card.source.title, 50)} (deleted; what it had learnt is kept)")
    if not titles:
        st.caption("There is no finished run to learn on from yet. Train one first, e.g. with the preset quick.")
        return
    st.session_state[key] = chosen if chosen in titles else None
    st.selectbox(
        options=list(titles),
        format_func=lambda run_id: titles.get(run_id, run_id),
        placeholder="Choose a finished run",
        key=key,
        on_change=_take_run,
        args=(form,),
        **said,
    )
    if why := st.session_state.pop(f"{form}.trunk.why", ""):
        st.caption(f":red[:material/block:] {escape(why, 300)}")
    if card and (source := card.source):
        st.caption(
            f"It has learnt {source.classes} classes of {escape(source.dataset, 40)} from pictures of "
            f"{source.image_size} px. A copy is kept, so that the run may be deleted."
        )


def _say_published(name: str) -> str:
    known = PUBLISHED[name]
    here = "here" if read_trunk(name) else f"{known.megabytes:,.0f} MB"
    return f"{name} · {known.accuracy:.1%} on ImageNet · {here}"


def _take_published(form: str) -> None:
    if name := st.session_state[f"{form}.trunk.published"]:
        put(FIELD, name, form)


def _take_run(form: str) -> None:
    if run_id := st.session_state[f"{form}.trunk.run"]:
        _learn_on_from(run_id, form)


def _learn_on_from(run_id: str, form: str) -> None:
    try:
        trunk = keep_trunk(read_run(run_id))
    except (UserMistake, OSError) as error:
        st.session_state[f"{form}.trunk.why"] = f"This run cannot be learnt on from: {error}"
        return
    _put_trunk("transfer", trunk, form)


def _put_trunk(network: str, trunk: str, form: str) -> None:
    """The trunk, and the image size that it has learnt from."""
    put(FIELD, trunk, form)
    if side := natural_side(ModelConfig.model_validate({"name": network, "trunk": trunk})):
        put(SIDE, side, form)


def _finished() -> dict[str, str]:
    """Id -> title of the runs with a finished model, newest first."""
    return {run.id: run.title for run in runs(hidden=True) if run.state.ended and run.has_model}
