"""RelayingWriter: how a run is written on a machine of the cluster: there, for what reads it there, and at home."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.environment import Environment
from core.evaluation import Evaluation, Which
from core.rows import EpochRow, IterationRow
from core.runs.run import ModelCard
from core.runs.writer import RunWriter
from core.snapshot import Snapshot

# what a machine may ask of the writer at home
RELAYED = frozenset(
    {"running", "beat", "append", "save_model", "save_checkpoint", "go_back", "save_evaluation", "save_snapshot"}
    | {"finish", "fail", "environment"}
)
Message = tuple[str, tuple[Any, ...], dict[str, Any]]


class RelayingWriter(RunWriter):
    """A RunWriter whose every deed is sent home as well, as (name, arguments): a copy, for training goes on."""

    def __init__(self, folder: Path, send: Callable[[Message], None]) -> None:
        super().__init__(folder)
        self._send = send

    def _relay(self, name: str, *arguments: Any, **named: Any) -> None:
        self._send((name, deepcopy(arguments), deepcopy(named)))

    def add_environment(self, environment: Environment) -> None:
        super().add_environment(environment)
        self._relay("environment", environment)

    def running(self, **progress: Any) -> None:
        super().running(**progress)
        self._relay("running", **progress)

    def pictures_in(self) -> None:
        super().pictures_in()
        self._relay("running", pictures_seconds=self._pending["pictures_seconds"])

    def beat(self) -> None:
        written = self._written
        super().beat()
        if self._written != written:
            self._relay("beat")

    def append(self, row: IterationRow | EpochRow) -> None:
        super().append(row)
        self._relay("append", row)

    def save_model(self, weights: dict[str, np.ndarray], card: ModelCard, which: Which = "last") -> None:
        super().save_model(weights, card, which)
        self._relay("save_model", weights, card, which)

    def save_checkpoint(self, step: int, numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        super().save_checkpoint(step, numbers, arrays)
        self._relay("save_checkpoint", step, numbers, arrays)

    def go_back(self, step: int, epoch: int) -> None:
        super().go_back(step, epoch)
        self._relay("go_back", step, epoch)

    def save_evaluation(self, evaluation: Evaluation) -> None:
        super().save_evaluation(evaluation)
        self._relay("save_evaluation", evaluation)

    def save_snapshot(self, snapshot: Snapshot) -> None:
        super().save_snapshot(snapshot)
        self._relay("save_snapshot", snapshot)

    def finish(self, status: Literal["done", "stopped"] = "done", message: str = "", model: Which = "last") -> None:
        super().finish(status, message, model)
        self._relay("finish", status, message, model)

    def fail(self, message: str, try_rate: float | None = None) -> None:
        super().fail(message, try_rate)
        self._relay("fail", message, try_rate)


def apply(message: Message, writer: RunWriter, machine: str) -> None:
    """Do at home what a machine has sent; `machine`: its name, which every page shows."""
    name, arguments, named = message
    assert name in RELAYED, name
    if name == "environment":
        writer.add_environment(*arguments)
        writer.running(message="", machine=machine)
    else:
        getattr(writer, name)(*arguments, **named)
