"""fit: the training loop, a generator of rows.

rows = list(fit(model, train, None, classes, TrainConfig(epochs=1), Hardware(torch.device("cpu"))))
"""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.config import LOWEST_RATE, TrainConfig
from core.data.store.batch_count import count_batches
from core.data.store.batches import Batch, Part, mixed_seed, ordered_batches, training_batches
from core.engine.averaging import Averaging, Lookahead
from core.engine.evaluate import mean_loss_and_predictions
from core.engine.flat import FlatWeights
from core.engine.freezing import Freezing
from core.engine.hardware import Hardware, autocast
from core.engine.loss import Loss
from core.engine.muon import SHARE
from core.engine.optimizers import NEEDS_SHAPES, build_optimizer
from core.engine.schedule import learning_rate, picture_side
from core.engine.stopping import has_stalled
from core.engine.train_state import Best, EpochState, Rows, TrainState, copy_state, restore, take_train_state
from core.errors import UserMistake
from core.fields import check_with_data
from core.rows import EpochRow, IterationRow, TickRow, iterations_a_row

Shown = TypeVar("Shown", IterationRow, TickRow, EpochRow, TrainState)

SECONDS_A_TICK = 0.4
WHITENING_PICTURES = 2000  # as many patches as 2,000 times the pixels, for a matrix of 12 x 12


class Diverged(UserMistake):
    """The loss left the finite numbers; the model holds the last good weights: those of the last finished epoch, or
    the ones that training began or was resumed with."""

    def __init__(self, message: str, try_rate: float) -> None:
        super().__init__(message)
        self.try_rate = try_rate  # a learning rate for another run


def fit(
    model: nn.Module,
    train: Part,
    val: Part | None,
    classes: int,
    config: TrainConfig,
    hardware: Hardware,
    start: TrainState | None = None,
) -> Rows:
    """Train `model` in place. Closing the generator stops after the current iteration. With config.ema the model holds
    the running mean of its weights whenever it can be looked at: at every row, and when training has ended.

    `ask_train_state(rows)` after an EpochRow, or on one rank after a TickRow, gives everything that resuming there
    needs. With such a state as `start`, and all other arguments as before, the rows and weights that follow are
    bit for bit (on the CPU, with as many threads) those of training that was never interrupted, times excepted;
    config.epochs may be higher than it was. With config.patience the rows end early, after as many epochs without a
    lower loss on the validation part.

    Under torchrun every rank calls fit with the same arguments; the rows are of all ranks together, except that the
    loss of IterationRow and TickRow is the calling rank's own. Raises Diverged where the loss is not finite.
    """
    check_with_data(config, {"train": len(train), "val": len(val) if val else 0}, hardware.world_size)
    assert not config.teacher or train.answers is not None, "a teacher's answers belong to the part, see with_answers"
    if start is None:
        _init_whitening(model, train)
    training = _Training(model, train, classes, config, hardware, start)
    for number in range(start.epoch if start else 1, config.epochs + 1):
        if has_stalled(config, number - 1, training.best.epoch):
            break
        begun = start.epoch_state(hardware.device) if start and start.epoch == number else EpochState()
        pictures = min(begun.iteration * training.batch_size, len(train))
        epoch = _Epoch(number, begun, pictures, iterations_a_row(training.iterations))
        yield from training.train_one_epoch(epoch)
        if (yield from training.show(training.evaluate(epoch, val))):
            yield from training.show(training.state_between_epochs(number + 1))
    training.averaging.swap()
    training.freezing.end()


