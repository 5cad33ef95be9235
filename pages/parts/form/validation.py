"""Checks of the settings before a run starts: what keeps it from starting, and what is worth knowing."""

from dataclasses import dataclass

from core.backbones.registry import natural_side, read_backbone
from core.config import RunConfig, TrainConfig
from core.data.datasets.dataset import Dataset
from core.data.quality.readiness import check_classes
from core.data.splits import PARTS
from core.data.store.batch_count import count_batches, effective_batch_size
from core.display_names import display_name
from core.errors import UserMistake
from core.fields import check_with_data
from core.models.shapes import check_network
from core.runs.queue import why_queue_is_full
from core.runs.requester import Requester
from core.settings import free_space, load_limits
from core.submit import check_teacher
from pages.parts.form.split_counts import part_counts
from pages.parts.shell.cache import parts_of

HIGHEST_ADAPTIVE_RATE = 0.01  # learning rate that adaptive optimizers usually bear
PLENTY = 5  # times the free space that a run needs to start; with less there is a remark
ADAPTIVE = ("adam", "adamw", "rmsprop")


@dataclass(frozen=True)
class Remark:
    """A sentence about the settings. It may hold names that people gave: escape it."""

    text: str
    fields: tuple[str, ...] = ()  # the settings next to which it is shown
    stops: bool = False  # whether it keeps the run from starting


@dataclass(frozen=True)
class SplitSummary:
    """Pictures in each part, and the iterations of an epoch."""

    pictures: dict[str, int]
    batch_size: int  # at most the training pictures
    iterations: int  # in an epoch


def validate_config(
    dataset: Dataset, config: RunConfig, requester: Requester | None = None
) -> tuple[SplitSummary, list[Remark]]:
    """The split, and every remark on the settings; those that keep the run from starting come first.

    requester: who asks, of whom only so many runs may wait.
    """
    counts = part_counts(dataset.content_hash, config.data.model_dump_json(), dataset)
    pictures = {part: sum(counts[part]) for part in PARTS}
    batch = effective_batch_size(config.train.batch_size, pictures["train"])
    split = SplitSummary(pictures, batch, count_batches(pictures["train"], batch))
    remarks = [
        *_check_queue(requester),
        *_check_disk(),
        *_check_classes(dataset, config, counts),
        *_check_network(config, len(dataset.classes)),
        *_check_training(config, pictures),
        *_check_teacher(dataset, config),
    ]
    return split, sorted(remarks, key=lambda remark: not remark.stops)


def _check_queue(requester: Requester | None) -> list[Remark]:
    reason = why_queue_is_full(requester)
    return [Remark(f"{reason} Cancel one, or wait for one.", stops=True)] if reason else []


def _check_disk() -> list[Remark]:
    free, least = free_space(), load_limits().free_bytes
    if free is None or free >= PLENTY * least:
        return []
    text = f"The disk has only {free / 2**30:.1f} GB free; a run needs {least / 2**30:.1f} GB to start."
    return [Remark(text, stops=free < least)]


def _check_classes(dataset: Dataset, config: RunConfig, counts: dict[str, list[int]]) -> list[Remark]:
    """What the Data page says about the classes as well, except for what is fine."""
    found = check_classes(dataset, counts, weighted=config.train.class_weights != "none")
    return [
        Remark(finding.message, finding.fields, stops=finding.level == "blocks")
        for finding in found
        if finding.level != "fine"
    ]


def _check_network(config: RunConfig, classes: int) -> list[Remark]:
    model, side = config.model, config.data.image_size
    try:
        check_network(model, classes, side)
    except UserMistake as mistake:
        return [Remark(f"{mistake}.", ("model.channels", "model.backbone"), stops=True)]
    remarks, name = [], display_name("model.backbone", model.backbone)
    if model.name == "pretrained" and read_backbone(model.backbone) is None:
        text = f"The weights of {name} are not here yet. Download them under Network."
        remarks.append(Remark(text, stops=True))
    if model.name == "pretrained" and side < (natural := natural_side(model) or 0):
        text = f"{name} was trained on {natural} x {natural} pixels; at {side} x {side} it is usually less accurate."
        remarks.append(Remark(text, ("data.image_size",)))
    if model.name in ("pretrained", "transfer") and model.trainable == "head":
        if config.train.augment:
            text = "With augmentation the backbone computes the features of every picture in every epoch, not once."
            remarks.append(Remark(text, ("train.augment", "model.trainable")))
        elif model.flip_tta or model.crop_tta:
            text = "With test-time augmentation the backbone computes the features in every epoch, not once."
            remarks.append(Remark(text, ("model.flip_tta", "model.crop_tta", "model.trainable")))
    return remarks


def _check_training(config: RunConfig, pictures: dict[str, int]) -> list[Remark]:
    train, remarks = config.train, []
    if not pictures["train"]:
        return []
    without_patience = train.model_copy(update={"patience": 0})
    if text := _refusal(without_patience, pictures):
        remarks.append(Remark(text, ("train.batch_size",), stops=True))
    elif text := _refusal(train, pictures):
        remarks.append(Remark(text, ("train.patience", "data.val_fraction"), stops=True))
    elif train.batch_size > pictures["train"]:
        text = f"Batch size lowered from {train.batch_size} to {pictures['train']} (only {pictures['train']} training "
        remarks.append(Remark(f"{text}pictures).", ("train.batch_size",)))
    optimizer = display_name("train.optimizer", train.optimizer)
    if train.optimizer in ADAPTIVE and train.learning_rate > HIGHEST_ADAPTIVE_RATE:
        text = f"High for {optimizer}: it usually wants a learning rate of {HIGHEST_ADAPTIVE_RATE:g} or less."
        remarks.append(Remark(text, ("train.learning_rate",)))
    return remarks


def _check_teacher(dataset: Dataset, config: RunConfig) -> list[Remark]:
    try:
        check_teacher(config, dataset, parts_of(dataset, config.data))
    except UserMistake as mistake:
        return [Remark(f"{mistake}.", ("train.teacher",), stops=True)]
    if not config.train.teacher:
        return []
    text = "Before the first epoch the teacher answers for every training picture, which the estimate does not count. "
    return [Remark(f"{text}Its answers are kept for other runs.", ("train.teacher",))]


def _refusal(train: TrainConfig, pictures: dict[str, int]) -> str:
    try:
        check_with_data(train, pictures)
    except UserMistake as mistake:
        return f"{mistake}."
    return ""
