"""Measured: what a table of runs says of one beside its state: best and last value, size, speed. No torch.

A thousand runs have to be read in a moment, so nothing here opens weights or answers: their heads and rows tell enough.
"""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.config import DataConfig, ModelConfig, TrainConfig, change_config
from core.experiments.ablation.experiment import seconds_of
from core.fields import acts_in, value_of
from core.runs.run import MODEL_FILES, Run

_HEADER_BYTES = 2**20  # of a safetensors file; a longer one is not ours
_NOT_LEARNT = ("running_mean", "running_var", "num_batches_tracked")
_SEED = "train.seed"


@dataclass(frozen=True)
class Measured:
    """What the files of a run say beside its settings and its state; kept by whoever asks again and again."""

    last: float | None = None  # accuracy on the validation part after the last epoch, a fraction
    best: float | None = None  # the highest of any epoch
    best_epoch: int | None = None
    pictures_a_second: float | None = None  # median of the epochs
    parameters: int | None = None  # numbers that are learnt
    seconds: float = 0.0  # whole time: start, pictures, training, evaluation


@dataclass(frozen=True)
class SeedGroup:
    """Runs with the same settings on the same pictures, but for the seed; newest first."""

    runs: tuple[Run, ...]
    scores: tuple[tuple[int, int], ...]  # (right, n) of those that were tested

    @property
    def mean(self) -> float | None:
        """Of the test accuracies."""
        return statistics.fmean(right / n for right, n in self.scores) if self.scores else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the test accuracies; None for fewer than two."""
        return statistics.stdev(right / n for right, n in self.scores) if len(self.scores) > 1 else None


def measure_run(run: Run) -> Measured:
    """Read from the rows and from the head of the model's file."""
    accuracies, rates = _epochs(run.folder / "rows.jsonl")
    known = [(accuracy, epoch) for epoch, accuracy in accuracies if accuracy is not None]
    best, best_epoch = max(known, key=lambda pair: (pair[0], -pair[1]), default=(None, None))
    return Measured(
        last=known[-1][0] if known else None,
        best=best,
        best_epoch=best_epoch,
        pictures_a_second=statistics.median(rates) if rates else None,
        parameters=_parameters(run.folder / f"{MODEL_FILES[run.used_model]}.safetensors"),
        seconds=seconds_of(run),
    )


def differing(runs: Sequence[Run]) -> list[str]:
    """Dotted fields in which these runs differ, in the order of the definition, the dataset first. Of the network only
    fields that act in one of them."""
    found = []
    for room, names in _fields().items():
        sections = [getattr(run.config, room) for run in runs]
        for name in names:
            if len({_hashable(getattr(section, name)) for section in sections}) > 1:
                field = f"{room}.{name}"
                found += [field] if any(acts_in(run.config, field) for run in runs) else []
    return found


def setting_of(run: Run, field: str) -> Any:
    """The value of a field; None where it does not act in this run's network."""
    return value_of(run.config, field) if acts_in(run.config, field) else None


def group_seeds(runs: Sequence[Run], scores: dict[str, tuple[int, int]]) -> list[SeedGroup]:
    """Runs that differ in nothing but the seed, in the order of their newest; scores: by run id, (0, 0) without one."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        plain = change_config(run.config.model_copy(update={"preset": ""}), {_SEED: 0})
        groups.setdefault(f"{run.fingerprint} {plain.model_dump_json()}", []).append(run)
    return [
        SeedGroup(tuple(of_one), tuple(scores[run.id] for run in of_one if scores.get(run.id, (0, 0))[1]))
        for of_one in groups.values()
    ]


@cache
def _fields() -> dict[str, tuple[str, ...]]:
    rooms: dict[str, type[BaseModel]] = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
    return {room: tuple(model.model_fields) for room, model in rooms.items()}


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _epochs(rows: Path) -> tuple[list[tuple[int, float | None]], list[float]]:
    """((epoch, validation accuracy) of each epoch, pictures a second of each)."""
    accuracies: list[tuple[int, float | None]] = []
    rates = []
    try:
        lines = rows.read_bytes().split(b"\n")[:-1]
    except OSError:
        return [], []
    for line in lines:
        if b'"train_accuracy"' not in line:
            continue  # a row of an iteration: most are, and parsing them would take most of the time
        try:
            row = json.loads(line)
            accuracies.append((int(row["epoch"]), _finite(row.get("val_accuracy"))))
            rates.append(float(row["images_per_second"]))
        except (ValueError, KeyError, TypeError):
            continue
    return accuracies, [rate for rate in rates if math.isfinite(rate)]


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _parameters(model: Path) -> int | None:
    """By the shapes in the head of a safetensors file; None where there is none, or it is damaged."""
    try:
        with model.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(length)) if 0 < length <= _HEADER_BYTES else {}
        shapes = [
            one["shape"] for name, one in head.items() if name != "__metadata__" and not name.endswith(_NOT_LEARNT)
        ]
        return sum(math.prod(shape) for shape in shapes) if shapes else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
