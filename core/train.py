"""The one door for a run.

python -m core.train RUN_FOLDER
torchrun --nproc-per-node=2 -m core.train RUN_FOLDER
"""

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from core.data.batches import Part, load_part
from core.data.dataset import Progress
from core.data.preprocess import Preprocess
from core.data.store import TensorStore, build_store, count_parts, load_store, pictures_now
from core.engine.evaluate import evaluate
from core.engine.features import build_features, feature_part, open_features, runs_once
from core.engine.fit import Diverged, fit
from core.engine.hardware import Hardware, choose_hardware
from core.engine.position import Position, ask_position
from core.engine.stopping import is_last, tell_end
from core.engine.watching import Watcher
from core.errors import UserMistake
from core.evaluation import MEASURES
from core.inference.predictor import load_model
from core.models.build import build_model
from core.models.pretrained import OnTrunk
from core.rows import EpochRow, IterationRow, TickRow
from core.runs.checkpoint import Checkpoint, read_checkpoint
from core.runs.deeds import dataset_changed
from core.runs.run import ModelCard, Run, open_run
from core.runs.writer import RunWriter
from core.settings import short_of_room
from core.trunks import Source, source_of

STOPPED = "Stopped when asked to; what it had learnt is kept."
SECONDS_IN_AN_EPOCH = 30.0  # between two saves in the middle of an epoch
SHARE_OF_SAVING = 0.01  # of the time: short epochs do not each save
SECONDS_BETWEEN_LOOKS = 2.0  # at the network while it learns
SHARE_OF_LOOKING = 0.005  # of the time: a large network is looked at less often


class StoppedEarly(Exception):
    """Somebody asked the run to stop while its pictures were still being read."""


def train_run(folder: Path) -> None:
    """Train the run in `folder` to its end; every ending is written there. Raises again what made it fail."""
    for _ in train_rows(folder):
        pass


def train_rows(folder: Path) -> Iterator[IterationRow | TickRow | EpochRow]:
    """train_run, handing on each row as it comes: for a progress bar in the same process."""
    writer = RunWriter(folder) if _leads() else None
    try:
        run = open_run(folder)
        yield from _train(run, writer, _join_ranks(choose_hardware(run.config)))
    except StoppedEarly as stopped:
        if writer:
            writer.finish("stopped", str(stopped))
    except UserMistake as mistake:
        if writer:
            writer.fail(str(mistake), try_rate=mistake.try_rate if isinstance(mistake, Diverged) else None)
        raise
    except BaseException as fault:
        if writer:
            writer.fail(_sentence(fault, folder))
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _train(run: Run, writer: RunWriter | None, hardware: Hardware) -> Iterator[IterationRow | TickRow | EpochRow]:
    config = run.config
    if writer:
        writer.starting("Opening the pictures.")
    checkpoint = read_checkpoint(run.folder)
    store = _open_store(run, checkpoint, writer, hardware)
    model = _build(run, checkpoint, store)
    learner = model  # what fit trains: of a frozen trunk that sees each picture once, only the head
    if runs_once(config) and isinstance(model, OnTrunk):
        learner, parts = model.head, _see_once(model, store, writer, hardware)
    else:
        parts = {part: load_part(store, part, hardware.device) for part in ("train", "val")}
    if writer:  # in long phases without a row, such as evaluating, every batch is a sign of life
        learner.register_forward_pre_hook(lambda *_: writer.beat())
    start = _go_back(run, checkpoint, writer, hardware)
    saver = _Saver(model, run, store, writer, hardware) if writer else None
    looker = _Looker(Watcher(model, store, hardware.device), writer, start) if writer else None
    stopped = ""  # why, where it ends before its last epoch
    train, val = parts["train"], parts["val"]
    rows = fit(learner, train, val if len(val) else None, len(store.classes), config.train, hardware, start)
    try:
        for row in rows:
            assert not isinstance(row, Position), "a position comes only when it is asked for"
            yield row
            if writer:
                _write_down(row, writer)
            stopped = _why_stop(row, writer, hardware)
            if saver:
                saver.look(row, rows, ends=bool(stopped))
            if looker:
                looker.note(row)
            if stopped:
                break
    except Diverged:
        if saver and looker:
            saver.save_models()
            looker.look()
        raise
    finally:
        rows.close()
    if writer and saver and looker:
        if not saver.is_saved:
            saver.save_models()
        looker.look()
        _evaluate(learner, store, parts, writer, hardware)
        if stopped:
            writer.finish("stopped", stopped)
        else:
            trained = run.epochs()
            writer.finish("done", tell_end(config.train, trained[-1]) if trained else "")
    if hardware.world > 1:
        dist.barrier()


