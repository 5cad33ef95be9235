"""ClusterSettings: which Ray cluster trains the queue, and what a run asks for there; cluster/ in atelier_home()."""

import time
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from core.disk import read_json, write_json
from core.documents import Unreadable, read_document
from core.errors import UserMistake
from core.settings import atelier_home

WORKER = "core.cluster.at_home.train_run"  # what trains a run folder there, as core.train.train_run does here
_PLACES_SECONDS = 30.0  # for which a count of places is believed: whoever trains counts again


class ClusterSettings(BaseModel):
    """cluster.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: str  # HOST:PORT of the head, as Ray names it
    cpus: int = Field(1, ge=1)  # of a machine that one run gets, and its number of threads
    gpus: float = Field(0.0, ge=0)  # 0.5: two runs share one
    started_here: bool = False  # whether this machine is its head, by our command


def read_cluster() -> ClusterSettings | None:
    """The cluster that trains the queue; None where this machine does. UserMistake where its file is damaged."""
    try:
        return read_document(_settings_path(), ClusterSettings)
    except FileNotFoundError:
        return None
    except Unreadable as error:
        raise UserMistake(
            f"{_settings_path()} cannot be used: {error}. Name the cluster again: python -m core cluster use ADDRESS"
        ) from error


def uses_cluster() -> bool:
    """Whether a cluster trains the queue; cheap enough for every turn of the supervisor."""
    return _settings_path().exists()


def use_cluster(settings: ClusterSettings) -> None:
    """From now on the queue is trained there. UserMistake where ray is not installed."""
    must_have_ray()
    write_json(_settings_path(), settings.model_dump(mode="json"))
    _places_path().unlink(missing_ok=True)


def forget_cluster() -> bool:
    """From now on this machine trains the queue again; whether a cluster did before."""
    there = _settings_path().exists()
    _settings_path().unlink(missing_ok=True)
    return there


def must_have_ray() -> None:
    """UserMistake where ray is not installed; imports nothing of it."""
    if find_spec("ray") is None:
        raise UserMistake("Ray is not installed here. Install it first: pip install -r requirements-cluster.txt")


def write_places(places: int) -> None:
    """Note how many runs the machines of the cluster train at once; whoever trains there counts them."""
    write_json(_places_path(), {"places": places})


def read_places() -> int:
    """How many runs train at once in the cluster: as counted a moment ago, else 1, which counts them."""
    try:
        if time.time() - _places_path().stat().st_mtime > _PLACES_SECONDS:
            return 1
        return max(1, int(read_json(_places_path())["places"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def _settings_path() -> Path:
    return atelier_home() / "cluster" / "cluster.json"


def _places_path() -> Path:
    return atelier_home() / "cluster" / "places.json"
