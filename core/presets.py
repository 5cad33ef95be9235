"""Named RunConfigs: the paper as it was, the fastest way to its accuracy, the best of its network and of all."""

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints, ValidationError

from core.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from core.disk import write_json
from core.documents import Unreadable, read_document
from core.errors import UserMistake
from core.people import Person, must_be_own, new_owner
from core.settings import atelier_home

# from there on flips and crops changed no accuracy by more than 0.02 points (docs/performance.md); the more the labels
# are smoothed, the less sure a network ever is
SURE, SURE_OF_SMOOTHED = 0.7, 0.6
# For the residual network, after Jordan 2024 (94 % on CIFAR-10 in 9.9 epochs; arXiv 2404.00498): momentum,
# decay, smoothing and rise of the rate are his, the rate is for half of his batch.
_RESIDUAL = TrainConfig(
    epochs=14,
    batch_size=512,
    optimizer="nesterov",
    learning_rate=0.75,
    momentum=0.85,
    weight_decay=0.0013,
    schedule="one_cycle",
    warmup=0.23,
    label_smoothing=0.2,
    augment=("flip", "shift_crop"),
    precision="bfloat16",
)

_COMPACT = _RESIDUAL.model_copy(
    update={"batch_size": 256, "learning_rate": 0.4, "weight_decay": 5e-4, "label_smoothing": 0.1}
)

PRESETS: dict[str, RunConfig] = {
    # section 3 of the paper: SGD 0.001, momentum 0.9, batch 32, 50 epochs, no validation part, no augmentation
    "paper": RunConfig(
        preset="paper",
        data=DataConfig(balance="smallest", split="paper", val_fraction=0.0),
        train=TrainConfig(),
    ),
    "quick": RunConfig(
        preset="quick",
        data=DataConfig(val_fraction=0.05, duplicates="together"),
        train=TrainConfig(
            epochs=3, batch_size=256, optimizer="nesterov", learning_rate=0.2, schedule="one_cycle", weight_decay=5e-4
        ),
    ),
    "better": RunConfig(
        preset="better",
        data=DataConfig(val_fraction=0.02, duplicates="together"),
        # 1.7 points more for a network that was trained with "flip", and half a point by crops, for nothing
        model=ModelConfig(flip_tta=True, crop_tta=True),
        train=TrainConfig(
            # Tried without a gain on the test part, one seed each, 180 epochs: weight decay 1e-3 (78.94 %), AdamW with
            # rate 0.01 and weight decay 0.03 (78.80 %; it had looked best on 5,000 validation pictures, 79.2 %).
            epochs=150,
            batch_size=256,
            optimizer="nesterov",
            learning_rate=0.2,
            schedule="one_cycle",
            warmup=0.2,
            weight_decay=5e-4,
            augment=("flip", "shift_crop"),
        ),
    ),
    "best": RunConfig(
        preset="best",
        data=DataConfig(val_fraction=0.02, duplicates="together"),
        model=ModelConfig(name="resnet", flip_tta=True, crop_tta=True, tta_below=SURE_OF_SMOOTHED),
        # after his later record with Muon (8 epochs of batches of 2,000 at 0.24); tuned at half the width and 7 epochs
        train=_RESIDUAL.model_copy(
            update={"epochs": 10, "optimizer": "muon", "filter_rate": 0.1, "schedule": "linear"}
            | {"flips": "alternating", "progressive": 0.625, "freeze_first": 0.3}
        ),
    ),
    # under 100,000 parameters: a seventh of the work of `best` for a picture, a fifth of it in all
    "tiny": RunConfig(
        preset="tiny",
        data=DataConfig(val_fraction=0.02, duplicates="together"),
        model=ModelConfig(name="compact", width=32, flip_tta=True, tta_below=SURE),
        train=_COMPACT.model_copy(update={"epochs": 16}),
    ),
    # a network of one's own for a few thousand pictures: that of `tiny`, on larger pictures that grow while it trains
    "scratch": RunConfig(
        preset="scratch",
        data=DataConfig(image_size=64, val_fraction=0.05, duplicates="together"),
        model=ModelConfig(name="compact", width=32, flip_tta=True, tta_below=SURE),
        train=_COMPACT.model_copy(update={"epochs": 10, "progressive": 0.5}),
    ),
    # that of `best` for a GPU, as short as the published records; it was not measured, for want of one
    "speedrun": RunConfig(
        preset="speedrun",
        data=DataConfig(val_fraction=0.0, duplicates="together"),
        model=ModelConfig(name="resnet", flip_tta=True, crop_tta=True, tta_below=SURE_OF_SMOOTHED),
        train=_RESIDUAL.model_copy(update={"epochs": 10, "flips": "alternating", "freeze_first": 0.3}),
    ),
    # as the paper planned with GoogLeNet: a fixed feature extractor, in its own size, with a new last layer; this one
    # comes with pip, so that nobody has to download weights first
    "pretrained": RunConfig(
        preset="pretrained",
        data=DataConfig(image_size=224, val_fraction=0.05, duplicates="together"),
        model=ModelConfig(name="pretrained", backbone="efficientnet_lite0", trainable="head"),
        train=TrainConfig(epochs=50, batch_size=32, optimizer="adam", learning_rate=0.001, schedule="cosine"),
    ),
}
# Those that are tuned on CIFAR-10 need so many steps; a smaller set is passed over more often, in smaller batches.
STEPS = {"quick": 500, "better": 8000, "best": 950, "tiny": 3040, "scratch": 1280, "speedrun": 900}
STEPS_AN_EPOCH = 32
# accuracy in per cent on CIFAR-10's test part, as docs/results.md has it; what else there is was not measured
MEASURED = {"paper": 66.77, "quick": 67.68, "better": 81.53, "best": 94.15, "tiny": 88.95}
# the same of those for pictures of one's own, on the test part of 5,400 artworks in three classes
MEASURED_ON_ARTWORKS = {"scratch": 98.15, "pretrained": 98.98}
SMALLEST_BATCH = 16
MOST_EPOCHS = 1000
NAME_CHARACTERS = 40  # of a preset of one's own


