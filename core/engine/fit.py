"""fit: the training loop, a generator of rows.

rows = list(fit(model, train, None, classes, TrainConfig(epochs=1), Hardware(torch.device("cpu"))))
"""

import contextlib
import math
import time
from collections.abc import Generator

import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.config import LOWEST_RATE, TrainConfig, check_with_data
from core.data.batches import Part, count_batches, mixed_seed, ordered_batches, training_batches
from core.engine.evaluate import mean_loss_and_predictions
from core.engine.flat import FlatWeights
from core.engine.hardware import Hardware, has_bfloat16
from core.engine.loss import Loss
from core.engine.optimizers import build_optimizer
from core.engine.position import Best, EpochAtHand, Position, copy_state, restore, take_position
from core.engine.schedule import learning_rate
from core.engine.stopping import has_stalled
from core.errors import UserMistake
from core.rows import EpochRow, IterationRow, TickRow

ITERATIONS_A_ROW = 200  # the paper prints the mean loss of 200 iterations
SECONDS_A_TICK = 0.4
SEEN_FIRST = 2000  # pictures; as many patches as 2,000 times the pixels, for a matrix of 12 x 12


class Diverged(UserMistake):
    """The loss left the finite numbers; the model holds the last good weights: those of the last finished epoch, or
    the ones that training began or was resumed with."""

    def __init__(self, told: str, try_rate: float) -> None:
        super().__init__(told)
        self.try_rate = try_rate  # a learning rate for another run


