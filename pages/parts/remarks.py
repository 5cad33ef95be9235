"""What there is to say about settings before a run starts: what stops it, and what is worth knowing."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.config import RunConfig, TrainConfig, check_with_data
from core.data.dataset import Dataset
from core.data.readiness import check_classes
from core.data.splits import PARTS
from core.errors import UserMistake
from core.models.shapes import check_network
from core.runs.queue import waiting_runs
from core.settings import free_space, load_limits
from core.trunks import natural_side, read_trunk
from pages.parts.planning import part_counts

CALM_RATE = 0.01  # the most that Adam and its kin usually bear
PLENTY = 5  # times the free space that a run needs to start; with less it is told
ADAPTIVE = ("adam", "adamw", "rmsprop")


@dataclass(frozen=True)
class Remark:
    """A sentence about the settings. It may hold names that people gave: escape it."""

    text: str
    fields: tuple[str, ...] = ()  # the settings beside which it is said
    stops: bool = False  # whether it keeps the run from starting


@dataclass(frozen=True)
class Plan:
    """What a run would work with: pictures in each part, and the iterations of an epoch."""

    pictures: dict[str, int]
    batch_size: int  # as it acts
    iterations: int  # in an epoch


def look_at(dataset: Dataset, config: RunConfig, session: str = "") -> tuple[Plan, list[Remark]]:
    """What a run would work with, and everything there is to say about it; what stops it comes first."""
    counts = part_counts(dataset.content_hash, config.data.model_dump_json(), dataset)
    pictures = {part: sum(counts[part]) for part in PARTS}
    batch = min(config.train.batch_size, max(1, pictures["train"]))
    whole, rest = divmod(pictures["train"], batch)
    plan = Plan(pictures, batch, whole + (rest >= 2))  # a rest of one picture is left out, as in training_batches
    remarks = [
        *_of_queue(session),
        *_of_disk(),
        *_of_classes(dataset, config, counts),
        *_of_network(config, len(dataset.classes)),
        *_of_training(config, pictures),
    ]
    return plan, sorted(remarks, key=lambda remark: not remark.stops)


def _of_queue(session: str) -> list[Remark]:
    waiting, limits = waiting_runs(), load_limits()
    if len(waiting) >= limits.queue_length:
        told = f"The queue is full: {len(waiting)} waiting, {limits.queue_length} may wait."
        return [Remark(f"{told} Cancel one, or wait for one.", stops=True)]
    own = sum(run.asker is not None and run.asker.session == session for run in waiting)
    if own >= limits.queue_per_session:
        told = f"You have {own} runs waiting, {limits.queue_per_session} may, so that others have their turn."
        return [Remark(f"{told} Cancel one, or wait for one.", stops=True)]
    return []


def _of_disk() -> list[Remark]:
    free, least = free_space(), load_limits().free_bytes
    if free is None or free >= PLENTY * least:
        return []
    told = f"The disk has only {free / 2**30:.1f} GB free; a run needs {least / 2**30:.1f} GB to start."
    return [Remark(told, stops=free < least)]


def _of_classes(dataset: Dataset, config: RunConfig, counts: dict[str, list[int]]) -> list[Remark]:
    """What the Data page says of the classes as well, without what is fine."""
    found = check_classes(dataset, counts, weighted=config.train.class_weights != "none")
    return [
        Remark(finding.told, finding.fields, stops=finding.level == "blocks")
        for finding in found
        if finding.level != "fine"
    ]


def _of_network(config: RunConfig, classes: int) -> list[Remark]:
    model, side = config.model, config.data.image_size
    try:
        check_network(model, classes, side)
    except UserMistake as mistake:
        return [Remark(f"{mistake}.", ("model.channels", "model.trunk"), stops=True)]
    remarks = []
    if model.name == "pretrained" and read_trunk(model.trunk) is None:
        told = f"The weights of {model.trunk} are not here yet. Fetch them under Network, beside their name."
        remarks.append(Remark(told, stops=True))
    if model.name == "pretrained" and side < (usual := natural_side(model) or 0):
        told = f"{model.trunk} has learnt for {usual} pixels; at {side} it knows less of what it sees."
        remarks.append(Remark(told, ("data.image_size",)))
    if model.name in ("pretrained", "transfer") and model.trainable == "head":
        if config.train.augment:
            told = "Augmented pictures are new ones in every epoch: the trunk has to see them all each time, not once."
            remarks.append(Remark(told, ("train.augment", "model.trainable")))
        elif model.mirror:
            told = "For answers for both sides the trunk has to see every picture in every epoch, not once."
            remarks.append(Remark(told, ("model.mirror", "model.trainable")))
    return remarks


def _of_training(config: RunConfig, pictures: dict[str, int]) -> list[Remark]:
    train, remarks = config.train, []
    if not pictures["train"]:
        return []
    without_patience = train.model_copy(update={"patience": 0})
    if told := _refusal(without_patience, pictures):
        remarks.append(Remark(told, ("train.batch_size",), stops=True))
    elif told := _refusal(train, pictures):
        remarks.append(Remark(told, ("train.patience", "data.val_fraction"), stops=True))
    elif train.batch_size > pictures["train"]:
        told = f"Batch size lowered from {train.batch_size} to {pictures['train']} (only {pictures['train']} training "
        remarks.append(Remark(f"{told}pictures).", ("train.batch_size",)))
    if train.optimizer in ADAPTIVE and train.learning_rate > CALM_RATE:
        told = f"High for {train.optimizer}: it usually wants a learning rate of {CALM_RATE:g} or less."
        remarks.append(Remark(told, ("train.learning_rate",)))
    return remarks


def _refusal(train: TrainConfig, pictures: dict[str, int]) -> str:
    try:
        check_with_data(train, pictures)
    except UserMistake as mistake:
        return f"{mistake}."
    return ""


def stopping(remarks: Sequence[Remark]) -> list[Remark]:
    return [remark for remark in remarks if remark.stops]
