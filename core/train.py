"""Train a run folder to its end: the data, the network, the rows, the models, the evaluations.

python -m core.train RUN_FOLDER
torchrun --nproc-per-node=2 -m core.train RUN_FOLDER
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from core.backbones.registry import BackboneSource, source_of
from core.data.datasets.dataset import Dataset, find_dataset
from core.data.pictures.preprocess import Preprocess
from core.data.store.batches import Part, load_part
from core.data.store.store import TensorStore, build_store, count_parts, open_store, read_fingerprint
from core.engine.evaluate import evaluate
from core.engine.faults import describe_fault
from core.engine.features import build_features, feature_part, open_features, uses_fixed_features
from core.engine.fit import Diverged, fit
from core.engine.hardware import Hardware, autocast, choose_hardware, is_first_rank, join_ranks, precision_of
from core.engine.snapshots import Snapshotter
from core.engine.stopping import describe_end, is_last
from core.engine.train_state import Rows, TrainState, ask_train_state
from core.environment import describe_environment
from core.errors import UserMistake
from core.evaluation import MEASURES, Which
from core.inference.predictor import load_model
from core.inference.teacher import build_answers, with_answers
from core.models.build import build_model
from core.models.transfer import TransferModel
from core.probes.estimates import TimeLeft, estimate_run
from core.probes.kernels import settle_kernels
from core.progress import Progress, describe_pictures
from core.rows import EpochRow, IterationRow, TickRow
from core.runs.actions import dataset_changed, resume_run
from core.runs.checkpoint import Checkpoint, read_checkpoint
from core.runs.preemption import EXIT_CODE, forget_preemption, is_preempted, stop_on_sigterm
from core.runs.run import ModelCard, Run, lowest_loss, open_run
from core.runs.snapshot_writer import SnapshotWriter
from core.runs.writer import RunWriter
from core.settings import short_of_room

STOPPED = "Stopped when asked to; what it had learnt is kept."
SECONDS_IN_AN_EPOCH = 30.0  # between two saves in the middle of an epoch
SHARE_OF_SAVING = 0.01  # of the time: short epochs do not each save


class StoppedEarly(Exception):
    """Somebody asked the run to stop while its pictures were still being read."""


def train_run(folder: Path) -> None:
    """Train the run in `folder` to its end; every way of ending is written there. Raises again what made it fail."""
    for _ in train_rows(folder):
        pass


def train_rows(folder: Path, writer: RunWriter | None = None) -> Iterator[IterationRow | TickRow | EpochRow]:
    """train_run as a generator of its rows: for a progress bar in the same process. `writer`: who writes them."""
    writer = writer or (RunWriter(folder) if is_first_rank() else None)
    try:
        run = open_run(folder)
        if writer:
            writer.starting("Opening the pictures.")
        dataset = find_dataset(run.config.data.dataset)
        kernels = settle_kernels(run, dataset, lambda message: writer.running(message=message) if writer else None)
        yield from _train(run, dataset, writer, join_ranks(choose_hardware(run.config, run.threads, kernels)))
    except StoppedEarly as stopped:
        if writer:
            writer.finish("stopped", str(stopped))
    except UserMistake as mistake:
        if writer:
            writer.fail(str(mistake), try_rate=mistake.try_rate if isinstance(mistake, Diverged) else None)
        raise
    except BaseException as fault:
        if writer:
            writer.fail(describe_fault(fault, lambda: open_run(folder).config))
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _train(
    run: Run, dataset: Dataset, writer: RunWriter | None, hardware: Hardware
) -> Iterator[IterationRow | TickRow | EpochRow]:
    """The rows of a run, written down as they come. `writer`: of rank 0, None on the others."""
    if writer:
        precision = precision_of(run.config.train, hardware)
        device, processes = hardware.device.type, hardware.world_size
        writer.add_environment(describe_environment(device, processes, precision, hardware.conv_algorithm))
    checkpoint = read_checkpoint(run.folder)
    store = _open_store(run, dataset, checkpoint, writer, hardware)
    model = _build(run, checkpoint, store)
    time_left = _estimate(run, dataset, writer)
    trainable, parts = _load_parts(model, run, store, writer, hardware, time_left)
    start = _resume(run, checkpoint, writer, hardware)
    saver = _Saver(model, run, store, dataset.used, writer, hardware) if writer else None
    snapshots = SnapshotWriter(Snapshotter(model, store, hardware.device).take, writer, start) if writer else None
    stopped, train, val = "", parts["train"], parts["val"]  # stopped: why, where it ends before its last epoch
    rows = fit(trainable, train, val if len(val) else None, len(store.classes), run.config.train, hardware, start)
    try:
        for row in rows:
            assert not isinstance(row, TrainState), "a state comes only when it is asked for"
            yield row
            if writer:
                _write_row(row, writer, time_left)
            stopped = _why_stop(row, writer, hardware)
            if saver:
                saver.note(row, rows, ends=bool(stopped))
            if snapshots:
                snapshots.note(row)
            if stopped:
                break
    except Diverged:
        if saver and snapshots:
            saver.save_models()
            snapshots.take()
        raise
    finally:
        rows.close()
    if writer and saver and snapshots:
        if not saver.is_saved:
            saver.save_models()
        snapshots.take()
        which = _use_best(run, model) if not stopped and _ended_early(run) else "last"
        if not is_preempted(run.folder):  # then seconds are left
            with autocast(run.config.train, hardware):
                _evaluate(trainable, store, parts, writer, hardware, which, time_left.evaluation_seconds)
        _finish(run, stopped, writer, which)
    if hardware.world_size > 1:
        dist.barrier()


def _open_store(
    run: Run, dataset: Dataset, checkpoint: Checkpoint | None, writer: RunWriter | None, hardware: Hardware
) -> TensorStore:
    """The pictures that the run was made for; rank 0 makes the store where it is missing and the others wait."""
    if hardware.world_size > 1 and not hardware.leads:
        dist.barrier()
    for progress in build_store(dataset, run.config.data):
        if writer and writer.stop_requested() and hardware.world_size == 1:
            raise StoppedEarly("Stopped before it began to learn; what it had before is kept.")
        if writer and progress.phase != "done":
            writer.running(message=describe_pictures(progress))
    resumes_transfer = run.config.model.name == "transfer" and checkpoint is not None
    store = open_store(dataset, run.config.data, None if resumes_transfer else run.config.model)
    if resumes_transfer:  # its pretrained backbone may be gone by now; the run's own card has the normalisation
        store = replace(store, preprocess=Preprocess.model_validate(run.card().preprocess))
    if hardware.world_size > 1 and hardware.leads:
        dist.barrier()
    if store.fingerprint != run.fingerprint:
        if checkpoint:
            raise dataset_changed(run, checkpoint, dataset.used)
        raise UserMistake(
            f"The dataset {run.config.data.dataset!r} is not the one that this run was made for; start a new run"
        )
    return store


def _build(run: Run, checkpoint: Checkpoint | None, store: TensorStore) -> nn.Module:
    """The network with its first weights; one on a backbone that has been trained already comes from its own file."""
    config = run.config
    if checkpoint is not None and config.model.name in ("pretrained", "transfer"):
        return load_model(run, "last").train()
    return build_model(config.model, len(store.classes), config.data.image_size, seed=config.train.seed)


def _load_parts(
    model: nn.Module,
    run: Run,
    store: TensorStore,
    writer: RunWriter | None,
    hardware: Hardware,
    time_left: TimeLeft,
) -> tuple[nn.Module, dict[str, Part]]:
    """(what fit trains, its parts): the network and pictures, or the last layer and the features of its frozen
    backbone, where those are the same in every epoch. The training part has the answers of the run's teacher."""
    trainable: nn.Module = model
    steps: list[Iterator[Progress]] = []
    if uses_fixed_features(run.config) and isinstance(model, TransferModel):
        trainable = model.to(hardware.device).head
        steps.append(build_features(model.backbone, model.head.in_features, store, hardware.device))
    if run.config.train.teacher:
        steps.append(build_answers(run.config, store, hardware.device))
    if steps:
        _compute_once(chain.from_iterable(steps), run, writer, hardware, time_left)
    if trainable is not model and isinstance(model, TransferModel):
        features = open_features(model.backbone, store)
        parts = {part: feature_part(features, store, part, hardware.device) for part in ("train", "val", "test")}
    else:
        parts = {part: load_part(store, part, hardware.device) for part in ("train", "val")}
    if run.config.train.teacher:
        parts["train"] = with_answers(parts["train"], run.config.train.teacher, store)
    if writer:  # in long phases without a row, such as evaluating, every batch is a sign of life
        writer.pictures_in()
        trainable.register_forward_pre_hook(lambda *_: writer.beat())
    return trainable, parts


