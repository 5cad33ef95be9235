"""What training says while it runs: one IterationRow every 200 iterations, one EpochRow an epoch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IterationRow(_Row):
    """The running loss as the paper prints it: the mean over the iterations since the last such row."""

    kind: Literal["iteration"] = "iteration"
    epoch: int  # 1 .. epochs
    iteration: int  # iterations done in this epoch
    iterations: int  # iterations in an epoch
    step: int  # iterations done in the whole run
    train_loss: float | None  # None where it was not finite (JSON knows no NaN)
    learning_rate: float
    seconds: float  # since training began, evaluation left out
    images_per_second: float  # since the last row


class TickRow(_Row):
    """Where training stands, about twice a second: for progress bars and stop buttons, never kept."""

    kind: Literal["tick"] = "tick"
    epoch: int
    iteration: int
    iterations: int
    step: int
    steps: int  # in the whole run
    seconds: float  # of training so far
    images_per_second: float


class EpochRow(_Row):
    """One epoch: losses and accuracies as fractions 0..1 (val_* None without a validation part)."""

    kind: Literal["epoch"] = "epoch"
    epoch: int  # 1 .. epochs
    step: int
    # mean over the epoch, while the weights moved, of what training makes small: smoothed, with class weights and mixup
    train_loss: float | None
    # share of training pictures answered rightly as they came by (augmented, train mode); with mixup a picture's label
    # is that of its larger share
    train_accuracy: float
    train_per_class: tuple[float | None, ...]
    val_loss: float | None = None  # evaluation mode, after the epoch; plain cross-entropy, whatever is trained on
    val_accuracy: float | None = None
    val_per_class: tuple[float | None, ...] | None = None
    best_epoch: int | None = None  # the one with the lowest val_loss so far; 0 while none was finite
    learning_rate: float
    seconds: float  # of training in this epoch
    val_seconds: float = 0.0
    images_per_second: float  # training pictures / seconds


Row = Annotated[IterationRow | EpochRow, Field(discriminator="kind")]
parse_row = TypeAdapter(Row).validate_python
