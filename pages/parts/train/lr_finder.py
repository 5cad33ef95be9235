"""The learning-rate finder: the loss under a rising learning rate, and a suggestion to use with one click."""

from typing import Any

import streamlit as st

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.data.store.store import store_fingerprint
from core.errors import UserMistake
from core.probes.probes import Probe, ask_probe, cancel_probe, find_probe
from pages.parts.form.run_form import set_field
from pages.parts.shell.cache import live_runs
from pages.parts.shell.escape import escape
from pages.parts.shell.frame import boundary
from pages.parts.shell.theme import BLOCK, CALM

REQUESTED = "finder.requested"  # id of the probe whose button was pressed
TICK_SECONDS = 0.5
PANEL = 400  # pixels: as wide whatever it shows
BATCH, MEAN = "each batch", "running mean"
COLOURS = {BATCH: CALM, MEAN: BLOCK}  # both are seen on light and on dark


def draw_finder(dataset: Dataset, config: RunConfig) -> None:
    """A small button that opens the finder; only its own panel moves while it works."""
    fingerprint = store_fingerprint(dataset, config.data)
    probe = find_probe("rate", config, fingerprint)
    live = probe is not None and not probe.ended and st.session_state.get(REQUESTED) == probe.id
    label = "Find a learning rate"
    if probe is not None and probe.answer and probe.answer["suggestion"]:
        label = f"Suggested: {probe.answer['suggestion']:g}"
    popover = st.popover(label, icon=":material/show_chart:", type="tertiary", key="finder")
    with popover, st.container(width=PANEL, gap="small"):
        st.fragment(_panel, run_every=TICK_SECONDS if live else None)(config, fingerprint)


@boundary()
def _panel(config: RunConfig, fingerprint: str) -> None:
    probe = find_probe("rate", config, fingerprint)
    pressed = probe is not None and st.session_state.get(REQUESTED) == probe.id
    if probe is None or not (pressed or probe.ended):
        _draw_offer(config, fingerprint)
    elif probe.ended:
        if pressed:
            del st.session_state[REQUESTED]
            st.rerun()  # the interval ends, and the button outside shows the suggestion
        _draw_answer(probe, config, fingerprint)
    else:
        # asked again, so that the supervisor knows that somebody still waits for it
        _draw_progress(ask_probe("rate", config, fingerprint))


def _draw_offer(config: RunConfig, fingerprint: str) -> None:
    st.caption(
        "Trains a network with fresh weights for about 100 batches, each with a higher rate, and shows where the loss "
        "falls. It takes some seconds and touches no run."
    )
    if st.button("Try rates", icon=":material/play_arrow:", key="finder.start", width="stretch"):
        _start(config, fingerprint)


def _start(config: RunConfig, fingerprint: str) -> None:
    try:
        st.session_state[REQUESTED] = ask_probe("rate", config, fingerprint).id
    except UserMistake as mistake:
        st.caption(f":red[:material/block:] {escape(mistake, 300)}")
        return
    st.rerun()


def _draw_progress(probe: Probe) -> None:
    if probe.status == "waiting":
        text = "Waits until no run trains any more." if live_runs() else "Starts in a moment."
        st.progress(0.0, text=text)
    else:
        st.progress(min(1.0, probe.done / max(1, probe.total)), text=escape(probe.message, 100))
    if st.button("Stop", icon=":material/stop:", key="finder.stop"):
        cancel_probe(probe.id)
        st.session_state.pop(REQUESTED, None)
        st.rerun()


def _draw_answer(probe: Probe, config: RunConfig, fingerprint: str) -> None:
    answer = probe.answer
    if answer is None:
        st.caption(f":red[:material/error:] {escape(probe.message, 300)}")
    else:
        suggestion = answer["suggestion"]
        st.echarts_chart(rate_options(answer), key="finder.curve", height=210, alt=in_words(answer))
        if suggestion is None:
            st.caption("The loss fell at no rate, so there is nothing to suggest. A larger batch may help.")
        else:
            taken = config.train.learning_rate == suggestion
            if st.button(
                "In use" if taken else f"Use {suggestion:g}",
                icon=":material/check:",
                type="primary",
                key="finder.use",
                width="stretch",
                disabled=taken,
                on_click=set_field,
                args=("train.learning_rate", suggestion),
            ):
                st.rerun()  # the form is drawn with it
            st.caption(
                f"At **{suggestion:g}** half of the fall is done. Above {answer['high']:.2g} the loss rises again. "
                "Other seeds move this by up to a factor of two."
            )
    if st.button("Try again", icon=":material/refresh:", type="tertiary", key="finder.again"):
        cancel_probe(probe.id)
        _start(config, fingerprint)


def rate_options(answer: dict[str, Any]) -> dict[str, Any]:
    """ECharts option: the loss over the learning rate on a logarithmic axis, with the suggestion marked.

    Where the loss explodes the curve leaves the chart: what counts is where it falls.
    """
    rates, suggestion = answer["rates"], answer["suggestion"]
    finite = [loss for loss in answer["smoothed"] if loss is not None]
    top = 1.25 * max(finite[: max(1, len(finite) // 5)])
    mean = _line(MEAN, rates, answer["smoothed"], {"width": 2.5})
    if suggestion is not None:
        mean["markLine"] = {
            "silent": True,
            "symbol": "none",
            "animation": False,
            "lineStyle": {"color": COLOURS[MEAN], "type": "dashed", "width": 1.5},
            "label": {"formatter": f"{suggestion:g}", "position": "end", "color": COLOURS[MEAN]},
            "data": [{"xAxis": suggestion}],
        }
    return {
        "animation": False,
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "legend": {"bottom": 0, "icon": "roundRect", "itemHeight": 3, "itemWidth": 16},
        "grid": {"left": 8, "right": 20, "top": 24, "bottom": 52, "containLabel": True},
        "xAxis": {
            "type": "log",
            "name": "learning rate",
            "nameLocation": "middle",
            "nameGap": 26,
            "min": rates[0],
            "max": rates[-1],
            "axisLabel": {"hideOverlap": True},
            "splitLine": {"show": False},
        },
        "yAxis": {"type": "value", "scale": True, "max": round(top, 1), "splitNumber": 4},
        "series": [_line(BATCH, rates, answer["losses"], {"width": 1, "opacity": 0.6}), mean],
    }


def _line(name: str, rates: list[float], losses: list[float | None], style: dict[str, Any]) -> dict[str, Any]:
    points = [
        [float(f"{rate:.3g}"), None if loss is None else round(loss, 4)]
        for rate, loss in zip(rates, losses, strict=True)
    ]
    return {
        "type": "line",
        "name": name,
        "data": points,
        "showSymbol": False,
        "color": COLOURS[name],
        "lineStyle": style,
    }


def in_words(answer: dict[str, Any]) -> str:
    """The curve as text, for screen readers."""
    text = f"Loss over learning rates from {answer['rates'][0]:g} to {answer['rates'][-1]:g}"
    if answer["suggestion"] is None:
        return f"{text}; it does not fall"
    falls = f"it falls from {answer['low']:.2g} on and is lowest at {answer['high']:.2g}"
    return f"{text}; {falls}; {answer['suggestion']:g} is suggested"