def _compute_once(
    steps: Iterator[Progress], run: Run, writer: RunWriter | None, hardware: Hardware, time_left: TimeLeft
) -> None:
    """What a backbone or a teacher makes of each picture; of several ranks the first one asks them."""
    if hardware.world_size > 1 and not hardware.leads:
        dist.barrier()
    began = time.monotonic()
    for progress in steps:  # the others find it done
        if writer and writer.stop_requested() and hardware.world_size == 1:
            raise StoppedEarly("Stopped before it began to learn; what was computed so far is kept for the next time.")
        if writer:
            left = time_left.before_training(progress.seconds_left)
            writer.running(message=describe_pictures(progress), seconds_left=left)
    if hardware.world_size > 1 and hardware.leads:
        dist.barrier()
    if writer:
        spent = run.state.backbone_seconds + time.monotonic() - began  # with that of the attempts before
        writer.running(message="", backbone_seconds=spent)


def _resume(run: Run, checkpoint: Checkpoint | None, writer: RunWriter | None, hardware: Hardware) -> TrainState | None:
    """The state to resume from; None for the beginning. What was written after it is written again."""
    if checkpoint is None:
        if writer:
            writer.go_back(step=0, epoch=1)
            writer.running(message="", epoch=1, epochs=run.config.train.epochs)
        return None
    numbers = checkpoint.numbers
    world_size = numbers["world_size"] if "world_size" in numbers else numbers["world"]  # its name in 0.1.0
    if world_size != hardware.world_size:
        raise UserMistake(
            f"Run {run.id} was trained by {world_size} process(es) and can only go on with as many, "
            f"not {hardware.world_size}"
        )
    state = TrainState.from_parts(numbers, checkpoint.arrays)
    if writer:
        writer.go_back(state.step, state.epoch)
        damaged = f"The newest checkpoint was damaged; the previous one ({state.place}) is used."
        writer.running(
            message=damaged if checkpoint.damaged else f"Goes on from {state.place}.",
            epoch=min(state.epoch, run.config.train.epochs),
            epochs=run.config.train.epochs,
            step=state.step,
            seconds=state.seconds + state.epoch_seconds,
        )
    return state


