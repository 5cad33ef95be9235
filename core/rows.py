"""Rows: what training yields; an IterationRow every 200 iterations or fewer, an EpochRow after each epoch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

ITERATIONS_A_ROW = 200  # the paper prints the mean loss of 200 iterations; a shorter epoch tells it more often
_LONG_EPOCH, _ROWS_OF_SHORT_EPOCH, _LEAST_ITERATIONS_A_ROW = 1000, 20, 10


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
    """Progress of the training, about twice a second: for progress bars and stop buttons, never stored."""

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
    # mean over the epoch, while the weights changed, of the training loss: smoothed, with class weights and mixup
    train_loss: float | None
    # share of correct predictions during the epoch (augmented, train mode); with mixup, of the label with the larger
    # lambda
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


def iterations_a_row(iterations: int) -> int:
    """Iterations between two rows of an epoch of `iterations`: 200 where it has 1,000 or more, as the paper prints the
    loss; else a twentieth, so that the first epoch shows a curve and not a single point, but at least 10."""
    if iterations >= _LONG_EPOCH:
        return ITERATIONS_A_ROW
    return max(_LEAST_ITERATIONS_A_ROW, iterations // _ROWS_OF_SHORT_EPOCH)
