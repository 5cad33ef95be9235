"""A run of the queue in the cluster, seen from home: this process is its worker here, a machine there does the work.

It holds the run folder as every worker does, so that stopping, the watchdog, a lost run and every page are as ever.
What the machine sends is written by its RunWriter, the only one. A machine that is lost is replaced by another, which
goes on from the newest checkpoint that has come back.
"""

import logging
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.cluster.machine import ENDED, Trainer
from core.cluster.parcel import pack, pieces
from core.cluster.relay import Message, apply
from core.cluster.settings import ClusterSettings, must_have_ray, read_cluster, write_places
from core.data.datasets.dataset import find_dataset
from core.data.store.store import build_store
from core.environment import hash_program
from core.errors import UserMistake
from core.runs.checkpoint import newest_place
from core.runs.run import Run, open_run
from core.runs.writer import RunWriter

_WAIT_SECONDS = 0.5  # between two looks at whether somebody wants the run to stop
_CRASHES = 2  # of the process of a run on machines that live on: then it is the run's own fault
_ANSWER_SECONDS = 10.0  # that the head of a cluster may take
_COUNT_SECONDS = 10.0  # between two counts of the machines
STOPPED = "Stopped before it began to learn; what it had before is kept."


class MachineLost(Exception):
    """The machine of a run, or only its process there, is gone."""

    def __init__(self, machine: str, is_alive: bool) -> None:
        super().__init__(machine)
        self.machine, self.is_alive = machine, is_alive


class Stopped(Exception):
    """Somebody wants the run to stop before a machine has begun with it."""


def train_run(folder: Path) -> None:
    """Train the run in `folder` in the cluster; every way of ending is written there."""
    writer = RunWriter(folder)
    try:
        run = open_run(folder)
        writer.starting("Getting ready for the cluster.")
        cluster = read_cluster()
        if cluster is None:
            raise UserMistake("The cluster was taken away before this run began. Resume it to train it here.")
        for progress in build_store(find_dataset(run.config.data.dataset), run.config.data):
            done = f"{progress.done:,} of {progress.total:,}"
            writer.running(message=f"{progress.phase.capitalize()} the pictures: {done}.")
            _must_not_stop(writer)
        _train(run, writer, cluster)
    except Stopped:
        writer.finish("stopped", STOPPED)
    except UserMistake as mistake:
        writer.fail(str(mistake))
        raise
    except BaseException as fault:
        writer.fail(f"Training in the cluster failed ({type(fault).__name__}); the log has the details.")
        raise


def _train(run: Run, writer: RunWriter, cluster: ClusterSettings) -> None:
    """On one machine after the other, until one brings the run to its end."""
    ray = connect(cluster)
    crashes = 0
    while True:
        actor = ray.remote(Trainer).options(
            num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_concurrency=3, max_restarts=0
        )
        trainer = actor.remote(run.id, cluster.cpus)
        try:
            return _train_there(ray, trainer, run, writer, cluster)
        except MachineLost as lost:
            crashes += lost.is_alive
            if crashes == _CRASHES:
                raise UserMistake(
                    f"The process that trained this run ended twice on its machines, at last on {lost.machine}: too "
                    "little memory there, or a fault. What came back is kept; resume the run to try again."
                ) from lost
            place = newest_place(run.folder)
            go_on = f"It goes on from {place}" if place else "It begins again"
            writer.running(message=f"{lost.machine} was lost. {go_on}, on another machine.")
            print(f"{lost.machine} was lost ({lost.__cause__}); {go_on.lower()}", flush=True)
        finally:
            with suppress(Exception):
                ray.kill(trainer)


def _train_there(ray: Any, trainer: Any, run: Run, writer: RunWriter, cluster: ClusterSettings) -> None:
    """Train the run with one Trainer; MachineLost where that is gone before the end."""
    machine, node = "a machine of the cluster", ""
    errors = (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.NodeDiedError)
    try:
        hello = trainer.hello.remote()
        counted = 0.0
        while not ray.wait([hello], timeout=_WAIT_SECONDS)[0]:
            writer.running(message="Waits for a free machine of the cluster.")
            _must_not_stop(writer)
            if time.monotonic() - counted > _COUNT_SECONDS:
                counted = time.monotonic()
                _must_fit(ray, cluster)
        greeting = ray.get(hello)
        machine, node = greeting["machine"], greeting["node"]
        if greeting["program"] != hash_program():
            raise UserMistake(f"{machine} has another version of Atelier than this machine; install the same on both.")
        _bring(ray, trainer, run, writer, machine)
        _follow(ray, trainer, writer, machine, cluster)
    except errors as gone:
        raise MachineLost(machine, is_alive=_is_alive(ray, node)) from gone


def _bring(ray: Any, trainer: Any, run: Run, writer: RunWriter, machine: str) -> None:
    """Send the machine what it has not got yet."""
    parts = pack(run)
    for part in ray.get(trainer.missing.remote(parts)):
        writer.running(message=f"{machine} receives {Path(part.path).name}, {part.size / 2**20:,.1f} MB.")
        sent = [ray.put(piece) for piece in pieces(part)]
        ray.get(trainer.receive.remote(part, *sent))
        _must_not_stop(writer)


def _follow(ray: Any, trainer: Any, writer: RunWriter, machine: str, cluster: ClusterSettings) -> None:
    """Write down what the machine sends, until the run has ended."""
    asked, counted = False, 0.0
    messages = trainer.train.options(num_returns="streaming").remote()
    while True:
        if ray.wait([messages], timeout=_WAIT_SECONDS, fetch_local=False)[0]:
            message: Message = ray.get(next(messages))
            if message[0] == ENDED:
                (fault,) = message[1]
                if fault:
                    print(fault, file=sys.stderr, flush=True)
                return
            apply(message, writer, machine)
        if not asked and writer.stop_requested():
            trainer.stop.remote()
            asked = True
        if time.monotonic() - counted > _COUNT_SECONDS:
            counted = time.monotonic()
            write_places(count_places(ray, cluster))


def connect(cluster: ClusterSettings) -> Any:
    """The module ray, connected. UserMistake where the cluster does not answer."""
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
        raise UserMistake(
            f"The cluster at {cluster.address} does not answer. See: python -m core cluster status; or train on this "
            "machine again: python -m core cluster down"
        ) from error
    return ray


def count_places(ray: Any, cluster: ClusterSettings) -> int:
    """How many runs the machines that are alive train at once."""
    return sum(_places_of(node["Resources"], cluster) for node in ray.nodes() if node["Alive"])


def _places_of(resources: dict[str, float], cluster: ClusterSettings) -> int:
    places = int(resources.get("CPU", 0)) // cluster.cpus
    return min(places, int(resources.get("GPU", 0) / cluster.gpus)) if cluster.gpus else places


def _must_fit(ray: Any, cluster: ClusterSettings) -> None:
    """UserMistake where no machine that is alive could ever take a run, so that none waits for ever."""
    places = count_places(ray, cluster)
    write_places(places)
    if not places:
        asked = f"{cluster.cpus} CPUs" + (f" and {cluster.gpus:g} GPUs" if cluster.gpus else "")
        raise UserMistake(f"No machine of the cluster has the {asked} of a run; see python -m core cluster status")


def _is_alive(ray: Any, node: str) -> bool:
    """Whether the machine lives on, so that only the process of the run is gone."""
    time.sleep(1.0)  # Ray learns of the machine a moment after it learns of the process
    try:
        return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())
    except Exception:
        return False


def _must_not_stop(writer: RunWriter) -> None:
    if writer.stop_requested():
        raise Stopped


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
