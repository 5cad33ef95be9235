"""Cue controls: is a cue really missed, or do the copies without it merely look strange? A control network is asked.

python -m core cues RUN --controls

For each cue that a network surely loses by, another one with the same settings learns from copies of the training part
without that cue, and is asked about copies of the test part. It is used to such pictures: what it still loses, the cue
itself carried; what it does not lose can be told from the rest of the picture, and the first network's drop comes of
copies that are strange to it, or of a cue that it need not have gone by.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from core.cluster.settings import ClusterSettings, read_cluster
from core.data.store.store import TensorStore, load_store
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.audits.cue_edits import EDITS, Cue
from core.experiments.audits.cues import CueDrop, CueReport, read_cues
from core.experiments.audits.kept_trials import KeptTrials, kept_trials
from core.experiments.audits.trial_task import TrialProgress, TrialTask, train_in_cluster
from core.intervals import difference_of_shares
from core.progress import Clock, Progress
from core.runs.run import Run

VERSION = 2  # of the edits and of what a control learns from
MOST_BYTES = 2 * 2**30  # of edited pictures in memory
AT_ONCE = 500


@dataclass(frozen=True)
class CueControl:
    """What a network that learnt from copies without a cue says of copies of the test part without it."""

    cue: str
    right: int
    n: int
    drop: float  # accuracy of the run on the pictures themselves minus that of the control
    interval: tuple[float, float]  # 95 %, as of two samples: rather too wide, for the pictures are the same

    @property
    def is_lost(self) -> bool:
        """Whether the cue itself carried something: its control surely does worse than the run."""
        return self.interval[0] > 0

    def sentence(self, one: CueDrop) -> str:
        """What of the run's drop is the cue's, in points."""
        low, high = (100 * end for end in self.interval)
        text = f"of {100 * one.drop:.1f} points, {max(0.0, 100 * self.drop):.1f} [{low:+.1f} to {high:+.1f}] are lost"
        text += f" also by a network that learnt from such copies ({self.right:,} of {self.n:,} right)"
        if not self.is_lost:
            return f"{text}: the drop comes of copies that look strange to it, or of a cue that it need not go by."
        if self.drop < one.drop / 2:
            return f"{text}: that much the cue itself carries, the rest comes of copies that look strange to it."
        return f"{text}: most of it the cue itself carries."


def measure_controls(run: Run) -> Iterator[Progress]:
    """Train a control for each cue that the run surely loses by, on the disk; one that is there is not trained again.

    UserMistake where the cues were not measured yet, the pictures are gone or are too many to be held edited.
    """
    report = _report_of(run)
    store = load_store(run.config.data, run.config.model)
    if store.fingerprint != run.fingerprint:
        raise UserMistake(f"The dataset {run.config.data.dataset!r} changed since run {run.id}; pick a newer run")
    if store.images.nbytes > MOST_BYTES:
        raise UserMistake(
            "These pictures are too many to be held as edited copies; train on fewer, or at a smaller size"
        )
    lost = {one.cue for one in controlled(report)}
    cues = [cue for cue in EDITS if cue in lost]
    if cluster := read_cluster():
        yield from _measure_in_cluster(run, [cue for cue in cues if _kept(run, cue).read("control") is None], cluster)
        return
    clock = Clock()
    for place, cue in enumerate(cues):
        kept = _kept(run, cue)
        if kept.read("control") is not None:
            continue
        edited = _edited(store, cue, run.config.data.seed)
        for share in _train(run, edited, kept):
            done, total = 100 * place + int(100 * share), 100 * len(cues)
            yield Progress("training", done, total, clock.seconds_left(done, total))


def read_controls(run: Run, report: CueReport) -> dict[str, CueControl]:
    """Cue -> its control, of those that were trained."""
    found = {}
    for one in controlled(report):
        answers = _kept(run, one.cue).read("control")
        if answers is not None and answers.n:
            found[one.cue] = _compare(one.cue, answers, report)
    return found


def controlled(report: CueReport) -> list[CueDrop]:
    """The cues that need a control: those by which the run surely loses, the largest drop first."""
    return [one for one in report.cues if one.is_sure] if report.beats_floor else []


def _compare(cue: str, answers: Evaluation, report: CueReport) -> CueControl:
    right = int(answers.correct.sum())
    interval = difference_of_shares(right, answers.n, report.right, report.n)
    return CueControl(cue, right, answers.n, report.accuracy - right / answers.n, interval)


def _measure_in_cluster(run: Run, cues: list[Cue], cluster: ClusterSettings) -> Iterator[Progress]:
    """All at once, as far as it has places; the copies are made there."""
    tasks = [TrialTask(cue, run.config, {}, without_cue(cue, run.config.data.seed)) for cue in cues]
    progress = TrialProgress(tasks, set(), "training")
    for message in train_in_cluster(tasks, cluster):
        if message is not None and isinstance(answers := message[1], Evaluation):
            _kept(run, message[0].name).write("control", answers)
        yield progress.of(message)


def _train(run: Run, edited: TensorStore, kept: KeptTrials) -> Iterator[float]:
    from core.engine.hardware import choose_hardware  # torch: only where networks are trained
    from core.experiments.audits.trial import train_trial

    trial = train_trial(run.config, edited, choose_hardware(run.config))
    while True:
        try:
            yield next(trial)
        except StopIteration as end:
            kept.write("control", end.value)
            return


def without_cue(cue: Cue, seed: int) -> Callable[[TensorStore], TensorStore]:
    """What makes of a store the copies of its training and its test part without the cue, also in another process."""
    return partial(_edited, cue=cue, seed=seed)


def _edited(store: TensorStore, cue: Cue, seed: int) -> TensorStore:
    """The training and the test part without the cue, one behind the other.

    Colours are swapped within a part with those of any picture: of another class they would still tell the class, for a
    network that learns from such copies finds out that it is never the class of the colours.
    """
    random, blocks, labels = np.random.default_rng([seed, len(cue)]), [], []
    for part in ("train", "test"):
        rows = store.parts[part]
        labels.append(store.labels[rows])
        others = random.permutation(rows)
        for first in range(0, len(rows), AT_ONCE):
            block = np.asarray(store.images[rows[first : first + AT_ONCE]])
            beside = np.asarray(store.images[others[first : first + AT_ONCE]])
            blocks.append(EDITS[cue](block, beside, random))
    train, test = (len(one) for one in labels)
    parts = {"train": np.arange(train), "val": np.arange(0), "test": np.arange(train, train + test)}
    images, labels_of_all = np.concatenate(blocks), np.concatenate(labels)
    groups = np.arange(train + test)
    names = [str(row) for row in groups]
    fingerprint = f"{store.fingerprint}-{cue}"  # of none on the disk
    return replace(
        store, images=images, labels=labels_of_all, names=names, groups=groups, parts=parts, fingerprint=fingerprint
    )


def _report_of(run: Run) -> CueReport:
    report = read_cues(run)
    if report is None:
        raise UserMistake(f"What run {run.id} goes by was not measured yet: python -m core cues {run.id}")
    return report


def _kept(run: Run, cue: str) -> KeptTrials:
    return kept_trials("cue-control", run.config, run.fingerprint, VERSION, cue)
