"""measure_leak: how much copies on both sides of a split flatter a network, trained with and without them.

python -m core bench copies NAME
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.config import RunConfig, change_config
from core.data.batches import load_part
from core.data.store import TensorStore, load_store
from core.engine.evaluate import evaluate
from core.engine.fit import fit
from core.engine.hardware import Hardware, choose_hardware
from core.evaluation import Evaluation
from core.experiments.bench import AccuracyCheck, Step, compare
from core.models.build import build_model
from core.presets import preset


@dataclass(frozen=True)
class Leak:
    """Test accuracy with copies kept together (baseline) and ignored (ours), a pair a seed."""

    dataset: str
    accuracy: AccuracyCheck  # its difference is how much the leak flatters
    leaked: tuple[int, ...]  # of each seed: test pictures that are copies of training pictures where they are ignored
    on_leaked: tuple[float, ...]  # of each seed: accuracy on those alone; nan where there are none
    on_others: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_leak(
    dataset: str, seeds: int = 5, preset_name: str = "quick", settings: dict[str, Any] | None = None
) -> Iterator[Step | Leak]:
    """Yields a Step before each training, and the Leak at last. Seeds draw the split and the training.

    settings: what differs from the preset, as change_config takes it. UserMistake for an unknown dataset, preset or
    setting.
    """
    hardware = choose_hardware()
    told: dict[str, list[float]] = {"together": [], "ignore": [], "leaked": [], "on_leaked": [], "on_others": []}
    pictures = 0
    for seed in range(seeds):
        for number, copies in enumerate(("together", "ignore")):
            yield Step(f"{dataset}, copies={copies} (seed {seed})", 2 * seed + number, 2 * seeds)
            config = _config(dataset, preset_name, settings or {}, copies, seed)
            store = load_store(config.data)
            answers = _train(config, store, hardware)
            told[copies].append(answers.accuracy)
            pictures = answers.n
        shared = np.isin(store.groups[answers.indices], store.groups[store.parts["train"]])
        told["leaked"].append(int(shared.sum()))
        told["on_leaked"].append(float(answers.correct[shared].mean()) if shared.any() else float("nan"))
        told["on_others"].append(float(answers.correct[~shared].mean()))
    yield Leak(
        dataset=dataset,
        accuracy=compare(pictures, told["together"], told["ignore"]),
        leaked=tuple(int(count) for count in told["leaked"]),
        on_leaked=tuple(told["on_leaked"]),
        on_others=tuple(told["on_others"]),
    )


def _config(dataset: str, preset_name: str, settings: dict[str, Any], copies: str, seed: int) -> RunConfig:
    """The preset fitted to the number of training pictures, then the settings; the split is one that copies act on."""
    changes = settings | {"data.dataset": dataset, "data.split": "stratified", "data.copies": copies}
    changes |= {"data.seed": seed, "train.seed": seed}
    asked = change_config(preset(preset_name), changes)
    return change_config(preset(preset_name, len(load_store(asked.data).parts["train"])), changes)


def _train(config: RunConfig, store: TensorStore, hardware: Hardware) -> Evaluation:
    train, test = (load_part(store, part, hardware.device) for part in ("train", "test"))
    model = build_model(config.model, len(store.classes), config.data.image_size, seed=config.train.seed)
    for _ in fit(model, train, None, len(store.classes), config.train, hardware):
        pass
    return evaluate(model, test, "test", store.classes)
