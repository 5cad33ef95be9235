"""The rows of runs as event files of TensorBoard, also while they train; needs its package, which is optional."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.disk import whole_folder
from core.errors import UserMistake
from core.rows import EpochRow, IterationRow
from core.runs.run import Run, open_run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

INSTALL = "pip install -r requirements-tensorboard.txt"


def export_tensorboard(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write folder/RUN for each run, with its losses, accuracies and learning rate by step, its settings and its
    accuracies on each part; returns the folders. UserMistake where the package is missing, where a run has no rows,
    or where its folder is there already; a folder is there whole or not at all."""
    _must_be_installed()
    for run in runs:
        if not run.has_rows:
            raise UserMistake(f"Run {run.id} has no rows yet, so there is nothing to export")
        _free(run, folder)
    return [_export(run, folder) for run in runs]


def _export(run: Run, folder: Path) -> Path:
    from torch.utils.tensorboard import SummaryWriter

    target = folder / run.id
    with whole_folder(target) as draft, SummaryWriter(str(draft)) as writer:
        _write_rows(run, run.rows(), writer)
        _write_texts(run, writer)
    return target


def follow_tensorboard(run: Run, folder: Path, seconds: float = 1.0) -> Iterator[int]:
    """Write folder/RUN while a run trains, until it has ended; yields how many rows are written, once a look. It reads
    the run's files only, so nothing of it can hold up the training."""
    from torch.utils.tensorboard import SummaryWriter

    target = _free(run, folder)
    with SummaryWriter(str(target)) as writer:
        written = 0
        while True:
            now = open_run(run.folder)
            rows = now.rows()
            written = min(written, len(rows))  # a run that was resumed writes its last rows again
            _write_rows(now, rows, writer, written)
            writer.flush()
            written = len(rows)
            yield written
            if now.state.ended:
                break
            time.sleep(seconds)
        _write_texts(now, writer)


def _must_be_installed() -> None:
    """Asked before anything is written."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise UserMistake(f"TensorBoard's package is not installed here; to have it: {INSTALL}") from error


def _free(run: Run, folder: Path) -> Path:
    """folder/RUN, which is not there yet; UserMistake where it is."""
    _must_be_installed()
    if (folder / run.id).exists():
        raise UserMistake(f"{str(folder / run.id)!r} is there already; it was kept. Name another folder with --to")
    return folder / run.id


def _write_rows(run: Run, rows: Sequence[IterationRow | EpochRow], writer: "SummaryWriter", first: int = 0) -> None:
    """Those from the `first` on; the seconds of the epochs before count as well."""
    began, seconds = datetime.fromisoformat(run.created).timestamp(), 0.0
    for place, row in enumerate(rows):
        if isinstance(row, EpochRow):
            seconds += row.seconds
            values = {
                "loss/training": row.train_loss,
                "loss/validation": row.val_loss,
                "accuracy/training": row.train_accuracy,
                "accuracy/validation": row.val_accuracy,
                "learning rate": row.learning_rate,
                "speed/pictures a second": row.images_per_second,
            }
            at = began + seconds
        else:
            values, at = {"loss/training, within epochs": row.train_loss}, began + row.seconds
        for name, value in values.items():
            if value is not None and place >= first:
                writer.add_scalar(name, value, row.step, walltime=at)


def _write_texts(run: Run, writer: "SummaryWriter") -> None:
    step = run.state.step
    for part in ("train", "val", "test"):
        if (found := run.evaluation(part)) and found.n:
            writer.add_scalar(f"final accuracy/{part}", found.accuracy, step)
    settings = json.dumps(run.config.model_dump(mode="json"), indent=1, ensure_ascii=True)
    # four blanks: Markdown shows it as it is, so that no name in it is markup
    writer.add_text("settings", "\n".join(f"    {line}" for line in settings.splitlines()), step)
