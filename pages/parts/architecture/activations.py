"""Activations of a picture: what each layer of a network makes of it, its filters, and which units are dead."""

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from core.config import DataConfig, ModelConfig
from core.data.datasets.dataset import Dataset
from core.data.pictures.picture import Refusal
from core.data.pictures.preprocess import Preprocess
from core.data.pictures.viewer import show_received
from core.runs.run import Run
from pages.parts.architecture.activation_curve import WIDTH, curve_html
from pages.parts.architecture.chosen_model import ChosenModel, pick_model, pick_picture
from pages.parts.architecture.layer_groups import LayerGroup, group_layers
from pages.parts.architecture.layers import size_of
from pages.parts.shell.cache import pixels_to_png, received_pixels
from pages.parts.shell.escape import escape
from pages.parts.shell.frame import boundary
from pages.parts.shell.theme import CALM, class_colours
from pages.parts.shell.torch_import import wait_for_torch
from pages.parts.widgets.charts import PLOTLY_CONFIG, probability_figure
from pages.parts.widgets.snapshots import SMALL, filters_in_words, tile

if TYPE_CHECKING:
    from torch import nn

    from core.inference.activations import Curve, LayerActivation, PictureActivations, Units

FEW, MORE = 16, 64  # maps of a layer: at first, and on request
ALL_AT_ONCE = 14  # layers; of a larger network one group is shown at a time
UNCHANGING = ("Flatten", "Dropout", "Dropout2d", "Identity")  # kinds that pass on what they are given when evaluated


def draw_activations(
    dataset: Dataset | None, data: DataConfig, model: ModelConfig, outputs: int, finished: list[Run]
) -> None:
    """model: the network that is being designed, for `outputs` classes and the pictures of `data`."""
    left, right = st.container(key="columns-activations").columns([3, 8], gap="large")
    with left:
        chosen = pick_model(dataset, data, model, outputs, finished)
        picture = pick_picture(chosen)
    with right, boundary():
        if picture is None:
            st.caption("Drop a picture to see what each layer makes of it.")
        else:
            _draw_picture(chosen, *picture)


