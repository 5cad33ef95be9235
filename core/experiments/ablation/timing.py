"""time_pair: seconds a picture of two trainings that take turns. time_variants: those of an experiment's variants.

Warm-up and evaluation are left out. Turns go A B B A, A B B A, ..., so that what changes slowly on the machine (heat,
another program) falls on both arms alike; see core/experiments/ablation/effects.py for what is made of them.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from core.config import RunConfig, TrainConfig
from core.data.datasets.dataset import find_dataset
from core.data.store.batches import Part, load_part
from core.data.store.store import build_store, open_store
from core.disk import append_line, write_json
from core.engine.fit import fit
from core.engine.hardware import Hardware, choose_hardware
from core.engine.machine_load import OtherLoad
from core.engine.schedule import endless, mean_work
from core.errors import UserMistake
from core.experiments.ablation.components import Variant
from core.experiments.ablation.experiment import open_experiment
from core.models.build import build_model
from core.models.summary import count_parameters
from core.probes.at_once import AT_ONCE, AtOnce, measure_at_once
from core.rows import TickRow

BLOCKS = 8  # fewer than 6 give no interval of 95 %
TURN_SECONDS = 0.5  # after a first tick (0.4 s), in which what the other arm has left in the caches is replaced
WARM_SECONDS = 1.0  # of each arm that are left out: the first steps choose kernels and fill caches
WARM_TICKS = 3


@dataclass(frozen=True)
class Arm:
    """One of two trainings that are timed in turns."""

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
    base: Arm, other: Arm, hardware: Hardware, blocks: int = BLOCKS, turn_seconds: float = TURN_SECONDS
) -> Iterator[Timed | Turns]:
    """Yields a Timed before each block, and the Turns at last; half a minute with the usual numbers.

    Both arms run through the training loop itself (core/engine/fit.py), on real pictures. Raises UserMistake as `fit`
    does.
    """
    loops = [_Loop(arm, hardware) for arm in (base, other)]
    try:
        for loop in loops:
            loop.warm()
        measured: list[tuple[tuple[float, float], tuple[float, float]]] = []
        for block in range(blocks):
            yield Timed(block, blocks)
            first, second, third, fourth = (loops[arm].turn(turn_seconds) for arm in (0, 1, 1, 0))
            measured.append(((first, fourth), (second, third)))
        yield Turns(tuple(ours for ours, _ in measured), tuple(theirs for _, theirs in measured))
    finally:
        for loop in loops:
            loop.close()


class _Loop:
    """A training that goes on for as long as it is asked to, and stands still in between."""

    def __init__(self, arm: Arm, hardware: Hardware) -> None:
        config = endless(arm.config)
        takes_any_size = getattr(arm.model, "takes_any_size", False)
        self.work = mean_work(arm.config, arm.train.preprocess.image_size) if takes_any_size else 1.0
        self.batch, self.part_size = min(config.batch_size, len(arm.train)), len(arm.train)
        self.rows = fit(arm.model, arm.train, None, arm.classes, config, hardware)
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
        return self.work * (time.perf_counter() - began) / (self.pictures - before)

    def close(self) -> None:
        self.rows.close()

    def _go_on(self) -> None:
        """To the next tick; there every result has arrived, also from a graphics card."""
        row = next(row for row in self.rows if isinstance(row, TickRow))
        self.pictures = (row.epoch - 1) * self.part_size + min(self.part_size, row.iteration * self.batch)


def time_variants(folder: Path) -> None:
    """Measure what is not measured yet in the experiment in `folder`, a line of timing.jsonl for each variant; then how
    many of its runs train at once, where it is long enough for that to be worth knowing."""
    experiment = open_experiment(folder)
    hardware = choose_hardware(experiment.plan.base.config)  # kernels are chosen once a process: those of the base
    arms = _ArmLoader(folder, hardware)
    for variant in experiment.untimed:
        append_line(folder / "timing.jsonl", _measure(folder, arms, experiment.plan.base, variant, hardware))
    if open_experiment(folder).asks_at_once:
        _report_progress(folder, "How many runs train at once", 0, 1)
        write_at_once(folder, experiment.plan.base.config)


def write_at_once(folder: Path, config: RunConfig) -> None:
    """Measure how many runs train at once with these settings, and note it in the folder of an experiment or sweep."""
    try:
        found = measure_at_once(config)
    except UserMistake as mistake:
        found = AtOnce(1, why=str(mistake))
    write_json(folder / AT_ONCE, asdict(found))


def _measure(folder: Path, arms: "_ArmLoader", base: Variant, variant: Variant, hardware: Hardware) -> dict[str, Any]:
    """A line of timing.jsonl: the turns of both arms, or why there are none."""
    began, others = time.perf_counter(), OtherLoad()
    line: dict[str, Any] = {"key": variant.key, "machine": f"{hardware.name}, {os.cpu_count()} cores"}
    try:
        ours, theirs = arms.load(base.config), arms.load(variant.config)
        line |= {"parameters": count_parameters(theirs.model), "base_parameters": count_parameters(ours.model)}
        line |= {"pictures": len(ours.train)}
        others = OtherLoad()  # loading the pictures is work too
        for step in time_pair(ours, theirs, hardware, BLOCKS, TURN_SECONDS):
            if isinstance(step, Turns):
                line |= {"base": step.base, "other": step.other}
            else:
                _report_progress(folder, f"Timing: {variant.title}", step.done, step.total)
        line |= {"others": others.share()}
    except UserMistake as mistake:
        line |= {"why": str(mistake)}
    return line | {"took": time.perf_counter() - began}


class _ArmLoader:
    """Builds the networks of arms; the pictures of the base and of the last other store stay in memory."""

    def __init__(self, folder: Path, hardware: Hardware) -> None:
        self.folder, self.hardware = folder, hardware
        self.parts: dict[str, tuple[Part, int]] = {}  # DataConfig as JSON -> training part, number of classes

    def load(self, config: RunConfig) -> Arm:
        key = config.data.model_dump_json()
        if key not in self.parts:
            dataset = find_dataset(config.data.dataset)
            for progress in build_store(dataset, config.data):
                message = f"{progress.phase.capitalize()} the pictures"
                _report_progress(self.folder, message, progress.done, progress.total)
            store = open_store(dataset, config.data, config.model)
            while len(self.parts) > 1:
                self.parts.pop(list(self.parts)[1])  # the first is the base's
            self.parts[key] = load_part(store, "train", self.hardware.device), len(store.classes)
        train, classes = self.parts[key]
        model = build_model(config.model, classes, config.data.image_size, seed=config.train.seed)
        return Arm(model, train, config.train, classes)


def _report_progress(folder: Path, message: str, done: int, total: int) -> None:
    write_json(folder / "progress.json", {"message": message, "done": done, "total": total})
