"""TrainState: everything that resuming a training exactly needs, in the middle of an epoch or between two."""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn, optim

from core.backbones.registry import with_current_names
from core.errors import UserMistake
from core.rows import EpochRow, IterationRow, TickRow

_NUMBERS = ("epoch", "iteration", "step", "seconds", "epoch_seconds")
_TENSORS = ("losses", "labels", "predicted", "random", "random_of_device")


@dataclass
class EpochState:
    """What an epoch has gathered so far for its rows; lists of tensors, so that nothing waits for a GPU."""

    iteration: int = 0  # iterations done in it
    seconds: float = 0.0
    losses: list[Tensor] = field(default_factory=list)  # float32 (), one an iteration
    labels: list[Tensor] = field(default_factory=list)  # int64 (B,)
    logits: list[Tensor] = field(default_factory=list)  # (B, classes): since the last row
    predicted: list[Tensor] = field(default_factory=list)  # int64 (n,): classes, of the rows before


@dataclass(frozen=True)
class Best:
    """The epoch with the lowest loss on the validation part so far."""

    epoch: int = 0  # 0 before the first finite loss
    val_loss: float = math.inf


@dataclass(frozen=True)
class TrainState:
    """Between two iterations, or between two epochs (iteration 0). Its tensors are nobody else's."""

    epoch: int  # the epoch of the next iteration, 1 .. ; one more than there are at the end
    iteration: int  # iterations done in that epoch
    step: int  # iterations done in the whole run
    seconds: float  # of training before that epoch
    epoch_seconds: float  # of training in that epoch
    weights: dict[str, Tensor]  # the model's state_dict
    optimizer: dict[str, Tensor]  # "0.momentum_buffer": number of the parameter, name in its state
    losses: Tensor  # float32 (iteration,)
    labels: Tensor  # int64 (n,): of the epoch's pictures so far
    predicted: Tensor  # int64 (n,): the classes predicted for them
    random: Tensor  # uint8: state of torch's own generator
    random_of_device: Tensor  # uint8: the same of the GPU, empty on the CPU
    best: Best = Best()
    averaged: dict[str, Tensor] = field(default_factory=dict)  # the running mean of the weights, where there is one
    slow: dict[str, Tensor] = field(default_factory=dict)  # of Lookahead, by number, where there is one

    @property
    def place(self) -> str:
        """In words, e.g. "epoch 3" or "epoch 4, iteration 120"."""
        if self.iteration:
            return f"epoch {self.epoch}, iteration {self.iteration}"
        return f"epoch {self.epoch - 1}"

    def epoch_state(self, device: torch.device) -> EpochState:
        return EpochState(
            iteration=self.iteration,
            seconds=self.epoch_seconds,
            losses=list(self.losses.to(device).unbind()),
            labels=[self.labels.to(device)] if self.iteration else [],
            predicted=[self.predicted.to(device)] if self.iteration else [],
        )

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(numbers for JSON, dense arrays by name); from_parts is the way back."""
        tensors = {name: getattr(self, name) for name in _TENSORS}
        tensors |= {f"weights.{name}": value for name, value in self.weights.items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.items()}
        tensors |= {f"averaged.{name}": value for name, value in self.averaged.items()}
        tensors |= {f"slow.{number}": value for number, value in self.slow.items()}
        arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in tensors.items()}
        best = {"epoch": self.best.epoch, "val_loss": self.best.val_loss} if self.best.epoch else {}
        return {name: getattr(self, name) for name in _NUMBERS} | {"best": best}, arrays

    @classmethod
    def from_parts(cls, numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> "TrainState":
        tensors = {name: torch.from_numpy(values.copy()) for name, values in arrays.items()}
        return cls(
            epoch=numbers["epoch"],
            iteration=numbers["iteration"],
            step=numbers["step"],
            seconds=numbers["seconds"],
            epoch_seconds=numbers["epoch_seconds"],
            weights=_below("weights.", tensors),
            optimizer=_below("optimizer.", tensors),
            losses=tensors["losses"],
            labels=tensors["labels"],
            predicted=tensors["predicted"],
            random=tensors["random"],
            random_of_device=tensors["random_of_device"],
            best=Best(**numbers.get("best", {})),  # states of before there was early stopping have none
            averaged=_below("averaged.", tensors),
            slow=_below("slow.", tensors),
        )


Rows = Generator[IterationRow | TickRow | EpochRow | TrainState, bool | None]  # of fit; send(True) asks for its state


def ask_train_state(rows: Rows) -> TrainState:
    """The state of fit, right after it yielded a TickRow (on one rank) or an EpochRow."""
    state = rows.send(True)
    assert isinstance(state, TrainState), f"fit gives its state after a TickRow or an EpochRow, not {state!r}"
    return state


def take_train_state(
    epoch: int,
    epoch_state: EpochState,
    step: int,
    seconds: float,
    weights: dict[str, Tensor],
    averaged: dict[str, Tensor],
    slow: dict[str, Tensor],
    optimizer: optim.Optimizer,
    best: Best,
) -> TrainState:
    """The state of a training; `weights`, `averaged` and `slow` are copies already."""
    device = next(iter(weights.values())).device
    nothing = torch.empty(0, dtype=torch.uint8)
    predicted = [*epoch_state.predicted, *(logits.argmax(1) for logits in epoch_state.logits)]
    return TrainState(
        epoch=epoch,
        iteration=epoch_state.iteration,
        step=step,
        seconds=seconds,
        epoch_seconds=epoch_state.seconds,
        weights=weights,
        optimizer=_state_of(optimizer),
        losses=torch.stack(epoch_state.losses) if epoch_state.losses else torch.empty(0),
        labels=_join(epoch_state.labels),
        predicted=_join(predicted),
        random=torch.get_rng_state(),
        random_of_device=torch.cuda.get_rng_state(device) if device.type == "cuda" else nothing,
        best=best,
        averaged=averaged,
        slow=slow,
    )


def restore(state: TrainState, model: nn.Module, optimizer: optim.Optimizer, device: torch.device) -> None:
    """Set model, optimizer and torch's generators to the state. UserMistake where it is one of another network."""
    weights = with_current_names(state.weights)
    if others := differing(model, weights):
        raise UserMistake(
            f"The saved state is of another network: {', '.join(others[:4])} differ. The model was kept. "
            "Clone the run to train it again."
        )
    model.load_state_dict(weights)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.optimizer.items():
        number, _, key = name.partition(".")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:  # laid out in memory as its parameter is, as it was before
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        moments.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
    torch.set_rng_state(state.random)
    if device.type == "cuda" and len(state.random_of_device):
        torch.cuda.set_rng_state(state.random_of_device, device)


def differing(model: nn.Module, weights: Mapping[str, Tensor | np.ndarray]) -> list[str]:
    """The names that only one of the two has, or that have other shapes there."""
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def copy_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _state_of(optimizer: optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{key}": value.detach().clone()
        for number, values in state.items()
        for key, value in values.items()
        if value is not None
    }


def _join(pieces: list[Tensor]) -> Tensor:
    return torch.cat(pieces) if pieces else torch.empty(0, dtype=torch.int64)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
