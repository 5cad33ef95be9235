"""The network whose activations are shown, untrained or of a run, and the picture that it is given."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.config import DataConfig, ModelConfig
from core.data.datasets.dataset import Dataset
from core.data.pictures.preprocess import Preprocess
from core.data.store.store import preprocess_of
from core.errors import UserMistake
from core.runs.run import Run
from core.settings import load_limits
from pages.parts.shell.cache import parts_of
from pages.parts.widgets.picture_picker import pick_offered
from pages.parts.widgets.prediction_grid import evaluation_or_none, pictures_of
from pages.parts.widgets.run_picker import run_labels

UNTRAINED = "untrained"
SAMPLE = 200  # test pictures over which a unit is called dead


@dataclass(frozen=True)
class ChosenModel:
    """A network whose activations can be shown, and the test pictures that it is given."""

    key: str  # what it is cached under
    preprocess: Preprocess
    classes: tuple[str, ...]  # names, () where it is not trained
    dataset: Dataset | None
    tests: tuple[int, ...]  # places of some test pictures in the dataset
    tested: int  # how many test pictures there are
    run: Run | None
    model: ModelConfig
    outputs: int


def pick_model(
    dataset: Dataset | None, data: DataConfig, model: ModelConfig, outputs: int, finished: list[Run]
) -> ChosenModel:
    """model: the network that is being designed, for `outputs` classes and the pictures of `data`."""
    labels, by_id = run_labels(finished), {run.id: run for run in finished}
    if st.session_state.get("activations.network", UNTRAINED) not in {UNTRAINED, *by_id}:
        st.session_state["activations.network"] = UNTRAINED
    picked = st.selectbox(
        "Network",
        [UNTRAINED, *by_id],
        format_func=lambda key: "The one above, before training" if key == UNTRAINED else f"Run {labels[key]}",
        key="activations.network",
        persist_state="session",
    )
    if picked != UNTRAINED:
        return _model_of(by_id[picked])
    tests, tested = _some_tests(dataset, data) if dataset is not None else ((), 0)
    pictures = "" if dataset is None else dataset.content_hash
    key = f"{UNTRAINED} {model.model_dump_json()} {outputs} {data.image_size} {pictures}"
    return ChosenModel(key, preprocess_of(data, model), (), dataset, tests, tested, None, model, outputs)


def _model_of(run: Run) -> ChosenModel:
    card, dataset = run.card(run.used_model), pictures_of(run)
    test = evaluation_or_none(run, "test")
    tests, tested = ((), 0) if dataset is None else _some_tests(dataset, run.config.data)
    if tests and test is not None:  # duplicates that were found since may have moved the split
        tests, tested = _sampled(test.indices), test.n
    preprocess = Preprocess.model_validate(card.preprocess)
    key = f"{run.id} {run.state.updated}"
    return ChosenModel(key, preprocess, card.classes, dataset, tests, tested, run, card.model, len(card.classes))


def _some_tests(dataset: Dataset, data: DataConfig) -> tuple[tuple[int, ...], int]:
    try:
        test = parts_of(dataset, data)["test"]
    except UserMistake:
        test = np.arange(dataset.used)
    return _sampled(test), len(test)


def _sampled(indices: np.ndarray) -> tuple[int, ...]:
    """At most SAMPLE of them, the same every time."""
    return tuple(int(place) for place in np.random.default_rng(0).permutation(indices)[:SAMPLE])


def pick_picture(chosen: ChosenModel) -> tuple[bytes, str] | None:
    """(content, name) of what was dropped, else of the test picture that was clicked, else of the first one."""
    given = st.file_uploader(
        "Your picture",
        key="activations.picture",
        max_upload_size=max(1, load_limits().picture_bytes // 2**20),
        help="Drop one, or paste it with Ctrl+V.",
    )
    if given is not None:
        return given.getvalue(), given.name
    if chosen.dataset is None or not chosen.tests:
        if chosen.run is not None:
            st.caption("The pictures of this run are no longer there; drop one of your own.")
        return None
    label, dataset = "Or one of the test pictures.", chosen.dataset
    index = pick_offered(label, "Show", dataset, chosen.tests, dataset.content_hash, "activations.")
    index = chosen.tests[0] if index is None else index
    return dataset.original(index), str(dataset.names[index])
