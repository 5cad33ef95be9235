"""Leak: how much copies on both sides of a split flatter a network, trained with and without them.

python -m core bench copies NAME
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.config import RunConfig, change_config
from core.data.dataset import Clock, Dataset, Progress
from core.data.store import load_store
from core.disk import finite, read_json, write_json
from core.experiments.pairs import AccuracyCheck, compare
from core.presets import preset

SEEDS = 5
PRESET = "quick"
VERSION = 1  # of how it is measured: a file of another one is made anew
SAYS = {"together": "copies together", "ignore": "copies ignored"}


@dataclass(frozen=True)
class Leak:
    """Test accuracy with copies kept together (baseline) and ignored (ours), a pair a seed."""

    dataset: str
    preset: str
    accuracy: AccuracyCheck  # its difference is how much the leak flatters
    leaked: tuple[int, ...]  # of each seed: test pictures that are copies of training pictures where they are ignored
    on_leaked: tuple[float, ...]  # of each seed: accuracy on those alone; nan where there are none
    on_others: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def right_on(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(right, asked) over all seeds where copies are ignored: of the copies, and of the other test pictures."""
        others = tuple(self.accuracy.n - count for count in self.leaked)
        return _right(self.on_leaked, self.leaked), _right(self.on_others, others)


def measure_leak(
    dataset: str, seeds: int = SEEDS, preset_name: str = PRESET, settings: dict[str, Any] | None = None
) -> Iterator[Progress | Leak]:
    """Yields how far it is, in per cent of a training, and the Leak at last. Seeds draw the split and the training.

    settings: what differs from the preset, as change_config takes it. UserMistake for an unknown dataset, preset or
    setting.
    """
    from core.engine.hardware import choose_hardware  # torch: only where networks are trained
    from core.experiments.trial import told, try_out

    hardware, clock = choose_hardware(_config(dataset, preset_name, settings or {}, "ignore", 0)), Clock()
    found: dict[str, list[float]] = {"together": [], "ignore": [], "leaked": [], "on_leaked": [], "on_others": []}
    pictures = 0
    for seed in range(seeds):
        for number, copies in enumerate(SAYS):
            config = _config(dataset, preset_name, settings or {}, copies, seed)
            store = load_store(config.data, config.model)
            trial, phase = try_out(config, store, hardware), f"seed {seed}, {SAYS[copies]}"
            answers = yield from told(trial, phase, 2 * seed + number, 2 * seeds, clock)
            found[copies].append(answers.accuracy)
            pictures = answers.n
        shared = np.isin(store.groups[answers.indices], store.groups[store.parts["train"]])
        found["leaked"].append(int(shared.sum()))
        found["on_leaked"].append(float(answers.correct[shared].mean()) if shared.any() else math.nan)
        found["on_others"].append(float(answers.correct[~shared].mean()))
    yield Leak(
        dataset=dataset,
        preset=preset_name,
        accuracy=compare(pictures, found["together"], found["ignore"]),
        leaked=tuple(int(count) for count in found["leaked"]),
        on_leaked=tuple(found["on_leaked"]),
        on_others=tuple(found["on_others"]),
    )


def keep_leak(dataset: Dataset) -> Iterator[Progress]:
    """measure_leak with the usual settings, kept beside the dataset, unless it is there: read_leak() then has it."""
    if read_leak(dataset) is not None:
        return
    for step in measure_leak(dataset.name):
        if isinstance(step, Leak):
            document = {"version": VERSION, "content_hash": dataset.content_hash, "leak": step.to_json()}
            write_json(dataset.folder / "leak.json", finite(document))
        else:
            yield step


def read_leak(dataset: Dataset) -> Leak | None:
    """What keep_leak has measured; None where it has not, or the file is damaged or not of these pictures."""
    try:
        stored = read_json(dataset.folder / "leak.json")
        if (stored["version"], stored["content_hash"]) != (VERSION, dataset.content_hash):
            return None
        told = stored["leak"]
        pairs = told["accuracy"] | {name: tuple(told["accuracy"][name]) for name in ("baseline", "ours", "interval")}
        shares = {
            name: tuple(math.nan if share is None else float(share) for share in told[name])
            for name in ("on_leaked", "on_others")
        }
        leaked = tuple(int(count) for count in told["leaked"])
        return Leak(told["dataset"], told["preset"], AccuracyCheck(**pairs), leaked, **shares)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _right(shares: Sequence[float], counts: Sequence[int]) -> tuple[int, int]:
    return sum(round(share * n) for share, n in zip(shares, counts, strict=True) if n), sum(counts)


def _config(dataset: str, preset_name: str, settings: dict[str, Any], copies: str, seed: int) -> RunConfig:
    """The preset fitted to the number of training pictures, then the settings; the split is one that copies act on."""
    changes = settings | {"data.dataset": dataset, "data.split": "stratified", "data.copies": copies}
    changes |= {"data.seed": seed, "train.seed": seed}
    asked = change_config(preset(preset_name), changes)
    return change_config(preset(preset_name, len(load_store(asked.data).parts["train"])), changes)
