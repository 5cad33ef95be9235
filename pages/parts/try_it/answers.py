"""What networks answer about a picture, how far that can be believed, and whether it is none of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import UserMistake
from core.inference.calibration import load_calibration
from core.runs.run import Run
from pages.parts.shell.cache import stamp_of
from pages.parts.shell.torch_import import wait_for_torch
from pages.parts.try_it.given import GivenPicture
from pages.parts.widgets.loaded_network import predictor_of

if TYPE_CHECKING:
    from core.inference.neighbours import Neighbour, Neighbours
    from core.inference.novelty import Novelty, Verdict
    from core.inference.predictor import Prediction

NEIGHBOURS = 8  # nearest training pictures that are shown


@dataclass(frozen=True)
class Answer:
    """What a network says about a picture, and what is known of how far to believe it."""

    prediction: "Prediction"
    ranked: tuple[tuple[str, float], ...]  # (class, probability that can be believed), best first
    note: str  # both numbers, where what the network says is another one; "" else
    verdict: "Verdict | None"  # None where it was not measured


def predict(run: Run, picture: GivenPicture) -> "Prediction":
    """Computed once a run and picture, for all sessions."""
    return _predict(run.id, run.state.updated, picture.sha256, picture.name, run, picture.content)


def answer(run: Run, picture: GivenPicture) -> Answer:
    return _weighed(run, predict(run, picture))


def answer_all(run: Run, pictures: Sequence[GivenPicture]) -> list[Answer]:
    """Of several pictures, read together: broken ones carry their sentence."""
    digests = tuple(picture.sha256 for picture in pictures)
    return [_weighed(run, prediction) for prediction in _predict_all(run.id, run.state.updated, digests, run, pictures)]


def novelty_of(run: Run) -> "Novelty | None":
    """What tells that a picture is none of its classes; None where that was not measured."""
    wait_for_torch()
    from core.inference.run_features import measured_folder

    folder = measured_folder(run)
    stamps = stamp_of(folder / "novelty.json"), stamp_of(folder / "intruders.json")
    return _novelty(run.id, run.state.updated, stamps, run) if stamps[0] else None


def nearest(run: Run, picture: GivenPicture) -> list["Neighbour"]:
    """The training pictures most like it. UserMistake where they were not compared, or are gone."""
    prediction = predict(run, picture)
    if prediction.features is None:
        return []
    found = _neighbours(run.id, run.state.updated, run)
    return found.nearest(prediction.features, prediction.received, NEIGHBOURS)


def _weighed(run: Run, prediction: "Prediction") -> Answer:
    """The answer with what was measured of the network."""
    if prediction.error is not None:
        return Answer(prediction, (), "", None)
    calibration, novelty = _calibration(run.id, run.state.updated, run.used_model, run), novelty_of(run)
    ranked, note, verdict = prediction.classes, "", None
    if calibration is not None:
        ranked = calibration.rank(prediction.classes)
        note = calibration.describe(prediction.classes[0][1], ranked[0][1])
    if novelty is not None and prediction.features is not None:
        verdict = novelty.verdict(prediction.features, [share for _, share in prediction.classes])
    return Answer(prediction, ranked, note, verdict)


@st.cache_data(max_entries=500, show_spinner=False)
def _predict(run_id: str, updated: str, sha256: str, name: str, _run: Run, _content: bytes) -> "Prediction":
    return predictor_of(_run).predict([(name, _content)])[0]


@st.cache_data(max_entries=20, show_spinner="Asking the network …")
def _predict_all(
    run_id: str, updated: str, digests: tuple[str, ...], _run: Run, _pictures: Sequence[GivenPicture]
) -> list["Prediction"]:
    return predictor_of(_run).predict([(one.name, one.content) for one in _pictures])


@st.cache_data(max_entries=50, show_spinner=False)
def _calibration(run_id: str, updated: str, which: str, _run: Run) -> Any:
    """What load_calibration gives; None where there are no answers on a validation part."""
    try:
        return load_calibration(_run)
    except UserMistake:
        return None


@st.cache_resource(max_entries=4, show_spinner=False)
def _novelty(run_id: str, updated: str, stamps: tuple[int, int], _run: Run) -> "Novelty | None":
    from core.inference.novelty import read_novelty

    return read_novelty(_run)


@st.cache_resource(max_entries=4, show_spinner=False)
def _neighbours(run_id: str, updated: str, _run: Run) -> "Neighbours":
    from core.inference.neighbours import load_neighbours

    return load_neighbours(_run)
