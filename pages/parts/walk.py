"""A picture walked through a network: what each layer makes of it, how activations bend it, which units are dead."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from core.config import DataConfig, ModelConfig
from core.data.dataset import Dataset
from core.data.picture import Refusal
from core.data.preprocess import Preprocess
from core.data.showing import show_received
from core.data.store import preprocess_of
from core.errors import UserMistake
from core.runs.run import Run
from core.settings import load_limits
from pages.parts.answers import evaluation_or_none, pictures_of
from pages.parts.cached import parts_of, pixels_to_png, received_pixels
from pages.parts.charts import PLOTLY_CONFIG, probability_figure
from pages.parts.escape import escape
from pages.parts.frame import boundary
from pages.parts.network import Group, group_layers, size_of
from pages.parts.palette import ACCENT, BLOCK, CALM, class_colours
from pages.parts.run_table import run_labels
from pages.parts.trying import ENDINGS, pick_offered
from pages.parts.watching import SMALL, filters_in_words, tile

FRESH = "untrained"
TABS, WALK = "more", "Walk a picture through it"  # the tabs of the page, and the one of this file
SAMPLE = 200  # test pictures over which a unit is called dead
FEW, MORE = 16, 64  # maps of a layer: at first, and on request
ALL_AT_ONCE = 14  # layers; of a larger network one group is shown at a time
SILENT = ("Flatten", "Dropout", "Dropout2d", "Identity")  # they change nothing in a finished network
CURVE = (260, 150)  # pixels


@dataclass(frozen=True)
class Eyes:
    """A network that a picture can be walked through, and where its pictures come from."""

    key: str  # what it is cached under
    preprocess: Preprocess
    classes: tuple[str, ...]  # names, () where it is not trained
    dataset: Dataset | None
    tests: tuple[int, ...]  # places of some test pictures in the dataset
    tested: int  # how many test pictures there are
    run: Run | None
    model: ModelConfig
    outputs: int


def draw_walk(dataset: Dataset | None, data: DataConfig, model: ModelConfig, outputs: int, finished: list[Run]) -> None:
    """model: the network that is being designed, for `outputs` classes and the pictures of `data`."""
    ask, answer = st.container(key="sides-walk").columns([3, 8], gap="large")
    with ask:
        eyes = _pick_eyes(dataset, data, model, outputs, finished)
        picture = _pick_picture(eyes)
    with answer, boundary():
        if picture is None:
            st.caption("Drop a picture, and see what each layer makes of it.")
            return
        content, name = picture
        digest = hashlib.sha256(content).hexdigest()
        received = _receive(digest, eyes.preprocess, content)
        if isinstance(received, Refusal):
            st.warning(f"**{escape(name, 60)}** {escape(received, 400)}", icon=":material/broken_image:")
            return
        with st.spinner("Walking through the network …", show_time=False):
            walk = _walk(eyes.key, digest, eyes, received)
            units = _dead(eyes.key, eyes.tests, eyes) if eyes.dataset is not None and eyes.tests else []
        _draw_head(eyes, name, received, walk)
        _draw_filters(walk.filters)
        _draw_layers(eyes, walk, {one.name: one for one in units})


def walk_through(dataset: Dataset, index: int) -> None:
    """Go to the Architecture page with this picture of a dataset, ready to be walked through a network."""
    st.session_state["walk.asked"] = (dataset.content_hash, index)
    st.session_state["architecture_dataset"] = dataset.name
    st.session_state[TABS] = WALK
    st.switch_page("pages/architecture.py")


# ------------------------------------------------------------------------------------------------------ choosing


def _pick_eyes(
    dataset: Dataset | None, data: DataConfig, model: ModelConfig, outputs: int, finished: list[Run]
) -> Eyes:
    labels, by_id = run_labels(finished), {run.id: run for run in finished}
    if st.session_state.get("walk.network", FRESH) not in {FRESH, *by_id}:
        st.session_state["walk.network"] = FRESH
    picked = st.selectbox(
        "Network",
        [FRESH, *by_id],
        format_func=lambda key: "The one above, before training" if key == FRESH else f"Run {labels[key]}",
        key="walk.network",
        persist_state="session",
    )
    if picked != FRESH:
        return _eyes_of(by_id[picked])
    tests, tested = _some_tests(dataset, data) if dataset is not None else ((), 0)
    pictures = "" if dataset is None else dataset.content_hash
    key = f"{FRESH} {model.model_dump_json()} {outputs} {data.image_size} {pictures}"
    return Eyes(key, preprocess_of(data, model), (), dataset, tests, tested, None, model, outputs)


def _eyes_of(run: Run) -> Eyes:
    card, dataset = run.card(), pictures_of(run)
    test = evaluation_or_none(run, "test")
    tests, tested = ((), 0) if dataset is None else _some_tests(dataset, run.config.data)
    if tests and test is not None:  # copies that were found since may have moved the split
        tests, tested = _sampled(test.indices), test.n
    preprocess = Preprocess.model_validate(card.preprocess)
    key = f"{run.id} {run.state.updated}"
    return Eyes(key, preprocess, card.classes, dataset, tests, tested, run, card.model, len(card.classes))


def _some_tests(dataset: Dataset, data: DataConfig) -> tuple[tuple[int, ...], int]:
    try:
        test = parts_of(dataset, data)["test"]
    except UserMistake:
        test = np.arange(dataset.used)
    return _sampled(test), len(test)


def _sampled(indices: np.ndarray) -> tuple[int, ...]:
    """At most SAMPLE of them, the same every time."""
    return tuple(int(place) for place in np.random.default_rng(0).permutation(indices)[:SAMPLE])


def _pick_picture(eyes: Eyes) -> tuple[bytes, str] | None:
    """(content, name) of what was dropped, else of the test picture that was clicked, else of the first one."""
    given = st.file_uploader(
        "Your picture",
        type=ENDINGS,
        key="walk.picture",
        max_upload_size=max(1, load_limits().picture_bytes // 2**20),
        help="Drop one, or paste it with Ctrl+V.",
    )
    if given is not None:
        return given.getvalue(), given.name
    if eyes.dataset is None or not eyes.tests:
        if eyes.run is not None:
            st.caption("The pictures of this run are no longer there; drop one of your own.")
        return None
    told = "Or one of the test pictures."
    index = pick_offered(told, "Walk", eyes.dataset, eyes.tests, eyes.dataset.content_hash, "walk.")
    index = eyes.tests[0] if index is None else index
    return eyes.dataset.original(index), str(eyes.dataset.names[index])


# ----------------------------------------------------------------------------------------------------- computing


@st.cache_resource(max_entries=2, show_spinner=False)
def _network(key: str, _eyes: Eyes) -> Any:
    from core.inference.predictor import load_model  # brings torch, which takes seconds: only when one asks
    from core.inference.walk import fresh_network, layer_by_layer

    if _eyes.run is not None:
        return layer_by_layer(load_model(_eyes.run))
    return fresh_network(_eyes.model, _eyes.outputs, _eyes.preprocess.image_size)


@st.cache_data(max_entries=12, show_spinner=False)
def _walk(key: str, digest: str, _eyes: Eyes, _received: np.ndarray) -> Any:
    from core.inference.walk import walk_picture

    return walk_picture(_network(key, _eyes), _received, _eyes.preprocess)


@st.cache_data(max_entries=20, show_spinner=False)
def _dead(key: str, places: tuple[int, ...], _eyes: Eyes) -> Any:
    from core.inference.walk import count_dead

    dataset = _eyes.dataset
    assert dataset is not None
    images = _sample(dataset.content_hash, places, _eyes.preprocess, dataset)
    return count_dead(_network(key, _eyes), images, _eyes.preprocess)


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


def _draw_head(eyes: Eyes, name: str, received: np.ndarray, walk: Any) -> None:
    """What the network received, and what a trained one answers."""
    size = received.shape[-1]
    with st.container(horizontal=True, gap="large", vertical_alignment="center", key="walk-head"):
        st.image(
            pixels_to_png(received, 160),
            width=160,
            caption=f"{escape(name.rpartition('/')[2], 24)}, received: {size} × {size}",
            alt=f"The {size} by {size} pixels that the network received of {escape(name, 60)}",
        )
        if not eyes.classes:
            st.caption(
                "It has not been trained on these pictures yet. Choose a run on the left to see what training makes of "
                "its weights.",
                width="stretch",
            )
            return
        ranked = sorted(zip(eyes.classes, walk.probabilities.tolist(), strict=True), key=lambda one: -one[1])
        st.plotly_chart(
            probability_figure(ranked, class_colours(eyes.classes)),
            key="walk.answer",
            config=PLOTLY_CONFIG,
            alt=f"{ranked[0][0]} with {ranked[0][1]:.0%}",
        )


def _draw_filters(filters: np.ndarray) -> None:
    if not len(filters) or filters[0, 0].size == 1:
        return
    top = max(float(np.abs(filters).max()), 1e-12)
    side = 44 if len(filters) <= 16 else 26
    tiles = "".join(tile(one, top, side, f"Filter {number}") for number, one in enumerate(filters, 1))
    head, told = filters_in_words(filters)
    st.html(
        f'{head}<div style="display:flex;flex-wrap:wrap;gap:6px;margin:0.5rem 0">{tiles}</div>'
        f'<div style="{SMALL}">{told}</div>'
    )


def _draw_layers(eyes: Eyes, walk: Any, units: dict[str, Any]) -> None:
    """The maps of the layers: of all, or where there are many of one group at a time."""
    shown = [layer for layer in walk.layers if layer.kind not in SILENT]
    if units:
        dead, all_units = sum(len(one.dead) for one in units.values()), sum(one.units for one in units.values())
        st.markdown(
            f"**Dead units** · {dead:,} of {all_units:,} ({dead / all_units:.0%}) do nothing for any of "
            f"{len(eyes.tests):,} test pictures{f' out of {eyes.tested:,}' if eyes.tested > len(eyes.tests) else ''}."
        )
    if len(shown) > ALL_AT_ONCE:
        groups = _groups(shown)
        titles = [group.title for group in groups]
        if st.session_state.get("walk.group") not in titles:
            st.session_state["walk.group"] = titles[0]
        picked = st.pills("Layers", titles, key="walk.group", required=True)
        names = {layer["name"] for group in groups if group.title == picked for layer in group.layers}
        shown = [layer for layer in shown if layer.name in names]
    more = any(layer.maps.shape[0] > FEW for layer in shown) and st.toggle(
        f"Up to {MORE} maps of each layer instead of {FEW}", key="walk.more", persist_state="session"
    )
    st.caption("Grey is zero, brighter is more, darker is less; each layer has its own scale.")
    for layer in shown:
        _draw_layer(layer, units.get(layer.name), MORE if more else FEW)


def _groups(layers: Sequence[Any]) -> list[Group]:
    learns = ("Conv2d", "Linear")
    return group_layers(
        [
            {"name": layer.name, "kind": layer.kind, "output_shape": layer.shape, "parameters": layer.kind in learns}
            for layer in layers
        ]
    )


def _draw_layer(layer: Any, units: Any, most: int) -> None:
    of_maps = len(layer.shape) == 3
    count = layer.shape[0]
    drawn = layer.maps[:most]
    rest = f", the first {len(drawn)}" if of_maps and count > len(drawn) else ""
    told = f"<b>{layer.name}</b> · {layer.kind} · {size_of(layer.shape)}{rest}"
    if of_maps:
        body = _maps(drawn, layer.name)
    else:
        body = _picture(_png(layer.maps[0]), None, 22, f"The {count} numbers of {layer.name}")
    curve = ""
    if layer.curve is not None:
        curve = f'<div style="flex:0 0 {CURVE[0]}px">{_curve(layer.curve, layer.name)}{_told(layer, units)}</div>'
    with st.container(border=True, key=f"walked-{layer.name}"):
        st.html(
            f'{told}<div style="display:flex;flex-wrap:wrap;gap:20px;margin-top:0.5rem">'
            f'<div style="flex:1 1 300px;min-width:0">{body}</div>{curve}</div>'
        )


def _maps(maps: np.ndarray, name: str) -> str:
    side = 56 if maps.shape[0] <= FEW else 38
    tiles = "".join(_picture(_png(one), side, side, f"Map {number} of {name}") for number, one in enumerate(maps, 1))
    return f'<div style="display:flex;flex-wrap:wrap;gap:6px">{tiles}</div>'


def _told(layer: Any, units: Any) -> str:
    """What the activation does to this picture's values, and which of its units are dead."""
    before = layer.curve.before
    below = before[: len(before) // 2].sum() / max(1, before.sum())
    lines = [f"{below:.0%} of the values come in below zero."]
    if units is not None:
        kind = "maps" if len(layer.shape) == 3 else "units"
        if units.dead:
            first = ", ".join(str(place + 1) for place in units.dead[:12])
            lines.append(
                f"<b>{len(units.dead)} of {units.units} {kind} are dead</b>: {first}"
                f"{' …' if len(units.dead) > 12 else ''}."
            )
        else:
            lines.append(f"None of the {units.units} {kind} is dead.")
    return f'<div style="font-size:0.8rem;opacity:0.75">{" ".join(lines)}</div>'


def _curve(curve: Any, name: str) -> str:
    """The function as a line, the values before it as bars along the bottom and those after it along the left."""
    width, height = CURVE
    left, bottom, right, top = 34, height - 18, width - 6, 6
    x_low, x_high = float(curve.x[0]), float(curve.x[-1])
    y_low, y_high = curve.after_range
    y_high = y_high if y_high > y_low else y_low + 1

    def across(x: float) -> float:
        return left + (right - left) * (x - x_low) / (x_high - x_low)

    def up(y: float) -> float:
        return bottom - (bottom - top) * (y - y_low) / (y_high - y_low)

    bars = []
    step = (right - left) / len(curve.before)
    tallest = max(1, curve.before.max())
    for place, many in enumerate(curve.before):
        tall = 0.55 * (bottom - top) * many / tallest
        bars.append(_bar(left + place * step, bottom - tall, step, tall, CALM))
    step, longest = (bottom - top) / len(curve.after), max(1, curve.after.max())
    for place, many in enumerate(curve.after):
        long = 0.35 * (right - left) * many / longest
        bars.append(_bar(left, bottom - (place + 1) * step, long, step, BLOCK))
    points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(curve.x, curve.y, strict=True))
    axes = (
        f'<path d="M{across(0):.1f} {top}V{bottom}M{left} {up(0):.1f}H{right}" stroke="{CALM}" stroke-width="0.7" '
        f'stroke-dasharray="2 3" fill="none"/><path d="M{left} {top}V{bottom}H{right}" stroke="{CALM}" fill="none"/>'
    )
    words = "".join(
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="10" font-family="sans-serif" '
        f'fill="#7b8794">{told}</text>'
        for x, y, anchor, told in (
            (left, height - 5, "start", _number(x_low)),
            (across(0), height - 5, "middle", "0"),
            (right, height - 5, "end", _number(x_high)),
            (left - 4, bottom, "end", _number(y_low)),
            (left - 4, top + 8, "end", _number(y_high)),
        )
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{"".join(bars)}{axes}'
        f'<polyline points="{points}" fill="none" stroke="{ACCENT}" stroke-width="2.2"/>{words}</svg>'
    )
    alt = f"The curve of {name}, with how many values lie where before and after it"
    content = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{content}" alt="{alt}" width="{width}" height="{height}">'


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}" fill-opacity="0.5"/>'
    )


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


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
