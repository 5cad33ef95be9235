"""Why: which places of the picture speak for a class, over the original, and whether that map can be believed."""

from typing import TYPE_CHECKING

import streamlit as st
from PIL import Image

from core.data.pictures.viewer import read_original, show_picture
from core.display_names import display_name
from core.errors import UserMistake
from core.experiments.audits.explanations import UNMEASURED, ExplanationAudit, read_explanations
from core.inference.heat_map import OPACITY, draw_heat_map
from core.inference.in_words import describe_answer, describe_map, describe_neighbours
from core.jobs.dataset_job import DatasetJob
from core.runs.run import Run
from pages.parts.shell.cache import pixels_to_png
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary
from pages.parts.try_it.answers import answer, nearest, novelty_of, predict
from pages.parts.try_it.given import GivenPicture
from pages.parts.try_it.pictures import encoded
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.loaded_network import explainer_of, predictor_of
from pages.parts.widgets.prediction_grid import pictures_of

if TYPE_CHECKING:
    from core.inference.attribution import Attribution, Explainer, Method
    from core.inference.predictor import Prediction

NAMED = 40  # characters of a class name in a sentence
SHOWN = 640  # pixels of the longest side on the page
MEASURES = JobLabels(
    "Measure which explanation can be trusted", ":material/query_stats:", {"explaining": "Explaining"}, primary=False
)


def draw_explanation(run: Run, picture: GivenPicture) -> None:
    """The map with its choices, and how good each method was measured to be for this network."""
    prediction = predict(run, picture)
    if prediction.received is None:
        st.caption("There is nothing to explain: the picture could not be read.")
        return
    audit = read_explanations(run)
    st.fragment(_draw_map)(run, picture, prediction, audit)
    _draw_measured(run, audit)


@boundary()
def _draw_map(run: Run, picture: GivenPicture, prediction: "Prediction", audit: ExplanationAudit | None) -> None:
    assert prediction.received is not None, picture.name
    words, pictures = st.container(gap="xsmall"), st.container()
    method, target, layer, opacity = _choose(run, picture.sha256[:12], prediction, explainer_of(run), audit)
    name = run.classes[target]
    with words:
        with st.spinner("Computing the map …", show_time=False):
            found = _attribution(
                run.id, run.state.updated, picture.sha256, method, target, layer, run, prediction.received
            )
        said = answer(run, picture)
        likeness = _describe_likeness(run, picture, said.ranked[0][0])
        ranked = [(shown(one, NAMED), share) for one, share in said.ranked]
        st.markdown(escape(f"{describe_answer(ranked)} {describe_map(found.map, shown(name, NAMED))} {likeness}", 800))
        _draw_trust(method, audit)
    with pictures:
        over, received = st.columns([4, 3], gap="medium")
    with over:
        _draw_over(run, picture, found, name, opacity)
    with received:
        size = prediction.received.shape[-1]
        st.image(
            pixels_to_png(prediction.received, 320),
            width="stretch",
            caption=f"What the network received: {size} × {size} pixels. {_resolution(found)}",
            alt=f"The {size} by {size} pixels that the network received",
        )


def _describe_likeness(run: Run, picture: GivenPicture, answered: str) -> str:
    """What its nearest training pictures are; "" where nobody has looked yet."""
    try:
        found = nearest(run, picture) if novelty_of(run) is not None else []
    except UserMistake:
        return ""
    return describe_neighbours([shown(one.class_name, NAMED) for one in found], shown(answered, NAMED))


def _draw_over(run: Run, picture: GivenPicture, found: "Attribution", name: str, opacity: float) -> None:
    """The map over the original, and the same at the original's own resolution to take along."""
    preprocess = predictor_of(run).preprocess
    st.image(
        encoded(draw_heat_map(_shown(picture.sha256, picture.content), found.map, preprocess, opacity), "JPEG"),
        width="stretch",
        caption=f"The brighter, the more a place speaks for {escape(name, 40)}.",
        alt=f"Which places of {shown(picture.name, 60)} speak for {shown(name, 40)}",
    )
    st.download_button(
        "At its own resolution (PNG)",
        lambda: encoded(draw_heat_map(read_original(picture.content), found.map, preprocess, opacity), "PNG"),
        "explanation.png",
        "image/png",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="explanation.png",
    )


