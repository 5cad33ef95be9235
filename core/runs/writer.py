"""RunWriter: the worker's pen. Appends rows, says how far it is, saves the model, and ends the run exactly once."""

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy

from core.disk import append_line, disk_trouble, finite, write_atomic, write_json
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.rows import EpochRow, IterationRow, parse_row
from core.runs.checkpoint import remove_checkpoints, write_checkpoint
from core.runs.process import mark_process
from core.runs.run import (
    MODEL_FILES,
    TRANSITIONS,
    ModelCard,
    RunState,
    Status,
    Which,
    evaluation_name,
    read_launch,
    read_manifest,
    read_stored_state,
    replace_state,
    run_lock,
    write_launch,
    write_state,
)
from core.runs.tickets import drop_ticket, has_ticket, queue_lock
from core.settings import must_have_room
from core.watch import Watch

_SECONDS_BETWEEN_STATES = 0.5  # a page looks once a second
_SECONDS_BETWEEN_BEATS = 2.0
_RESERVE_BYTES = 64 * 1024  # given back when a run ends, so that a full disk still takes its last words


class RunWriter:
    """One worker, one pen, one run. Every method tells a full or read-only disk as a UserMistake in one sentence."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._state: RunState | None = None  # what this pen wrote last; None before starting()
        self._news: dict[str, Any] = {}  # progress told since then
        self._written = -math.inf  # time.monotonic() of that
        self._me = mark_process()
        self._rows_are_whole = False

    def starting(self, message: str = "Getting ready.") -> None:
        """Take the run: from now on it is this process's. UserMistake where it has ended or another process has it."""
        self._must_exist()
        with self._plainly(), run_lock(self.folder):
            self._must_exist()
            state = read_stored_state(self.folder)
            launch = read_launch(self.folder)
            me = self._me
            must_have_room()
            if state.ended:
                raise UserMistake(f"Run {self.folder.name} has already ended ({state.status}). Start a new one.")
            if launch and launch[0] == "worker" and launch[1] != me:
                if launch[1].is_alive():
                    raise UserMistake(f"Run {self.folder.name} is already being trained by process {launch[1].pid}.")
                raise UserMistake(f"Run {self.folder.name} was lost: its training process is gone. Start a new one.")
            if not launch or launch[1] != me or launch[0] != "worker":
                write_launch(self.folder, me, role="worker", attempt=state.attempt)
            (self.folder / "reserve").write_bytes(os.urandom(_RESERVE_BYTES))
            self._state = state
            self._keep(replace_state(state, status="starting", message=message))
        if has_ticket(self.folder.name):  # somebody trains here what waits for the supervisor
            with queue_lock():
                drop_ticket(self.folder.name)

    def running(self, **progress: Any) -> None:
        """Say how far the run is: any of message, epoch, epochs, step, steps, seconds, seconds_left,
        images_per_second. Written at most twice a second; what came in between is in the next one."""
        self._news |= progress
        if self._mine().status != "running":
            self._move_to("running", **({"message": ""} | self._news))
        elif time.monotonic() - self._written >= _SECONDS_BETWEEN_STATES:
            self._take_news()
            self._write()

    def beat(self) -> None:
        """A sign of life where nothing else is said for long; written when the last word is two seconds old."""
        if self._state and not self._state.ended and time.monotonic() - self._written >= _SECONDS_BETWEEN_BEATS:
            self._take_news()
            self._write()

    def append(self, row: IterationRow | EpochRow) -> None:
        """Add a row at the end of rows.jsonl; values that are not finite become null."""
        with self._alone():
            if not self._rows_are_whole:
                _drop_unfinished_line(self.folder / "rows.jsonl")
                self._rows_are_whole = True
            append_line(self.folder / "rows.jsonl", finite(row.model_dump(mode="json")))

    def save_model(self, weights: dict[str, np.ndarray], card: ModelCard, which: Which = "last") -> None:
        """Replace the last or the best model: weights by state_dict name, and the card that goes with them.

        With a new last model the answers of the one before are void."""
        # not ascontiguousarray, which gives a single number (batch norm's count of batches) a dimension
        dense = {name: np.asarray(values, order="C") for name, values in weights.items()}
        if which == "last":
            self._drop_evaluations()
        files = {
            f"{MODEL_FILES[which]}.json": (card.model_dump_json(indent=1) + "\n").encode(),
            f"{MODEL_FILES[which]}.safetensors": safetensors.numpy.save(dense),
        }
        # the best one's card comes last: killed in between, a loss is never claimed for weights that are not there yet
        for name in sorted(files, reverse=which == "best"):
            self._publish(name, files[name])

    def save_checkpoint(self, step: int, numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Keep a place to go on from; every row that was appended before is on the disk by then."""
        with self._alone():
            _flush(self.folder / "rows.jsonl")
            write_checkpoint(self.folder, step, numbers, arrays)

    def go_back(self, step: int, epoch: int) -> None:
        """Forget rows and checkpoints beyond `step` steps in all; `epoch` is the one in work there, and unfinished."""
        with self._alone():
            remove_checkpoints(self.folder, after=step)
            path = self.folder / "rows.jsonl"
            _drop_unfinished_line(path)
            lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
            kept = [line for line in lines if _comes_before(line, step, epoch)]
            if len(kept) < len(lines):
                write_atomic(path, b"".join(line + b"\n" for line in kept))

    def save_evaluation(self, evaluation: Evaluation) -> None:
        """Save the answers on one part; also allowed after the run has ended."""
        if self._state is None and not read_stored_state(self.folder).ended:
            raise UserMistake(f"Run {self.folder.name} trains again; the answers are those of another network now.")
        self._publish(evaluation_name(evaluation.part, evaluation.measure), evaluation.to_bytes())
        if (evaluation.part, evaluation.measure) == ("test", "evaluation"):
            self._news["score"] = (int(evaluation.correct.sum()), evaluation.n)

    def save_watch(self, watch: Watch) -> None:
        """Replace what people see of the network while it learns. A disk that refuses it costs nobody the run."""
        with self._alone(), suppress(OSError):
            write_atomic(self.folder / "watch.npz", watch.to_bytes(), durable=False)

    def stop_asked(self) -> bool:
        """Whether somebody asked this run to stop; cheap enough for every step."""
        return (self.folder / "stop").exists()

    def finish(self, status: Literal["done", "stopped"] = "done", message: str = "") -> None:
        """End the run; everything that is to be kept has been saved before."""
        self._move_to(status, message=message, seconds_left=0.0)

    def fail(self, message: str, try_rate: float | None = None) -> None:
        """End the run with a sentence that says why. Does nothing where it has ended already or is another's.

        try_rate: for a run that diverged, a learning rate at which another one may not."""
        if self._is_anothers():
            return
        if self._state is not None:
            self._news["try_rate"] = try_rate
            self._take_news()
        attempt = self._state.attempt if self._state else None
        mark_ended(self.folder, "failed", message, known=self._state, attempt=attempt)

    def _move_to(self, status: Status, **changes: Any) -> None:
        state = self._take_news()
        if status not in TRANSITIONS[state.status]:
            raise RuntimeError(f"run {self.folder.name} cannot go from {state.status} to {status}")
        self._state = replace_state(state, status=status, **finite(changes))
        self._write()

    def _take_news(self) -> RunState:
        """The state with the progress that was told since it was last written."""
        self._state = replace_state(self._mine(), **finite(self._news))
        self._news.clear()
        return self._state

    def _write(self) -> None:
        # not the queue's lock: a worker that is halted here would halt everybody
        self._must_exist()
        with self._plainly(), run_lock(self.folder):
            self._must_exist()
            self._must_be_mine()
            self._keep(self._mine())

    def _keep(self, state: RunState) -> None:
        if state.ended:
            (self.folder / "reserve").unlink(missing_ok=True)
        self._state = state
        write_state(self.folder, state)
        self._written = time.monotonic()

    def _drop_evaluations(self) -> None:
        with self._alone():
            files = read_manifest(self.folder)
            void = [name for name in files if name.startswith("evaluation-")]
            if void:
                _write_manifest(self.folder, {name: sums for name, sums in files.items() if name not in void})
            for name in void:
                (self.folder / name).unlink(missing_ok=True)
        self._news["score"] = None

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
            raise RuntimeError(f"starting() comes before anything else is said about run {self.folder.name}")
        return self._state

    def _is_anothers(self) -> bool:
        launch = read_launch(self.folder)
        return launch is not None and launch[0] == "worker" and launch[1] != mark_process() and launch[1].is_alive()

    def _must_exist(self) -> None:
        """A run that was deleted under its worker is not brought to life again by its next write."""
        if not (self.folder / "config.json").exists():
            raise UserMistake(f"The files of run {self.folder.name} are gone from disk; training was stopped.")

    def _must_be_mine(self) -> None:
        """A worker that was declared lost while it slept, and whose run was resumed elsewhere, writes no more."""
        state = self._mine()
        launch = read_launch(self.folder)
        mine = launch and launch[1] == self._me and launch[2].get("attempt", state.attempt) == state.attempt
        if not mine or read_stored_state(self.folder).ended:
            raise UserMistake(f"Run {self.folder.name} is no longer this process's; nothing was written.")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """For one file of a run that is there and still this worker's: nobody can resume it in between."""
        self._must_exist()
        with self._plainly(), run_lock(self.folder):
            self._must_exist()
            if self._state and not self._state.ended:  # else answers are added to a run that has ended
                self._must_be_mine()
            yield

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            told = disk_trouble(
                error, self.folder, "What was saved before is kept. Free some space, then resume the run."
            )
            if told is None:
                raise
            raise told from error


def mark_ended(
    folder: Path,
    status: Literal["failed", "lost", "stopped"],
    message: str,
    known: RunState | None = None,
    attempt: int | None = None,
) -> bool:
    """End a run for a worker that cannot do it in good order; whether that was still to be done.

    `known` is the newest progress where the caller has it, `attempt` the one that is to end: of a run that has been
    resumed since then nothing is written. For the worker itself, and for the supervisor once the worker is dead.
    """
    with queue_lock():
        if not (folder / "config.json").exists():
            return False
        with run_lock(folder):
            stored = read_stored_state(folder)
            if stored.ended or (attempt is not None and stored.attempt != attempt):
                return False
            drop_ticket(folder.name)
            (folder / "reserve").unlink(missing_ok=True)
            write_state(folder, replace_state(known or stored, status=status, message=message, seconds_left=None))
            return True


def _write_manifest(folder: Path, files: dict[str, list[str]]) -> None:
    write_json(folder / "manifest.json", {"files": files})


def _comes_before(line: bytes, step: int, epoch: int) -> bool:
    """Whether a row was written before the position of `step` steps in `epoch`; false for a damaged line."""
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
    """Cut what follows the last newline: a killed worker leaves half a row, and the next row would be lost with it."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        keep = end
        while keep and file.seek(keep - 1) is not None and file.read(1) != b"\n":
            keep -= 1
        if keep < end:
            file.truncate(keep)
