"""The presets as cards: what each takes on these pictures, and what it reaches."""

from collections.abc import Callable, Sequence

import streamlit as st

from core.config import RunConfig
from core.data.datasets.dataset import Dataset
from core.display_names import display_name
from core.fields import same_but_for_the_seed
from core.presets import MEASURED, MEASURED_ON_ARTWORKS
from pages.parts.form.estimate import TICK_SECONDS, find_speed, known_seconds, request_speed
from pages.parts.shell.cache import live_runs, runs, score_of
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import percent, span
from pages.parts.shell.frame import boundary

KEY = "form.preset"
MEASURING = "presets.measuring"  # whether somebody asked for the time of every preset
# a radio group, which is one tab stop, drawn as cards
STYLE = (
    "<style>.st-key-form-preset [role=radiogroup] { display: grid; gap: 0.4rem; width: 100%; "
    "grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }"
    ".st-key-form-preset [role=radiogroup] > * { margin: 0; padding: 0.4rem 0.6rem; border-radius: 0.5rem; "
    "border: 1px solid rgba(128, 128, 128, 0.45); align-items: flex-start; }"
    ".st-key-form-preset [role=radiogroup] > *:has(input:checked) { border-color: #1d4ed8; "
    "box-shadow: inset 0 0 0 1px #1d4ed8; }</style>"
)


def draw_cards(configs: dict[str, RunConfig], dataset: Dataset, help: str, changed: Callable[[], None]) -> str:
    """The chosen one of the presets, each fitted to the dataset; `changed` is called when another one is chosen."""
    st.html(STYLE)
    names = list(configs)
    seconds = {name: known_seconds(dataset, config) for name, config in configs.items()}
    chosen = st.radio(
        "Preset",
        names,
        format_func=lambda name: escape(display_name("preset", name)),
        captions=[describe(configs[name], seconds[name]) for name in names],
        key=KEY,
        persist_state="session",
        on_change=changed,
        help=help,
        width="stretch",
    )
    if st.session_state.get(MEASURING) and not live_runs():
        st.fragment(_measure, run_every=TICK_SECONDS)(dataset, [configs[name] for name in names])
    elif not live_runs() and None in seconds.values():
        st.button(
            "Measure the time of each", key="presets.measure", icon=":material/timer:", type="tertiary", on_click=_begin
        )
    return chosen or names[0]


def describe(config: RunConfig, seconds: float | None) -> str:
    """'12 s · 92.3 % here': the time of a whole run, where it is known, and the accuracy of a run, or as measured."""
    words = [] if seconds is None else [f"about {span(seconds)}"]
    return " · ".join([*words, _accuracy(config)])


def _accuracy(config: RunConfig) -> str:
    """Of the newest finished run with these settings, on these pictures, whatever its seed; else as measured."""
    for run in runs(hidden=True):
        alike = run.config.preset == config.preset and same_but_for_the_seed(run.config, config)
        if run.state.status == "done" and alike:
            right, n = score_of(run)
            if n:
                return f"{percent(right / n)} % of {n:,} here"
    for measured, pictures in ((MEASURED, "CIFAR-10"), (MEASURED_ON_ARTWORKS, "5,400 artworks")):
        if config.preset in measured:
            return f"{measured[config.preset]:.0f} % on {pictures}"
    return "accuracy not measured yet"


def _begin() -> None:
    st.session_state[MEASURING] = True


@boundary()
def _measure(dataset: Dataset, configs: Sequence[RunConfig]) -> None:
    """Have one after the other measured; the page is drawn anew with each answer."""
    probes = [find_speed(dataset, config) for config in configs]
    ended = sum(probe is not None and probe.ended for probe in probes)
    if ended == len(configs):
        st.session_state[MEASURING] = False
        st.rerun()
    todo = next(config for config, probe in zip(configs, probes, strict=True) if probe is None or not probe.ended)
    probe = request_speed("presets.pending", dataset, todo, at_once=True)
    if probe is not None and probe.ended:
        st.rerun()
    st.caption(f":material/timer: Measuring: {ended} of {len(configs)}, {display_name('preset', todo.preset)} now")
