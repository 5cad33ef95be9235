"""Unseen: what networks answer about pictures that they have not seen, each fold asked of one that learnt the others.

python -m core data doubtful NAME --unseen
"""

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.dataset import Clock, Dataset, Progress
from core.data.store import load_store, look_for_copies, open_images, preprocess_of
from core.disk import write_atomic
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.trained import runs_on
from core.runs.run import Run

FOLDS = 4
VERSION = 1  # of how it is asked: a file of another one is made anew
PART = "unseen"  # what the Evaluation calls them: every picture, of whatever part of the run


def ask_unseen(dataset: Dataset, run: Run, folds: int = FOLDS) -> Iterator[Progress]:
    """Train one network a fold with the run's settings, and ask it about the pictures of its fold, which it has not
    seen; copies of a picture are in its fold. Kept beside the dataset, unless it is there: read_unseen() then has it.

    `done` counts per cent of a training, after the copies were looked for. UserMistake where the run was trained on
    other pictures or learnt on from another one, or there are too few.
    """
    from core.engine.hardware import choose_hardware  # torch: only where networks are trained
    from core.experiments.trial import told, try_out

    if read_unseen(dataset, run.id) is not None:
        return
    if not runs_on(dataset, [run]):
        raise UserMistake(f"run {run.id} was trained on other pictures than {dataset.name!r} has now")
    if run.config.model.name == "transfer":
        raise UserMistake(f"run {run.id} learnt on from another run, which may have seen these pictures; pick another")
    yield from look_for_copies(dataset)
    store = load_store(run.config.data, run.config.model)
    fold = draw_folds(store.labels, store.groups, folds, run.config.data.seed)
    if len(np.unique(fold)) < 2:
        raise UserMistake(f"{dataset.name!r} has too few pictures that are no copies to keep some unseen")
    probabilities = np.zeros((len(store.labels), len(store.classes)), np.float32)
    hardware, clock = choose_hardware(run.config), Clock()
    for number in range(folds):
        learnt, asked = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(asked):
            parts = {"train": learnt, "val": asked[:0], "test": asked}
            trial = try_out(run.config, replace(store, parts=parts), hardware)
            answers = yield from told(trial, f"network {number + 1}", number, folds, clock)
            probabilities[asked] = answers.probabilities
    _, rows = open_images(dataset, preprocess_of(run.config.data))
    _keep(dataset, run.id, folds, rows, probabilities)


def read_unseen(dataset: Dataset, run_id: str) -> Evaluation | None:
    """The answers about every picture; `indices` are rows of the dataset. None where nobody has asked, or the file is
    damaged or not of these pictures."""
    try:
        with np.load(_path(dataset, run_id), allow_pickle=False) as stored:
            if (str(stored["content_hash"]), int(stored["version"])) != (dataset.content_hash, VERSION):
                return None
            rows, probabilities = stored["rows"], stored["probabilities"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if rows.dtype != np.int64 or probabilities.shape != (len(rows), len(dataset.classes)):
        return None
    if not len(rows) or rows.min() < 0 or rows.max() >= dataset.used or not np.isfinite(probabilities).all():
        return None
    return Evaluation(PART, "evaluation", dataset.classes, rows, dataset.labels[rows], probabilities)


def estimate_unseen(dataset: Dataset, run: Run, learnt: int, folds: int = FOLDS) -> float:
    """Seconds that ask_unseen will take, at the pace of the run, which learnt from that many pictures."""
    return run.state.seconds * (folds - 1) * dataset.used / max(1, learnt)


def draw_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """int64 (N,): the fold of each picture. Copies of one another, which have one number in `groups`, are in one; of
    each class every fold has as many as that leaves."""
    _, first, unit = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(unit)
    random = np.random.default_rng([seed, folds])
    fold_of = np.zeros(len(first), np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels[first] == label))
        members = members[np.argsort(-sizes[members], kind="stable")]  # groups first, single pictures even it out
        order, filled = random.permutation(folds), np.zeros(folds, np.int64)  # not always the same fold has one more
        for member in members:
            place = int(filled.argmin())
            fold_of[member] = order[place]
            filled[place] += sizes[member]
    return fold_of[unit]


def _path(dataset: Dataset, run_id: str) -> Path:
    assert re.fullmatch(r"[a-z0-9]+", run_id), run_id  # an id that the program made
    return dataset.folder / f"unseen-{run_id}.npz"


def _keep(dataset: Dataset, run_id: str, folds: int, rows: np.ndarray, probabilities: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        content_hash=np.array(dataset.content_hash),
        version=np.array(VERSION),
        folds=np.array(folds),
        rows=rows,
        probabilities=probabilities,
    )
    write_atomic(_path(dataset, run_id), buffer.getvalue())
