"""Doubtful labels: pictures whose given class a trained network contradicts most confidently. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.data.dataset import Dataset
from core.data.splits import PARTS
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.trained import runs_on
from core.experiments.unseen import read_unseen
from core.runs.run import Run

TOGETHER = (("test", "val"), ("train",))  # parts that a network is equally sure of: none of it learnt, all of it
# Of a threshold. Pictures that are alike get like probabilities, and half of those lie below their mean. With 5 % of
# the artworks' labels planted wrong, one run: 0.8 lists 302 pictures, 194 of the 270 among them; 1.0 200 and 142
NEARLY = 0.8


@dataclass(frozen=True)
class Doubt:
    """One picture: `suggested` is the class that the network sees instead of the given one."""

    row: int  # of the dataset
    # "train": the network has learnt from this label; "val", "test": it has never been told; "unseen", "both": see
    # find_unseen_doubts
    part: str
    given: int  # index into classes
    suggested: int
    self_confidence: float  # probability of the given class, 0..1
    confidence: float  # of the suggested one

    @property
    def margin(self) -> float:
        """How strongly it is contradicted, 0..1."""
        return self.confidence - self.self_confidence


def find_doubts(run: Run, dataset: Dataset) -> list[Doubt]:
    """Doubtful pictures of all parts that the run has answered, the most strongly contradicted first.

    UserMistake where the run was trained on other pictures than the dataset has now, or has not answered.
    """
    if not runs_on(dataset, [run]):
        raise UserMistake(f"run {run.id} has no answers about the pictures that {dataset.name!r} has now")
    doubts = []
    for parts in TOGETHER:
        answered = [answers for part in parts if (answers := run.evaluation(part)) is not None and answers.n]
        for answers in answered:
            _check_rows(answers, dataset, run)
        doubts += doubts_among(answered)
    return sorted(doubts, key=lambda doubt: -doubt.margin)


def find_unseen_doubts(run: Run, dataset: Dataset, with_run: bool = False) -> list[Doubt] | None:
    """The same according to networks that had not seen the picture, trained as the run was; all parts are "unseen".

    with_run: according to the mean of their probabilities and the run's own, where it was asked too; all parts are
    "both". None where nobody
    has asked those networks (ask_unseen does).
    """
    answers = read_unseen(dataset, run.id)
    if answers is None:
        return None
    if with_run:
        probabilities = answers.probabilities.copy()
        place = np.full(dataset.used, -1)
        place[answers.indices] = np.arange(answers.n)
        for own in (own for own in map(run.evaluation, PARTS) if own is not None and own.n):
            _check_rows(own, dataset, run)
            at = place[own.indices]
            probabilities[at[at >= 0]] = (probabilities[at[at >= 0]] + own.probabilities[at >= 0]) / 2
        answers = replace(answers, part="both", probabilities=probabilities)
    return doubts_among([answers])


def _check_rows(answers: Evaluation, dataset: Dataset, run: Run) -> None:
    rows = answers.indices
    if rows.max() >= dataset.used or not np.array_equal(answers.labels, dataset.labels[rows]):
        raise UserMistake(f"the answers of run {run.id} are about other rows of {dataset.name!r}")


def doubts_among(answered: Sequence[Evaluation]) -> list[Doubt]:
    """Confident learning (Northcutt et al. 2021) on the answers of some parts, most strongly contradicted first.

    A class has its threshold: the mean probability that the pictures given to it get for it. A picture is doubtful if
    a class other than its own reaches NEARLY that class's threshold and, of all that do, is the most probable. Ranked
    by the margin between both.
    """
    if not answered:
        return []
    labels, rows = (np.concatenate([getattr(one, field) for one in answered]) for field in ("labels", "indices"))
    parts = [one.part for one in answered for _ in range(one.n)]
    probabilities = np.concatenate([one.probabilities for one in answered]).astype(np.float64)
    every = np.arange(len(labels))
    own, counts = probabilities[every, labels], np.bincount(labels, minlength=probabilities.shape[1])
    sums = np.bincount(labels, own, minlength=len(counts))
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)  # nothing was given to it: no threshold
    sure = np.where(probabilities >= NEARLY * thresholds, probabilities, -1.0)
    suggested = sure.argmax(axis=1)
    against = probabilities[every, suggested]
    found = np.flatnonzero((sure[every, suggested] >= 0) & (suggested != labels) & (against > own))
    found = found[np.argsort((own - against)[found], kind="stable")]
    return [
        Doubt(int(rows[i]), parts[i], int(labels[i]), int(suggested[i]), float(own[i]), float(against[i]))
        for i in found
    ]


def doubts_table(
    doubts: Sequence[Doubt], dataset: Dataset, choices: dict[int, str] | None = None
) -> list[dict[str, object]]:
    """One row a doubt for a CSV or JSON; choices: row of the dataset -> what a person decided."""
    return [
        {
            "picture": dataset.names[doubt.row],
            "given class": dataset.classes[doubt.given],
            "suggested class": dataset.classes[doubt.suggested],
            "probability of given": round(doubt.self_confidence, 4),
            "probability of suggested": round(doubt.confidence, 4),
            "part": doubt.part,
            "choice": (choices or {}).get(doubt.row, ""),
        }
        for doubt in doubts
    ]
