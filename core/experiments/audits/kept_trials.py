"""KeptTrials: trainings that keep only their answers, on the disk, so that whoever is broken off goes on.

No torch here; as many train at once as core/probes/at_once.py has measured to be faster, each in a process of its own,
or as a cluster has places for, where one is in use.
"""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from core.cluster.settings import ClusterSettings, read_cluster
from core.config import RunConfig
from core.data.store.store import TensorStore
from core.disk import write_atomic
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.audits.trial_task import TrialProgress, TrialTask, begin_trial, train_in_cluster
from core.probes.at_once import LONG_SECONDS, AtOnce, measure_at_once, read_at_once
from core.progress import Progress
from core.settings import trials_root

VERSION = 1  # of what a trial is: answers of another one are made anew


@dataclass(frozen=True)
class KeptTrials:
    """The trials of one question: settings, pictures, and what is asked of them."""

    folder: Path

    def read(self, name: str) -> Evaluation | None:
        """What the trial of that name has answered; None where it was not run, or the file is damaged."""
        try:
            return Evaluation.from_bytes((self.folder / f"{name}.npz").read_bytes())
        except FileNotFoundError:
            return None
        except Exception:  # numpy and zipfile have many errors for a file that is not theirs
            return None

    def write(self, name: str, answers: Evaluation) -> None:
        write_atomic(self.folder / f"{name}.npz", answers.to_bytes())

    def run(
        self, tasks: Sequence[TrialTask], store: TensorStore, phase: str = ""
    ) -> Generator[Progress, None, list[Evaluation]]:
        """The answers of equally long trials, from the disk or trained now. `done` counts per cent of one; phase: of
        the Progress, the trial's name where nothing is said.

        The first one trains alone on all cores; where the others would take long, it is asked whether several at once
        are faster, and then each of them has one thread. With a cluster all train there. UserMistake where a training
        fails.
        """
        progress = TrialProgress(tasks, {task.name for task in tasks if self.read(task.name)}, phase)
        missing = [task for task in tasks if task.name not in progress.kept]
        if missing and (cluster := read_cluster()) is not None:
            yield from self._run_in_cluster(missing, cluster, progress)
            missing = []
        at_once, began = _at_once(tasks[0].config, 0.0), time.perf_counter()
        for place, task in enumerate(missing):
            if place == 1 and at_once.runs == 1:
                at_once = _at_once(tasks[0].config, (time.perf_counter() - began) * (len(missing) - 1))
            if at_once.runs > 1:
                yield from self._run_at_once(missing[place:], at_once, progress)
                break
            yield from self._run_one(task, store, progress)
        answers = [self.read(task.name) for task in tasks]
        assert None not in answers, "a trial that was just kept is gone"
        return [one for one in answers if one is not None]

    def _run_one(self, task: TrialTask, store: TensorStore, progress: TrialProgress) -> Generator[Progress, None, None]:
        trial = begin_trial(task, store, None)
        while True:
            try:
                yield progress.note(task, next(trial))
            except StopIteration as end:
                self.write(task.name, end.value)
                return

    def _run_in_cluster(
        self, tasks: Sequence[TrialTask], cluster: ClusterSettings, progress: TrialProgress
    ) -> Generator[Progress, None, None]:
        for message in train_in_cluster(tasks, cluster):
            if message is not None and isinstance(answers := message[1], Evaluation):
                self.write(message[0].name, answers)
            yield progress.of(message)

    def _run_at_once(
        self, tasks: Sequence[TrialTask], at_once: AtOnce, progress: TrialProgress
    ) -> Generator[Progress, None, None]:
        """Each in a process of its own, which ends with this one; as many at a time as train at once."""
        context, waiting = multiprocessing.get_context("spawn"), list(tasks)
        at_work: dict[Connection, tuple[TrialTask, Any]] = {}
        try:
            while waiting or at_work:
                while waiting and len(at_work) < at_once.runs:
                    task = waiting.pop(0)
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(target=train_task, args=(self, task, at_once.threads, theirs))
                    process.start()
                    theirs.close()
                    at_work[ours] = (task, process)
                for ready in wait(list(at_work)):
                    assert isinstance(ready, Connection)
                    task, process = at_work[ready]
                    try:
                        message = ready.recv()
                    except EOFError:
                        message = "a training has ended before it was done; it was killed, or memory ran out"
                    if isinstance(message, str):
                        raise UserMistake(message)
                    yield progress.note(task, message)
                    if message >= 1.0:
                        process.join()
                        ready.close()
                        del at_work[ready]
        finally:
            for _, process in at_work.values():
                process.kill()
                process.join()


def train_task(kept: KeptTrials, task: TrialTask, threads: int | None, report: Connection) -> None:
    """In a process of its own: train and keep the answers; says how far it is, 1.0 once they are kept, or why it
    fails. Ends where nobody listens any more."""
    from core.data.store.store import load_store

    try:
        trial = begin_trial(task, load_store(task.config.data, task.config.model), threads)
        while True:
            try:
                report.send(min(0.99, next(trial)))
            except StopIteration as end:
                kept.write(task.name, end.value)
                report.send(1.0)
                return
    except UserMistake as mistake:
        report.send(str(mistake))
    except BrokenPipeError:
        return


def _at_once(config: RunConfig, seconds: float) -> AtOnce:
    """How many of them train at once: as it was measured, or is now, where they take so long that it is worth it."""
    try:
        known = read_at_once(config) or (measure_at_once(config) if seconds > LONG_SECONDS else None)
    except UserMistake:
        known = None
    return known or AtOnce(1)


def kept_trials(kind: str, config: RunConfig, fingerprint: str, *asked: object) -> KeptTrials:
    """Those of a question of this kind; the name of the preset decides nothing."""
    settings = config.model_copy(update={"preset": ""}).model_dump_json()
    text = json.dumps([VERSION, kind, settings, fingerprint, *asked])
    return KeptTrials(trials_root() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}")
