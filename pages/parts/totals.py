"""What a network costs, and how much more or less than another: parameters, work, memory, and seconds an epoch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.config import ModelConfig, RunConfig
from core.data.dataset import Dataset
from core.data.images import fingerprint_of
from core.data.store import preprocess_of
from core.errors import UserMistake
from core.runs.probes import ask_probe, find_probe
from pages.parts.cached import live_runs, runs
from pages.parts.escape import escape
from pages.parts.estimate import CALM_SECONDS, TICK_SECONDS, known_from
from pages.parts.frame import boundary
from pages.parts.network import Layer
from pages.parts.planning import part_counts
from pages.parts.words import span

SAME, WAITING = "as before", "not known yet"
WISH = "totals.wish"  # (what is asked about, since when it has not moved)
WEIGHT_BYTES = 12  # of a parameter in training: itself, its gradient and its momentum, 4 bytes each
MAP_BYTES = 8  # of a number that leaves a layer: itself, kept until its gradient comes, 4 bytes each


@dataclass(frozen=True)
class Totals:
    parameters: int
    work: int  # multiply-adds for one picture
    memory: int  # bytes in training, by its own numbers


def totals_of(layers: Sequence[Layer], batch: int) -> Totals:
    parameters = sum(layer["parameters"] for layer in layers)
    maps = sum(layer["memory"] for layer in layers) // 4
    return Totals(
        parameters,
        sum(layer["multiply_adds"] for layer in layers),
        WEIGHT_BYTES * parameters + MAP_BYTES * maps * batch,
    )


def draw_totals(now: Totals, before: Totals | None, batch: int, speed: tuple[Dataset, RunConfig, ModelConfig] | None):
    """Four numbers, each with its difference to `before`; speed: what is timed, and the network before."""
    with st.container(horizontal=True, key="totals"):
        _draw(
            "Parameters",
            f"{now.parameters:,}",
            _difference(now.parameters, before.parameters if before else None),
            "Numbers that training finds, each 4 bytes.",
        )
        _draw(
            "Multiply-adds",
            in_short(now.work),
            _difference(now.work, before.work if before else None),
            f"{now.work:,} multiplications, each with an addition, for one picture.",
        )
        _draw(
            "Memory in training",
            in_bytes(now.memory),
            _difference(now.memory, before.memory if before else None, in_bytes),
            f"For a batch of {batch}: 12 bytes a parameter (itself, its gradient, its momentum) and 8 bytes for each "
            "number that leaves a layer (itself, its gradient). The program itself takes some hundred MB more.",
        )
        if speed is not None:
            draw_speed(*speed)


def _draw(label: str, value: str, difference: str | None, told: str) -> None:
    arrow: Literal["auto", "off"] = "off" if difference in (SAME, WAITING) else "auto"
    st.metric(label, value, delta=difference, delta_color="off", delta_arrow=arrow, border=True, help=told)


def _difference(now: float, before: float | None, say: Callable[[float], str] | None = None) -> str | None:
    """'+12,345 (+15 %)'; None where there is nothing to hold it against. Streamlit's arrow knows a plain minus only."""
    if before is None:
        return None
    if now == before:
        return SAME
    share = f" ({(now - before) / before:+.0%})" if before and now < 10 * before else f" (× {now / before:,.0f})"
    return f"{'+' if now > before else '-'}{(say or in_short)(abs(now - before))}{share if before else ''}"


def in_short(number: float) -> str:
    """12,345 as it is; 3.1 M, 2.4 G."""
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:,.{1 if number < 100 * size else 0}f} {letter}"
    return f"{number:,.0f}"


def in_bytes(number: float) -> str:
    return f"{number / 2**30:,.1f} GB" if number >= 2**30 else f"{number / 2**20:,.1f} MB"


# -------------------------------------------------------------------------------------------------- seconds


def draw_speed(dataset: Dataset, config: RunConfig, before: ModelConfig) -> None:
    """Seconds an epoch with the settings of `config`, and how much longer than with the network `before`; measured in
    the background, one network after the other, while the person looks on."""
    wanted = [config] + [config.model_copy(update={"model": before})] * (before != config.model)
    found = [seconds_an_epoch(dataset, one) for one in wanted]
    asking = any(seconds is None and not why for seconds, why in found) and not live_runs()
    with st.container(width="stretch"):
        st.fragment(_speed, run_every=TICK_SECONDS if asking else None)(dataset, wanted, asking)


@boundary()
def _speed(dataset: Dataset, wanted: list[RunConfig], asking: bool) -> None:
    found = [seconds_an_epoch(dataset, one) for one in wanted]
    missing = [one for one, (seconds, why) in zip(wanted, found, strict=True) if seconds is None and not why]
    if asking and not missing:
        st.rerun()  # the clock stops
    if missing and asking:
        _ask(dataset, missing[0])
    (seconds, why), (earlier, _) = found[0], found[-1]
    _draw(
        "Seconds an epoch",
        "not known" if why else "…" if seconds is None else "under 0.1 s" if seconds < 0.1 else span(seconds),
        _slower(seconds, earlier) if len(wanted) > 1 else SAME,
        escape(why, 300) if why else _how(dataset, wanted[0], waits=seconds is None),
    )


def _slower(seconds: float | None, earlier: float | None) -> str:
    if seconds is None or earlier is None:
        return WAITING
    return f"{seconds - earlier:+.1f} s ({seconds / earlier - 1:+.0%})"


def _how(dataset: Dataset, config: RunConfig, waits: bool) -> str:
    told = (
        f"On {escape(dataset.name, 40)}, in batches of {config.train.batch_size}, as preset {escape(config.preset)} "
        "does it."
    )
    if waits and live_runs():
        return f"{told} It is measured when no run trains any more."
    return f"{told} It is being measured." if waits else f"{told} Measured on this machine."


def seconds_an_epoch(dataset: Dataset, config: RunConfig) -> tuple[float | None, str]:
    """Seconds where they are known, and else why they never will be, "" where they may be."""
    probe = find_probe("speed", config, fingerprint_of(dataset.content_hash, preprocess_of(config.data)))
    if probe is not None and probe.ended:
        return (float(probe.answer["seconds_per_epoch"]), "") if probe.answer else (None, probe.message or "It failed.")
    if not live_runs():
        return None, ""
    counts = part_counts(dataset.content_hash, config.data.model_dump_json(), dataset)
    pictures = tuple((part, sum(numbers)) for part, numbers in counts.items())
    known = known_from(config.model_dump_json(), pictures, len(runs(hidden=True)))
    return (float(known["seconds_per_epoch"]), "") if known else (None, "")


def _ask(dataset: Dataset, config: RunConfig) -> None:
    """Once the settings have come to rest: a slider on its way asks nothing."""
    asked = f"{dataset.content_hash} {config.model_dump_json()}"
    before, since = st.session_state.get(WISH, ("", 0.0))
    if before != asked:
        st.session_state[WISH] = (asked, time.monotonic())
    elif time.monotonic() - since > CALM_SECONDS:
        try:
            ask_probe("speed", config, fingerprint_of(dataset.content_hash, preprocess_of(config.data)))
        except UserMistake:
            pass  # many ask at once: in a moment again
