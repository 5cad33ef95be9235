"""run_at_once: several trials of a sweep at once, one thread each or in a cluster, all told to Optuna by one process.

Each trainer is a process that trains the run of one trial after the other, or has a machine of the cluster train it as
it trains those of the queue, and ends with this one. What is drawn for a trial depends on which ones have ended, so two
sweeps with one seed need not draw alike.
"""

import multiprocessing
import signal
import threading
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from core.cluster.connection import ClusterMistake
from core.cluster.settings import read_places
from core.errors import UserMistake
from core.experiments.sweeps.trials import SECONDS
from core.runs.process import end_with_parent, request_stop
from core.runs.run import Run, open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import optuna

STOPPED = "it was stopped"
KILLED = "its process was killed, or memory ran out"


class _Trainer:
    """A process that trains, and the trial that it has just now."""

    def __init__(self, in_cluster: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self.orders, theirs = context.Pipe()
        self.process = context.Process(target=serve_trials, args=(theirs, in_cluster))
        self.process.start()
        theirs.close()
        self.trial: optuna.Trial | None = None
        self.run: Run | None = None
        self.began, self.epoch, self.accuracy, self.pruned = 0.0, 0, 0.0, False

    def begin(self, trial: "optuna.Trial", run: Run) -> None:
        self.trial, self.run, self.began = trial, run, time.monotonic()
        self.epoch, self.accuracy, self.pruned = 0, 0.0, False
        self.orders.send(str(run.folder))

    def note(self, epoch: int, accuracy: float) -> None:
        """The validation accuracy after an epoch; a trial that falls behind is asked to stop."""
        assert self.trial is not None and self.run is not None
        if self.pruned or epoch <= self.epoch:  # after the loss of a machine some rows come once more
            return
        self.epoch, self.accuracy = epoch, accuracy
        self.trial.report(accuracy, epoch)
        if self.trial.should_prune() and epoch < self.run.config.train.epochs:
            self.pruned = True
            request_stop(self.run.folder)

    def end(self, study: "optuna.Study", mistake: str, at_once: int) -> None:
        """Tell what became of the trial; its seconds are its share of the machine's."""
        import optuna

        assert self.trial is not None and self.run is not None
        self.trial.set_user_attr(SECONDS, (time.monotonic() - self.began) / at_once)
        if not mistake and not self.pruned and self.epoch < self.run.config.train.epochs:
            mistake = STOPPED  # by a person, or because the disk is short
        if mistake:
            self.trial.set_user_attr("why", mistake)
        if mistake or not self.epoch:
            study.tell(self.trial, state=optuna.trial.TrialState.FAIL)
        elif self.pruned:
            study.tell(self.trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(self.trial, self.accuracy)
        self.trial = self.run = None

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self.orders.close()


def run_at_once(
    study: "optuna.Study",
    at_once: int,
    begin: "Callable[[float], tuple[optuna.Trial, Run] | None]",
    in_cluster: bool = False,
) -> None:
    """Train trials until `begin` gives none and those at work have ended. begin: given the seconds of those at work so
    far, creates the next trial and its run; None where there is none now. in_cluster: its machines train them, also
    those that join meanwhile. ClusterMistake where it cannot; what was at work is left so, to be begun again."""
    trainers: list[_Trainer] = []
    try:
        while True:
            at_once = max(at_once, read_places()) if in_cluster else at_once
            while sum(one.trial is not None for one in trainers) < at_once:
                next_one = begin(_underway(trainers, at_once))
                if next_one is None:
                    break
                trainer = next((one for one in trainers if one.trial is None), None)
                if trainer is None:
                    trainers.append(trainer := _Trainer(in_cluster))
                trainer.begin(*next_one)
            at_work = [trainer for trainer in trainers if trainer.trial is not None]
            if not at_work:
                return
            for ready in wait([trainer.orders for trainer in at_work]):
                trainer = next(one for one in at_work if one.orders is ready)
                _hear(trainer, study, at_once)
                if not trainer.process.is_alive() and trainer.trial is None:
                    trainer.close()
                    trainers.remove(trainer)
    finally:
        for trainer in trainers:
            trainer.close()


def _hear(trainer: _Trainer, study: "optuna.Study", at_once: int) -> None:
    try:
        message = trainer.orders.recv()
    except EOFError:
        trainer.process.join()
        message = KILLED
    if isinstance(message, ClusterMistake):
        raise message  # its trial is left at work, and so is begun again
    if isinstance(message, str):
        trainer.end(study, message, at_once)
    else:
        trainer.note(*message)


def _underway(trainers: list[_Trainer], at_once: int) -> float:
    began = [trainer.began for trainer in trainers if trainer.trial is not None]
    return sum(time.monotonic() - one for one in began) / at_once


def serve_trials(orders: Connection, in_cluster: bool = False) -> None:
    """In a process of its own: train the run of each folder that comes, or have the cluster train it. Says each epoch's
    validation accuracy, and at the end why it failed, "" or a ClusterMistake."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    while True:
        try:
            folder = Path(orders.recv())
        except EOFError:
            return
        orders.send(_train(folder, orders, in_cluster))


def _train(folder: Path, orders: Connection, in_cluster: bool) -> str | ClusterMistake:
    from core.rows import EpochRow

    try:
        for row in _rows(folder, in_cluster):
            if isinstance(row, EpochRow) and row.val_accuracy is not None:
                orders.send((row.epoch, row.val_accuracy))
    except ClusterMistake as mistake:
        return mistake
    except UserMistake as mistake:  # e.g. it diverged: that is an answer too
        return str(mistake)
    state = open_run(folder).state
    return state.message if state.has_failed else ""  # on a machine of the cluster


def _rows(folder: Path, in_cluster: bool) -> "Iterator[object]":
    if in_cluster:
        from core.cluster import at_home

        return at_home.train_rows(folder)
    from core import train

    return train.train_rows(folder)
