"""A run of the queue in the cluster, seen from home: this process is its worker here, a machine there does the work.

It holds the run folder as every worker does, so that stopping, the watchdog, a lost run and every page are as ever.
What the machine sends is written by its RunWriter, the only one. A machine that is lost is replaced by another, which
goes on from the newest checkpoint that has come back.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.cluster.connection import (
    COUNT_SECONDS,
    CRASHES,
    WAIT_SECONDS,
    ClusterMistake,
    MachineLost,
    bring,
    connected,
    count_places,
    errors_of_loss,
    guest,
    is_alive,
    must_be_same_program,
    wait_for_place,
)
from core.cluster.machine import ENDED, Trainer
from core.cluster.parcel import pack
from core.cluster.relay import Message, apply
from core.cluster.settings import ClusterSettings, read_cluster, write_places
from core.data.datasets.dataset import find_dataset
from core.data.store.store import build_store
from core.errors import UserMistake
from core.rows import EpochRow, IterationRow
from core.runs.checkpoint import newest_place
from core.runs.run import Run, open_run
from core.runs.writer import RunWriter

STOPPED = "Stopped before it began to learn; what it had before is kept."


class Stopped(Exception):
    """Somebody wants the run to stop before a machine has begun with it."""


def train_run(folder: Path) -> None:
    """Train the run in `folder` in the cluster; every way of ending is written there."""
    for _ in train_rows(folder):
        pass


def train_rows(folder: Path) -> Iterator[IterationRow | EpochRow]:
    """train_run as a generator of the rows that come back; after a loss of a machine some come once more.

    A run that fails there has its sentence in its state, and raises nothing. ClusterMistake where the cluster cannot
    train, UserMistake where a process of it ends again and again.
    """
    writer = RunWriter(folder)
    try:
        run = open_run(folder)
        writer.starting("Getting ready for the cluster.")
        cluster = read_cluster()
        if cluster is None:
            raise ClusterMistake("The cluster was taken away before this run began. Resume it to train it here.")
        for progress in build_store(find_dataset(run.config.data.dataset), run.config.data):
            done = f"{progress.done:,} of {progress.total:,}"
            writer.running(message=f"{progress.phase.capitalize()} the pictures: {done}.")
            _must_not_stop(writer)
        with connected(cluster) as ray:
            yield from _train(ray, run, writer, cluster)
    except Stopped:
        writer.finish("stopped", STOPPED)
    except UserMistake as mistake:
        writer.fail(str(mistake))
        raise
    except BaseException as fault:
        writer.fail(f"Training in the cluster failed ({type(fault).__name__}); the log has the details.")
        raise


def _train(ray: Any, run: Run, writer: RunWriter, cluster: ClusterSettings) -> Iterator[IterationRow | EpochRow]:
    """On one machine after the other, until one brings the run to its end."""
    crashes = 0
    while True:
        with guest(ray, Trainer, cluster, run.id, cluster.cpus) as trainer:
            try:
                return (yield from _train_there(ray, trainer, run, writer, cluster))
            except MachineLost as lost:
                crashes += lost.is_alive
                if crashes == CRASHES:
                    raise UserMistake(
                        f"The process that trained this run ended twice on its machines, at last on {lost.machine}: "
                        "too little memory there, or a fault. What came back is kept; resume the run to try again."
                    ) from lost
                place = newest_place(run.folder)
                go_on = f"It goes on from {place}" if place else "It begins again"
                writer.running(message=f"{lost.machine} was lost. {go_on}, on another machine.")
                print(f"{lost.machine} was lost ({lost.__cause__}); {go_on.lower()}", flush=True)


def _train_there(
    ray: Any, trainer: Any, run: Run, writer: RunWriter, cluster: ClusterSettings
) -> Iterator[IterationRow | EpochRow]:
    """Train the run with one Trainer; MachineLost where that is gone before the end."""
    machine, node = "a machine of the cluster", ""
    try:
        hello = trainer.hello.remote()
        for _ in wait_for_place(ray, hello, cluster):
            writer.running(message="Waits for a free machine of the cluster.")
            _must_not_stop(writer)
        greeting = ray.get(hello)
        machine, node = greeting["machine"], greeting["node"]
        must_be_same_program(greeting)
        for part in bring(ray, trainer, pack(run)):
            what = f"{Path(part.path).name}, {part.size / 2**20:,.1f} MB" if part else "these pictures for another run"
            writer.running(message=f"{machine} receives {what}.")
            _must_not_stop(writer)
        yield from _follow(ray, trainer, writer, machine, cluster)
    except errors_of_loss(ray) as gone:
        raise MachineLost(machine, is_alive=is_alive(ray, node)) from gone


def _follow(
    ray: Any, trainer: Any, writer: RunWriter, machine: str, cluster: ClusterSettings
) -> Iterator[IterationRow | EpochRow]:
    """Write down what the machine sends, until the run has ended; yields its rows."""
    asked, counted = False, 0.0
    batches = trainer.train.options(num_returns="streaming").remote()
    while True:
        if ray.wait([batches], timeout=WAIT_SECONDS, fetch_local=False)[0]:
            batch: list[Message] = ray.get(next(batches))
            for message in batch:
                if message[0] == ENDED:
                    (fault,) = message[1]
                    if fault:
                        print(fault, file=sys.stderr, flush=True)
                    return
                apply(message, writer, machine)
                if message[0] == "append":
                    yield message[1][0]
        if not asked and writer.stop_requested():
            trainer.stop.remote()
            asked = True
        if time.monotonic() - counted > COUNT_SECONDS:
            counted = time.monotonic()
            write_places(count_places(ray, cluster))


def _must_not_stop(writer: RunWriter) -> None:
    if writer.stop_requested():
        raise Stopped