def _estimate(run: Run, dataset: Dataset, writer: RunWriter | None) -> TimeLeft:
    """What tells the time that is left; the estimate is kept, so that it can be compared with the time that it took."""
    answer = estimate_run(run.config, dataset) if writer else None
    if writer and answer and run.state.attempt == 1:
        writer.running(estimated_seconds=answer["seconds"])
    return TimeLeft(answer, count_parts(dataset, run.config.data), run.config)


def _write_row(row: IterationRow | TickRow | EpochRow, writer: RunWriter, time_left: TimeLeft) -> None:
    if isinstance(row, TickRow):
        writer.running(
            epoch=row.epoch,
            step=row.step,
            steps=row.steps,
            seconds=row.seconds,
            seconds_left=time_left.at(row, time.monotonic()),
            images_per_second=row.images_per_second,
        )
        return
    if isinstance(row, EpochRow):
        time_left.note_epoch(row)
    writer.append(row)


def _why_stop(row: IterationRow | TickRow | EpochRow, writer: RunWriter | None, hardware: Hardware) -> str:
    """Why training ends after this row, a sentence; "" where it goes on."""
    if hardware.world_size == 1:  # after an IterationRow comes a TickRow at once, and there a state can be saved
        return "" if isinstance(row, IterationRow) or writer is None else _asked_or_short(writer)
    if not isinstance(row, IterationRow):
        return ""  # ranks tick at different moments; the ends of rows they reach together
    why = _asked_or_short(writer) if writer else ""
    ends = torch.tensor([int(why != "")], device=hardware.device)
    dist.broadcast(ends, src=0)
    return why or (STOPPED if ends.item() else "")


def _asked_or_short(writer: RunWriter) -> str:
    return STOPPED if writer.stop_requested() else short_of_room(writer.folder)


