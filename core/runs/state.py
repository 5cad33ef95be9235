"""RunState: how far a run is (state.json), and the lock of a run folder."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.disk import write_json
from core.errors import UserMistake
from core.locks import ProcessLock, process_lock
from core.runs.process import is_at_work, read_launch
from core.runs.queue_entries import has_queue_entry
from core.settings import Limits, load_limits

Status = Literal["queued", "starting", "running", "done", "stopped", "failed", "lost"]
STATUSES: tuple[Status, ...] = ("queued", "starting", "running", "done", "stopped", "failed", "lost")
# within one attempt: an end is never left; resuming a run begins the next attempt, with status queued
TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    "queued": ("starting", "stopped", "failed", "lost"),
    "starting": ("running", "done", "stopped", "failed", "lost"),
    "running": ("done", "stopped", "failed", "lost"),
    "done": (),
    "stopped": (),
    "failed": (),
    "lost": (),
}
NEVER_STARTED = "It was never started: the program that asked for it ended before."
DAMAGED = "What the run had reached when it ended is not known: its state.json is damaged. What it had saved is kept."
VANISHED = (
    "Training stopped unexpectedly: its process was killed, or the machine was restarted. What it had saved is kept; "
    "resume it to go on."
)
BRIEFLY = 2.0  # seconds to wait until a worker has written the file that it is at


class RunState(BaseModel):
    """How far a run is; state.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Status = "queued"
    message: str = ""  # one sentence for a person
    epoch: int = 0  # the current epoch, 1 .. epochs; 0 before the first
    epochs: int = 0
    step: int = 0  # iterations done in the whole run
    steps: int = 0  # iterations of the whole run
    seconds: float = 0.0  # since training began
    backbone_seconds: float = 0.0  # before that: features of a frozen backbone were extracted, or a teacher's answers
    pictures_seconds: float = (
        0.0  # before both: until its pictures were read, decoded where no store had them; 0 before 0.2
    )
    process_seconds: float = 0.0  # since its present process took it, on a clock that nobody sets; 0 before 0.2
    seconds_left: float | None = None  # until its process ends, the evaluation of every part included
    estimated_seconds: float | None = None  # of its first process, from start to end, as they were told before it began
    images_per_second: float | None = None
    updated: str = ""  # ISO 8601, UTC
    machine: str = ""  # of the cluster, on which it is trained; "": this one. Escape it on a page
    attempt: int = 1
    try_rate: float | None = None  # of a run that diverged: a learning rate for its clone; resumed it would do so again
    retry: str = ""  # why an attempt began by itself, in a sentence; the attempt after it is begun by a person only
    # seconds without a sign of life where they are more than limits.json allows, else 0; as read, never stored
    unresponsive_seconds: float = Field(0.0, exclude=True)
    model: Literal["last", "best"] = "last"  # that predicts for the run: best where early stopping ended it
    score: tuple[int, int] | None = None  # (correct, total) on the test part, so that a list need not open evaluations

    @property
    def whole_seconds(self) -> float:
        """Of training, with the pass of a frozen backbone or of a teacher over the pictures."""
        return self.seconds + self.backbone_seconds

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self.status]

    @property
    def is_live(self) -> bool:
        """Whether it waits, starts or trains."""
        return not self.ended

    @property
    def is_training(self) -> bool:
        """Whether a process works at it."""
        return self.status in ("starting", "running")

    @property
    def is_finished(self) -> bool:
        """Whether it ended in good order, with its model saved: to the last epoch or stopped before."""
        return self.status in ("done", "stopped")

    @property
    def has_failed(self) -> bool:
        return self.status in ("failed", "lost")


def must_exist(folder: Path) -> None:
    """UserMistake where the run was deleted: no action may bring a part of its folder back."""
    if not (folder / "config.json").exists():
        raise UserMistake(f"The files of run {folder.name} are gone from disk.")


def run_lock(folder: Path) -> ProcessLock:
    """The lock for what a worker writes: held for each file, and by whoever starts, ends or takes over the run.

    Taken after queue_lock where both are held. A worker holds this one only, so that a halted worker blocks no other
    run.
    """
    return process_lock(folder / "manifest.lock", poll_interval=0.01)


def read_state(folder: Path) -> RunState:
    """state.json, except that a run without a process reads as "lost", and one that does not respond says so."""
    state = read_stored_state(folder)
    if state.ended or _has_place_or_process(folder, state):
        return _with_unresponsive_seconds(state)
    state = read_stored_state(folder)  # it may have ended well between the two reads
    if state.ended or _has_place_or_process(folder, state):
        return _with_unresponsive_seconds(state)
    message = NEVER_STARTED if state.status == "queued" else VANISHED
    return replace_state(state, status="lost", message=message, updated=state.updated)


def write_state(folder: Path, state: RunState) -> None:
    """For the process of launch.json: the requester's until the run starts, then its worker, after that the
    supervisor."""
    if not state.updated:
        state = replace_state(state)
    write_json(folder / "state.json", state.model_dump(mode="json"))


def replace_state(state: RunState, **changes: Any) -> RunState:
    """A copy with changed fields, checked, and the time of the change."""
    return RunState.model_validate(state.model_dump() | {"updated": now()} | changes)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_stored_state(folder: Path) -> RunState:
    try:
        return RunState.model_validate_json((folder / "state.json").read_bytes())
    except FileNotFoundError:
        return RunState()
    except ValueError:  # what a failing disk or a power cut has left; the run is not lost with it
        launch = read_launch(folder)
        return RunState(status="lost", message=DAMAGED, attempt=(launch.attempt if launch else None) or 1)


def _with_unresponsive_seconds(state: RunState) -> RunState:
    if not state.is_training or not state.updated:
        return state
    seconds = (datetime.now(UTC) - datetime.fromisoformat(state.updated)).total_seconds()
    if seconds < _longest_silence():
        return state
    message = f"Training has not responded for {seconds:,.0f} s. Wait, or stop it? What it had saved is kept."
    return replace_state(state, updated=state.updated, unresponsive_seconds=seconds, message=message)


def _longest_silence() -> float:
    try:
        return load_limits().watchdog_warn_seconds
    except UserMistake:  # whatever reads limits.json for its own sake reports it
        return Limits().watchdog_warn_seconds


def _has_place_or_process(folder: Path, state: RunState) -> bool:
    """Whether a run that has not ended waits in the queue or has a living process."""
    if state.status == "queued" and has_queue_entry(folder.name):
        return True
    return is_at_work(folder)
