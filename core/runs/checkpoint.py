"""Checkpoints: everything to resume a run exactly, in checkpoint/ of its folder. The newest that verifies counts.

checkpoint/000000001200.safetensors     the arrays after 1,200 steps
checkpoint/000000001200.json            written last: the numbers, and the SHA-256 of the arrays and of itself

A step may be kept twice, as the last iteration of an epoch and as its end: the arrays of the second time lie beside
those of the first, in 000000001200.again.safetensors, so that whenever the process is killed one of the two is whole.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from core.disk import read_json, write_atomic, write_json
from core.errors import UserMistake

CHECKPOINT_VERSION = 1
KEPT = 2  # the one before the newest stays: a disk may damage a file long after it was read back


@dataclass(frozen=True)
class Checkpoint:
    step: int
    numbers: dict[str, Any]  # JSON
    arrays: dict[str, np.ndarray]
    damaged: int = 0  # newer checkpoints that did not verify


def write_checkpoint(folder: Path, step: int, numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Add a checkpoint of the run in `folder`; once it has been read back, all but the newest two are removed.

    UserMistake where it reads back as something else; OSError where the disk is full. The others are kept then."""
    content = safetensors.numpy.save({name: np.asarray(values, order="C") for name, values in arrays.items()})
    path = _path(folder, step)
    before = _verified(path)
    place = next(place for place in _arrays_of(path) if before is None or place != before[1])
    write_atomic(place, content)
    document = {
        "schema_version": CHECKPOINT_VERSION,
        "step": step,
        "numbers": numbers,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    write_json(path, document | {"own_sha256": _own_sha256(document)})
    if _verified(path) is None:
        path.unlink(missing_ok=True)
        raise UserMistake(
            f"The disk did not give back the checkpoint of step {step} as it was written; the one before was kept. "
            "The disk may be failing: move ATELIER_HOME to another one, and resume the run."
        )
    if before is not None:
        before[1].unlink(missing_ok=True)
    older = sorted(earlier for earlier in _paths(folder) if earlier < path)
    _remove(older[: -(KEPT - 1)])


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies; None where none was ever written. UserMistake where none verifies."""
    damaged = 0
    for path in sorted(_paths(folder), reverse=True):
        verified = _verified(path)
        if verified is None:
            damaged += 1
            continue
        document, _, content = verified
        if document["schema_version"] > CHECKPOINT_VERSION:
            raise UserMistake(
                f"The checkpoint of run {folder.name} was made by a newer version of Atelier (schema "
                f"{document['schema_version']}; this one knows {CHECKPOINT_VERSION}), so it was not opened."
            )
        try:
            return Checkpoint(document["step"], document["numbers"], safetensors.numpy.load(content), damaged)
        except Exception:  # the parser has several classes of error; each says: not what was written here
            damaged += 1
    if damaged:
        raise UserMistake(
            f"Every checkpoint of run {folder.name} is damaged, so it cannot go on. Its model and its curves were "
            "kept. Clone the run to train it again."
        )
    return None


def newest_place(folder: Path) -> str:
    """Where the run would resume, in words: "epoch 3" or "epoch 4, iteration 120"; "" without a checkpoint."""
    for path in sorted(_paths(folder), reverse=True):
        try:
            numbers = read_json(path)["numbers"]
            epoch, iteration = int(numbers["epoch"]), int(numbers["iteration"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return f"epoch {epoch}, iteration {iteration}" if iteration else f"epoch {epoch - 1}"
    return ""


def remove_checkpoints(folder: Path, after: int) -> None:
    """Remove the checkpoints of more than `after` steps: a run that went back writes them anew."""
    _remove([path for path in _paths(folder) if int(path.stem) > after])


def _verified(path: Path) -> tuple[dict[str, Any], Path, bytes] | None:
    """Numbers of a checkpoint, the file of its arrays and its content; None where a byte is not what was written."""
    try:
        document = read_json(path)
        own = document.pop("own_sha256")
        if own != _own_sha256(document):
            return None
        for place in _arrays_of(path):
            content = place.read_bytes() if place.exists() else b""
            if hashlib.sha256(content).hexdigest() == document["sha256"]:
                return document, place, content
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _own_sha256(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)  # first: without it the arrays are as good as not there
        for arrays in _arrays_of(path):
            arrays.unlink(missing_ok=True)


def _paths(folder: Path) -> list[Path]:
    return [path for path in (folder / "checkpoint").glob("*.json") if path.stem.isdigit()]


def _arrays_of(path: Path) -> tuple[Path, Path]:
    """Where the arrays of a step may lie."""
    return path.with_suffix(".safetensors"), path.with_suffix(".again.safetensors")


def _path(folder: Path, step: int) -> Path:
    return folder / "checkpoint" / f"{step:012d}.json"
