"""Named RunConfigs: the paper as it was, the fastest way to its accuracy, and the best of the same network."""

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
        train=TrainConfig(
            epochs=6, batch_size=256, optimizer="nesterov", learning_rate=0.1, schedule="one_cycle", weight_decay=5e-4
        ),
    ),
    "better": RunConfig(
        preset="better",
        train=TrainConfig(
            epochs=100,
            batch_size=256,
            optimizer="nesterov",
            learning_rate=0.1,
            schedule="one_cycle",
            weight_decay=5e-4,
            augment=("flip", "shift_crop"),
        ),
    ),
}


def preset(name: str) -> RunConfig:
    """The preset of that name; an unknown one raises UserMistake with the known ones."""
    if name not in PRESETS:
        raise UserMistake(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
