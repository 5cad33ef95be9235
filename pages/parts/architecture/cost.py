"""What a network costs, and the difference to another one: parameters, work, memory, and seconds an epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.config import ModelConfig, RunConfig
from core.data.datasets.dataset import Dataset
from pages.parts.architecture.layer_texts import Layer
from pages.parts.form.estimate import TICK_SECONDS, epoch_in_words, find_speed, request_speed, speed_of_finished_run
from pages.parts.shell.cache import live_runs
from pages.parts.shell.escape import escape
from pages.parts.shell.frame import boundary

WAITING = "not known yet"
WISH = "totals.wish"  # (what is asked about, since when it has not moved)
WAIT_SECONDS = 5.0  # while runs train nothing is measured: how often it is checked whether they have ended
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
    learnt = sum(layer["trainable"] for layer in layers)
    first = next((place for place, layer in enumerate(layers) if layer["trainable"]), len(layers))
    maps = sum(layer["memory"] for layer in layers[first:]) // 4  # before it, no gradient is wanted
    return Totals(
        parameters,
        learnt,
        sum(layer["multiply_adds"] for layer in layers),
        WEIGHT_BYTES * parameters + LEARNT_BYTES * learnt + MAP_BYTES * maps * batch,
    )


def draw_totals(now: Totals, before: Totals | None, batch: int, speed: Speed | None) -> None:
    """Four numbers in a slim row, each with its difference to `before` where there is one."""
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


def _draw(label: str, value: str, difference: str | None, text: str) -> None:
    arrow: Literal["auto", "off"] = "off" if difference == WAITING else "auto"
    st.metric(label, value, delta=difference, delta_color="off", delta_arrow=arrow, help=text)


def _difference(now: float, before: float | None, shorten: Callable[[float], str] | None = None) -> str | None:
    """'+12,345 (+15 %)'; None where it is the same, or there is nothing to compare with. Streamlit's arrow knows a
    plain minus only."""
    if before is None or now == before:
        return None
    share = ""
    if before and now < 10 * before:
        per_cent = f"{(now - before) / before:+.0%}"
        share = f" ({per_cent})" if per_cent[1:] != "0%" else ""
    elif before:
        share = f" (× {now / before:,.0f})"
    return f"{'+' if now > before else '-'}{(shorten or in_short)(abs(now - before))}{share}"


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
    the background, one network after the other. None: there is no network to compare with."""
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
        request_speed(WISH, dataset, missing[0])
    _draw_seconds(dataset, wanted, found, same)


def _missing(wanted: list[RunConfig], found: list[Known]) -> list[RunConfig]:
    return [one for one, (seconds, why) in zip(wanted, found, strict=True) if seconds is None and not why]


def _draw_seconds(dataset: Dataset, wanted: list[RunConfig], found: list[Known], same: bool) -> None:
    """same: whether the network before is this one."""
    seconds, why = found[0]
    _draw(
        "Seconds an epoch",
        "–" if why else "…" if seconds is None else epoch_in_words(seconds),
        None if why or same else _slower(*found) if len(found) > 1 else None,
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
    text = f"On {escape(dataset.name, 40)}, in batches of {config.train.batch_size}, with the other settings of preset "
    text += f"{escape(config.preset)}."
    if waits and live_runs():
        return f"{text} It is measured when no run trains any more."
    return f"{text} It is being measured." if waits else f"{text} Measured on this machine."


def seconds_an_epoch(dataset: Dataset, config: RunConfig) -> Known:
    probe = find_speed(dataset, config)
    if probe is not None and probe.ended:
        return (float(probe.answer["seconds_per_epoch"]), "") if probe.answer else (None, probe.message or "It failed.")
    known = speed_of_finished_run(dataset, config) if live_runs() else None
    return (float(known["seconds_per_epoch"]), "") if known else (None, "")
