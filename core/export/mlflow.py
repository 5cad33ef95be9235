"""export_mlflow: runs in the file layout of MLflow's tracking folder, mlruns; needs no package of it."""

import hashlib
import json
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from core.config import OF_TEACHER
from core.disk import whole_folder
from core.errors import UserMistake
from core.fields import settings_of
from core.rows import EpochRow
from core.runs.run import Run

STATUS = {
    "done": 3,
    "failed": 4,
    "lost": 4,
    "stopped": 5,
    "running": 1,
    "starting": 1,
    "queued": 2,
}  # MLflow's RunStatus
LOCAL = 4  # MLflow's SourceType
MOST_LETTERS = 6_000  # of a parameter


def export_mlflow(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write folder/EXPERIMENT/RUN for each run, an experiment for each dataset: parameters are the settings, rows and
    results its metrics. Returns the folders of the runs. UserMistake where one is there already, or has no rows."""
    for run in runs:
        if not run.has_rows:
            raise UserMistake(f"Run {run.id} has no rows yet, so there is nothing to export")
        if (folder / _experiment_id(run) / _run_id(run)).exists():
            raise UserMistake(f"Run {run.id} is in {str(folder)!r} already; it was kept. Name another folder with --to")
    return [_export(run, folder) for run in runs]


def _export(run: Run, folder: Path) -> Path:
    experiment = folder / _experiment_id(run)
    target = experiment / _run_id(run)
    with whole_folder(target) as draft:
        if not (experiment / "meta.yaml").exists():
            _write_meta(experiment, _experiment_meta(run, experiment))
        for name in ("artifacts", "metrics", "params", "tags"):
            (draft / name).mkdir()
        _write_meta(draft, _run_meta(run, target))
        for name, value in _parameters(run).items():
            (draft / "params" / name).write_text(value[:MOST_LETTERS], encoding="utf-8")
        for name, lines in _metrics(run).items():
            (draft / "metrics" / name).write_text("".join(lines), encoding="utf-8")
        for name, value in {
            "mlflow.runName": run.title,
            "mlflow.note.content": run.marks.note,
            "atelier.run": run.id,
        }.items():
            (draft / "tags" / name).write_text(value, encoding="utf-8")
    return target


def _experiment_id(run: Run) -> str:
    """A number, as MLflow wants it, of the dataset's name."""
    return str(int(hashlib.sha256(run.config.data.dataset.encode()).hexdigest()[:15], 16))


def _run_id(run: Run) -> str:
    return hashlib.sha256(run.id.encode()).hexdigest()[:32]


def _experiment_meta(run: Run, experiment: Path) -> dict[str, Any]:
    made = _milliseconds(run.created)
    return {
        "artifact_location": experiment.resolve().as_uri(),
        "creation_time": made,
        "experiment_id": experiment.name,
        "last_update_time": made,
        "lifecycle_stage": "active",
        "name": run.config.data.dataset,
    }


def _run_meta(run: Run, target: Path) -> dict[str, Any]:
    ended = _milliseconds(run.state.updated) if run.state.ended and run.state.updated else None
    return {
        "artifact_uri": (target.parent.resolve() / target.name / "artifacts").as_uri(),
        "end_time": ended,
        "entry_point_name": "",
        "experiment_id": target.parent.name,
        "lifecycle_stage": "active",
        "run_id": target.name,
        "run_name": run.title,
        "run_uuid": target.name,
        "source_name": "atelier",
        "source_type": LOCAL,
        "source_version": "",
        "start_time": _milliseconds(run.created),
        "status": STATUS[run.state.status],
        "tags": [],
        "user_id": "",
    }


def _write_meta(folder: Path, document: dict[str, Any]) -> None:
    """YAML with JSON's values: no name in it can be read as another key."""
    lines = (f"{name}: {_as_yaml(value)}\n" for name, value in document.items())
    (folder / "meta.yaml").write_text("".join(lines), encoding="utf-8")


def _as_yaml(value: Any) -> str:
    """As JSON, except that an emoji stands as it is: JSON's pair of escapes for it is an error in YAML."""
    if not isinstance(value, str):
        return json.dumps(value)
    return '"' + "".join(one if ord(one) > 0xFFFF else json.dumps(one)[1:-1] for one in value) + '"'


def _parameters(run: Run) -> dict[str, str]:
    without = () if run.config.train.teacher else [f"train.{name}" for name in OF_TEACHER]
    settings = {field: str(value) for field, value in settings_of(run.config).items() if field not in without}
    return {"preset": run.config.preset} | settings


def _metrics(run: Run) -> dict[str, list[str]]:
    began, seconds = _milliseconds(run.created), 0.0
    found: dict[str, list[str]] = {}

    def add(name: str, value: float | None, step: int, at: float) -> None:
        if value is not None and math.isfinite(value):
            found.setdefault(name, []).append(f"{round(began + 1000 * at)} {value!r} {step}\n")

    for row in run.rows():
        if isinstance(row, EpochRow):
            seconds += row.seconds
            for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate"):
                add(name, getattr(row, name), row.step, seconds)
        else:
            add("train_loss_within_epochs", row.train_loss, row.step, row.seconds)
    for part in ("train", "val", "test"):
        if (answers := run.evaluation(part)) and answers.n:
            add(f"final_{part}_accuracy", answers.accuracy, run.state.step, run.state.seconds)
    return found


def _milliseconds(moment: str) -> int:
    return round(1000 * datetime.fromisoformat(moment).timestamp())
