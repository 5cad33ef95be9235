"""take_in: an exported network becomes a run again, from its safetensors and model.json alone.

A file that somebody brings is checked before anything is made of it: its checksum, then its header, then names and
shapes against the network that it claims to be, then its numbers. Formats that can hold program code are not opened.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from pydantic import ValidationError

from core.disk import read_json
from core.documents import is_newer
from core.engine.train_state import differing
from core.errors import UserMistake, wrong_fields
from core.export.facts import FACTS, SCHEMA_VERSION, ExportFacts
from core.models.build import build_model
from core.runs.actions import create_run, rename_run
from core.runs.run import ModelCard, Run, open_run
from core.runs.writer import RunWriter

WEIGHTS = "model.safetensors"
FACTS_BYTES, HEADER_BYTES, WEIGHTS_BYTES = 2**20, 2**20, 2 * 2**30
CAN_HOLD_CODE = (".pt", ".pt2", ".pth", ".bin", ".pkl", ".ckpt", ".onnx")


def take_in(given: Path) -> Run:
    """A finished run with the network of an export: it answers on every later day as the exported one did.

    `given`: the folder, or model.safetensors in it. The run has no pictures of its own, so nothing of it is measured.
    UserMistake where the export is incomplete, changed, of a newer version or of another network than it says.
    """
    folder = _folder_of(given)
    facts = read_checked_facts(folder)
    weights = read_checked_weights(folder, facts)
    run = create_run(facts.config, facts.fingerprint, facts.classes, teacher=facts.teacher)
    writer = RunWriter(run.folder)
    try:
        writer.starting("Taking in an exported network.")
        writer.save_model(weights, _card(facts))
        writer.running(epoch=facts.config.train.epochs, epochs=facts.config.train.epochs)
        writer.finish("done", f"Taken in from an export of run {facts.run}; nothing was measured here.")
    except BaseException:
        writer.fail("Taking in an exported network was broken off.")
        raise
    return rename_run(open_run(run.folder), facts.title)


def _folder_of(given: Path) -> Path:
    if given.suffix.lower() in CAN_HOLD_CODE:
        raise UserMistake(
            f"{given.name!r} was not opened, because such a file can hold program code. Only safetensors are taken in: "
            f"give the folder of an export with {WEIGHTS} and {FACTS}"
        )
    folder = given.parent if given.name == WEIGHTS else given
    missing = [name for name in (FACTS, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise UserMistake(
            f"There is no {' and no '.join(missing)} in {str(folder)!r}. Give the folder of an export: python -m core "
            "export RUN --to FOLDER --format safetensors"
        )
    return folder


def read_checked_facts(folder: Path) -> ExportFacts:
    """The facts of an export that somebody brought. UserMistake where they cannot be used."""
    path = folder / FACTS
    try:
        if path.stat().st_size > FACTS_BYTES:
            raise UserMistake(f"{FACTS} has {path.stat().st_size:,} bytes, and one of Atelier has a few thousand")
        document: Any = read_json(path)
        if not isinstance(document, dict) or document.get("kind") != "atelier-export":
            raise UserMistake(f"{FACTS} is not the one of an export of Atelier")
        if is_newer(document.get("schema_version"), SCHEMA_VERSION):
            raise UserMistake(
                f"This export was made by a newer version of Atelier (schema {document['schema_version']}; this one "
                f"knows {SCHEMA_VERSION})"
            )
        return ExportFacts.model_validate(document)
    except ValidationError as error:
        raise UserMistake(f"{FACTS} cannot be used: {wrong_fields(error)}") from error
    except OSError as error:
        raise UserMistake(f"{FACTS} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserMistake):
            raise
        raise UserMistake(f"{FACTS} is incomplete or damaged: it is not JSON") from error


def read_checked_weights(folder: Path, facts: ExportFacts) -> dict[str, np.ndarray]:
    """The weights of an export, which fit the network that its facts describe. UserMistake where they do not."""
    path = folder / WEIGHTS
    try:
        size = path.stat().st_size
        if size > WEIGHTS_BYTES:
            raise UserMistake(f"{WEIGHTS} has {size / 1e9:.1f} GB, {WEIGHTS_BYTES / 1e9:.1f} may be; nothing was read")
        content = path.read_bytes()
    except OSError as error:
        raise UserMistake(f"{WEIGHTS} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != facts.sha256:
        raise UserMistake(f"{WEIGHTS} was changed or damaged (its checksum differs), so it was not opened")
    if int.from_bytes(content[:8], "little") > HEADER_BYTES:
        raise UserMistake(f"{WEIGHTS} is not a model file of Atelier: its header is too long")
    try:
        weights: dict[str, np.ndarray] = safetensors.numpy.load(content)
    except Exception as error:  # the parser has several classes of error; each says: not a model file
        raise UserMistake(f"{WEIGHTS} is not a model file, or incomplete") from error
    _must_fit(weights, facts)
    return weights


def _must_fit(weights: Mapping[str, np.ndarray], facts: ExportFacts) -> None:
    model, classes = facts.model, len(facts.classes)
    with torch.device("meta"):  # shapes without memory, whatever the facts claim
        network = build_model(model, classes, facts.preprocess.image_size, load_weights=False, source=facts.source)
    if others := differing(network, weights):
        raise UserMistake(
            f"{WEIGHTS} does not fit {model.name} with {classes} classes, which {FACTS} says it is: "
            f"{', '.join(others[:4])} differ{'' if len(others) > 1 else 's'}"
        )
    for name, expected in network.state_dict().items():
        if weights[name].dtype != np.dtype(str(expected.dtype).removeprefix("torch.")):
            raise UserMistake(f"{WEIGHTS} holds {name} as {weights[name].dtype}; it should be {expected.dtype}")
        if not np.isfinite(weights[name]).all():
            raise UserMistake(f"{WEIGHTS} is damaged: {name} holds values that are not finite")


def _card(facts: ExportFacts) -> ModelCard:
    return ModelCard(
        classes=facts.classes,
        preprocess=facts.preprocess.model_dump(mode="json"),
        model=facts.model,
        image_size=facts.preprocess.image_size,
        dataset=facts.dataset,
        fingerprint=facts.fingerprint,
        source=facts.source,
    )