def _choose(
    run: Run, picture_id: str, prediction: "Prediction", explainer: "Explainer", audit: ExplanationAudit | None
) -> tuple["Method", int, str, float]:
    """Method, index of the class, layer of Grad-CAM ("" for the usual one) and opacity 0..1."""
    methods = [method for method, why_not in explainer.methods.items() if not why_not]
    best = audit.best if audit else UNMEASURED
    method = st.segmented_control(
        "Method",
        methods,
        default=best if best in methods else methods[0],
        required=True,
        format_func=lambda one: display_name("attribution", one) + (" ★" if audit and one == best else ""),
        key=f"why.method.{run.id}.{bool(audit)}",
        help="★ measured best for this network." if audit else None,
    )
    for other, why_not in explainer.methods.items():
        if why_not:
            st.caption(f"{display_name('attribution', other)} does not apply: {why_not}")
    ranked = [name for name, _ in prediction.classes]
    key = f"why.class.{picture_id}.{run.id}"
    with st.grid(min_column_width=180, gap="medium"):
        name = st.selectbox("What speaks for", ranked, format_func=lambda one: shown(one, 60), key=key)
        layer = _choose_layer(run, explainer) if method == "grad_cam" else ""
        opacity = st.slider("Opacity", 0.0, 1.0, OPACITY, 0.05, key="why.opacity")
    return method, run.classes.index(name), layer, opacity


def _choose_layer(run: Run, explainer: "Explainer") -> str:
    from core.inference.attribution_layers import default_layer

    layers = {layer.name: layer for layer in explainer.layers}
    usual = list(layers).index(default_layer(explainer.layers).name)
    return st.selectbox(
        "Layer",
        list(layers),
        index=usual,
        format_func=lambda name: f"{name} · {layers[name].resolution[0]} × {layers[name].resolution[1]} cells",
        key=f"why.layer.{run.id}",
        help="Later layers know more about classes, earlier ones more about places.",
    )


def _resolution(found: "Attribution") -> str:
    height, width = found.resolution
    side = found.map.shape[0]
    if (height, width) == (side, side):
        return "The map has a value for each of them."
    return f"The map has {height} × {width} cells over them, enlarged: it shows no finer detail."


def _draw_trust(method: str, audit: ExplanationAudit | None) -> None:
    name = display_name("attribution", method)
    if audit is None:
        st.caption(f"Whether {name} can be believed has not been measured for this network.")
    elif not audit.beats_random(method):
        st.warning(
            f"{name} is no better than a random order on {len(audit.indices)} pictures of this network: do not believe "
            "this map.",
            icon=":material/report:",
        )


def _draw_measured(run: Run, audit: ExplanationAudit | None) -> None:
    """The measured table in words, or the button that measures it."""
    dataset = pictures_of(run)
    if audit is not None:
        part = {"val": "validation", "test": "test"}[audit.part]
        lines = []
        for method in sorted(audit.methods, key=lambda one: -audit.difference(one).mean):
            gain = audit.difference(method)
            verdict = "" if audit.beats_random(method) else ", no better than chance"
            name = display_name("attribution", method)
            lines.append(f"{name} {gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f}{verdict})")
        st.caption(
            f"Measured on {len(audit.indices)} {part} pictures, gain over a random order with its 95 % interval: "
            f"{' · '.join(lines)}. Covering what matters most should end the answer soonest (deletion), uncovering it "
            "should bring it back soonest (insertion)."
        )
    elif dataset is not None:
        draw_job(DatasetJob("explanations", dataset, run.id), MEASURES)


@st.cache_data(max_entries=100, show_spinner=False)
def _attribution(
    run_id: str, updated: str, sha256: str, method: "Method", target: int, layer: str, _run: Run, _received: object
) -> "Attribution":
    return explainer_of(_run).attribute(_received, method, target, layer)  # type: ignore[arg-type]


@st.cache_data(max_entries=20, show_spinner=False)
def _shown(sha256: str, _content: bytes) -> Image.Image:
    picture = show_picture(_content, SHOWN // 2)
    if max(picture.size) < SHOWN:
        factor = SHOWN // max(picture.size)
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    picture.thumbnail((SHOWN, SHOWN), Image.Resampling.BICUBIC)
    return picture