def _build(run: Run, checkpoint: Checkpoint | None, store: TensorStore) -> nn.Module:
    """The network at its beginning; one that has a trunk and was trained already brings that along itself."""
    config = run.config
    if checkpoint is not None and config.model.name in ("pretrained", "transfer"):
        return load_model(run).train()
    return build_model(config.model, len(store.classes), config.data.image_size, seed=config.train.seed)


def _see_once(model: OnTrunk, store: TensorStore, writer: RunWriter | None, hardware: Hardware) -> dict[str, Part]:
    """Every part as what the frozen trunk makes of its pictures; of several ranks the first one runs it."""
    if hardware.world > 1 and not hardware.leads:
        dist.barrier()
    model.to(hardware.device)
    for progress in build_features(model.trunk, model.head.in_features, store, hardware.device):
        if writer and writer.stop_asked() and hardware.world == 1:
            raise StoppedEarly("Stopped before it began to learn; what its trunk has seen is kept for the next time.")
        if writer:
            writer.running(message=_in_words(progress), seconds_left=progress.seconds_left)
    if hardware.world > 1 and hardware.leads:
        dist.barrier()
    features = open_features(model.trunk, store)
    if writer:
        writer.running(message="")
    return {part: feature_part(features, store, part, hardware.device) for part in ("train", "val", "test")}


def _go_back(run: Run, checkpoint: Checkpoint | None, writer: RunWriter | None, hardware: Hardware) -> Position | None:
    """Where to go on from; None for the beginning. What was written after that place is written again."""
    if checkpoint is None:
        if writer:
            writer.go_back(step=0, epoch=1)
            writer.running(message="", epoch=1, epochs=run.config.train.epochs)
        return None
    world = checkpoint.numbers["world"]
    if world != hardware.world:
        raise UserMistake(
            f"Run {run.id} was trained by {world} process(es) and can only go on with as many, not {hardware.world}"
        )
    position = Position.from_parts(checkpoint.numbers, checkpoint.arrays)
    if writer:
        writer.go_back(position.step, position.epoch)
        damaged = f"The newest checkpoint was damaged; the previous one ({position.told}) is used."
        writer.running(
            message=damaged if checkpoint.damaged else f"Goes on from {position.told}.",
            epoch=min(position.epoch, run.config.train.epochs),
            epochs=run.config.train.epochs,
            step=position.step,
            seconds=position.seconds + position.epoch_seconds,
        )
    return position


class _Saver:
    """Keeps a run safe while it trains: the last model, the best one, and a place to go on from."""

    def __init__(self, model: nn.Module, run: Run, store: TensorStore, writer: RunWriter, hardware: Hardware) -> None:
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
        self.pictures = pictures_now(run.config.data)[1]
        self.lowest = _lowest_loss(run)  # on the validation part so far
        self.best: tuple[dict[str, np.ndarray], ModelCard] | None = None  # what is not on the disk yet
        self.saved, self.cost = time.monotonic(), 0.0  # when, and seconds that it took
        self.is_saved = False  # whether what the last row told is on the disk

    def look(
        self,
        row: IterationRow | TickRow | EpochRow,
        rows: Generator[IterationRow | TickRow | EpochRow | Position, bool | None],
        ends: bool,
    ) -> None:
        """Save if it is time. A place to go on from is found after an epoch and, on one rank, in the middle of one."""
        self.is_saved = False
        if isinstance(row, EpochRow):
            self._note_best(row)
            ends = ends or is_last(self.run.config.train, row)
        elif not (isinstance(row, TickRow) and self.hardware.world == 1):
            return
        waited = time.monotonic() - self.saved
        shortest = 0.0 if isinstance(row, EpochRow) else SECONDS_IN_AN_EPOCH
        if ends or waited > max(shortest, self.cost / SHARE_OF_SAVING):
            self._save(ask_position(rows))

    def save_models(self) -> None:
        """The last model as it is now, and the best one if the disk has not got it."""
        self.writer.save_model(_weights(self.model), self.card)
        if self.best:
            self.writer.save_model(*self.best, which="best")
            self.best = None

    def _save(self, position: Position) -> None:
        began = time.monotonic()
        self.save_models()  # first: whoever goes on from the position finds the best model of the epochs before
        numbers, arrays = position.to_parts()
        told = {"pictures": self.pictures, "fingerprint": self.card.fingerprint, "world": self.hardware.world}
        self.writer.save_checkpoint(position.step, numbers | told, arrays)
        self.is_saved, self.saved = True, time.monotonic()
        self.cost = (self.cost + self.saved - began) / 2 if self.cost else self.saved - began

    def _note_best(self, row: EpochRow) -> None:
        """Copy the model if its loss on the validation part is the lowest; a loss that is not finite is None."""
        if row.val_loss is not None and row.val_loss < self.lowest:
            self.lowest = row.val_loss
            weights = {name: values.copy() for name, values in _weights(self.model).items()}
            self.best = weights, self.card.model_copy(update={"epoch": row.epoch, "val_loss": row.val_loss})


