"""The choice of the pretrained backbone: a torchvision network with its weights, or the network of a finished run."""

from typing import Any

import streamlit as st

from core.backbones.catalogue import PUBLISHED
from core.backbones.registry import is_kept_run, natural_side, read_backbone
from core.config import ModelConfig
from core.display_names import display_name
from core.errors import UserMistake
from core.fields import acts
from core.runs.backbones import keep_backbone
from core.runs.naming import name_runs
from core.runs.run import read_run
from pages.parts.form.state import TRAIN, form_values, set_value
from pages.parts.form.weights import draw_weights
from pages.parts.shell.cache import runs
from pages.parts.shell.escape import escape, shown

FIELD, SIDE = "model.backbone", "data.image_size"


def take_network(form: str = TRAIN) -> None:
    """A network was chosen: one with a backbone gets one that is there, and the image size it was trained with."""
    state = st.session_state
    name, before = form_values(form)["model.name"], f"{form}.side.before"
    if acts("backbone", {"name": name}):
        state.setdefault(before, form_values(form).get(SIDE))
    elif (side := state.pop(before, None)) is not None:
        set_value(SIDE, side, form)
    if name == "pretrained":
        _put_backbone(name, next(iter(PUBLISHED)), form)
    if name == "transfer" and (finished := _finished()):
        _choose_run(next(iter(finished)), form)


def draw_backbone(common: dict[str, Any], form: str) -> None:
    """common: label and help of the field's widget."""
    text = {"label": common["label"], "help": common["help"]}
    value = form_values(form)[FIELD]
    if form_values(form).get("model.name") == "transfer":
        _draw_runs(text, value, form)
    else:
        _draw_published(text, value, form)


def _draw_published(text: dict[str, Any], value: str, form: str) -> None:
    key = f"{form}.backbone.published"
    st.session_state[key] = value if value in PUBLISHED else None
    st.selectbox(
        options=list(PUBLISHED),
        format_func=_describe_published,
        key=key,
        on_change=_choose_published,
        args=(form,),
        **text,
    )
    if value in PUBLISHED:
        draw_weights(value)


def _draw_runs(text: dict[str, Any], value: str, form: str) -> None:
    finished, key = _finished(), f"{form}.backbone.run"
    chosen = value.partition("-")[0] if is_kept_run(value) else ""
    card = read_backbone(value) if chosen else None
    titles = {run_id: shown(title, 60) for run_id, title in finished.items()}
    if card and card.source:
        titles.setdefault(chosen, f"{shown(card.source.title, 50)} (deleted; its network is kept)")
    if not titles:
        st.caption("There is no finished run to use as a backbone yet. Train one first, e.g. with the preset Quick.")
        return
    st.session_state[key] = chosen if chosen in titles else None
    st.selectbox(
        options=list(titles),
        format_func=lambda run_id: titles.get(run_id, run_id),
        placeholder="Choose a finished run",
        key=key,
        on_change=_choose_picked_run,
        args=(form,),
        **text,
    )
    if why := st.session_state.pop(f"{form}.backbone.refused", ""):
        st.caption(f":red[:material/block:] {escape(why, 300)}")
    if card and (source := card.source):
        st.caption(
            f"It was trained on {source.classes} classes of {escape(source.dataset, 40)}, on pictures of "
            f"{source.image_size} px. A copy is kept, so that the run may be deleted."
        )


def _describe_published(name: str) -> str:
    known = PUBLISHED[name]
    here = "here" if read_backbone(name) else f"{known.megabytes:,.0f} MB"
    return f"{display_name(FIELD, name)} · {known.accuracy:.1%} on ImageNet · {here}"


def _choose_published(form: str) -> None:
    if name := st.session_state[f"{form}.backbone.published"]:
        set_value(FIELD, name, form)


def _choose_picked_run(form: str) -> None:
    if run_id := st.session_state[f"{form}.backbone.run"]:
        _choose_run(run_id, form)


def _choose_run(run_id: str, form: str) -> None:
    try:
        backbone = keep_backbone(read_run(run_id))
    except (UserMistake, OSError) as error:
        st.session_state[f"{form}.backbone.refused"] = f"This run cannot be a backbone: {error}"
        return
    _put_backbone("transfer", backbone, form)


def _put_backbone(network: str, backbone: str, form: str) -> None:
    """Set the backbone, and the image size that it was trained with."""
    set_value(FIELD, backbone, form)
    if side := natural_side(ModelConfig.model_validate({"name": network, "backbone": backbone})):
        set_value(SIDE, side, form)


def _finished() -> dict[str, str]:
    """Id -> title of the runs with a finished model, newest first."""
    return name_runs([run for run in runs(hidden=True) if run.state.ended and run.has_model])
