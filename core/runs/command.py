"""A run's settings as the command line that trains with them again."""

import shlex
from typing import Any

from core.config import RunConfig
from core.presets import all_presets

FALLBACK = "paper"  # where the run's own preset is not here
FITTED = ("train.epochs", "train.batch_size", "train.learning_rate")  # that a preset fits to the number of pictures


def train_command(config: RunConfig) -> str:
    """`python -m core train ...`, for a POSIX shell: the preset and every setting that differs from it. What a preset
    fits to a dataset is always written out, so that it means the same beside other pictures."""
    presets = all_presets()
    name = config.preset if config.preset in presets else FALLBACK
    usual, own = presets[name].model_dump(mode="json"), config.model_dump(mode="json")
    words = ["python", "-m", "core", "train", "--data", config.data.dataset, "--preset", name]
    for section in ("data", "model", "train"):
        for field, value in own[section].items():
            dotted = f"{section}.{field}"
            if dotted != "data.dataset" and (value != usual[section][field] or dotted in FITTED):
                words += ["--set", f"{dotted}={_text(value)}"]
    return shlex.join(words)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