class _PresetDocument(BaseModel):
    """A file in presets/."""

    name: Annotated[str, StringConstraints(min_length=1)]
    config: dict[str, Any]
    owner: Person | None = None


def all_presets() -> dict[str, RunConfig]:
    """The built-in presets and, after them, those that people have saved, under names to be escaped on a page."""
    return PRESETS | {name: config for name, config in own_presets().items() if name not in PRESETS}


def own_presets() -> dict[str, RunConfig]:
    """The readable presets that people have saved, by name."""
    return scan_presets()[0]


def scan_presets() -> tuple[dict[str, RunConfig], list[str]]:
    """The presets that people have saved, by name, and a sentence about each file that is damaged."""
    found, damage = {}, []
    for path in sorted(_presets_root().glob("*.json")):
        try:
            document = read_document(path, _PresetDocument)
            found[document.name] = RunConfig.model_validate(document.config)
        except FileNotFoundError:  # removed in the meantime
            continue
        except Unreadable as error:
            damage.append(f"A preset in presets/ cannot be used: {error}.")
        except ValidationError:
            damage.append(f"Preset {document.name!r} cannot be used: {path.name} has settings that this version lacks.")
    return dict(sorted(found.items())), damage


def keep_preset(name: str, config: RunConfig) -> None:
    """Save settings under a name, in place of what it named before. UserMistake for a name that cannot be."""
    name = " ".join(name.split())
    if not name.isprintable() or not 1 <= len(name) <= NAME_CHARACTERS:
        raise UserMistake(
            f"{name[:60]!r} is no name for a preset; it has 1 to {NAME_CHARACTERS} letters that can be seen"
        )
    if name in PRESETS:
        raise UserMistake(f"{name!r} is a built-in preset; choose another name")
    owner = _must_be_own(name) or new_owner()
    kept = _PresetDocument(
        name=name, config=config.model_copy(update={"preset": name}).model_dump(mode="json"), owner=owner
    )
    write_json(_preset_path(name), kept.model_dump(mode="json"))


def forget_preset(name: str) -> None:
    """Remove a preset that somebody has saved; runs that began with it stay as they are."""
    if name not in own_presets():
        raise UserMistake(
            f"there is no preset of your own called {name!r}; there are: {', '.join(own_presets()) or 'none'}"
        )
    _must_be_own(name)
    _preset_path(name).unlink(missing_ok=True)


def _must_be_own(name: str) -> Person | None:
    """Whose the preset of that name is, None also where there is none. UserMistake where who asks may not change it."""
    try:
        owner = read_document(_preset_path(name), _PresetDocument).owner
    except (FileNotFoundError, Unreadable):  # a damaged one may be replaced
        return None
    must_be_own(owner, f"Preset {name!r}")
    return owner


def _presets_root() -> Path:
    return atelier_home() / "presets"


def _preset_path(name: str) -> Path:
    """A name is never part of a path."""
    return _presets_root() / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json"


def preset(name: str, pictures: int | None = None) -> RunConfig:
    """The preset of that name, fitted to a dataset with that many training pictures where the number is given.

    An unknown name raises UserMistake with the known ones.
    """
    config = PRESETS.get(name) or own_presets().get(name)
    if config is None:
        raise UserMistake(f"unknown preset {name!r}; known: {', '.join(all_presets())}")
    return config if pictures is None else fit_to(config, pictures)


def fit_to(config: RunConfig, pictures: int) -> RunConfig:
    """A copy whose epochs, batch size and learning rate suit `pictures` training pictures; `paper` stays as it was.

    The batch is halved until an epoch has 32 steps, the learning rate with it (Goyal et al. 2017: in proportion to
    the batch; Muon's rate for filters, whose steps have one length whatever the batch, by the square root), and the
    epochs are raised until all steps are done.
    """
    if config.preset not in STEPS:
        return config
    train = config.train
    batch, rate, filter_rate = train.batch_size, train.learning_rate, train.filter_rate
    while batch > SMALLEST_BATCH and pictures < STEPS_AN_EPOCH * batch:
        batch, rate, filter_rate = batch // 2, rate / 2, filter_rate / 2**0.5
    filter_rate = float(f"{filter_rate:.3g}")  # 0.05 instead of 0.0499999999999999
    steps = max(1, pictures // batch)
    epochs = min(MOST_EPOCHS, max(train.epochs, math.ceil(STEPS[config.preset] / steps)))
    changed = train.model_copy(
        update={"batch_size": batch, "learning_rate": rate, "filter_rate": filter_rate, "epochs": epochs}
    )
    return config.model_copy(update={"train": changed})
