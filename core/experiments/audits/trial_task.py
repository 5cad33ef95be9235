"""TrialTask: one training of a question that takes several, begun here or on machines of a cluster. No torch here."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.cluster.settings import ClusterSettings, read_cluster
from core.config import RunConfig
from core.data.store.store import TensorStore, load_store
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.progress import Clock, Progress

Trial = Generator[float, None, Evaluation]
WAITING = "waiting for a machine"  # phase before the first training has begun


@dataclass(frozen=True)
class TrialTask:
    """What is trained, and on which pictures."""

    name: str
    config: RunConfig
    parts: dict[str, np.ndarray]  # "train", "val", "test": rows of the store; {}: those of the settings
    edit: Callable[[TensorStore], TensorStore] | None = None  # of a module, so that another process knows it too


Message = tuple[TrialTask, float | Evaluation] | None  # the share done, or the answers; None: nothing new


class TrialProgress:
    """How far all trials of a question are, together. phase: of the Progress; "": the name of the trial."""

    def __init__(self, tasks: Sequence[TrialTask], kept: set[str], phase: str) -> None:
        self.kept, self.phase, self.clock = kept, phase, Clock()
        self.shares = {task.name: float(task.name in kept) for task in tasks}
        self.latest = phase

    def note(self, task: TrialTask, share: float) -> Progress:
        """After a share of the task is done, 1.0 once its answers are kept."""
        self.shares[task.name], self.latest = share, self.phase or task.name
        return self.of(None)

    def of(self, message: Message) -> Progress:
        """After a message of train_in_cluster."""
        if message is not None:
            task, value = message
            return self.note(task, 1.0 if isinstance(value, Evaluation) else min(0.99, value))
        done, total = int(100 * sum(self.shares.values())), 100 * len(self.shares)
        return Progress(self.latest or WAITING, done, total, self.clock.seconds_left(done, total))


def begin_trial(task: TrialTask, store: TensorStore, threads: int | None) -> Trial:
    """train_trial of a task, in this process. threads: of the CPU; None: all."""
    from core.engine.hardware import choose_hardware  # torch: only where networks are trained
    from core.experiments.audits.trial import train_trial

    store = replace(store, parts=task.parts) if task.parts else store
    store = task.edit(store) if task.edit else store
    return train_trial(task.config, store, choose_hardware(task.config, threads))


def answer_all(tasks: Sequence[TrialTask]) -> Generator[Progress, None, list[Evaluation]]:
    """The answers of equally long trials, of which nothing is kept: one after the other on all cores, or in the cluster
    where one is in use. Raises as train_in_cluster does."""
    if cluster := read_cluster():
        found, progress = {}, TrialProgress(tasks, set(), "")
        for message in train_in_cluster(tasks, cluster):
            if message is not None and isinstance(answers := message[1], Evaluation):
                found[message[0].name] = answers
            yield progress.of(message)
        return [found[task.name] for task in tasks]
    from core.experiments.audits.trial import report_progress

    clock, answered = Clock(), []
    for place, task in enumerate(tasks):
        trial = begin_trial(task, load_store(task.config.data, task.config.model), None)
        answered.append((yield from report_progress(trial, task.name, place, len(tasks), clock)))
    return answered


def train_in_cluster(tasks: Sequence[TrialTask], cluster: ClusterSettings) -> Iterator[Message]:
    """Train all on the machines of a cluster, as many at once as those have places. Yields of each the share done, and
    its answers at last; None now and then while nothing comes. What is lost with a machine is trained again elsewhere.

    Their names differ. Closing the generator ends them. UserMistake where a training fails, or the cluster cannot
    train.
    """
    from core.cluster.calls import Call, run_calls
    from core.cluster.parcel import pack_data

    by_name, calls = {task.name: task for task in tasks}, []
    for task in tasks:
        fingerprint = load_store(task.config.data).fingerprint  # made here where it is missing
        arguments = (task, fingerprint, cluster.cpus)
        calls.append(Call(task.name, train_there, arguments, tuple(pack_data(task.config))))
    for message in run_calls(calls, cluster):
        yield None if message is None else (by_name[message[0]], message[1])


def train_there(task: TrialTask, fingerprint: str, threads: int) -> Iterator[float | Evaluation]:
    """On a machine of the cluster: the shares done, and the answers at last."""
    store = load_store(task.config.data, task.config.model)
    if store.fingerprint != fingerprint:
        raise UserMistake(f"The dataset {task.config.data.dataset!r} changed meanwhile; start again")
    yield (yield from begin_trial(task, store, threads))
