"""When training ends: after all its epochs, or early. No torch: pages use it too."""

from core.config import TrainConfig
from core.rows import EpochRow


def has_stalled(config: TrainConfig, epoch: int, best_epoch: int | None) -> bool:
    """Whether early stopping ends a run after `epoch`; best_epoch: as EpochRow has it."""
    return bool(config.patience) and best_epoch is not None and epoch - best_epoch >= config.patience


def is_last(config: TrainConfig, row: EpochRow) -> bool:
    """Whether no epoch follows this one."""
    return row.epoch >= config.epochs or has_stalled(config, row.epoch, row.best_epoch)


def describe_end(config: TrainConfig, row: EpochRow) -> str:
    """Why a run whose last epoch is `row` ended early; "" where it did not."""
    if row.epoch >= config.epochs or not has_stalled(config, row.epoch, row.best_epoch):
        return ""
    waited = f"{config.patience} epoch{'s' * (config.patience > 1)}"
    if row.best_epoch == 0:
        return f"Stopped early after epoch {row.epoch}: the validation loss was not a finite number for {waited}."
    return (
        f"Stopped early after epoch {row.epoch}: the validation loss had not fallen for {waited}; "
        f"the best model, of epoch {row.best_epoch}, is used."
    )