def _draw_picture(chosen: ChosenModel, content: bytes, name: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    received = _receive(digest, chosen.preprocess, content)
    if isinstance(received, Refusal):
        st.warning(f"**{escape(name, 60)}** {escape(received, 400)}", icon=":material/broken_image:")
        return
    with st.spinner("Computing the activations …", show_time=False):
        found = _activations(chosen.key, digest, chosen, received)
        units = _units(chosen.key, chosen.tests, chosen) if chosen.dataset is not None and chosen.tests else []
    _draw_head(chosen, name, received, found)
    _draw_filters(found.filters, found.all_filters)
    _draw_layers(chosen, found, {one.name: one for one in units})


# ----------------------------------------------------------------------------------------------------- computing


@st.cache_resource(max_entries=2, show_spinner=False)
def _network(key: str, _chosen: ChosenModel) -> "nn.Module":
    wait_for_torch()
    from core.inference.activations import fresh_network, layer_by_layer
    from core.inference.predictor import load_model  # brings torch, which takes seconds: only when one asks

    if _chosen.run is not None:
        return layer_by_layer(load_model(_chosen.run))
    return fresh_network(_chosen.model, _chosen.outputs, _chosen.preprocess.image_size)


@st.cache_data(max_entries=12, show_spinner=False)
def _activations(key: str, digest: str, _chosen: ChosenModel, _received: np.ndarray) -> "PictureActivations":
    wait_for_torch()
    from core.inference.activations import picture_activations

    return picture_activations(_network(key, _chosen), _received, _chosen.preprocess)


@st.cache_data(max_entries=20, show_spinner=False)
def _units(key: str, places: tuple[int, ...], _chosen: ChosenModel) -> list["Units"]:
    wait_for_torch()
    from core.inference.activations import count_dead

    dataset = _chosen.dataset
    assert dataset is not None
    images = _sample(dataset.content_hash, places, _chosen.preprocess, dataset)
    return count_dead(_network(key, _chosen), images, _chosen.preprocess)


@st.cache_data(max_entries=4, show_spinner=False)
def _sample(content_hash: str, indices: tuple[int, ...], preprocess: Preprocess, _dataset: Dataset) -> np.ndarray:
    """uint8 (N, 3, S, S)"""
    return received_pixels(_dataset, indices, preprocess)


@st.cache_data(max_entries=50, show_spinner=False)
def _receive(digest: str, preprocess: Preprocess, _content: bytes) -> np.ndarray | Refusal:
    try:
        return np.array(show_received(_content, preprocess)).transpose(2, 0, 1)
    except Refusal as refusal:
        return refusal


# ------------------------------------------------------------------------------------------------------- drawing


def _draw_head(chosen: ChosenModel, name: str, received: np.ndarray, found: "PictureActivations") -> None:
    """What the network received, and what a trained one predicts."""
    size = received.shape[-1]
    with st.container(horizontal=True, gap="large", vertical_alignment="center", key="activations-head"):
        st.image(
            pixels_to_png(received, 160),
            width=160,
            caption=f"{escape(name.rpartition('/')[2], 24)}, received: {size} × {size}",
            alt=f"The {size} by {size} pixels that the network received of {escape(name, 60)}",
        )
        if not chosen.classes:
            st.caption(
                "It has not been trained on these pictures yet. Choose a run on the left to see what training makes of "
                "its weights.",
                width="stretch",
            )
            return
        ranked = sorted(zip(chosen.classes, found.probabilities.tolist(), strict=True), key=lambda one: -one[1])
        st.plotly_chart(
            probability_figure(ranked, class_colours(chosen.classes)),
            key="activations.answer",
            config=PLOTLY_CONFIG,
            alt=f"{ranked[0][0]} with {ranked[0][1]:.0%}",
        )


def _draw_filters(filters: np.ndarray, of: int) -> None:
    if not len(filters) or filters[0, 0].size == 1:
        return
    top = max(float(np.abs(filters).max()), 1e-12)
    side = 44 if len(filters) <= 16 else 26
    tiles = "".join(tile(one, top, side, f"Filter {number}") for number, one in enumerate(filters, 1))
    head, text = filters_in_words(filters, of)
    st.html(
        f'{head}<div style="display:flex;flex-wrap:wrap;gap:6px;margin:0.5rem 0">{tiles}</div>'
        f'<div style="{SMALL}">{text}</div>'
    )


def _draw_layers(chosen: ChosenModel, found: "PictureActivations", units: dict[str, "Units"]) -> None:
    """The maps of the layers: of all, or where there are many of one group at a time."""
    shown = [layer for layer in found.layers if layer.kind not in UNCHANGING]
    if units:
        _draw_dead(chosen, list(units.values()))
    if len(shown) > ALL_AT_ONCE:
        groups = _groups(shown)
        titles = [group.title for group in groups]
        if st.session_state.get("activations.group") not in titles:
            st.session_state["activations.group"] = titles[0]
        picked = st.pills("Layers", titles, key="activations.group", required=True)
        names = {layer["name"] for group in groups if group.title == picked for layer in group.layers}
        shown = [layer for layer in shown if layer.name in names]
    more = any(layer.maps.shape[0] > FEW for layer in shown) and st.toggle(
        f"Up to {MORE} maps of each layer instead of {FEW}", key="activations.more", persist_state="session"
    )
    st.caption("Grey is zero, brighter is more, darker is less; each layer has its own scale.")
    for layer in shown:
        _draw_layer(layer, units.get(layer.name), MORE if more else FEW)


def _draw_dead(chosen: ChosenModel, units: Sequence["Units"]) -> None:
    dead, every = sum(len(one.dead) for one in units), sum(one.units for one in units)
    drawn_from = f" out of {chosen.tested:,}" if chosen.tested > len(chosen.tests) else ""
    st.markdown(
        f"**Dead units** · {dead:,} of {every:,} ({dead / every:.0%}) do nothing for any of "
        f"{len(chosen.tests):,} test pictures{drawn_from}."
    )


def _groups(layers: Sequence["LayerActivation"]) -> list[LayerGroup]:
    learns = ("Conv2d", "Linear")
    return group_layers(
        [
            {"name": layer.name, "kind": layer.kind, "output_shape": layer.shape, "parameters": layer.kind in learns}
            for layer in layers
        ]
    )


def _draw_layer(layer: "LayerActivation", units: "Units | None", most: int) -> None:
    of_maps = len(layer.shape) == 3
    count = layer.shape[0]
    drawn = layer.maps[:most]
    rest = f", the first {len(drawn)}" if of_maps and count > len(drawn) else ""
    title = f"<b>{layer.name}</b> · {layer.kind} · {size_of(layer.shape)}{rest}"
    if of_maps:
        body = _maps(drawn, layer.name)
    else:
        body = _picture(_png(layer.maps[0]), None, 22, f"The {count} numbers of {layer.name}")
    curve = ""
    if layer.curve is not None:
        text = _describe(layer.curve, len(layer.shape) == 3, units)
        curve = f'<div style="flex:0 0 {WIDTH}px">{curve_html(layer.curve, layer.name)}{text}</div>'
    with st.container(border=True, key=f"activation-{layer.name}"):
        st.html(
            f'{title}<div style="display:flex;flex-wrap:wrap;gap:20px;margin-top:0.5rem">'
            f'<div style="flex:1 1 300px;min-width:0">{body}</div>{curve}</div>'
        )


def _maps(maps: np.ndarray, name: str) -> str:
    side = 56 if maps.shape[0] <= FEW else 38
    tiles = "".join(_picture(_png(one), side, side, f"Map {number} of {name}") for number, one in enumerate(maps, 1))
    return f'<div style="display:flex;flex-wrap:wrap;gap:6px">{tiles}</div>'


def _describe(curve: "Curve", of_maps: bool, units: "Units | None") -> str:
    """HTML: what the activation does to this picture's values, and which of its units are dead."""
    before = curve.before
    below = before[: len(before) // 2].sum() / max(1, before.sum())
    lines = [f"{below:.0%} of the values come in below zero."]
    if units is not None:
        kind = "maps" if of_maps else "units"
        if units.dead:
            first = ", ".join(str(place + 1) for place in units.dead[:12])
            lines.append(
                f"<b>{len(units.dead)} of {units.units} {kind} are dead</b>: {first}"
                f"{' …' if len(units.dead) > 12 else ''}."
            )
        else:
            lines.append(f"None of the {units.units} {kind} is dead.")
    return f'<div style="font-size:0.8rem;opacity:0.75">{" ".join(lines)}</div>'


def _png(levels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels)).save(buffer, "PNG")
    return buffer.getvalue()


def _picture(content: bytes, width: int | None, height: int, alt: str) -> str:
    wide = f"width:{width}px" if width else "width:100%"
    return (
        f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}" alt="{alt}" title="{alt}" '
        f'style="{wide};height:{height}px;image-rendering:pixelated;border-radius:3px;outline:1px solid {CALM}55">'
    )
