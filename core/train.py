"""The one door for a run.

python -m core.train RUN_FOLDER
torchrun --nproc-per-node=2 -m core.train RUN_FOLDER
"""

import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from core.data.batches import Part, load_part
from core.data.store import TensorStore, build_store, load_store
from core.engine.evaluate import evaluate
from core.engine.fit import Diverged, fit
from core.engine.hardware import Hardware, choose_hardware
from core.engine.position import Position
from core.errors import UserMistake
from core.evaluation import MEASURES
from core.models.build import build_model
from core.rows import EpochRow, IterationRow, TickRow
from core.runs.run import ModelCard, Run, open_run
from core.runs.writer import RunWriter

SECONDS_BETWEEN_SAVES = 10.0  # short epochs do not each write the model


def train_run(folder: Path) -> None:
    """Train the run in `folder` to its end; every ending is written there. Raises again what made it fail."""
    for _ in train_rows(folder):
        pass


def train_rows(folder: Path) -> Iterator[IterationRow | TickRow | EpochRow]:
    """train_run, handing on each row as it comes: for a progress bar in the same process."""
    writer = RunWriter(folder) if _leads() else None
    try:
        hardware = _join_ranks(choose_hardware())
        yield from _train(open_run(folder), writer, hardware)
    except UserMistake as mistake:
        if writer:
            writer.fail(str(mistake))
        raise
    except BaseException as fault:
        if writer:
            writer.fail(_sentence(fault))
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _train(run: Run, writer: RunWriter | None, hardware: Hardware) -> Iterator[IterationRow | TickRow | EpochRow]:
    config = run.config
    if writer:
        writer.starting("Opening the pictures.")
    store = _open_store(run, writer, hardware)
    train, val = load_part(store, "train", hardware.device), load_part(store, "val", hardware.device)
    model = build_model(config.model, len(store.classes), config.data.image_size, seed=config.train.seed)
    if writer:
        writer.running(message="", epoch=1, epochs=config.train.epochs)
    saved, stopped = time.monotonic(), False
    rows = fit(model, train, val if len(val) else None, len(store.classes), config.train, hardware)
    try:
        for row in rows:
            assert not isinstance(row, Position), "a position comes only when it is asked for"
            yield row
            if writer:
                _write_down(row, writer)
                if isinstance(row, EpochRow) and time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    _save(model, run, store, writer)
                    saved = time.monotonic()
            if _stop_asked(row, writer, hardware):
                stopped = True
                break
    except Diverged:
        if writer:
            _save(model, run, store, writer)
        raise
    finally:
        rows.close()
    if writer:
        _save(model, run, store, writer)
        _evaluate(model, store, {"train": train, "val": val}, writer, hardware)
        if stopped:
            writer.finish("stopped", "Stopped when asked to; what it had learnt is kept.")
        else:
            writer.finish("done")
    if hardware.world > 1:
        dist.barrier()


def _open_store(run: Run, writer: RunWriter | None, hardware: Hardware) -> TensorStore:
    """The pictures that the run was made for; rank 0 makes the store where it is missing and the others wait."""
    if hardware.world > 1 and not hardware.leads:
        dist.barrier()
    for progress in build_store(run.config.data):
        if writer and progress.phase == "reading":
            writer.running(message=f"Reading the pictures: {progress.done:,} of {progress.total:,}.")
    store = load_store(run.config.data)
    if hardware.world > 1 and hardware.leads:
        dist.barrier()
    if store.fingerprint != run.fingerprint:
        raise UserMistake(
            f"The dataset {run.config.data.dataset!r} is not the one that this run was made for; start a new run"
        )
    return store


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


def _stop_asked(row: IterationRow | TickRow | EpochRow, writer: RunWriter | None, hardware: Hardware) -> bool:
    if hardware.world == 1:
        return writer is not None and writer.stop_asked()
    if not isinstance(row, IterationRow):
        return False  # ranks tick at different moments; rows of 200 iterations they reach together
    asked = torch.tensor([int(writer is not None and writer.stop_asked())], device=hardware.device)
    dist.broadcast(asked, src=0)
    return bool(asked.item())


def _save(model: nn.Module, run: Run, store: TensorStore, writer: RunWriter) -> None:
    weights: dict[str, np.ndarray] = {
        name: value.detach().cpu().contiguous().numpy() for name, value in model.state_dict().items()
    }
    card = ModelCard(
        classes=store.classes,
        preprocess=store.preprocess.model_dump(mode="json"),
        model=run.config.model,
        image_size=run.config.data.image_size,
        dataset=store.dataset,
        fingerprint=store.fingerprint,
    )
    writer.save_model(weights, card)


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


def _sentence(fault: BaseException) -> str:
    """What a fault of the machine or of the program is called on screen; the log has the traceback."""
    told = str(fault)
    if isinstance(fault, KeyboardInterrupt | SystemExit | GeneratorExit):  # the last one: its caller left
        return "Training was interrupted; what had been saved is kept."
    if isinstance(fault, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in told:
        return "There was not enough memory. Try half the batch size or a smaller image size."
    return f"Training failed because of a fault in the program ({type(fault).__name__}); the log has the details."


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m core.train RUN_FOLDER", file=sys.stderr)
        return 2
    try:
        train_run(Path(arguments[0]).resolve())  # the folder's name is the run's id
    except UserMistake as mistake:
        if _leads():
            print(mistake, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
