"""Before the start: how long a run would take, how large its network is, and how much memory it needs."""

import time
from typing import Any

import psutil
import streamlit as st

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.data.store.store import store_fingerprint
from core.errors import UserMistake
from core.glossary import TERMS
from core.probes.estimates import EstimateQuality, estimate_quality, known_speed
from core.probes.probes import CROWDED, Probe, ask_probe, find_probe
from pages.parts.form.split_counts import part_counts
from pages.parts.shell.cache import live_runs, runs
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import span
from pages.parts.shell.frame import boundary

PENDING = "estimate.pending"  # (the settings as text, since when they have not changed)
SETTLED_SECONDS = 0.8  # without a change before the speed is measured: a slider on its way starts nothing
TICK_SECONDS = 0.4


def draw_estimate(dataset: Dataset, config: RunConfig) -> None:
    """One line; where the speed is not known yet, it is measured in the background. Below it how good the last
    estimates were."""
    place = st.container(gap=None)
    with st.container(gap=None):
        draw_quality()
    with place:
        _draw_estimate(dataset, config)


def _draw_estimate(dataset: Dataset, config: RunConfig) -> None:
    probe = find_speed(dataset, config)
    with st.container(gap=None, key="estimate"):
        if not (probe is not None and probe.ended) and not live_runs():
            st.fragment(_measure, run_every=TICK_SECONDS)(dataset, config)
            return
        with st.container(gap=None):  # a block in its place, as the fragment is one
            if probe is not None and probe.ended:
                _draw_answer(probe, config)
            else:
                _draw_known(dataset, config)


@boundary()
def _measure(dataset: Dataset, config: RunConfig) -> None:
    """Measure once the settings have settled, and draw the page again with the answer."""
    probe = request_speed(PENDING, dataset, config, at_once=find_speed(dataset, config) is not None)
    if probe is not None and probe.ended:
        st.rerun()
    share = f" {probe.done / probe.total:.0%}" if probe is not None and probe.total else " …"
    st.caption(f":material/timer: Measuring how fast this machine is{share}")


def find_speed(dataset: Dataset, config: RunConfig) -> Probe | None:
    return find_probe("speed", config, _fingerprint(dataset, config))


def request_speed(key: str, dataset: Dataset, config: RunConfig, at_once: bool = False) -> Probe | None:
    """Have the speed measured once the settings have settled, or at once; None until then, and while too many wait.

    key: where the session's state holds the settings, and since when they have not changed.
    """
    fingerprint = _fingerprint(dataset, config)
    before, since = st.session_state.get(key, ("", 0.0))
    settings = f"{fingerprint} {config.model_dump_json()}"
    if before != settings:
        since = time.monotonic()
        st.session_state[key] = (settings, since)
    if not at_once and time.monotonic() - since <= SETTLED_SECONDS:
        return None
    try:
        return ask_probe("speed", config, fingerprint)
    except UserMistake:
        return None  # many are waiting: it is tried again in a moment


def _fingerprint(dataset: Dataset, config: RunConfig) -> str:
    return store_fingerprint(dataset, config.data)


def _draw_answer(probe: Probe, config: RunConfig) -> None:
    if probe.answer is None:
        st.caption(f":material/timer_off: How long it takes is not known: {escape(probe.message, 300)}")
        return
    answer = probe.answer
    words = [
        _times(answer, config),
        f"{answer['parameters']:,} parameters",
        f"{answer['memory_bytes'] / 1e9:.1f} GB",
    ]
    if _is_crowded(answer):
        words.append("other programs were busy meanwhile")
    st.caption(":material/timer: " + " · ".join(words), help=_explain(answer))
    free = psutil.virtual_memory().available
    if answer["memory_bytes"] > free:
        st.caption(
            f":red[:material/memory:] It needs about {answer['memory_bytes'] / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free: try a smaller batch or image size."
        )


def _draw_known(dataset: Dataset, config: RunConfig) -> None:
    """While a run trains nothing is measured: it would slow that run down, and the result would be wrong."""
    known = speed_of_finished_run(dataset, config)
    if known is None:
        st.caption(":material/timer: How long it takes is measured when no run trains any more.")
        return
    st.caption(
        f":material/timer: {_times(known, config)} by run {known['run'][-4:]}",
        help="From a finished run with the same network, image size, batch and augmentation. While a run trains "
        f"nothing is measured.\n\n{TERMS['Parts']}",
    )


def speed_of_finished_run(dataset: Dataset, config: RunConfig) -> dict[str, Any] | None:
    """The speed of a finished run with the same settings, as known_speed gives it."""
    counts = part_counts(dataset.content_hash, config.data.model_dump_json(), dataset)
    pictures = tuple((part, sum(numbers)) for part, numbers in counts.items())
    return _known_from(config.model_dump_json(), pictures, len(runs(hidden=True)))


@st.cache_data(max_entries=100, show_spinner=False)
def _known_from(config: str, pictures: tuple[tuple[str, int], ...], count: int) -> dict[str, Any] | None:
    """known_speed, looked up once for as long as there are `count` runs."""
    return known_speed(RunConfig.model_validate_json(config), dict(pictures))


def _times(answer: dict[str, Any], config: RunConfig) -> str:
    """'**About 2 min 10 s**, 2.6 s an epoch'; with early stopping it may be less."""
    about = "At most" if config.train.patience else "About"
    return f"**{about} {span(answer['seconds'])}**, {epoch_in_words(answer['seconds_per_epoch'])} an epoch"


def epoch_in_words(seconds: float) -> str:
    return "under 0.1 s" if seconds < 0.1 else span(seconds)


def _is_crowded(answer: dict[str, Any]) -> bool:
    return bool((answer.get("others") or 0.0) > CROWDED)


def _explain(answer: dict[str, Any]) -> str:
    """Where the numbers come from, and what the parts above are for: one help, so that no two have the same name."""
    sentences = [
        f"{answer['batches']:,} batches were timed on this machine: {answer['images_per_second']:,.0f} pictures a "
        f"second, {answer['multiply_adds'] / 1e6:,.2f} million multiply-adds each. An epoch includes the pass over the "
        "validation part; the total also the start, and the evaluation of every part at the end."
    ]
    if _is_crowded(answer):
        sentences.append(
            f"Other programs took {answer['others']:.0%} of the processors meanwhile. On a quiet machine it is faster; "
            "in a minute it is measured again."
        )
    return "\n\n".join([*sentences, TERMS["Parts"]])


def known_seconds(dataset: Dataset, config: RunConfig) -> float | None:
    """Of a whole run, as it was measured or as a finished run with the same settings needed it; measures nothing."""
    probe = find_speed(dataset, config)
    if probe is not None and probe.answer is not None:
        return float(probe.answer["seconds"])
    known = speed_of_finished_run(dataset, config)
    return float(known["seconds"]) if known else None


def draw_quality() -> None:
    """How far the last estimates were off, in a line; nothing where no run can be judged."""
    quality = _quality(tuple((run.id, run.state.updated) for run in runs(hidden=True) if run.state.ended))
    if quality.pairs:
        estimated, taken = quality.pairs[0]
        st.caption(
            f":material/target: {quality.in_words[:1].upper()}{quality.in_words[1:]}; "
            f"the newest: {span(estimated)} told, {span(taken)} taken"
        )


@st.cache_data(max_entries=20, show_spinner=False)
def _quality(ended: tuple[tuple[str, str], ...]) -> EstimateQuality:
    """estimate_quality, looked up once for as long as the same runs have ended."""
    return estimate_quality(runs(hidden=True))
