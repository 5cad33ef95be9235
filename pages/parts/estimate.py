"""Before the start: how long a run would take, how large its network is, and how much memory it needs."""

import time
from typing import Any

import psutil
import streamlit as st

from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.images import fingerprint_of
from core.data.store import preprocess_of
from core.errors import UserMistake
from core.runs.probes import CROWDED, Probe, ask_probe, find_probe, judge_estimate, known_speed
from core.runs.run import read_run
from pages.parts.cached import live_runs, runs
from pages.parts.escape import escape
from pages.parts.frame import boundary
from pages.parts.planning import part_counts
from pages.parts.words import span

WISH = "estimate.wish"  # (what is asked about, since when it has not moved)
CALM_SECONDS = 0.8  # without a change before anything is asked: a slider on its way asks nothing
TICK_SECONDS = 0.4
JUDGED = 5  # runs that are looked at for one whose estimate can be checked


def draw_estimate(dataset: Dataset, config: RunConfig) -> None:
    """One line; where the speed is not known yet, it is measured in the background while the person looks on."""
    probe = find_speed(dataset, config)
    with st.container(gap=None, key="estimate"):
        if not (probe is not None and probe.ended) and not live_runs():
            st.fragment(_ask, run_every=TICK_SECONDS)(dataset, config)
            return
        with st.container(gap=None):  # a block in its place, as the fragment is one
            if probe is not None and probe.ended:
                _draw_answer(probe, config)
            else:
                _draw_known(dataset, config)


@boundary()
def _ask(dataset: Dataset, config: RunConfig) -> None:
    """Ask once the settings have come to rest, and draw the page once more with the answer."""
    probe = ask_when_calm(WISH, dataset, config, at_once=find_speed(dataset, config) is not None)
    if probe is not None and probe.ended:
        st.rerun()
    share = f" {probe.done / probe.total:.0%}" if probe is not None and probe.total else " …"
    st.caption(f":material/timer: Measuring how fast this machine is{share}")


def find_speed(dataset: Dataset, config: RunConfig) -> Probe | None:
    return find_probe("speed", config, _fingerprint(dataset, config))


def ask_when_calm(wish: str, dataset: Dataset, config: RunConfig, at_once: bool = False) -> Probe | None:
    """Ask for the speed once the settings have come to rest, or at once; None until then, and while too many ask.

    wish: the name under which the session's state has what is asked about, and since when it has not moved.
    """
    fingerprint = _fingerprint(dataset, config)
    before, since = st.session_state.get(wish, ("", 0.0))
    asked = f"{fingerprint} {config.model_dump_json()}"
    if before != asked:
        since = time.monotonic()
        st.session_state[wish] = (asked, since)
    if not at_once and time.monotonic() - since <= CALM_SECONDS:
        return None
    try:
        return ask_probe("speed", config, fingerprint)
    except UserMistake:
        return None  # many ask at once: in a moment again


def _fingerprint(dataset: Dataset, config: RunConfig) -> str:
    return fingerprint_of(dataset.content_hash, preprocess_of(config.data))


def _draw_answer(probe: Probe, config: RunConfig) -> None:
    if probe.answer is None:
        st.caption(f":material/timer_off: How long it takes is not known: {escape(probe.message, 300)}")
        return
    answer = probe.answer
    told = [
        _times(answer, config),
        f"{answer['parameters']:,} parameters",
        f"{answer['memory_bytes'] / 1e9:.1f} GB",
    ]
    if _is_crowded(answer):
        told.append("other programs were busy meanwhile")
    st.caption(":material/timer: " + " · ".join(told), help=_how(answer))
    free = psutil.virtual_memory().available
    if answer["memory_bytes"] > free:
        st.caption(
            f":red[:material/memory:] It needs about {answer['memory_bytes'] / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free: try a smaller batch or image size."
        )


def _draw_known(dataset: Dataset, config: RunConfig) -> None:
    """While a run trains nothing is measured: that would disturb it, and be wrong."""
    known = known_of(dataset, config)
    if known is None:
        st.caption(":material/timer: How long it takes is measured when no run trains any more.")
        return
    told = f"{_times(known, config)} by run {known['run'][-4:]}"
    st.caption(
        f":material/timer: {told}",
        help="From a finished run with the same network, image size, batch and augmentation. While a run trains "
        "nothing is measured.",
    )


def known_of(dataset: Dataset, config: RunConfig) -> dict[str, Any] | None:
    """What a finished run says, as known_speed gives it."""
    counts = part_counts(dataset.content_hash, config.data.model_dump_json(), dataset)
    pictures = tuple((part, sum(numbers)) for part, numbers in counts.items())
    return _known_from(config.model_dump_json(), pictures, len(runs(hidden=True)))


@st.cache_data(max_entries=100, show_spinner=False)
def _known_from(config: str, pictures: tuple[tuple[str, int], ...], count: int) -> dict[str, Any] | None:
    """known_speed, looked up once for as long as there are `count` runs."""
    return known_speed(RunConfig.model_validate_json(config), dict(pictures))


def _times(answer: dict[str, Any], config: RunConfig) -> str:
    """'**About 2 min 10 s**, 2.6 s an epoch'; with early stopping it may be less."""
    whole = f"At most {span(answer['seconds'])}" if config.train.patience else f"About {span(answer['seconds'])}"
    return f"**{whole}**, {epoch_in_words(answer['seconds_per_epoch'])} an epoch"


def epoch_in_words(seconds: float) -> str:
    return "under 0.1 s" if seconds < 0.1 else span(seconds)


def _is_crowded(answer: dict[str, Any]) -> bool:
    return bool((answer.get("others") or 0.0) > CROWDED)


def _how(answer: dict[str, Any]) -> str:
    """Where the numbers come from, and how good the last ones were."""
    told = [
        f"{answer['batches']:,} batches were timed on this machine: {answer['images_per_second']:,.0f} pictures a "
        f"second, {answer['multiply_adds'] / 1e6:,.2f} million multiply-adds each. An epoch includes the pass over the "
        "validation part; in all also the start, and the answers to every picture at the end."
    ]
    if _is_crowded(answer):
        told.append(
            f"Other programs took {answer['others']:.0%} of the processors meanwhile. On a quiet machine it is faster; "
            "in a minute it is measured again."
        )
    if last := _last_judged():
        told.append(last)
    return "\n\n".join(told)


def _last_judged() -> str:
    """How far the newest estimate was off that a run has put to the test; "" where none has."""
    for run in [run for run in runs(hidden=True) if run.state.status == "done"][:JUDGED]:
        judged = _judged(run.id, run.state.updated)
        if judged:
            estimated, took = judged
            return (
                f"Run {run.id[-4:]}: estimated {span(estimated)}, took {span(took)} "
                f"({abs(estimated - took) / took:.0%} too {'long' if estimated > took else 'short'})."
            )
    return ""


@st.cache_data(max_entries=100, show_spinner=False)
def _judged(run_id: str, updated: str) -> tuple[float, float] | None:
    return judge_estimate(read_run(run_id))
