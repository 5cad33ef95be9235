"""MetricHistory: the rows of a run as columns; only rows appended since the last read are parsed."""

import json
import threading
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.rows import EpochRow, IterationRow, parse_row

_ITERATION_COLUMNS = ("place", "loss", "rate")
_EPOCH_COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "rate")


@dataclass(frozen=True)
class MetricHistory:
    """The rows of a run so far: float64 columns, nan where a value was not finite or there is none."""

    place: np.ndarray  # of each IterationRow on the axis of epochs: 1.0 is the end of the first epoch
    loss: np.ndarray  # mean over its iterations
    fine_rate: np.ndarray  # learning rate there
    epoch: np.ndarray  # of each EpochRow
    train_loss: np.ndarray
    train_accuracy: np.ndarray  # fraction
    val_loss: np.ndarray
    val_accuracy: np.ndarray  # fraction
    rate: np.ndarray  # learning rate at its end
    last: EpochRow | None  # the newest one
    best: EpochRow | None  # the one with the lowest loss on the validation part: the first of equals
    last_fine: IterationRow | None

    @property
    def is_empty(self) -> bool:
        return not len(self.place) and not len(self.epoch)

    @property
    def has_val(self) -> bool:
        return bool(np.isfinite(self.val_accuracy).any())


class MetricHistoryReader:
    """Reads one run's rows.jsonl; read() adds what was appended since the last call, from any thread.

    A line counts once its newline is there. Where the file was replaced or cut, because a resumed run went back, it is
    read again from the start.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "rows.jsonl"
        self._lock = threading.Lock()
        self._forget()

    def read(self) -> MetricHistory:
        with self._lock:
            try:
                with self.path.open("rb") as file:
                    if not self._is_same(file):
                        self._forget()
                    self._add_appended(file)
            except FileNotFoundError:
                self._forget()
            return self._history

    def _forget(self) -> None:
        self._offset, self._end = 0, b""  # after the last whole line, and the end of that line
        self._iterations = [array("d") for _ in _ITERATION_COLUMNS]
        self._epochs = [array("d") for _ in _EPOCH_COLUMNS]
        self._last: EpochRow | None = None
        self._best: EpochRow | None = None
        self._last_fine: IterationRow | None = None
        self._history = self._columns()

    def _is_same(self, file: BinaryIO) -> bool:
        """Whether the last line read still ends where it did: in a file that was written anew it would differ, because
        each row holds its seconds of training."""
        file.seek(self._offset - len(self._end))
        return file.read(len(self._end)) == self._end

    def _add_appended(self, file: BinaryIO) -> None:
        file.seek(self._offset)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            return
        for line in whole.split(b"\n")[:-1]:
            try:
                self._add(parse_row(json.loads(line)))
            except ValueError:
                continue  # a damaged line is left out
        self._offset += len(whole)
        self._end = whole[-200:]
        self._history = self._columns()

    def _add(self, row: IterationRow | EpochRow) -> None:
        if isinstance(row, IterationRow):
            place = row.epoch - 1 + row.iteration / max(row.iterations, 1)
            _append(self._iterations, place, row.train_loss, row.learning_rate)
            self._last_fine = row
            return
        values = row.train_loss, row.train_accuracy, row.val_loss, row.val_accuracy, row.learning_rate
        _append(self._epochs, row.epoch, *values)
        self._last = row
        if row.val_loss is not None and (self._best is None or row.val_loss < (self._best.val_loss or 0.0)):
            self._best = row

    def _columns(self) -> MetricHistory:
        columns = [np.array(column, dtype=np.float64) for column in (*self._iterations, *self._epochs)]
        place, loss, fine_rate, epoch, train_loss, train_accuracy, val_loss, val_accuracy, rate = columns
        return MetricHistory(
            place,
            loss,
            fine_rate,
            epoch,
            train_loss,
            train_accuracy,
            val_loss,
            val_accuracy,
            rate,
            self._last,
            self._best,
            self._last_fine,
        )


def _append(columns: list[array], *values: float | None) -> None:
    for column, value in zip(columns, values, strict=True):
        column.append(float("nan") if value is None else value)