def fit(
    model: nn.Module,
    train: Part,
    val: Part | None,
    classes: int,
    config: TrainConfig,
    hardware: Hardware,
    start: Position | None = None,
) -> Generator[IterationRow | TickRow | EpochRow | Position, bool | None]:
    """Train `model` in place. Closing the generator stops after the iteration at hand.

    `ask_position(rows)` after an EpochRow, or on one rank after a TickRow, tells everything that going on from there
    needs. With such a position as `start`, and all other arguments as before, the rows and weights that follow are
    bit for bit (on the CPU, with as many threads) those of training that was never interrupted, times excepted;
    config.epochs may be higher than it was. With config.patience the rows end early, after as many epochs without a
    lower loss on the validation part.

    Under torchrun every rank calls fit with the same arguments; the rows tell of all ranks together, except that the
    loss of IterationRow and TickRow is the calling rank's own. Raises Diverged where the loss is not finite.
    """
    check_with_data(config, {"train": len(train), "val": len(val) if val else 0}, hardware.world)
    batch_size = min(config.batch_size, len(train))
    iterations = count_batches(len(train), batch_size, hardware.world)
    steps, step, trained = config.epochs * iterations, start.step if start else 0, start.seconds if start else 0.0
    if start is None:
        _show_first(model, train)
    network = _spread(model, hardware)
    flat = FlatWeights(model) if hardware.world == 1 else None  # DistributedDataParallel has buckets of its own
    optimizer = build_optimizer([flat.vector] if flat else model.parameters(), config)
    precision, loss_of = _precision(config, hardware), Loss(config, train.labels, classes)
    if start:
        restore(start, model, optimizer, hardware.device)
    best = start.best if start else Best()
    last_good, kept = copy_state(model), f"the model of {start.told} was" if start else "the first weights were"
    for epoch in range(start.epoch if start else 1, config.epochs + 1):
        if has_stalled(config, epoch - 1, best.epoch):
            return
        model.train()
        at_hand = start.at_hand(hardware.device) if start and start.epoch == epoch else EpochAtHand()
        if not at_hand.iteration:  # in the middle of an epoch the position has brought the state along
            _seed_dropout(config.seed, epoch, hardware.rank)
        losses, labels, answers, predicted = at_hand.losses, at_hand.labels, at_hand.answers, at_hand.predicted
        done = at_hand.iteration
        row_began = tick_began = time.perf_counter()
        began = row_began - at_hand.seconds
        row_iteration = done - done % ITERATIONS_A_ROW
        row_pictures = tick_pictures = pictures = min(done * batch_size, len(train))
        batches = training_batches(
            train, batch_size, config.augment, config.seed, epoch, hardware.rank, hardware.world, done
        )
        for iteration, batch in enumerate(batches, start=done + 1):
            rate = learning_rate(config, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with precision:
                logits = network(batch.images)
            loss = loss_of(logits.float(), batch)
            if hardware.world > 1:  # the mean over the pictures of all ranks: each share counts by its size
                loss = loss * (len(batch.labels) * hardware.world / batch.whole)
            if flat:
                flat.backward(loss)
            else:
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            losses.append(loss.detach())
            labels.append(batch.labels)
            answers.append(logits.detach())
            step += 1
            pictures += batch.whole
            now = time.perf_counter()
            ends_row = iteration % ITERATIONS_A_ROW == 0 or iteration == iterations
            if not (ends_row or now - tick_began > SECONDS_A_TICK):
                continue
            if ends_row or hardware.world == 1:  # ranks tick at different moments; at the end of a row they meet
                _check_finite(
                    torch.stack(losses[row_iteration:]), epoch, row_iteration, config, model, last_good, kept, hardware
                )
            if ends_row:
                predicted.append(torch.cat(answers).argmax(1))
                answers.clear()
                yield IterationRow(
                    epoch=epoch,
                    iteration=iteration,
                    iterations=iterations,
                    step=step,
                    train_loss=float(torch.stack(losses[row_iteration:]).mean()),
                    learning_rate=rate,
                    seconds=trained + now - began,
                    images_per_second=(pictures - row_pictures) / (now - row_began),
                )
                row_iteration, row_pictures, row_began = iteration, pictures, now
            asked = yield TickRow(
                epoch=epoch,
                iteration=iteration,
                iterations=iterations,
                step=step,
                steps=steps,
                seconds=trained + now - began,
                images_per_second=(pictures - tick_pictures) / (now - tick_began),
            )
            if asked:
                at_hand.iteration, at_hand.seconds = iteration, time.perf_counter() - began
                yield take_position(epoch, at_hand, step, trained, copy_state(model), optimizer, best)
            tick_pictures, tick_began = pictures, time.perf_counter()
        seconds = time.perf_counter() - began
        trained += seconds
        last_good, kept = copy_state(model), f"the model of epoch {epoch} was"
        hits, counts = _count(torch.cat(labels), torch.cat(predicted), classes, hardware)
        val_began = time.perf_counter()
        val_loss, val_hits, val_counts = _validate(model, val, classes, hardware)
        if val_loss is not None and val_loss < best.val_loss:
            best = Best(epoch, val_loss)
        asked = yield EpochRow(
            epoch=epoch,
            step=step,
            train_loss=_mean_loss(torch.stack(losses), hardware),
            train_accuracy=float(hits.sum() / counts.sum()),
            train_per_class=_shares(hits, counts),
            val_loss=val_loss,
            val_accuracy=None if val_hits is None else float(val_hits.sum() / val_counts.sum()),
            val_per_class=None if val_hits is None else _shares(val_hits, val_counts),
            best_epoch=None if val_hits is None else best.epoch,
            learning_rate=learning_rate(config, step - 1, steps),
            seconds=seconds,
            val_seconds=time.perf_counter() - val_began if val is not None else 0.0,
            images_per_second=pictures / seconds,
        )
        if asked:
            yield take_position(epoch + 1, EpochAtHand(), step, trained, last_good, optimizer, best)


def _show_first(model: nn.Module, train: Part) -> None:
    """Some training pictures, evenly from all over the part, for a network that fits its first layer to them."""
    see_first = getattr(model, "see_first", None)
    if see_first is not None:
        some = torch.linspace(0, len(train) - 1, min(len(train), SEEN_FIRST)).long()
        model.to(train.device)
        see_first(next(iter(ordered_batches(train, len(some), some))).images)


def _spread(model: nn.Module, hardware: Hardware) -> nn.Module:
    """The model itself, laid out for speed; under torchrun wrapped so that the ranks share their gradients."""
    model.to(device=hardware.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if hardware.world == 1:
        return model
    # a network may leave out a weight whose gradient is zero
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)


def _seed_dropout(seed: int, epoch: int, rank: int) -> None:
    """Set torch's own generator, which dropout draws from, so that any epoch can be drawn again; each rank has other
    pictures, and drops others of their values."""
    torch.manual_seed(mixed_seed(seed, epoch, rank + 1))


def _precision(config: TrainConfig, hardware: Hardware) -> contextlib.AbstractContextManager[object]:
    if config.precision == "bfloat16" and has_bfloat16(hardware):
        return torch.autocast(hardware.device.type, torch.bfloat16)
    return contextlib.nullcontext()


def _check_finite(
    losses: Tensor,
    epoch: int,
    before: int,
    config: TrainConfig,
    model: nn.Module,
    last_good: dict[str, Tensor],
    kept: str,
    hardware: Hardware,
) -> None:
    # the last one: the step that follows a finite loss can still end in weights or running statistics that are not
    finite = torch.cat([torch.isfinite(losses), _is_finite(model)[None]]).int()
    if hardware.world > 1:
        dist.all_reduce(finite, dist.ReduceOp.MIN)  # one rank alone must not leave: the others would wait for it
    bad = (finite == 0).nonzero()
    if len(bad):
        model.load_state_dict(last_good)
        try_rate = float(f"{max(LOWEST_RATE, config.learning_rate / 10):.3g}")
        raise Diverged(
            f"Training diverged in epoch {epoch}, iteration {before + min(int(bad[0]) + 1, len(losses))}: the loss is "
            f"no longer a finite number; {kept} kept. The learning rate {config.learning_rate:g} is too high for this "
            f"run: try {try_rate:g}.",
            try_rate,
        )


def _is_finite(model: nn.Module) -> Tensor:
    """bool (): whether every weight and running statistic is a finite number."""
    floats = [value for value in model.state_dict().values() if value.is_floating_point()]
    return torch.stack([torch.isfinite(value).all() for value in floats]).all()


def _count(labels: Tensor, predicted: Tensor, classes: int, hardware: Hardware) -> tuple[Tensor, Tensor]:
    """float64 (classes,) each: pictures answered rightly, and pictures, over all ranks."""
    hits, counts = _hits(labels, predicted, classes)
    if hardware.world > 1:
        dist.all_reduce(hits)
        dist.all_reduce(counts)
    return hits.cpu(), counts.cpu()


def _hits(labels: Tensor, predicted: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    counts = torch.bincount(labels, minlength=classes).double()
    return torch.bincount(labels[labels == predicted], minlength=classes).double(), counts


def _mean_loss(losses: Tensor, hardware: Hardware) -> float | None:
    mean = losses.mean()
    if hardware.world > 1:
        dist.all_reduce(mean)
        mean = mean / hardware.world
    return float(mean) if math.isfinite(float(mean)) else None


def _validate(
    model: nn.Module, val: Part | None, classes: int, hardware: Hardware
) -> tuple[float | None, Tensor | None, Tensor]:
    """Every rank answers for the whole part with its own copy: no picture is counted twice. Each has running statistics
    of its own, so the loss is that of the first one: by it all of them end in the same epoch."""
    if val is None or not len(val):
        return None, None, torch.zeros(classes)
    loss, predicted = mean_loss_and_predictions(model, val)
    if hardware.world > 1:
        told = torch.tensor(loss, dtype=torch.float64, device=hardware.device)
        dist.broadcast(told, src=0)
        loss = float(told)
    hits, counts = _hits(val.labels, predicted, classes)
    return (loss if math.isfinite(loss) else None), hits.cpu(), counts.cpu()


def _shares(hits: Tensor, counts: Tensor) -> tuple[float | None, ...]:
    return tuple(float(hit / count) if count else None for hit, count in zip(hits, counts, strict=True))
