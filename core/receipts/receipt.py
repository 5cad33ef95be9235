"""Receipt: what a run was trained on, with, where, and what came of it, as one signed document."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from core.data.store.content import dataset_with
from core.data.store.store import split_dataset
from core.disk import finite, write_atomic
from core.environment import Environment
from core.errors import UserMistake
from core.evaluation import MEASURES, Evaluation
from core.receipts.signing import canonical, sign
from core.rows import EpochRow, IterationRow
from core.runs.environments import read_environments
from core.runs.run import MODEL_FILES, Run
from core.runs.state import now

FORMAT, SCHEMA_VERSION = "atelier-receipt", 1
MOST_BYTES = 64 * 2**20
_OF_TIME = {"seconds", "val_seconds", "images_per_second"}  # fields of rows that no two trainings share


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetFields(_Fields):
    name: str
    content_hash: str  # of every picture, its name, class and given part
    fingerprint: str  # with how the pictures become squares
    classes: tuple[str, ...]
    pictures: int


class PartFields(_Fields):
    pictures: int
    sha256: str  # over "index,label" lines


class Receipt(_Fields):
    """The document without its signature. `results` are those that a training again gives: results_of."""

    format: str
    schema_version: int
    run: str
    title: str
    created: str  # ISO 8601, UTC
    issued: str
    dataset: DatasetFields
    parts: dict[str, PartFields]
    settings: dict[str, Any]  # RunConfig
    seeds: dict[str, int]
    environments: tuple[Environment, ...]  # in which it was trained, in order; none of a run of before 0.2
    seconds: float  # of training
    results: dict[str, Any]


def make_receipt(run: Run) -> dict[str, Any]:
    """The signed receipt of a run that has ended in good order.

    UserMistake where it has not, where its files are damaged, or where its dataset is gone or changed.
    """
    if not run.state.is_finished:
        raise UserMistake(f"Run {run.id} is {run.state.status}; only a run that has ended with a model has a receipt.")
    dataset = dataset_with(run.config.data, fingerprint=run.fingerprint)
    parts = split_dataset(dataset, run.config.data)
    receipt = Receipt(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        run=run.id,
        title=run.title,
        created=run.created,
        issued=now(),
        dataset=DatasetFields(
            name=dataset.name,
            content_hash=dataset.content_hash,
            fingerprint=run.fingerprint,
            classes=run.classes,
            pictures=dataset.used,
        ),
        parts={name: hash_part(rows, dataset.labels) for name, rows in parts.items()},
        settings=run.config.model_dump(mode="json"),
        seeds={"split": run.config.data.seed, "training": run.config.train.seed},
        environments=read_environments(run.folder),
        seconds=run.state.whole_seconds,
        results=results_of(run),
    )
    return sign(receipt.model_dump(mode="json"))


def write_receipt(document: dict[str, Any], path: Path) -> None:
    """UserMistake where it cannot be written there."""
    try:
        write_atomic(path, (json.dumps(document, allow_nan=False, indent=1) + "\n").encode())
    except OSError as error:
        raise UserMistake(f"{str(path)!r} cannot be written: {error.strerror}. Name another file.") from error


def read_receipt(path: Path) -> tuple[dict[str, Any], Receipt]:
    """(the document, its fields); nothing is said about its signature yet. UserMistake where it is no receipt."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserMistake(f"{path.name!r} is no receipt: it has more than {MOST_BYTES // 2**20} MB.")
        document = json.loads(path.read_bytes(), object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
        return document, Receipt.model_validate(
            {name: value for name, value in document.items() if name != "signature"}
        )
    except OSError as error:
        raise UserMistake(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "its form"
        raise UserMistake(f"{path.name!r} is no receipt of Atelier: {field} is not as a receipt has it.") from error
    except (ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, UserMistake):
            raise
        raise UserMistake(f"{path.name!r} is no receipt: it is not a JSON document.") from error


def results_of(run: Run) -> dict[str, Any]:
    """Everything that a training with the same settings in the same environment gives again, times left out."""
    epochs, iterations = [_kept(row) for row in run.epochs()], [_kept(row) for row in run.iterations()]
    return {
        "status": run.state.status,
        "model": run.used_model,
        "epochs": epochs,
        "iterations": {"rows": len(iterations), "sha256": hashlib.sha256(canonical(iterations)).hexdigest()},
        "numbers": {
            part: {measure: _numbers(found) for measure in MEASURES if (found := run.evaluation(part, measure))}
            for part in ("test", "val", "train")
        },
        "weights": {which: hash_weights(run, which) for which in MODEL_FILES if _has(run, which)},
    }


def hash_weights(run: Run, which: Any) -> str:
    """SHA-256 of that model's file, after it was checked against the manifest of the run."""
    run.weights(which)
    return run.weights_sha256(which)


def hash_part(rows: np.ndarray, labels: np.ndarray) -> PartFields:
    """rows: int64 (n,), the pictures of the part; labels: int64 (N,), of the dataset."""
    lines = "".join(f"{index},{labels[index]}\n" for index in rows.tolist())
    return PartFields(pictures=len(rows), sha256=hashlib.sha256(lines.encode()).hexdigest())


def _kept(row: EpochRow | IterationRow) -> dict[str, Any]:
    kept: dict[str, Any] = finite(row.model_dump(mode="json", exclude=_OF_TIME))
    return kept


def _numbers(evaluation: Evaluation) -> dict[str, Any]:
    right, n = int(evaluation.correct.sum()), evaluation.n
    return {
        "n": n,
        "right": right,
        "accuracy": right / n,
        "interval": list(evaluation.interval),
        "per_class": finite(evaluation.per_class.tolist()),
        "probabilities_sha256": hashlib.sha256(
            np.ascontiguousarray(evaluation.probabilities, dtype="<f4").tobytes()
        ).hexdigest(),
    }


def _has(run: Run, which: str) -> bool:
    return run.has_model if which == "last" else run.has_best_model


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise UserMistake("This is no receipt: a field stands twice in it, and programs differ in which one counts.")
    return dict(pairs)


def _refuse_constant(constant: str) -> float:
    raise ValueError(constant)