class _Saver:
    """Saves a run while it trains: the last model, the best one, and checkpoints to resume from."""

    def __init__(
        self, model: nn.Module, run: Run, store: TensorStore, pictures: int, writer: RunWriter, hardware: Hardware
    ) -> None:
        self.model, self.run, self.writer, self.hardware = model, run, writer, hardware
        self.card = ModelCard(
            classes=store.classes,
            preprocess=store.preprocess.model_dump(mode="json"),
            model=run.config.model,
            image_size=run.config.data.image_size,
            dataset=store.dataset,
            fingerprint=store.fingerprint,
            source=_source_of(run),
        )
        self.pictures = pictures  # in the dataset
        self.lowest = lowest_loss(run)  # on the validation part so far
        self.best: tuple[dict[str, np.ndarray], ModelCard] | None = None  # what is not on the disk yet
        self.saved_at, self.cost = time.monotonic(), 0.0  # cost: seconds that saving takes, a running mean
        self.is_saved = False  # whether the model after the last row is on the disk

    def note(self, row: IterationRow | TickRow | EpochRow, rows: Rows, ends: bool) -> None:
        """Save if it is time: after an epoch or, on one rank, in the middle of one. ends: no row follows."""
        self.is_saved = False
        if isinstance(row, EpochRow):
            self._note_best(row)
            ends = ends or is_last(self.run.config.train, row)
        elif not (isinstance(row, TickRow) and self.hardware.world_size == 1):
            return
        waited = time.monotonic() - self.saved_at
        shortest = 0.0 if isinstance(row, EpochRow) else SECONDS_IN_AN_EPOCH
        if ends or waited > max(shortest, self.cost / SHARE_OF_SAVING):
            self._save(ask_train_state(rows))

    def save_models(self) -> None:
        """The last model as it is now, and the best one if the disk has not got it."""
        self.writer.save_model(_weights(self.model), self.card)
        if self.best:
            self.writer.save_model(*self.best, which="best")
            self.best = None

    def _save(self, state: TrainState) -> None:
        began = time.monotonic()
        self.save_models()  # first: whoever resumes from the checkpoint finds the best model of the epochs before
        numbers, arrays = state.to_parts()
        numbers |= {"pictures": self.pictures, "fingerprint": self.card.fingerprint}
        self.writer.save_checkpoint(state.step, numbers | {"world_size": self.hardware.world_size}, arrays)
        self.is_saved, self.saved_at = True, time.monotonic()
        self.cost = (self.cost + self.saved_at - began) / 2 if self.cost else self.saved_at - began

    def _note_best(self, row: EpochRow) -> None:
        """Copy the model if its loss on the validation part is the lowest; a loss that is not finite is None."""
        if row.val_loss is not None and row.val_loss < self.lowest:
            self.lowest = row.val_loss
            weights = {name: values.copy() for name, values in _weights(self.model).items()}
            self.best = weights, self.card.model_copy(update={"epoch": row.epoch, "val_loss": row.val_loss})


def _source_of(run: Run) -> BackboneSource | None:
    has_own_card = run.config.model.name == "transfer" and run.has_model  # the pretrained backbone may be gone by now
    return run.card().source if has_own_card else source_of(run.config.model)


def _weights(model: nn.Module) -> dict[str, np.ndarray]:
    """The model's state_dict; on the CPU some arrays are the model's own memory."""
    return {name: value.detach().cpu().contiguous().numpy() for name, value in model.state_dict().items()}


def _ended_early(run: Run) -> str:
    """Why early stopping ended the run, a sentence; "" where it had all its epochs, or no loss was ever finite."""
    epochs = run.epochs()
    return describe_end(run.config.train, epochs[-1]) if epochs and epochs[-1].best_epoch else ""


def _use_best(run: Run, model: nn.Module) -> Which:
    """Give the network the weights of the best model, after everything else was saved; returns which one it is."""
    try:
        weights = run.weights("best")
    except UserMistake:  # damaged since it was written: the last model is whole
        return "last"
    model.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in weights.items()})
    return "best"


def _evaluate(
    model: nn.Module,
    store: TensorStore,
    parts: dict[str, Part],
    writer: RunWriter,
    hardware: Hardware,
    which: Which,
    expected_seconds: float,
) -> None:
    total = done = sum(len(store.parts[name]) for name in ("test", "val", "train"))
    for name in ("test", "val", "train"):
        part = parts.get(name) or load_part(store, name, hardware.device)
        writer.running(message="Evaluating.", seconds_left=expected_seconds * done / total)
        done -= len(part)
        if len(part):
            for measure in MEASURES:
                writer.save_evaluation(evaluate(model, part, name, store.classes, measure, which))


def _finish(run: Run, stopped: str, writer: RunWriter, which: Which) -> None:
    epochs = run.epochs()
    if stopped:
        writer.finish("stopped", stopped)
    else:
        writer.finish("done", describe_end(run.config.train, epochs[-1]) if epochs else "", which)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m core.train RUN_FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()  # its name is the run's id
    stop_on_sigterm(folder)
    try:
        if is_first_rank():
            _go_on(folder)
        train_run(folder)
    except UserMistake as mistake:
        if is_first_rank():
            print(mistake, file=sys.stderr)
        return 2
    return EXIT_CODE if is_preempted(folder) else 0


def _go_on(folder: Path) -> None:
    """Begin the next attempt of a run whose machine was taken away, by whatever; what a person stopped stays so."""
    run = open_run(folder)
    if run.state.status == "lost" or (run.state.ended and is_preempted(folder)):
        resume_run(run, *read_fingerprint(run.config.data))
    forget_preemption(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
