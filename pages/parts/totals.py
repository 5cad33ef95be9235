"""What a network costs, and how much more or less than another: parameters, work, memory, and seconds an epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.config import ModelConfig, RunConfig
from core.data.dataset import Dataset
from pages.parts.cached import live_runs
from pages.parts.escape import escape
from pages.parts.estimate import TICK_SECONDS, ask_when_calm, epoch_in_words, find_speed, known_of
from pages.parts.frame import boundary
from pages.parts.network import Layer

SAME, WAITING = "as before", "not known yet"
WISH = "totals.wish"  # (what is asked about, since when it has not moved)
WAIT_SECONDS = 5.0  # between two looks whether the runs have ended that nothing is measured beside
WEIGHT_BYTES = 4  # of a parameter
LEARNT_BYTES = 8  # more of one that is learnt: its gradient and its momentum, 4 bytes each
MAP_BYTES = 8  # of a number that leaves a layer: itself, kept until its gradient comes, 4 bytes each
Speed = tuple[Dataset, RunConfig, ModelConfig | None]  # what is timed, and the network before
Known = tuple[float | None, str]  # seconds where they are known, and else why they never will be, "" where they may be


@dataclass(frozen=True)
class Totals:
    parameters: int
    learnt: int  # of the parameters
    work: int  # multiply-adds for one picture
    memory: int  # bytes in training, by its own numbers


def totals_of(layers: Sequence[Layer], batch: int) -> Totals:
    parameters = sum(layer["parameters"] for layer in layers)
    learnt = sum(layer["learnt"] for layer in layers)
    first = next((place for place, layer in enumerate(layers) if layer["learnt"]), len(layers))
    maps = sum(layer["memory"] for layer in layers[first:]) // 4  # before it, no gradient is wanted
    return Totals(
        parameters,
        learnt,
        sum(layer["multiply_adds"] for layer in layers),
        WEIGHT_BYTES * parameters + LEARNT_BYTES * learnt + MAP_BYTES * maps * batch,
    )


def draw_totals(now: Totals, before: Totals | None, batch: int, speed: Speed | None):
    """Four numbers, each with its difference to `before`."""
    with st.container(horizontal=True, key="totals"):
        _draw(
            "Parameters",
            f"{now.parameters:,}",
            _difference(now.parameters, before.parameters if before else None),
            "Numbers that training finds, each 4 bytes."
            if now.learnt == now.parameters
            else f"Training finds {now.learnt:,} of them, the others stay as they came; each takes 4 bytes.",
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
            f"For a batch of {batch}: 12 bytes a learnt parameter (itself, its gradient, its momentum), 4 bytes any "
            "other, and 8 bytes for each number that leaves a layer from the first learnt one on (itself, its "
            "gradient). The program itself takes some hundred MB more.",
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
    share = ""
    if before and now < 10 * before:
        per_cent = f"{(now - before) / before:+.0%}"
        share = f" ({per_cent})" if per_cent[1:] != "0%" else ""
    elif before:
        share = f" (× {now / before:,.0f})"
    return f"{'+' if now > before else '-'}{(say or in_short)(abs(now - before))}{share}"


def in_short(number: float) -> str:
    """12,345 as it is; 3.1 M, 2.4 G."""
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:,.{1 if number < 100 * size else 0}f} {letter}"
    return f"{number:,.0f}"


def in_bytes(number: float) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.1f} MB"


# -------------------------------------------------------------------------------------------------- seconds


def draw_speed(dataset: Dataset, config: RunConfig, before: ModelConfig | None) -> None:
    """Seconds an epoch with the settings of `config`, and how much longer than with the network `before`; measured in
    the background, one network after the other, while the person looks on. None: there is none to hold it against."""
    wanted = [config]
    if before is not None and before != config.model:
        wanted.append(config.model_copy(update={"model": before}))
    found = [seconds_an_epoch(dataset, one) for one in wanted]
    same = before == config.model
    with st.container(width="stretch"):
        if _missing(wanted, found):
            st.fragment(_measure, run_every=WAIT_SECONDS if live_runs() else TICK_SECONDS)(dataset, wanted, same)
        else:
            _draw_seconds(dataset, wanted, found, same)


@boundary()
def _measure(dataset: Dataset, wanted: list[RunConfig], same: bool) -> None:
    found = [seconds_an_epoch(dataset, one) for one in wanted]
    missing = _missing(wanted, found)
    if not missing:
        st.rerun()  # the clock stops
    if not live_runs():
        ask_when_calm(WISH, dataset, missing[0])
    _draw_seconds(dataset, wanted, found, same)


def _missing(wanted: list[RunConfig], found: list[Known]) -> list[RunConfig]:
    return [one for one, (seconds, why) in zip(wanted, found, strict=True) if seconds is None and not why]


def _draw_seconds(dataset: Dataset, wanted: list[RunConfig], found: list[Known], same: bool) -> None:
    """same: whether the network before is this one."""
    seconds, why = found[0]
    _draw(
        "Seconds an epoch",
        "–" if why else "…" if seconds is None else epoch_in_words(seconds),
        None if why else SAME if same else _slower(*found) if len(found) > 1 else None,
        escape(why, 300) if why else _how(dataset, wanted[0], waits=seconds is None),
    )


def _slower(now: Known, before: Known) -> str | None:
    (seconds, why), (earlier, never) = now, before
    if why or never:
        return None
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


def seconds_an_epoch(dataset: Dataset, config: RunConfig) -> Known:
    probe = find_speed(dataset, config)
    if probe is not None and probe.ended:
        return (float(probe.answer["seconds_per_epoch"]), "") if probe.answer else (None, probe.message or "It failed.")
    known = known_of(dataset, config) if live_runs() else None
    return (float(known["seconds_per_epoch"]), "") if known else (None, "")
