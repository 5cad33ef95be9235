"""time_pair: seconds a picture of two trainings that take turns. time_settings: those of an experiment's settings.

Warm-up and evaluation are left out. Turns go A B B A, A B B A, ..., so that what changes slowly on the machine (heat,
another program) falls on both sides alike; see core/experiments/with_without.py for what is made of them.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from core.config import RunConfig, TrainConfig
from core.data.batches import Part, load_part
from core.data.store import build_store, load_store
from core.disk import append_line, write_json
from core.engine.fit import fit
from core.engine.hardware import Hardware, choose_hardware
from core.engine.others import Others
from core.errors import UserMistake
from core.experiments.components import Setting
from core.experiments.experiment import open_experiment
from core.models.build import build_model
from core.models.summary import count_parameters
from core.rows import TickRow

BLOCKS = 8  # fewer than 6 could not tell anything with 95 %
TURN_SECONDS = 0.5  # after a first tick (0.4 s), in which what the other side has left in the caches is replaced
WARM_SECONDS = 1.0  # of each side that are left out: the first steps choose kernels and fill caches
WARM_TICKS = 3
ENDLESS = 1_000_000  # epochs: more than any of these measurements lasts


@dataclass(frozen=True)
class Side:
    """One of two trainings."""

    model: nn.Module  # fresh weights, of no use afterwards
    train: Part
    config: TrainConfig
    classes: int


@dataclass(frozen=True)
class Turns:
    """Seconds a picture: (blocks, 2) each."""

    base: tuple[tuple[float, float], ...]
    other: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Timed:
    """How far the measuring is: for a progress bar."""

    done: int
    total: int


def time_pair(
    base: Side, other: Side, hardware: Hardware, blocks: int = BLOCKS, turn_seconds: float = TURN_SECONDS
) -> Iterator[Timed | Turns]:
    """Yields a Timed before each block, and the Turns at last; half a minute with the usual numbers.

    Both sides run through the training loop itself (core/engine/fit.py), on real pictures. Raises UserMistake as `fit`
    does.
    """
    loops = [_Loop(side, hardware) for side in (base, other)]
    try:
        for loop in loops:
            loop.warm()
        measured: list[tuple[tuple[float, float], tuple[float, float]]] = []
        for block in range(blocks):
            yield Timed(block, blocks)
            first, second, third, fourth = (loops[side].turn(turn_seconds) for side in (0, 1, 1, 0))
            measured.append(((first, fourth), (second, third)))
        yield Turns(tuple(ours for ours, _ in measured), tuple(theirs for _, theirs in measured))
    finally:
        for loop in loops:
            loop.close()


class _Loop:
    """A training that goes on for as long as it is asked to, and stands still in between."""

    def __init__(self, side: Side, hardware: Hardware) -> None:
        changes = {"epochs": ENDLESS, "learning_rate": 1e-5, "schedule": "constant", "patience": 0}
        config = side.config.model_copy(update=changes)
        self.batch, self.whole = min(config.batch_size, len(side.train)), len(side.train)
        self.rows = fit(side.model, side.train, None, side.classes, config, hardware)
        self.pictures = 0  # seen so far

    def warm(self) -> None:
        began = time.perf_counter()
        ticks = 0
        while ticks < WARM_TICKS or time.perf_counter() - began < WARM_SECONDS:
            self._go_on()
            ticks += 1

    def turn(self, seconds: float) -> float:
        """Seconds a picture over about so many seconds, the ends of epochs included."""
        self._go_on()
        before, began = self.pictures, time.perf_counter()
        while time.perf_counter() - began < seconds:
            self._go_on()
        return (time.perf_counter() - began) / (self.pictures - before)

    def close(self) -> None:
        self.rows.close()

    def _go_on(self) -> None:
        """To the next tick; there every result has arrived, also from a graphics card."""
        row = next(row for row in self.rows if isinstance(row, TickRow))
        self.pictures = (row.epoch - 1) * self.whole + min(self.whole, row.iteration * self.batch)


def time_settings(folder: Path) -> None:
    """Measure what is not measured yet in the experiment in `folder`, a line of timing.jsonl for each setting."""
    experiment = open_experiment(folder)
    hardware = choose_hardware(experiment.plan.base.config)  # kernels are chosen once a process: those of the base
    plan, sides = experiment.plan, _Sides(folder, hardware)
    for setting in experiment.untimed:
        append_line(folder / "timing.jsonl", _measure(folder, sides, plan.base, setting, hardware))


def _measure(folder: Path, sides: "_Sides", base: Setting, setting: Setting, hardware: Hardware) -> dict[str, Any]:
    began, others = time.perf_counter(), Others()
    line: dict[str, Any] = {"key": setting.key, "machine": f"{hardware.name}, {os.cpu_count()} cores"}
    try:
        ours, theirs = sides.open(base.config), sides.open(setting.config)
        line |= {"parameters": count_parameters(theirs.model), "base_parameters": count_parameters(ours.model)}
        line |= {"pictures": len(ours.train)}
        others = Others()  # opening the pictures is work too
        for told in time_pair(ours, theirs, hardware, BLOCKS, TURN_SECONDS):
            if isinstance(told, Turns):
                line |= {"base": told.base, "other": told.other}
            else:
                _say(folder, f"Timing: {setting.title}", told.done, told.total)
        line |= {"others": others.share()}
    except UserMistake as mistake:
        line |= {"why": str(mistake)}
    return line | {"took": time.perf_counter() - began}


class _Sides:
    """Opens sides; of the pictures the last two kinds stay in memory."""

    def __init__(self, folder: Path, hardware: Hardware) -> None:
        self.folder, self.hardware = folder, hardware
        self.parts: dict[str, tuple[Part, int]] = {}

    def open(self, config: RunConfig) -> Side:
        key = config.data.model_dump_json()
        if key not in self.parts:
            for progress in build_store(config.data):
                _say(self.folder, f"{progress.phase.capitalize()} the pictures", progress.done, progress.total)
            store = load_store(config.data, config.model)
            while len(self.parts) > 1:
                self.parts.pop(list(self.parts)[1])  # the first is the base's
            self.parts[key] = load_part(store, "train", self.hardware.device), len(store.classes)
        train, classes = self.parts[key]
        model = build_model(config.model, classes, config.data.image_size, seed=config.train.seed)
        return Side(model, train, config.train, classes)


def _say(folder: Path, message: str, done: int, total: int) -> None:
    write_json(folder / "progress.json", {"message": message, "done": done, "total": total})
