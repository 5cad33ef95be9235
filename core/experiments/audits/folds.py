"""k-fold cross-validation of settings: the accuracy that they reach on pictures of this kind, asked of every picture.

python -m core cross-validate --data NAME --preset quick --folds 5

One split says little where there are few pictures. Here all are dealt into folds, stratified, duplicates together; of
each fold a network is asked that learnt from the others.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import RunConfig
from core.data.datasets.dataset import find_dataset
from core.data.store.store import find_duplicates_of, load_store, store_fingerprint
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.audits.cross_validation import draw_folds
from core.experiments.audits.kept_trials import KeptTrials, kept_trials
from core.experiments.audits.trial_task import TrialTask
from core.fields import check_with_data
from core.progress import Progress

FOLDS = 5
MOST_FOLDS = 20


@dataclass(frozen=True)
class CrossValidation:
    """What networks with the same settings answered about the fold that each had not learnt from."""

    folds: tuple[tuple[int, int], ...]  # (right, pictures) of each

    @property
    def n(self) -> int:
        return sum(n for _, n in self.folds)

    @property
    def right(self) -> int:
        return sum(right for right, _ in self.folds)

    @property
    def accuracy(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy, see corrected_interval."""
        return corrected_interval(self.folds)

    def to_json(self) -> dict[str, Any]:
        return {
            "folds": [{"n": n, "accuracy": right / n} for right, n in self.folds],
            "accuracy": self.accuracy,
            "interval": self.interval,
        }


def corrected_interval(folds: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """95 % interval of the accuracy of k folds, (right, pictures) of each, by the corrected resampled t (Nadeau and
    Bengio 2003): the variance of the folds times 1 / k + n_test / n_train, because training sets overlap, with k - 1
    degrees of freedom. The folds cannot vary less than answers by chance do: that is the least that is taken."""
    from scipy import stats  # half a second to import: only where it is used

    right, n = (np.array(column, np.float64) for column in zip(*folds, strict=True))
    k, accuracy = len(folds), float(right.sum() / n.sum())
    likely = (right.sum() + 2) / (n.sum() + 4)  # as Agresti and Coull: so that 100 % is not certain
    variance = max(float((right / n).var(ddof=1)), float(likely * (1 - likely) / n.mean()))
    tested = float(n.mean() / (n.sum() - n.mean()))
    half = float(stats.t.ppf(0.975, k - 1)) * math.sqrt((1 / k + tested) * variance)
    return max(0.0, accuracy - half), min(1.0, accuracy + half)


def cross_validate(config: RunConfig, folds: int = FOLDS) -> Iterator[Progress | CrossValidation]:
    """Train a network a fold; yields how far it is, in per cent of a training, and the result at last.

    What was trained before with these settings on these pictures is not trained again, also of one that was broken off.
    There is no validation part, so early stopping is off. UserMistake for numbers out of range and too few pictures.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise UserMistake(f"{folds} folds: there are 2 to {MOST_FOLDS}")
    dataset = find_dataset(config.data.dataset)
    yield from find_duplicates_of(dataset)
    store = load_store(config.data, config.model)
    fold = draw_folds(store.labels, store.groups, folds, config.data.seed)
    counts = np.bincount(fold, minlength=folds)
    if not counts.all():
        raise UserMistake(f"{dataset.name!r} has too few pictures without duplicates to deal into {folds} folds")
    train = config.train.model_copy(update={"patience": 0})
    check_with_data(train, {"train": int(len(fold) - counts.max()), "val": 0})
    tasks = []
    for number in range(folds):
        test = np.flatnonzero(fold == number)
        parts = {"train": np.flatnonzero(fold != number), "val": test[:0], "test": test}
        tasks.append(TrialTask(_name(number), config, parts))
    yield _summed((yield from _kept(config, folds).run(tasks, store)))


def read_cross_validation(config: RunConfig, folds: int = FOLDS) -> CrossValidation | None:
    """What cross_validate has found with these settings on the pictures as they are now; None where it has not."""
    kept = _kept(config, folds)
    answered = [kept.read(_name(number)) for number in range(folds)]
    found = [one for one in answered if one is not None and one.n]
    return _summed(found) if len(found) == folds else None


def _kept(config: RunConfig, folds: int) -> KeptTrials:
    fingerprint = store_fingerprint(find_dataset(config.data.dataset), config.data)
    return kept_trials("folds", config, fingerprint, folds)


def _name(number: int) -> str:
    return f"fold-{number + 1}"


def _summed(answered: Sequence[Evaluation]) -> CrossValidation:
    return CrossValidation(tuple((int(one.correct.sum()), one.n) for one in answered))
