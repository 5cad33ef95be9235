"""Label issues: pictures whose given class a trained network contradicts most confidently. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.data.datasets.dataset import Dataset
from core.data.splits import PARTS
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.audits.cross_validation import read_cross_validated
from core.experiments.dataset_runs import runs_on
from core.runs.run import Run

PARTS_TOGETHER = (("test", "val"), ("train",))  # a network is equally confident of them: trained on none, or on all
# Of a threshold. Pictures that are alike get like probabilities, and half of those lie below their mean. With 5 % of
# the artworks' labels planted wrong, one run: 0.8 lists 302 pictures, 194 of the 270 among them; 1.0 200 and 142
NEARLY = 0.8


@dataclass(frozen=True)
class LabelIssue:
    """One picture: `suggested` is the class that the network predicts instead of the given one."""

    row: int  # of the dataset
    # "train": the network was trained on this label; "val", "test": it was not; "cross-validated", "both": see
    # find_cross_validated_label_issues
    part: str
    given: int  # index into classes
    suggested: int
    self_confidence: float  # probability of the given class, 0..1
    confidence: float  # of the suggested one

    @property
    def margin(self) -> float:
        """How strongly it is contradicted, 0..1."""
        return self.confidence - self.self_confidence


def find_label_issues(run: Run, dataset: Dataset) -> list[LabelIssue]:
    """Label issues in all parts that the run was evaluated on, the most strongly contradicted first.

    UserMistake where the run was trained on other pictures than the dataset has now, or was not evaluated.
    """
    if not runs_on(dataset, [run]):
        raise UserMistake(f"run {run.id} has no answers about the pictures that {dataset.name!r} has now")
    issues = []
    for parts in PARTS_TOGETHER:
        answered = [answers for part in parts if (answers := run.evaluation(part)) is not None and answers.n]
        for answers in answered:
            _check_rows(answers, dataset, run)
        issues += label_issues_among(answered)
    return sorted(issues, key=lambda issue: -issue.margin)


def find_cross_validated_label_issues(run: Run, dataset: Dataset, with_run: bool = False) -> list[LabelIssue] | None:
    """The same by cross-validated predictions, of networks trained as the run was; all parts are "cross-validated".

    with_run: by the mean of their probabilities and the run's own, where it was evaluated; all parts are "both". None
    where there are no such predictions (predict_cross_validated makes them).
    """
    answers = read_cross_validated(dataset, run.id)
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
    return label_issues_among([answers])


def _check_rows(answers: Evaluation, dataset: Dataset, run: Run) -> None:
    rows = answers.indices
    if rows.max() >= dataset.used or not np.array_equal(answers.labels, dataset.labels[rows]):
        raise UserMistake(f"the answers of run {run.id} are about other rows of {dataset.name!r}")


def label_issues_among(answered: Sequence[Evaluation]) -> list[LabelIssue]:
    """Confident learning (Northcutt et al. 2021) on the evaluations of some parts, most strongly contradicted first.

    A class has its threshold: the mean probability that the pictures given to it get for it. A picture has a label
    issue if a class other than its own reaches NEARLY that class's threshold and, of all that do, is the most probable.
    Ranked by the margin between both.
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
        LabelIssue(int(rows[i]), parts[i], int(labels[i]), int(suggested[i]), float(own[i]), float(against[i]))
        for i in found
    ]


def label_issue_table(
    issues: Sequence[LabelIssue], dataset: Dataset, choices: dict[int, str] | None = None
) -> list[dict[str, object]]:
    """One row an issue for a CSV or JSON; choices: row of the dataset -> what a person decided."""
    return [
        {
            "picture": dataset.names[issue.row],
            "given class": dataset.classes[issue.given],
            "suggested class": dataset.classes[issue.suggested],
            "probability of given": round(issue.self_confidence, 4),
            "probability of suggested": round(issue.confidence, 4),
            "part": issue.part,
            "choice": (choices or {}).get(issue.row, ""),
        }
        for issue in issues
    ]
