"""Cross-validated predictions: every picture is predicted by a network that was trained on the other folds.

python -m core data label-issues NAME --cross-validated
"""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.data.datasets.dataset import Dataset
from core.data.store.store import find_duplicates_of, load_store, open_images, preprocess_of
from core.disk import write_atomic
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.audits.trial_task import TrialTask, answer_all
from core.experiments.dataset_runs import runs_on
from core.progress import Progress
from core.runs.run import Run

FOLDS = 4
VERSION = 1  # of the method: a file of another one is made anew
PART = "cross-validated"  # Evaluation.part: every picture, of whatever part of the run


def predict_cross_validated(dataset: Dataset, run: Run, folds: int = FOLDS) -> Iterator[Progress]:
    """Train one network a fold with the run's settings, on all other folds, and store what it predicts for its own.

    Duplicates of a picture are in its fold. The result lies in the dataset's folder, for read_cross_validated(), and
    nothing is done where it is there already. `done` counts per cent of a training, after the search for duplicates.
    UserMistake where the run was trained on other pictures or on another run's backbone, or there are too few.
    """
    if read_cross_validated(dataset, run.id) is not None:
        return
    if not runs_on(dataset, [run]):
        raise UserMistake(f"run {run.id} was trained on other pictures than {dataset.name!r} has now")
    if run.config.model.name == "transfer":
        raise UserMistake(f"run {run.id} uses another run's network, which may have seen these pictures; pick another")
    if run.config.train.teacher:
        raise UserMistake(f"run {run.id} learnt from a teacher, which may have seen these pictures; pick another")
    yield from find_duplicates_of(dataset)
    store = load_store(run.config.data, run.config.model)
    fold = draw_folds(store.labels, store.groups, folds, run.config.data.seed)
    if len(np.unique(fold)) < 2:
        raise UserMistake(f"{dataset.name!r} has too few pictures without duplicates to deal into folds")
    probabilities = np.zeros((len(store.labels), len(store.classes)), np.float32)
    tasks = []
    for number in range(folds):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(test):
            parts = {"train": train, "val": test[:0], "test": test}
            tasks.append(TrialTask(f"network {number + 1}", run.config, parts))
    for task, answers in zip(tasks, (yield from answer_all(tasks)), strict=True):
        probabilities[task.parts["test"]] = answers.probabilities
    _, rows = open_images(dataset, preprocess_of(run.config.data))
    _write(dataset, run.id, folds, rows, probabilities)


def read_cross_validated(dataset: Dataset, run_id: str) -> Evaluation | None:
    """The predictions for every picture; `indices` are rows of the dataset. None where there is no file, or it is
    damaged or not of these pictures."""
    try:
        with np.load(cross_validated_path(dataset, run_id), allow_pickle=False) as stored:
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


def estimate_cross_validation(dataset: Dataset, run: Run, trained_on: int, folds: int = FOLDS) -> float:
    """Seconds that predict_cross_validated will take, at the pace of the run, which trained on that many pictures."""
    return run.state.seconds * (folds - 1) * dataset.used / max(1, trained_on)


def draw_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """int64 (N,): the fold of each picture. Duplicates, which have one number in `groups`, are in one fold; of each
    class every fold has as many as that leaves."""
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


def cross_validated_path(dataset: Dataset, run_id: str) -> Path:
    """The file to read: under the name of today, or under that of version 0.1.0 where only that is there."""
    path, former = _path(dataset, run_id), dataset.folder / f"unseen-{run_id}.npz"
    return former if former.exists() and not path.exists() else path


def _path(dataset: Dataset, run_id: str) -> Path:
    assert re.fullmatch(r"[a-z0-9]+", run_id), run_id  # an id that the program made
    return dataset.folder / f"cross-validated-{run_id}.npz"


def _write(dataset: Dataset, run_id: str, folds: int, rows: np.ndarray, probabilities: np.ndarray) -> None:
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