class _Looker:
    """Lets people look at the network while it learns: about every two seconds, and for a small share of the time."""

    def __init__(self, watcher: Watcher, writer: RunWriter, start: Position | None) -> None:
        self.watcher, self.writer = watcher, writer
        self.began = time.monotonic()
        self.looked = -math.inf  # when
        self.spent: float | None = None  # seconds that the looks took; the first one warms up and is not counted
        self.epoch, self.step = (start.epoch, start.step) if start else (1, 0)

    def note(self, row: IterationRow | TickRow | EpochRow) -> None:
        """Look if it is time. Rows come every 200 iterations and every 0.4 s, so a short step never waits for this."""
        self.epoch, self.step = row.epoch, row.step
        now = time.monotonic()
        allowed = SHARE_OF_LOOKING * (now - self.began)
        if now - self.looked >= SECONDS_BETWEEN_LOOKS and (self.spent or 0.0) <= allowed:
            self.look()

    def look(self) -> None:
        """Look, and keep what was seen."""
        began = time.monotonic()
        self.writer.save_watch(self.watcher.look(self.epoch, self.step))
        self.looked = time.monotonic()
        self.spent = 0.0 if self.spent is None else self.spent + self.looked - began


def _source_of(run: Run) -> Source | None:
    is_copy = run.config.model.name == "transfer" and run.has_model  # what it learnt on from may be gone by now
    return run.card().source if is_copy else source_of(run.config.model)


def _lowest_loss(run: Run) -> float:
    """Loss of the best model that an earlier attempt kept."""
    try:
        if run.has_best_model and run.weights("best"):
            loss = run.card("best").val_loss
            return math.inf if loss is None else loss  # 0.0 is a loss, and as low as it gets
    except UserMistake:
        pass  # damaged: the next epoch is the best again
    return math.inf


def _open_store(run: Run, checkpoint: Checkpoint | None, writer: RunWriter | None, hardware: Hardware) -> TensorStore:
    """The pictures that the run was made for; rank 0 makes the store where it is missing and the others wait."""
    if hardware.world > 1 and not hardware.leads:
        dist.barrier()
    for progress in build_store(run.config.data):
        if writer and writer.stop_asked() and hardware.world == 1:
            raise StoppedEarly("Stopped before it began to learn; what it had before is kept.")
        if writer and progress.phase != "done":
            writer.running(message=_in_words(progress))
    is_copy = run.config.model.name == "transfer" and checkpoint is not None
    store = load_store(run.config.data, None if is_copy else run.config.model)
    if is_copy:  # what it learnt on from may be gone by now; its own card says what that had seen
        store = replace(store, preprocess=Preprocess.model_validate(run.card().preprocess))
    if hardware.world > 1 and hardware.leads:
        dist.barrier()
    if store.fingerprint != run.fingerprint:
        if checkpoint:
            raise dataset_changed(run, checkpoint, pictures_now(run.config.data)[1])
        raise UserMistake(
            f"The dataset {run.config.data.dataset!r} is not the one that this run was made for; start a new run"
        )
    return store


