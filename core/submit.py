"""The one way from a preset, a dataset and changed settings to a run: fit the preset, check the settings, create it.

Page, command line, imports and experiments come through here. No torch.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from core.backbones.registry import check_weights
from core.config import DataConfig, RunConfig, change_config
from core.data.datasets.dataset import Dataset, find_dataset
from core.data.store.store import build_store, check_parts, open_store, split_dataset, store_fingerprint
from core.errors import UserMistake
from core.fields import check_with_data
from core.models.shapes import check_network
from core.presets import preset
from core.progress import Progress
from core.runs.actions import create_run
from core.runs.backbones import settle_backbone
from core.runs.requester import Requester
from core.runs.run import Run
from core.runs.teachers import find_teacher

SPLITTING = ("balance", "split", "test_fraction", "val_fraction", "duplicates", "seed")  # fields of DataConfig
CountTrain = Callable[[Dataset, DataConfig], int]  # training pictures of a dataset, split as the settings say


def choose_config(preset_name: str, dataset_name: str, changes: Mapping[str, Any]) -> RunConfig:
    """fitted_config for a dataset by name; "data.dataset" among the changes names another one."""
    dataset = find_dataset(str(changes.get("data.dataset", dataset_name)))
    return fitted_config(preset_name, dataset, changes)


def fitted_config(
    preset_name: str, dataset: Dataset, changes: Mapping[str, Any], count_train: CountTrain | None = None
) -> RunConfig:
    """The preset, fitted to the number of training pictures, with `changes` (dotted field -> value), which win.

    The changes also decide the split that is counted. Where they choose a backbone but no image size, it is the
    backbone's. UserMistake for an unknown preset, field or backbone, and for values out of range.
    """
    changes = {**changes, "data.dataset": dataset.name}  # as it is stored, however it was typed
    split = change_config(preset(preset_name), changes).data
    pictures = (count_train or _count_train)(dataset, split)
    return settle_backbone(change_config(preset(preset_name, pictures), changes), changes)


def check_config(config: RunConfig, classes: int, pictures: dict[str, int]) -> None:
    """UserMistake where a run with these settings could not be trained: its network cannot be built or has no weights
    here, or the settings of the training do not suit the `pictures` in "train" and "val"."""
    check_network(config.model, classes, config.data.image_size)
    check_weights(config.model)
    check_with_data(config.train, pictures)


def check_teacher(config: RunConfig, dataset: Dataset, parts: Mapping[str, np.ndarray]) -> None:
    """UserMistake where the settings name a teacher that is not here or has not finished, or that has learnt other
    classes, other pictures or other parts (`parts`: rows of "train", "val" and "test") than this dataset has: a picture
    by which the student is judged must not be one that its teacher has learnt."""
    if not config.train.teacher:
        return
    teacher, which = find_teacher(config.train.teacher)
    named = f"Run {teacher.id} cannot be the teacher here"
    if teacher.classes != dataset.classes:
        ours = _named(dataset.classes)
        raise UserMistake(f"{named}: it tells {_named(teacher.classes)} apart, and {dataset.name!r} has {ours}")
    data = teacher.config.data.model_copy(update={"dataset": dataset.name})
    if store_fingerprint(dataset, data) != teacher.fingerprint:
        raise UserMistake(f"{named}: it was trained on other pictures than {dataset.name!r} has now")
    differing = [name for name in SPLITTING if getattr(data, name) != getattr(config.data, name)]
    theirs = split_dataset(dataset, data) if differing else parts
    if any(not np.array_equal(parts[part], theirs[part]) for part in parts):
        settings = " ".join(f"data.{name}={getattr(data, name)}" for name in differing)
        raise UserMistake(
            f"{named}: its training, validation and test part are others, so it may have learnt pictures by which this "
            f"run is judged. Split them as it does: {settings}"
        )
    source = teacher.card(which).source
    while source is not None:
        if source.dataset == teacher.config.data.dataset:
            raise UserMistake(
                f"{named}: its own backbone is run {source.run}, which learnt from {dataset.name!r} with parts that "
                "nobody compared"
            )
        source = source.source


def _named(classes: tuple[str, ...]) -> str:
    shown = ", ".join(name[:20] for name in classes[:4])
    return f"{len(classes)} classes ({shown}{', ...' * (len(classes) > 4)})"


def prepare_pictures(config: RunConfig) -> Iterator[Progress]:
    """Check the settings, then make the store of the run's pictures where it is missing, which the run would do itself:
    for callers that show the progress. UserMistake as of create_checked_run."""
    dataset = _checked_dataset(config)
    yield from build_store(dataset, config.data)
    open_store(dataset, config.data)  # which refuses a split that unreadable pictures leave without any to learn from


def create_checked_run(
    config: RunConfig, requester: Requester | None = None, key: str = "", threads: int | None = None
) -> Run:
    """create_run for the dataset as it is now, once the settings are checked; makes no store.

    UserMistake as check_parts, check_config and create_run raise it; then there is no run.
    """
    dataset = _checked_dataset(config)
    return create_run(config, store_fingerprint(dataset, config.data), dataset.classes, requester, key, threads)


def _checked_dataset(config: RunConfig) -> Dataset:
    dataset = find_dataset(config.data.dataset)
    parts = split_dataset(dataset, config.data)
    check_parts(parts, dataset, config.data)
    check_config(config, len(dataset.classes), {part: len(rows) for part, rows in parts.items()})
    check_teacher(config, dataset, parts)
    return dataset


def _count_train(dataset: Dataset, data: DataConfig) -> int:
    return len(split_dataset(dataset, data)["train"])
