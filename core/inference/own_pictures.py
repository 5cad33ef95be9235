"""The pictures that a run was trained on: its store as its model wants it, and the rows of its dataset."""

from dataclasses import replace

import numpy as np

from core.data.datasets.dataset import Dataset, find_dataset
from core.data.pictures.preprocess import Preprocess
from core.data.store.store import TensorStore, load_store, open_images, store_fingerprint
from core.errors import UserMistake
from core.evaluation import Which
from core.runs.run import Run


def store_of(run: Run, which: Which | None = None) -> TensorStore:
    """The store of the run, normalised as that model wants it (None: the used one).

    UserMistake where the dataset is gone or another one by now, and where there is no model.
    """
    store = load_store(run.config.data)
    if store.fingerprint != run.fingerprint:
        raise _changed(run)
    return replace(store, preprocess=Preprocess.model_validate(run.card(which or run.used_model).preprocess))


def dataset_of(run: Run) -> tuple[Dataset, np.ndarray]:
    """The run's dataset, and its row of each picture of the run's store, int64 (N,). UserMistake as store_of."""
    data = run.config.data
    dataset = find_dataset(data.dataset)
    if store_fingerprint(dataset, data) != run.fingerprint:
        raise _changed(run)
    return dataset, open_images(dataset, Preprocess(image_size=data.image_size, fit=data.fit))[1]


def _changed(run: Run) -> UserMistake:
    return UserMistake(
        f"The dataset {run.config.data.dataset!r} changed since run {run.id}, so its own pictures are not known any "
        "more. Train a new run."
    )
