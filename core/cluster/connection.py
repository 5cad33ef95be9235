"""This machine as a client of a Ray cluster: its machines and places counted, a guest on one, files brought to it."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from core.cluster.parcel import Part, pieces
from core.cluster.settings import ClusterSettings, must_have_ray, write_places
from core.environment import hash_program
from core.errors import UserMistake

WAIT_SECONDS = 0.5  # between two looks at whether somebody wants to stop
COUNT_SECONDS = 10.0  # between two counts of the machines
CRASHES = 2  # of a process on machines that live on: then it is the fault of what it does
_ANSWER_SECONDS = 10.0  # that the head of a cluster may take
_ALIVE_SECONDS = 3.0  # that a machine may take to take a connection


class ClusterMistake(UserMistake):
    """The cluster itself cannot train: it does not answer, has no machine that fits, or another program."""


class MachineLost(Exception):
    """The machine of a training, or only its process there, is gone."""

    def __init__(self, machine: str, is_alive: bool) -> None:
        super().__init__(machine)
        self.machine, self.is_alive = machine, is_alive


def connect(cluster: ClusterSettings) -> Any:
    """The module ray, connected. ClusterMistake where the cluster does not answer."""
    must_have_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves these machines
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    import ray.exceptions

    try:
        if cluster.address != "auto":  # Ray itself would try for minutes
            host, _, port = cluster.address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterMistake(
            f"The cluster at {cluster.address} does not answer. See: python -m core cluster status; or train on this "
            "machine again: python -m core cluster down"
        ) from error
    return ray


@contextmanager
def connected(cluster: ClusterSettings) -> Iterator[Any]:
    """The module ray, connected for as long as this lasts; what was begun in it ends with it."""
    ray = connect(cluster)
    try:
        yield ray
    finally:
        ray.shutdown()


def errors_of_loss(ray: Any) -> tuple[type[Exception], ...]:
    """What Ray raises where a machine, or a process there, is gone."""
    gone = ray.exceptions
    return (gone.RayActorError, gone.ObjectLostError, gone.NodeDiedError)


@contextmanager
def guest(ray: Any, kind: type, cluster: ClusterSettings, *arguments: Any) -> Iterator[Any]:
    """A `kind` of Guest in a process of its own on some machine, with the processors and GPUs of a run; it ends with
    this. Ray begins it as soon as there is a place."""
    options = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus, "max_concurrency": 3, "max_restarts": 0}
    actor = ray.remote(kind).options(**options).remote(*arguments)
    try:
        yield actor
    finally:
        with suppress(Exception):
            ray.kill(actor)


def wait_for_place(ray: Any, greeting: Any, cluster: ClusterSettings) -> Iterator[None]:
    """Until a guest has greeted: yields while it waits for a place. ClusterMistake where no machine could give one."""
    counted = 0.0
    while not ray.wait([greeting], timeout=WAIT_SECONDS)[0]:
        yield
        if time.monotonic() - counted > COUNT_SECONDS:
            counted = time.monotonic()
            must_fit(ray, cluster)


def must_be_same_program(greeting: dict[str, str]) -> None:
    """ClusterMistake where the machine that has greeted runs another version of this program."""
    if greeting["program"] != hash_program():
        raise ClusterMistake(
            f"{greeting['machine']} has another version of Atelier than this machine; install the same on both."
        )


def bring(ray: Any, guest: Any, parts: list[Part]) -> Iterator[Part | None]:
    """Send a machine those of the files that it has not got; yields each one before it is sent, and None while the
    machine receives some of them for another training."""
    while (missing := ray.get(guest.missing.remote(parts))) is None:
        yield None
        time.sleep(WAIT_SECONDS)
    for part in missing:
        yield part
        sent = [ray.put(piece) for piece in pieces(part)]
        ray.get(guest.receive.remote(part, *sent))


def count_places(ray: Any, cluster: ClusterSettings) -> int:
    """How many runs the machines that are alive train at once."""
    return sum(_places_of(node["Resources"], cluster) for node in ray.nodes() if node["Alive"])


def _places_of(resources: dict[str, float], cluster: ClusterSettings) -> int:
    places = int(resources.get("CPU", 0)) // cluster.cpus
    return min(places, int(resources.get("GPU", 0) / cluster.gpus)) if cluster.gpus else places


def must_fit(ray: Any, cluster: ClusterSettings) -> int:
    """How many runs train at once, which is noted for others. ClusterMistake where no machine that is alive could ever
    take a run, so that none waits for ever."""
    places = count_places(ray, cluster)
    write_places(places)
    if not places:
        asked = f"{cluster.cpus} CPUs" + (f" and {cluster.gpus:g} GPUs" if cluster.gpus else "")
        raise ClusterMistake(f"No machine of the cluster has the {asked} of a run; see python -m core cluster status")
    return places


def ask_places(cluster: ClusterSettings) -> int:
    """How many runs the cluster trains at once, asked of itself. ClusterMistake as of connect and must_fit."""
    with connected(cluster) as ray:
        return must_fit(ray, cluster)


def is_alive(ray: Any, node: str) -> bool:
    """Whether the machine with that id lives on, so that only a process of it is gone.

    Ray's head believes in a killed machine for up to half a minute; but nothing takes a connection there any more.
    """
    try:
        found = next((one for one in ray.nodes() if one["NodeID"] == node and one["Alive"]), None)
        if found is None:
            return False
        place = (found["NodeManagerAddress"], found["NodeManagerPort"])
        socket.create_connection(place, timeout=_ALIVE_SECONDS).close()
        return True
    except Exception:
        return False


def list_machines(ray: Any) -> list[dict[str, Any]]:
    """The machines that Ray knows: name, whether alive, CPUs, GPUs."""
    return [
        {
            "machine": node["NodeManagerHostname"],
            "alive": bool(node["Alive"]),
            "cpus": int(node["Resources"].get("CPU", 0)),
            "gpus": int(node["Resources"].get("GPU", 0)),
        }
        for node in ray.nodes()
    ]
