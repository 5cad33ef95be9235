"""Leakage: how much duplicates across a split raise the test accuracy, from trainings with and without them.

python -m core bench duplicates NAME
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.config import DataConfig, RunConfig
from core.data.datasets.dataset import Dataset, find_dataset
from core.data.store.store import load_store
from core.disk import finite, read_json, write_json
from core.experiments.audits.trial_task import TrialTask, answer_all
from core.experiments.paired_comparison import AccuracyCheck, compare
from core.progress import Progress
from core.submit import fitted_config

SEEDS = 5
PRESET = "quick"
VERSION = 1  # of the method: a file of another one is made anew
ARM_LABELS = {"together": "duplicates together", "ignore": "duplicates ignored"}  # by data.duplicates
FILE, FORMER_FILE = "leakage.json", "leak.json"  # of version 0.1.0


@dataclass(frozen=True)
class Leakage:
    """Test accuracy with duplicates kept together (baseline) and ignored (ours), a pair a seed."""

    dataset: str
    preset: str
    accuracy: AccuracyCheck  # its difference is what leakage adds
    leaked: tuple[
        int, ...
    ]  # of each seed: test pictures that are duplicates of training pictures where they are ignored
    on_leaked: tuple[float, ...]  # of each seed: accuracy on those alone; nan where there are none
    on_others: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def right_on(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(right, n) over all seeds where duplicates are ignored: of the duplicates, and of the other test pictures."""
        others = tuple(self.accuracy.n - count for count in self.leaked)
        return _right(self.on_leaked, self.leaked), _right(self.on_others, others)


def measure_leakage(
    dataset: str, seeds: int = SEEDS, preset_name: str = PRESET, settings: dict[str, Any] | None = None
) -> Iterator[Progress | Leakage]:
    """Yields how far it is, in per cent of a training, and the Leakage at last. Seeds draw the split and the training.

    settings: what differs from the preset, as change_config takes it. UserMistake for an unknown dataset, preset or
    setting.
    """
    tasks = {
        (seed, duplicates): TrialTask(
            f"seed {seed}, {label}", _config(dataset, preset_name, settings or {}, duplicates, seed), {}
        )
        for seed in range(seeds)
        for duplicates, label in ARM_LABELS.items()
    }
    answered = dict(zip(tasks, (yield from answer_all(list(tasks.values()))), strict=True))
    found: dict[str, list[float]] = {"together": [], "ignore": [], "leaked": [], "on_leaked": [], "on_others": []}
    pictures = 0
    for seed in range(seeds):
        for duplicates in ARM_LABELS:
            answers = answered[seed, duplicates]
            found[duplicates].append(answers.accuracy)
            pictures = answers.n
        store = load_store(tasks[seed, "ignore"].config.data)
        shared = np.isin(store.groups[answers.indices], store.groups[store.parts["train"]])
        found["leaked"].append(int(shared.sum()))
        found["on_leaked"].append(float(answers.correct[shared].mean()) if shared.any() else math.nan)
        found["on_others"].append(float(answers.correct[~shared].mean()))
    yield Leakage(
        dataset=dataset,
        preset=preset_name,
        accuracy=compare(pictures, found["together"], found["ignore"]),
        leaked=tuple(int(count) for count in found["leaked"]),
        on_leaked=tuple(found["on_leaked"]),
        on_others=tuple(found["on_others"]),
    )


def store_leakage(dataset: Dataset) -> Iterator[Progress]:
    """measure_leakage with the usual settings; the result lies in the dataset's folder, for read_leakage(). Nothing is
    done where it is there already."""
    if read_leakage(dataset) is not None:
        return
    for step in measure_leakage(dataset.name):
        if isinstance(step, Leakage):
            document = {"version": VERSION, "content_hash": dataset.content_hash, "leakage": step.to_json()}
            write_json(dataset.folder / FILE, finite(document))
        else:
            yield step


def read_leakage(dataset: Dataset) -> Leakage | None:
    """What store_leakage has measured; None where it has not, or the file is damaged or not of these pictures."""
    path = dataset.folder / FILE
    try:
        stored = read_json(path if path.exists() else dataset.folder / FORMER_FILE)
        if (stored["version"], stored["content_hash"]) != (VERSION, dataset.content_hash):
            return None
        return _from_json(stored.get("leakage") or stored["leak"])  # "leak" in version 0.1.0
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _from_json(document: dict[str, Any]) -> Leakage:
    accuracy = document["accuracy"]
    accuracy |= {name: tuple(accuracy[name]) for name in ("baseline", "ours", "interval")}
    shares = {
        name: tuple(math.nan if share is None else float(share) for share in document[name])
        for name in ("on_leaked", "on_others")
    }
    leaked = tuple(int(count) for count in document["leaked"])
    return Leakage(document["dataset"], document["preset"], AccuracyCheck(**accuracy), leaked, **shares)


def _right(shares: Sequence[float], counts: Sequence[int]) -> tuple[int, int]:
    return sum(round(share * n) for share, n in zip(shares, counts, strict=True) if n), sum(counts)


def _config(dataset: str, preset_name: str, settings: dict[str, Any], duplicates: str, seed: int) -> RunConfig:
    """The preset fitted to the number of training pictures, then the settings; a split that duplicates act on."""
    changes = settings | {"data.split": "stratified", "data.duplicates": duplicates}
    changes |= {"data.seed": seed, "train.seed": seed}
    return fitted_config(preset_name, find_dataset(dataset), changes, _count_train)


def _count_train(dataset: Dataset, data: DataConfig) -> int:
    """After duplicates were searched, which the split depends on."""
    return len(load_store(data).parts["train"])