class _Training:
    """What lasts from the first epoch to the last: the network, what moves its weights, and how far it has come."""

    def __init__(
        self,
        model: nn.Module,
        train: Part,
        classes: int,
        config: TrainConfig,
        hardware: Hardware,
        start: TrainState | None,
    ) -> None:
        self.model, self.train, self.classes, self.config, self.hardware = model, train, classes, config, hardware
        self.batch_size = min(config.batch_size, len(train))
        self.iterations = count_batches(len(train), self.batch_size, hardware.world_size)  # of an epoch
        self.steps = config.epochs * self.iterations
        self.step, self.seconds = (start.step, start.seconds) if start else (0, 0.0)  # seconds: of the epochs before
        if use_conv_algorithm := getattr(model, "use_conv_algorithm", None):
            use_conv_algorithm(hardware.conv_algorithm)
        self.network = _distribute(model, hardware)
        # DistributedDataParallel has buckets of its own
        in_one_vector = hardware.world_size == 1 and config.optimizer not in NEEDS_SHAPES
        self.flat = FlatWeights(model) if in_one_vector else None
        self.optimizer = build_optimizer([self.flat.vector] if self.flat else model.parameters(), config)
        self.autocast, self.criterion = autocast(config, hardware), Loss(config, train.labels, classes)
        if start:
            restore(start, model, self.optimizer, hardware.device)
        self.averaging = Averaging(model, config.ema)
        self.averaging.restore(start.averaged if start else {})
        self.lookahead = Lookahead([self.flat.vector] if self.flat else model.parameters(), config.lookahead)
        self.lookahead.restore(start.slow if start else {})
        self.freezing = Freezing(model, config, hardware.world_size)
        self.best = start.best if start else Best()
        self.last_good = self.shown_state()
        self.kept = f"the model of {start.place} was" if start else "the first weights were"  # of last_good

    def train_one_epoch(self, epoch: "_Epoch") -> Generator[IterationRow | TickRow | TrainState, bool | None]:
        """Train on every batch that the epoch has not seen yet; a row every 200 iterations or fewer, a tick every
        0.4 s."""
        self.model.train()
        self.freezing.begin(epoch.number)
        self.side = self.side_of(epoch.number)
        if not epoch.state.iteration:  # resumed within an epoch, the generator has its state back already
            _seed_dropout(self.config.seed, epoch.number, self.hardware.rank)
        for batch in self.batches_left(epoch):
            epoch.add(batch, *self.take_step(batch))
            now = time.perf_counter()
            ends_row = epoch.state.iteration % epoch.row_iterations == 0 or epoch.state.iteration == self.iterations
            if not (ends_row or now - epoch.tick_began > SECONDS_A_TICK):
                continue
            if ends_row or self.hardware.world_size == 1:  # ranks tick at different moments; at a row's end they meet
                self.check_finite(epoch)
            if ends_row:
                yield from self.show(self.iteration_row(epoch, now))
            if (yield from self.show(self.tick_row(epoch, now))):
                yield from self.show(self.state_within(epoch))
            epoch.start_tick()
        epoch.state.seconds = time.perf_counter() - epoch.began

    def evaluate(self, epoch: "_Epoch", val: Part | None) -> EpochRow:
        """The row of an epoch that has ended, with its answers for the validation part; its weights are kept."""
        self.seconds += epoch.state.seconds
        self.last_good, self.kept = self.shown_state(), f"the model of epoch {epoch.number} was"
        trained = _count(torch.cat(epoch.state.labels), torch.cat(epoch.state.predicted), self.classes)
        trained = trained.over_ranks(self.hardware)
        began = time.perf_counter()
        self.averaging.swap()
        with self.autocast:
            val_loss, validated = _validate(self.model, val, self.classes, self.hardware)
        self.averaging.swap()
        if val_loss is not None and val_loss < self.best.val_loss:
            self.best = Best(epoch.number, val_loss)
        return EpochRow(
            epoch=epoch.number,
            step=self.step,
            train_loss=_mean_loss(torch.stack(epoch.state.losses), self.hardware),
            train_accuracy=trained.accuracy,
            train_per_class=trained.per_class,
            val_loss=val_loss,
            val_accuracy=validated.accuracy if validated else None,
            val_per_class=validated.per_class if validated else None,
            best_epoch=self.best.epoch if validated else None,
            learning_rate=self.last_rate,
            seconds=epoch.state.seconds,
            val_seconds=time.perf_counter() - began if val is not None else 0.0,
            images_per_second=epoch.pictures / epoch.state.seconds,
        )

    def side_of(self, epoch: int) -> int | None:
        """Pixels of a side of the pictures of an epoch; None where they stay as they are."""
        if not getattr(self.model, "takes_any_size", False):
            return None
        return picture_side(self.config, self.train.preprocess.image_size, epoch)

    def batches_left(self, epoch: "_Epoch") -> Iterator[Batch]:
        config, ranks, skip = self.config, (self.hardware.rank, self.hardware.world_size), epoch.state.iteration
        return training_batches(
            self.train, self.batch_size, config.augment, config.seed, epoch.number, *ranks, skip, config.flips
        )

    def take_step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One step of the optimizer; the loss () and the logits (B, classes) that led to it."""
        rate = learning_rate(self.config, self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get(SHARE, 1.0)
        with self.autocast:
            logits = self.network(_resized(batch.images, self.side))
        loss = self.criterion(logits.float(), batch)
        if self.hardware.world_size > 1:  # the mean over the pictures of all ranks: each share counts by its size
            loss = loss * (len(batch.labels) * self.hardware.world_size / batch.global_batch_size)
        if self.flat:
            self.flat.backward(loss)
        else:
            self.optimizer.zero_grad()
            loss.backward()
        self.optimizer.step()
        self.step += 1
        self.lookahead.update(self.step)
        self.freezing.hold()
        self.averaging.update(self.step)
        return loss.detach(), logits.detach()

    def show(self, shown: Shown) -> Generator[Shown, bool | None, bool | None]:
        """Yield it while the model holds the mean of its weights; a caller that leaves then keeps the mean."""
        self.averaging.swap()
        asked = yield shown
        self.averaging.swap()
        return asked

    def shown_state(self) -> dict[str, Tensor]:
        """A copy of the network as others see it."""
        return copy_state(self.model) | self.averaging.copy()

    @property
    def last_rate(self) -> float:
        """The learning rate of the last step."""
        return learning_rate(self.config, self.step - 1, self.steps)

    def iteration_row(self, epoch: "_Epoch", now: float) -> IterationRow:
        """The row that ends here; the next one begins."""
        row = IterationRow(
            epoch=epoch.number,
            iteration=epoch.state.iteration,
            iterations=self.iterations,
            step=self.step,
            train_loss=float(epoch.losses_of_row().mean()),
            learning_rate=self.last_rate,
            seconds=self.seconds + now - epoch.began,
            images_per_second=(epoch.pictures - epoch.row_pictures) / (now - epoch.row_began),
        )
        epoch.start_row(now)
        return row

    def tick_row(self, epoch: "_Epoch", now: float) -> TickRow:
        return TickRow(
            epoch=epoch.number,
            iteration=epoch.state.iteration,
            iterations=self.iterations,
            step=self.step,
            steps=self.steps,
            seconds=self.seconds + now - epoch.began,
            images_per_second=(epoch.pictures - epoch.tick_pictures) / (now - epoch.tick_began),
        )

    def check_finite(self, epoch: "_Epoch") -> None:
        """Where a loss of the row, or the model, is not finite: put the last good weights back and raise Diverged."""
        losses = epoch.losses_of_row()
        # the last one: the step that follows a finite loss can still end in weights or running statistics that are not
        finite = torch.cat([torch.isfinite(losses), _is_finite(self.model)[None]]).int()
        if self.hardware.world_size > 1:
            dist.all_reduce(finite, dist.ReduceOp.MIN)  # one rank alone must not leave: the others would wait for it
        bad = (finite == 0).nonzero()
        if len(bad):
            self.model.load_state_dict(self.last_good)
            iteration = epoch.row_iteration + min(int(bad[0]) + 1, len(losses))
            raise _diverged(epoch.number, iteration, self.config.learning_rate, self.kept)

    def state_within(self, epoch: "_Epoch") -> TrainState:
        """For resuming in the middle of an epoch."""
        epoch.state.seconds = time.perf_counter() - epoch.began
        return self.state(epoch.number, epoch.state)

    def state_between_epochs(self, next_epoch: int) -> TrainState:
        """For resuming at the beginning of an epoch."""
        return self.state(next_epoch, EpochState())

    def state(self, epoch: int, epoch_state: EpochState) -> TrainState:
        weights, averaged, slow = copy_state(self.model), self.averaging.copy(), self.lookahead.copy()
        return take_train_state(
            epoch, epoch_state, self.step, self.seconds, weights, averaged, slow, self.optimizer, self.best
        )


class _Epoch:
    """One epoch in training: what it has gathered, and where its next row and its next tick begin."""

    def __init__(self, number: int, state: EpochState, pictures: int, row_iterations: int) -> None:
        self.number, self.state, self.row_iterations = number, state, row_iterations
        self.pictures = self.row_pictures = self.tick_pictures = pictures  # that all ranks have seen in it
        self.row_iteration = state.iteration - state.iteration % row_iterations
        self.row_began = self.tick_began = time.perf_counter()
        self.began = self.row_began - state.seconds

    def add(self, batch: Batch, loss: Tensor, logits: Tensor) -> None:
        """Count an iteration."""
        self.state.iteration += 1
        self.state.losses.append(loss)
        self.state.labels.append(batch.labels)
        self.state.logits.append(logits)
        self.pictures += batch.global_batch_size

    def losses_of_row(self) -> Tensor:
        """float32 (n,): one an iteration."""
        return torch.stack(self.state.losses[self.row_iteration :])

    def start_row(self, now: float) -> None:
        self.state.predicted.append(torch.cat(self.state.logits).argmax(1))
        self.state.logits.clear()
        self.row_iteration, self.row_pictures, self.row_began = self.state.iteration, self.pictures, now

    def start_tick(self) -> None:
        self.tick_pictures, self.tick_began = self.pictures, time.perf_counter()


def _resized(images: Tensor, side: int | None) -> Tensor:
    """float32 (B, 3, S, S) -> (B, 3, side, side), each new pixel the weighted mean of all that it covers."""
    if side is None or images.shape[-1] == side:
        return images
    return nn.functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


@dataclass(frozen=True)
class _Hits:
    """Right predictions of each class."""

    right: Tensor  # float64 (classes,)
    pictures: Tensor  # float64 (classes,)

    def over_ranks(self, hardware: Hardware) -> "_Hits":
        """Those of all ranks together, on the CPU."""
        if hardware.world_size > 1:
            dist.all_reduce(self.right)
            dist.all_reduce(self.pictures)
        return _Hits(self.right.cpu(), self.pictures.cpu())

    @property
    def accuracy(self) -> float:
        return float(self.right.sum() / self.pictures.sum())

    @property
    def per_class(self) -> tuple[float | None, ...]:
        """None for a class without pictures."""
        pairs = zip(self.right, self.pictures, strict=True)
        return tuple(float(right / count) if count else None for right, count in pairs)


def _count(labels: Tensor, predicted: Tensor, classes: int) -> _Hits:
    """labels, predicted: int64 (n,)."""
    pictures = torch.bincount(labels, minlength=classes).double()
    return _Hits(torch.bincount(labels[labels == predicted], minlength=classes).double(), pictures)


def _validate(
    model: nn.Module, val: Part | None, classes: int, hardware: Hardware
) -> tuple[float | None, _Hits | None]:
    """The loss, None where it is not finite, and the right predictions; None without a validation part.

    Every rank answers for the whole part with its own copy: no picture is counted twice. Each has running statistics
    of its own, so the loss is that of the first one: by it all of them end in the same epoch."""
    if val is None or not len(val):
        return None, None
    loss, predicted = mean_loss_and_predictions(model, val)
    if hardware.world_size > 1:
        shared = torch.tensor(loss, dtype=torch.float64, device=hardware.device)
        dist.broadcast(shared, src=0)
        loss = float(shared)
    hits = _count(val.labels, predicted, classes)
    return (loss if math.isfinite(loss) else None), _Hits(hits.right.cpu(), hits.pictures.cpu())


def _mean_loss(losses: Tensor, hardware: Hardware) -> float | None:
    mean = losses.mean()
    if hardware.world_size > 1:
        dist.all_reduce(mean)
        mean = mean / hardware.world_size
    return float(mean) if math.isfinite(float(mean)) else None


def _init_whitening(model: nn.Module, train: Part) -> None:
    """Give a network that fits its first layer to pictures some of the training part, evenly from all over it."""
    init_whitening = getattr(model, "init_whitening", None)
    if init_whitening is not None:
        some = torch.linspace(0, len(train) - 1, min(len(train), WHITENING_PICTURES)).long()
        model.to(train.device)
        init_whitening(next(iter(ordered_batches(train, len(some), some))).images)


def _distribute(model: nn.Module, hardware: Hardware) -> nn.Module:
    """The model itself, laid out for speed; under torchrun wrapped so that the ranks share their gradients."""
    model.to(device=hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if hardware.world_size == 1:
        return model
    # a network may leave out a weight whose gradient is zero
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)


def _seed_dropout(seed: int, epoch: int, rank: int) -> None:
    """Set torch's own generator, which dropout draws from, so that any epoch can be drawn again; each rank has other
    pictures, and drops others of their values."""
    torch.manual_seed(mixed_seed(seed, epoch, rank + 1))


def _is_finite(model: nn.Module) -> Tensor:
    """bool (): whether every weight and running statistic is a finite number."""
    floats = [value for value in model.state_dict().values() if value.is_floating_point()]
    return torch.stack([torch.isfinite(value).all() for value in floats]).all()


def _diverged(epoch: int, iteration: int, rate: float, kept: str) -> Diverged:
    try_rate = float(f"{max(LOWEST_RATE, rate / 10):.3g}")
    return Diverged(
        f"Training diverged in epoch {epoch}, iteration {iteration}: the loss is no longer a finite number; {kept} "
        f"kept. The learning rate {rate:g} is too high for this run: try {try_rate:g}.",
        try_rate,
    )