def _in_words(progress: Progress) -> str:
    if progress.phase == "features":
        return f"The trunk sees each picture once: {progress.done:,} of {progress.total:,}."
    if progress.phase == "waiting":
        return f"Another process is reading these pictures; this run waits for it, since {progress.done:,} s."
    return f"{progress.phase.capitalize()} the pictures: {progress.done:,} of {progress.total:,}."


def _write_down(row: IterationRow | TickRow | EpochRow, writer: RunWriter) -> None:
    if isinstance(row, TickRow):
        writer.running(
            epoch=row.epoch,
            step=row.step,
            steps=row.steps,
            seconds=row.seconds,
            seconds_left=row.seconds / row.step * (row.steps - row.step),
            images_per_second=row.images_per_second,
        )
    else:
        writer.append(row)


def _why_stop(row: IterationRow | TickRow | EpochRow, writer: RunWriter | None, hardware: Hardware) -> str:
    """Why training ends after this row, a sentence; "" where it goes on."""
    if hardware.world == 1:  # after an IterationRow comes a TickRow at once, and there a place to go on from is found
        return "" if isinstance(row, IterationRow) or writer is None else _asked_or_short(writer)
    if not isinstance(row, IterationRow):
        return ""  # ranks tick at different moments; rows of 200 iterations they reach together
    why = _asked_or_short(writer) if writer else ""
    ends = torch.tensor([int(why != "")], device=hardware.device)
    dist.broadcast(ends, src=0)
    return why or (STOPPED if ends.item() else "")


def _asked_or_short(writer: RunWriter) -> str:
    return STOPPED if writer.stop_asked() else short_of_room(writer.folder)


def _weights(model: nn.Module) -> dict[str, np.ndarray]:
    """The model's state_dict; on the CPU some arrays are the model's own memory."""
    return {name: value.detach().cpu().contiguous().numpy() for name, value in model.state_dict().items()}


def _evaluate(
    model: nn.Module, store: TensorStore, parts: dict[str, Part], writer: RunWriter, hardware: Hardware
) -> None:
    writer.running(message="Evaluating.", seconds_left=0.0)
    for name in ("test", "val", "train"):
        part = parts.get(name) or load_part(store, name, hardware.device)
        if len(part):
            for measure in MEASURES:
                writer.save_evaluation(evaluate(model, part, name, store.classes, measure))


def _leads() -> bool:
    """Whether this process writes; known before anything that can fail, so that the failure can be written down."""
    return int(os.environ.get("RANK", 0)) == 0


def _join_ranks(hardware: Hardware) -> Hardware:
    if hardware.world > 1:
        backend = "nccl" if hardware.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=timedelta(minutes=30))
    return hardware


def _sentence(fault: BaseException, folder: Path) -> str:
    """What a fault of the machine or of the program is called on screen; the log has the traceback."""
    told = str(fault)
    if isinstance(fault, KeyboardInterrupt | SystemExit | GeneratorExit):  # the last one: its caller left
        return "Training was interrupted; what had been saved is kept."
    if isinstance(fault, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in told:
        return _memory_sentence(folder)
    return f"Training failed because of a fault in the program ({type(fault).__name__}); the log has the details."


def _memory_sentence(folder: Path) -> str:
    config = open_run(folder).config
    batch, side = config.train.batch_size, config.data.image_size
    with contextlib.suppress(Exception):  # where even counting takes too much memory, the number that was asked for
        batch = min(batch, count_parts(config.data)["train"])  # a batch larger than the part is the whole part
    smaller = [f"batches of {batch // 2}"] if batch > 3 else []  # batch norm needs 2 pictures a step
    smaller += [f"{side // 2} px"] if side > 63 else []
    tried = f" Try {' or '.join(smaller)}." if smaller else ""
    return f"There was not enough memory for batches of {batch} pictures of {side} px.{tried}"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m core.train RUN_FOLDER", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the run says that it was interrupted
    try:
        train_run(Path(arguments[0]).resolve())  # the folder's name is the run's id
    except UserMistake as mistake:
        if _leads():
            print(mistake, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
