"""Which runs were trained on a dataset as it is now, and what they reached. No torch."""

from collections.abc import Callable, Iterable

import numpy as np

from core.config import DataConfig, RunConfig
from core.data.datasets.dataset import Dataset
from core.data.splits import PARTS
from core.data.store.store import split_dataset, store_fingerprint
from core.errors import UserMistake
from core.runs.run import Run


def is_run_on(dataset: Dataset, run: Run) -> bool:
    """Whether the run was made for the pictures that `dataset` has now; the fingerprint decides, not the name."""
    return run.fingerprint == store_fingerprint(dataset, run.config.data)


def runs_on(dataset: Dataset, runs: Iterable[Run]) -> list[Run]:
    """Those of the runs that were made for these pictures and have ended with a model, in the order given."""
    return [run for run in runs if run.state.is_finished and is_run_on(dataset, run)]


def stored_score(run: Run) -> tuple[int, int]:
    """(right, n) on the test part; (0, 0) where there is no answer."""
    if run.state.score is not None:
        return run.state.score
    try:
        test = run.evaluation("test")
    except UserMistake:
        return 0, 0
    return (int(test.correct.sum()), test.n) if test else (0, 0)


def answers_on(dataset: Dataset, run: Run) -> np.ndarray | None:
    """int64 (used,): the class that the run answers for each picture, -1 where it has none; None where its answers
    are missing or about other pictures."""
    answered = np.full(dataset.used, -1, np.int64)
    for part in PARTS:
        try:
            evaluation = run.evaluation(part)
        except UserMistake:
            continue
        if evaluation is None or not evaluation.n:
            continue
        rows = evaluation.indices
        if rows.max() >= dataset.used or not np.array_equal(evaluation.labels, dataset.labels[rows]):
            return None
        answered[rows] = evaluation.predictions
    return answered if (answered >= 0).any() else None


def best_run(
    dataset: Dataset,
    data: DataConfig,
    runs: Iterable[Run],
    score_of: Callable[[Run], tuple[int, int]] = stored_score,
) -> tuple[Run, tuple[int, int]] | None:
    """The run with the highest accuracy on these pictures, with (right, n): of those with the same test pictures, or,
    where there is none, of all."""
    scored = [(run, score) for run in runs_on(dataset, runs) if (score := score_of(run))[1]]
    splits = {run.config.data for run, _ in scored}
    alike = {split for split in splits if same_test(dataset, split, data)}
    scored = [pair for pair in scored if pair[0].config.data in alike] or scored
    return max(scored, key=lambda pair: pair[1][0] / pair[1][1], default=None)


def same_test(dataset: Dataset, one: DataConfig, other: DataConfig) -> bool:
    """Whether both splits test on the same pictures, whatever settings they get there by."""
    return np.array_equal(split_dataset(dataset, one)["test"], split_dataset(dataset, other)["test"])


def find_finished(config: RunConfig, fingerprint: str, runs: Iterable[Run]) -> Run | None:
    """The first of the runs that finished with exactly these settings on these pictures; the name of the preset
    decides nothing."""
    wanted = _without_preset(config)
    for run in runs:
        same = run.state.status == "done" and run.fingerprint == fingerprint
        if same and _without_preset(run.config) == wanted:
            return run
    return None


def _without_preset(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"preset": ""})
