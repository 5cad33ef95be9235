"""A run's settings as the command line that trains with them again."""

import shlex
from typing import Any

from core.config import RunConfig
from core.fields import settings_of
from core.presets import all_presets

FALLBACK = "paper"  # where the run's own preset is not here
FITTED = ("train.epochs", "train.batch_size", "train.learning_rate")  # that a preset fits to the number of pictures


def train_command(config: RunConfig) -> str:
    """`python -m core train ...`, for a POSIX shell: the preset and every setting that differs from it. What a preset
    fits to a dataset is always written out, so that it means the same beside other pictures."""
    presets = all_presets()
    name = config.preset if config.preset in presets else FALLBACK
    usual = settings_of(presets[name])
    words = ["python", "-m", "core", "train", "--data", config.data.dataset, "--preset", name]
    for field, value in settings_of(config).items():
        if field != "data.dataset" and (value != usual[field] or field in FITTED):
            words += ["--set", f"{field}={_text(value)}"]
    return shlex.join(words)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
