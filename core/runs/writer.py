"""RunWriter: how a worker writes its run: rows, progress, checkpoints, models, evaluations, and one end."""

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy

from core.disk import append_line, disk_trouble, finite, write_atomic, write_json
from core.environment import Environment
from core.errors import UserMistake
from core.evaluation import Evaluation, Which
from core.locks import give_back, hold_for_life
from core.rows import EpochRow, IterationRow, parse_row
from core.runs.checkpoint import remove_checkpoints, write_checkpoint
from core.runs.environments import add_environment
from core.runs.notices import announce
from core.runs.process import is_at_work, mark_process, read_launch, stop_requested, work_lock, write_launch
from core.runs.queue_entries import drop_queue_entry, has_queue_entry, queue_lock
from core.runs.run import MODEL_FILES, ModelCard, evaluation_name, read_manifest
from core.runs.state import (
    TRANSITIONS,
    RunState,
    Status,
    read_stored_state,
    replace_state,
    run_lock,
    write_state,
)
from core.settings import must_have_room
from core.snapshot import Snapshot

_SECONDS_BETWEEN_STATES = 0.5  # a page reads once a second
_SECONDS_BETWEEN_BEATS = 2.0
_RESERVE_BYTES = 64 * 1024  # given back when a run ends, so that its last state fits on a full disk


