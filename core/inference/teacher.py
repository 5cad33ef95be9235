"""The answers of a teacher: its logits for every training picture of a run, and for its horizontal flip, computed once.

features/<hash of teacher, pictures and parts>/teacher.npy   float32 (n, 2 classes): row i is training picture i, its
                                                             logits and then those for its flip

A student is shown each picture flipped or not and learns from the answer for that side; shifts, rotations, colours and
blanked squares change what the student is shown and not the answer, so that no teacher runs beside the training.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.config import RunConfig
from core.data.datasets.dataset import find_dataset
from core.data.pictures.preprocess import Preprocess
from core.data.store.batches import Part, normalise
from core.data.store.store import TensorStore, build_store, open_store
from core.engine.evaluate import evaluation_batch, predict_logits
from core.engine.kept_rows import has_rows, keep_rows
from core.errors import UserMistake
from core.inference.predictor import load_model
from core.progress import Progress
from core.runs.run import Run
from core.runs.teachers import find_teacher
from core.settings import features_root

VERSION = 1  # of the method: answers of another one are made anew


def answers_path(teacher: str, store: TensorStore) -> Path:
    """The file of the answers, which may not exist yet. teacher: as train.teacher names it, by its weights.

    The parts are in its name: answers that are there are for a run with these very parts."""
    digest = hashlib.sha256()
    for part in ("train", "val", "test"):
        digest.update(np.ascontiguousarray(store.parts[part], dtype="<i8").tobytes())
        digest.update(b"|")
    key = json.dumps([VERSION, teacher, store.fingerprint, digest.hexdigest()])
    return features_root() / hashlib.sha256(key.encode()).hexdigest() / "teacher.npy"


def build_answers(config: RunConfig, store: TensorStore, device: torch.device) -> Iterator[Progress]:
    """Ask the teacher of a run about its training pictures, unless that was done before: then the teacher may be gone.
    Phase "teacher"; where its own pictures have to be read first, also those of build_store.

    store: of the run. Closing the generator keeps what is done. UserMistake where the teacher is gone, has other
    weights, or was trained on other pictures or parts, and where the disk has no room.
    """
    rows, classes = store.parts["train"], len(store.classes)
    path = answers_path(config.train.teacher, store)
    if has_rows(path, len(rows), 2 * classes):
        return
    run, which = find_teacher(config.train.teacher)
    data = run.config.data.model_copy(update={"dataset": config.data.dataset})
    for progress in build_store(find_dataset(data.dataset), data):
        if progress.phase != "done":
            yield progress
    theirs = open_store(find_dataset(data.dataset), data)
    theirs = replace(theirs, preprocess=Preprocess.model_validate(run.card(which).preprocess))
    must_be_same_pictures(run, theirs, store)
    model = load_model(run, which).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compute(first: int, end: int) -> np.ndarray:
        return both_sides(model, theirs.images[rows[first:end]], theirs.preprocess, device)

    at_once = evaluation_batch(theirs.preprocess.image_size)
    yield from keep_rows(path, len(rows), 2 * classes, at_once, compute, "teacher")


def with_answers(part: Part, teacher: str, store: TensorStore) -> Part:
    """The training part with the answers of its teacher, after build_answers; in memory, on the device of the part."""
    kept: np.ndarray = np.load(answers_path(teacher, store), allow_pickle=False)
    answers = torch.from_numpy(kept).view(len(part), 2, len(store.classes))
    return replace(part, answers=answers.to(part.device))


def must_be_same_pictures(run: Run, theirs: TensorStore, ours: TensorStore) -> None:
    """UserMistake unless the teacher `run`, with its store, learnt from the very parts of `ours`: then no picture by
    which the student is judged was one that its teacher had learnt."""
    same = run.fingerprint == theirs.fingerprint and theirs.classes == ours.classes
    same = same and len(theirs.images) == len(ours.images)
    if not (same and all(np.array_equal(theirs.parts[part], ours.parts[part]) for part in ("train", "val", "test"))):
        raise UserMistake(
            f"Run {run.id} cannot be the teacher here: it was trained on other pictures or parts than this run has, so "
            "it may have learnt pictures by which this run is judged"
        )


@torch.no_grad()
def both_sides(model: nn.Module, pictures: np.ndarray, preprocess: Preprocess, device: torch.device) -> np.ndarray:
    """A network's logits for pictures and for their horizontal flips, in evaluation mode: uint8 (B, 3, S, S) -> float32
    (B, 2 classes)."""
    images = torch.from_numpy(np.array(pictures)).permute(0, 2, 3, 1).contiguous().to(device)
    images = normalise(images, preprocess)
    sides = [predict_logits(model, side).float() for side in (images, images.flip(3))]
    answers: np.ndarray = torch.cat(sides, 1).cpu().numpy()
    return answers