class RunWriter:
    """One worker writes one run. Every method raises UserMistake where the disk is full or read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._state: RunState | None = None  # as it was written last; None before starting()
        self._pending: dict[str, Any] = {}  # fields of the state that changed since then
        self._began = time.monotonic()  # of starting()
        self._backbone_seconds = 0.0  # of the attempts before
        self._written = -math.inf  # time.monotonic() of that write
        self._me = mark_process()
        self._rows_are_whole = False

    def starting(self, message: str = "Getting ready.") -> None:
        """Make the run this process's. UserMistake where it has ended or another process trains it."""
        self._must_exist()
        with self._disk_mistakes(), run_lock(self.folder):
            self._must_exist()
            state = read_stored_state(self.folder)
            must_have_room()
            if state.ended:
                raise UserMistake(f"Run {self.folder.name} has already ended ({state.status}). Start a new one.")
            self._take_over(state.attempt)
            hold_for_life(work_lock(self.folder))
            self._began = time.monotonic()
            (self.folder / "reserve").write_bytes(os.urandom(_RESERVE_BYTES))
            self._state, self._backbone_seconds = state, state.backbone_seconds
            self._write_state(replace_state(state, status="starting", message=message))
        if has_queue_entry(self.folder.name):  # it waits for the supervisor and is trained from the command line
            with queue_lock():
                drop_queue_entry(self.folder.name)

    def add_environment(self, environment: Environment) -> None:
        """Note where the run is trained, and with what."""
        with self._alone():
            add_environment(self.folder, environment)

    def _take_over(self, attempt: int) -> None:
        launch = read_launch(self.folder)
        if launch and launch.role == "worker" and launch.process != self._me:
            pid = launch.process.pid
            if is_at_work(self.folder):
                raise UserMistake(f"Run {self.folder.name} is already being trained by process {pid}.")
            raise UserMistake(f"Run {self.folder.name} was lost: its training process is gone. Start a new one.")
        if not launch or launch.role != "worker":
            write_launch(self.folder, self._me, role="worker", attempt=attempt)

    def running(self, **progress: Any) -> None:
        """Report progress: any of message, epoch, epochs, step, steps, seconds, seconds_left, images_per_second.
        Written at most twice a second; the newest values are in the next write."""
        self._pending |= progress
        if self._mine().status != "running":
            self._move_to("running", **({"message": ""} | self._pending))
        elif time.monotonic() - self._written >= _SECONDS_BETWEEN_STATES:
            self._take_pending()
            self._write()

    def pictures_in(self) -> None:
        """Note that the pictures are read: what went by since starting() is theirs, but for the backbone's pass."""
        before, state = self._backbone_seconds, self._take_pending()
        spent = time.monotonic() - self._began - (state.backbone_seconds - before)
        self._pending["pictures_seconds"] = state.pictures_seconds + max(0.0, spent)

    def beat(self) -> None:
        """A sign of life while there is no progress to report; written when the last write is two seconds old."""
        if self._state and self._state.is_live and time.monotonic() - self._written >= _SECONDS_BETWEEN_BEATS:
            self._take_pending()
            self._write()

    def append(self, row: IterationRow | EpochRow) -> None:
        """Add a row at the end of rows.jsonl; values that are not finite become null."""
        with self._alone():
            if not self._rows_are_whole:
                _drop_unfinished_line(self.folder / "rows.jsonl")
                self._rows_are_whole = True
            append_line(self.folder / "rows.jsonl", finite(row.model_dump(mode="json")))

    def save_model(self, weights: dict[str, np.ndarray], card: ModelCard, which: Which = "last") -> None:
        """Replace the last or the best model: weights by state_dict name, and their card.

        A new last model removes the evaluations of the former one."""
        # not ascontiguousarray, which gives a single number (batch norm's count of batches) a dimension
        dense = {name: np.asarray(values, order="C") for name, values in weights.items()}
        if which == "last":
            self._drop_evaluations()
        files = {
            f"{MODEL_FILES[which]}.json": (card.model_dump_json(indent=1) + "\n").encode(),
            f"{MODEL_FILES[which]}.safetensors": safetensors.numpy.save(dense),
        }
        # the best one's card comes last: killed in between, no card has the loss of weights that are not there yet
        for name in sorted(files, reverse=which == "best"):
            self._publish(name, files[name])

    def save_checkpoint(self, step: int, numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Save a place to resume from; every row that was appended before is on the disk by then."""
        with self._alone():
            _flush(self.folder / "rows.jsonl")
            write_checkpoint(self.folder, step, numbers, arrays)

    def go_back(self, step: int, epoch: int) -> None:
        """Remove rows and checkpoints beyond `step` steps of the run; `epoch` is the unfinished one at that step."""
        with self._alone():
            remove_checkpoints(self.folder, after=step)
            path = self.folder / "rows.jsonl"
            _drop_unfinished_line(path)
            lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
            kept = [line for line in lines if _comes_before(line, step, epoch)]
            if len(kept) < len(lines):
                write_atomic(path, b"".join(line + b"\n" for line in kept))

    def save_evaluation(self, evaluation: Evaluation) -> None:
        """Save the predictions for one part; also allowed after the run has ended."""
        if self._state is None and read_stored_state(self.folder).is_live:
            raise UserMistake(f"Run {self.folder.name} trains again; the answers are those of another network now.")
        self._publish(evaluation_name(evaluation.part, evaluation.measure), evaluation.to_bytes())
        if (evaluation.part, evaluation.measure) == ("test", "evaluation"):
            self._pending |= {"score": (int(evaluation.correct.sum()), evaluation.n), "model": evaluation.model}

    def answer_with(self, model: Which, answers: Sequence[Evaluation]) -> None:
        """Of a run that has ended: from now on this model predicts for it, and these are its answers."""
        for evaluation in answers:
            self.save_evaluation(evaluation)
        with queue_lock(), self._alone():  # nobody resumes it in between
            state = read_stored_state(self.folder)
            if state.is_live:
                raise UserMistake(f"Run {self.folder.name} trains again; its last model is another one now.")
            write_state(self.folder, replace_state(state, **({"score": None} | self._pending | {"model": model})))

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the snapshot that pages draw while it trains. The run goes on where the disk refuses it."""
        with self._alone(), suppress(OSError):
            write_atomic(self.folder / "snapshot.npz", snapshot.to_bytes(), durable=False)
            (self.folder / "watch.npz").unlink(missing_ok=True)  # as version 0.1.0 called it

    def stop_requested(self) -> bool:
        """Whether somebody asked this run to stop; cheap enough for every step."""
        return stop_requested(self.folder)

    def finish(self, status: Literal["done", "stopped"] = "done", message: str = "", model: Which = "last") -> None:
        """End the run; its models and evaluations have been saved before. `model`: the one that predicts for it."""
        self._move_to(status, message=message, seconds_left=0.0, model=model)
        give_back(work_lock(self.folder))
        announce(self.folder)

    def fail(self, message: str, try_rate: float | None = None) -> None:
        """End the run with a sentence that says why. Does nothing where it has ended or another process trains it.

        `try_rate`: for a run that diverged, a learning rate at which another one may not."""
        if self._is_anothers():
            return
        if self._state is not None:
            self._pending["try_rate"] = try_rate
            self._take_pending()
        attempt = self._state.attempt if self._state else None
        mark_ended(self.folder, "failed", message, known=self._state, attempt=attempt)
        give_back(work_lock(self.folder))

    def _move_to(self, status: Status, **changes: Any) -> None:
        state = self._take_pending()
        if status not in TRANSITIONS[state.status]:
            raise RuntimeError(f"run {self.folder.name} cannot go from {state.status} to {status}")
        self._state = replace_state(state, status=status, **finite(changes))
        self._write()

    def _take_pending(self) -> RunState:
        """The state with the progress that was reported since it was written."""
        self._state = replace_state(self._mine(), **finite(self._pending))
        self._pending.clear()
        return self._state

    def _write(self) -> None:
        # not the queue's lock: a worker that is halted here would block everybody
        self._must_exist()
        with self._disk_mistakes(), run_lock(self.folder):
            self._must_exist()
            self._must_be_mine()
            self._write_state(self._mine())

    def _write_state(self, state: RunState) -> None:
        if state.ended:
            (self.folder / "reserve").unlink(missing_ok=True)
        self._state = state.model_copy(update={"process_seconds": time.monotonic() - self._began})
        write_state(self.folder, self._state)
        self._written = time.monotonic()

    def _drop_evaluations(self) -> None:
        with self._alone():
            files = read_manifest(self.folder)
            void = [name for name in files if name.startswith("evaluation-")]
            if void:
                _write_manifest(self.folder, {name: sums for name, sums in files.items() if name not in void})
            for name in void:
                (self.folder / name).unlink(missing_ok=True)
        self._pending |= {"score": None, "model": "last"}

    def _publish(self, name: str, content: bytes) -> None:
        """Replace a file and its checksum so that whenever the process is killed, the file on disk verifies."""
        digest = hashlib.sha256(content).hexdigest()
        with self._alone():
            files = read_manifest(self.folder)
            before = files.get(name, [])[-1:]
            _write_manifest(self.folder, files | {name: [*before, digest]})
            write_atomic(self.folder / name, content)
            (self.folder / name).chmod(0o644)  # whatever the umask: whoever shares the folder may read models
            _write_manifest(self.folder, files | {name: [digest]})

    def _mine(self) -> RunState:
        if self._state is None:
            raise RuntimeError(f"starting() comes before every other write to run {self.folder.name}")
        return self._state

    def _is_anothers(self) -> bool:
        launch = read_launch(self.folder)
        if launch is None or launch.role != "worker" or launch.process == mark_process():
            return False
        return is_at_work(self.folder)

    def _must_exist(self) -> None:
        """UserMistake where the run was deleted meanwhile: no write brings a part of it back."""
        if not (self.folder / "config.json").exists():
            raise UserMistake(f"The files of run {self.folder.name} are gone from disk; training was stopped.")

    def _must_be_mine(self) -> None:
        """UserMistake where the worker was declared lost while it slept: its run may be trained elsewhere by now."""
        state = self._mine()
        launch = read_launch(self.folder)
        mine = launch and launch.process == self._me and launch.attempt in (None, state.attempt)
        if not mine or read_stored_state(self.folder).ended:
            raise UserMistake(f"Run {self.folder.name} is no longer this process's; nothing was written.")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the run for one file, while it exists and is this worker's: nobody can resume it in between."""
        self._must_exist()
        with self._disk_mistakes(), run_lock(self.folder):
            self._must_exist()
            if self._state and self._state.is_live:  # else evaluations are added to a run that has ended
                self._must_be_mine()
            yield

    @contextmanager
    def _disk_mistakes(self) -> Iterator[None]:
        """UserMistake instead of OSError for a disk that is full or read-only."""
        try:
            yield
        except OSError as error:
            kept = "What was saved before is kept. Free some space, then resume the run."
            mistake = disk_trouble(error, self.folder, kept)
            if mistake is None:
                raise
            raise mistake from error


def mark_ended(
    folder: Path,
    status: Literal["failed", "lost", "stopped"],
    message: str,
    known: RunState | None = None,
    attempt: int | None = None,
) -> bool:
    """End a run whose worker cannot do it in good order; returns whether it was still to be ended.

    `known`: the newest progress, where the caller has it. `attempt`: the one to end; nothing is written to a run that
    has been resumed since then. Called by the worker, or by the supervisor once the worker is dead.
    """
    with queue_lock():
        if not (folder / "config.json").exists():
            return False
        with run_lock(folder):
            stored = read_stored_state(folder)
            if stored.ended or (attempt is not None and stored.attempt != attempt):
                return False
            drop_queue_entry(folder.name)
            (folder / "reserve").unlink(missing_ok=True)
            write_state(folder, replace_state(known or stored, status=status, message=message, seconds_left=None))
    announce(folder)
    return True


def _write_manifest(folder: Path, files: dict[str, list[str]]) -> None:
    write_json(folder / "manifest.json", {"files": files})


def _comes_before(line: bytes, step: int, epoch: int) -> bool:
    """Whether a row lies before `step` steps of the run, within `epoch`; false for a damaged line."""
    try:
        row = parse_row(json.loads(line))
    except ValueError:
        return False
    return row.epoch < epoch if isinstance(row, EpochRow) else row.step <= step


def _flush(path: Path) -> None:
    """Make what was appended survive a power cut."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _drop_unfinished_line(path: Path) -> None:
    """Cut what follows the last newline: a killed worker leaves half a row, which would damage the next one."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        keep = end
        while keep and file.seek(keep - 1) is not None and file.read(1) != b"\n":
            keep -= 1
        if keep < end:
            file.truncate(keep)
