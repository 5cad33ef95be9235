"""Run: a frozen reader of a run folder. What a run did, how far it is, and what it learnt, without torch."""

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import ModelConfig, RunConfig
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.evaluation import Evaluation, Measure
from core.rows import EpochRow, IterationRow, parse_row
from core.runs.people import Asker
from core.runs.process import ProcessMark, mark_process
from core.runs.tickets import drop_ticket, has_ticket, queue_lock
from core.settings import Limits, load_limits, must_have_room, runs_root
from core.trunks import Source
from core.watch import Watch

Status = Literal["queued", "starting", "running", "done", "stopped", "failed", "lost"]
STATUSES: tuple[Status, ...] = ("queued", "starting", "running", "done", "stopped", "failed", "lost")
# of one attempt: an end is never left; resuming a run begins the next attempt, with status queued
TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    "queued": ("starting", "stopped", "failed", "lost"),
    "starting": ("running", "done", "stopped", "failed", "lost"),
    "running": ("done", "stopped", "failed", "lost"),
    "done": (),
    "stopped": (),
    "failed": (),
    "lost": (),
}
Which = Literal["last", "best"]
MODEL_FILES: dict[Which, str] = {"last": "model", "best": "model-best"}  # best: lowest loss on the validation part
SCHEMA_VERSION = 1
NEVER_STARTED = "It was never started: the program that asked for it ended before."
DAMAGED = "What the run had reached when it ended is not known: its state.json is damaged. What it had saved is kept."
VANISHED = (
    "Training stopped unexpectedly: its process was killed, or the machine was restarted. What it had saved is kept; "
    "resume it to go on."
)

_ID = re.compile(r"[a-z0-9]{12}")
_PART_OF_ID = re.compile(r"[a-z0-9]{1,12}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
BRIEFLY = 2.0  # seconds to wait for a worker to put down the file at hand
_WISHES = 50  # runs that are looked through for one that was asked for with the same key
_HEADER_BYTES = 2**20  # of a safetensors file; ours have a few kB, and a longer one is not ours


class RunState(BaseModel):
    """How far a run is; state.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Status = "queued"
    message: str = ""  # one sentence for a person
    epoch: int = 0  # the epoch in work, 1 .. epochs; 0 before the first
    epochs: int = 0
    step: int = 0  # iterations done in the whole run
    steps: int = 0  # iterations of the whole run
    seconds: float = 0.0  # since training began
    seconds_left: float | None = None
    images_per_second: float | None = None
    updated: str = ""  # ISO 8601, UTC
    attempt: int = 1
    try_rate: float | None = None  # of a run that diverged: a learning rate for its clone; resumed it would do so again
    retry: str = ""  # of an attempt that began by itself: after what, a sentence. The one after it is a person's
    silent: float = Field(0.0, exclude=True)  # seconds without a word where they are too many; as read, never stored
    score: tuple[int, int] | None = None  # right and asked on the test part, so that a list need not open the answers

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self.status]


class ModelCard(BaseModel):
    """What has to be known to use the weights: model.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    classes: tuple[str, ...]  # in the order of the logits
    preprocess: dict[str, Any]
    model: ModelConfig
    image_size: int
    dataset: str
    fingerprint: str
    epoch: int | None = None  # of the best model: the one after which it was kept
    val_loss: float | None = None  # of the best model
    source: Source | None = None  # of a network that learnt on from another run: how that is built
    schema_version: int = SCHEMA_VERSION


class Marks(BaseModel):
    """What people say of a run: marks.json. Text is theirs: escape it on a page."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str = ""  # "" for the one that is made of preset and dataset
    star: bool = False
    note: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Run:
    """A run as it was when it was read; read it again for news."""

    id: str
    folder: Path
    config: RunConfig
    created: str  # ISO 8601, UTC
    fingerprint: str
    classes: tuple[str, ...]
    state: RunState
    marks: Marks = field(default_factory=Marks)
    asker: Asker | None = None  # None for the command line and for runs of before there were askers

    @property
    def title(self) -> str:
        """The name that a person gave, or e.g. "paper · artworks · 7f3a". Holds people's words: escape it on a page."""
        return self.marks.title or f"{self.config.preset} · {self.config.data.dataset} · {self.id[-4:]}"

    @property
    def has_model(self) -> bool:
        return (self.folder / "model.safetensors").exists()

    def rows(self) -> list[IterationRow | EpochRow]:
        """Every row so far, in the order of writing; an unfinished or damaged line is left out."""
        try:
            lines = (self.folder / "rows.jsonl").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        rows = (_row_of(line) for line in lines)
        return [row for row in rows if row is not None]

    def epochs(self) -> list[EpochRow]:
        return [row for row in self.rows() if isinstance(row, EpochRow)]

    def iterations(self) -> list[IterationRow]:
        return [row for row in self.rows() if isinstance(row, IterationRow)]

    def log(self, characters: int = 20_000) -> str:
        """The end of what the worker printed."""
        try:
            with (self.folder / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - characters))
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def has_best_model(self) -> bool:
        """Whether a model was kept for its loss on the validation part; false where there is no such part."""
        return (self.folder / "model-best.safetensors").exists()

    def card(self, which: Which = "last") -> ModelCard:
        """The card of the saved model. UserMistake where there is none, or it is damaged or of a newer version."""
        content = self._checked(f"{MODEL_FILES[which]}.json")
        if content is None:
            raise UserMistake(f"Run {self.id} has no {_named(which)}: {self._why_no_model()}")
        try:
            card = ModelCard.model_validate_json(content)
        except ValidationError as error:
            raise UserMistake(f"The model card of run {self.id} cannot be read: {error.errors()[0]['msg']}.") from error
        if card.schema_version > SCHEMA_VERSION:
            raise UserMistake(_newer(self.id, card.schema_version))
        return card

    def weights(self, which: Which = "last") -> dict[str, np.ndarray]:
        """The saved weights by name, as the network's state_dict names them: of the last model, or of the best one.

        Their SHA-256 is checked before anything is parsed. UserMistake where there are none, where the file is
        incomplete, changed or not a model file, and where a weight is not finite.
        """
        content = self._checked(f"{MODEL_FILES[which]}.safetensors")
        if content is None:
            raise UserMistake(f"Run {self.id} has no {_named(which)}: {self._why_no_model()}")
        if int.from_bytes(content[:8], "little") > _HEADER_BYTES:
            raise UserMistake(f"The model file of run {self.id} is not one of Atelier's: its header is too long.")
        try:
            weights: dict[str, np.ndarray] = safetensors.numpy.load(content)
        except Exception as error:  # the parser has several classes of error; each says: not a model file
            raise UserMistake(f"The model file of run {self.id} is not a model file: {error}") from error
        for name, values in weights.items():
            if not np.isfinite(values).all():
                raise UserMistake(f"The model of run {self.id} is damaged: {name} holds values that are not finite.")
        return weights

    def evaluation(self, part: str, measure: Measure = "evaluation") -> Evaluation | None:
        """The saved answers on one part ("train", "val", "test"), None where it was not evaluated; UserMistake
        where the file was changed or damaged."""
        name = evaluation_name(part, measure)
        content = self._checked(name)
        if content is None:
            return None
        try:
            return Evaluation.from_bytes(content)
        except Exception as error:
            raise UserMistake(f"{name} of run {self.id} cannot be read; evaluate the run again.") from error

    def watch(self) -> Watch | None:
        """What the network answered for a few pictures when it was last looked at; None before the first look, and
        where the file is damaged: it is only to look at, and the next look replaces it."""
        try:
            return Watch.from_bytes((self.folder / "watch.npz").read_bytes())
        except Exception:  # numpy and zipfile have many ways of saying that a file is not theirs
            return None

    def _checked(self, name: str) -> bytes | None:
        """The content of a file whose SHA-256 is in the manifest; None where either is missing."""
        files = read_manifest(self.folder)
        while True:
            try:
                content = (self.folder / name).read_bytes()
            except FileNotFoundError:
                return None
            if hashlib.sha256(content).hexdigest() in files.get(name, []):
                return content
            before, files = files, read_manifest(self.folder)
            if files == before:  # else the worker replaced both between our two reads
                break
        if name not in files:
            return None  # nobody finished writing it: as good as not there
        raise UserMistake(
            f"{name} of run {self.id} was changed or damaged (its checksum differs), so it was not opened. "
            "Train again, or put the original file back."
        )

    def _why_no_model(self) -> str:
        if not self.state.ended:
            return "it is still training, and the first model is saved at the end of an epoch."
        return f"it ended as {self.state.status} before a model was saved. Pick another run, or train again."


def create_run(
    config: RunConfig, fingerprint: str, classes: tuple[str, ...], asker: Asker | None = None, key: str = ""
) -> Run:
    """Write a new run folder with status queued. It waits for train_run(folder) or for queue.submit(run).

    UserMistake where the disk has no room for it. `key` names the wish: asked again with the same key (a double
    click), it is the run that is there already.
    """
    must_have_room()
    if not key:
        return _write_run(config, fingerprint, classes, asker, key)
    with queue_lock():
        return _asked_before(key) or _write_run(config, fingerprint, classes, asker, key)


def _asked_before(key: str) -> Run | None:
    """The run of that key, looked for among the newest ones: a key lives as long as a form on the screen."""
    for run_id in sorted(_ids(), reverse=True)[:_WISHES]:
        try:
            if read_json(runs_root() / run_id / "config.json").get("key") == key:
                return open_run(runs_root() / run_id)
        except (OSError, ValueError, AttributeError):
            continue
    return None


def _write_run(config: RunConfig, fingerprint: str, classes: tuple[str, ...], asker: Asker | None, key: str) -> Run:
    runs_root().mkdir(parents=True, exist_ok=True)
    run_id = _new_id()
    draft = runs_root() / f".{run_id}.draft"
    draft.mkdir()
    try:
        write_json(
            draft / "config.json",
            {
                "schema_version": SCHEMA_VERSION,
                "created": now(),
                "fingerprint": fingerprint,
                "classes": list(classes),
                "config": config.model_dump(mode="json"),
                "asker": asker.model_dump(mode="json") if asker else None,
                "key": key,
            },
        )
        write_launch(draft, mark_process(), role="asker", attempt=1)
        write_state(draft, RunState(epochs=config.train.epochs))
        draft.rename(runs_root() / run_id)  # a reader finds the whole folder or none
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return open_run(runs_root() / run_id)


def read_run(run_id: str) -> Run:
    """The run with that id. A unique beginning or ending of an id will do, and so will "latest".

    UserMistake where there is no such run, or several.
    """
    if run_id == "latest":
        newest = max(_ids(), default=None)
        if newest is None:
            raise UserMistake(
                "There is no run yet. Start one on the Train page or with: python -m core train --data NAME"
            )
        return open_run(runs_root() / newest)
    if is_run_id(run_id) and (runs_root() / run_id).is_dir():
        return open_run(runs_root() / run_id)
    found = match_id(run_id, _ids())
    if not found:
        raise UserMistake(f"No such run: {run_id[:40]!r}. The runs there are: python -m core runs list")
    if len(found) > 1:
        raise UserMistake(f"{len(found)} runs match {run_id!r}; write more of the id: {', '.join(sorted(found)[-5:])}")
    return open_run(runs_root() / found[0])


def match_id(part: str, ids: list[str]) -> list[str]:
    """The ids that `part` can mean: the one that it is, else those that begin or end with it."""
    if not _PART_OF_ID.fullmatch(part):
        return []
    return [part] if part in ids else [i for i in ids if i.startswith(part) or i.endswith(part)]


def list_runs() -> list[Run]:
    """Every readable run, newest first; damaged folders are left out. Reads no rows, models or answers."""
    runs, root = [], runs_root()
    for run_id in _ids():
        try:
            runs.append(open_run(root / run_id))
        except (OSError, ValueError):  # UserMistake is a ValueError
            continue
    return newest_first(runs)


def newest_first(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.created, run.id), reverse=True)


def open_run(folder: Path) -> Run:
    """The run in `folder`, wherever that lies. UserMistake where the folder cannot be read as a run."""
    try:
        told = read_json(folder / "config.json")
        if told["schema_version"] > SCHEMA_VERSION:
            raise UserMistake(_newer(folder.name, told["schema_version"]))
        return Run(
            id=folder.name,
            folder=folder,
            config=RunConfig.model_validate(told["config"]),
            created=str(told["created"]),
            fingerprint=str(told["fingerprint"]),
            classes=tuple(told["classes"]),
            state=read_state(folder),
            marks=read_marks(folder),
            asker=Asker.model_validate(told["asker"]) if told.get("asker") else None,
        )
    except FileNotFoundError as error:
        raise UserMistake(f"The files of run {folder.name} are gone from disk.") from error
    except (KeyError, TypeError, ValidationError, UnicodeDecodeError) as error:
        raise UserMistake(f"Run {folder.name} is damaged: its config.json or state.json cannot be read.") from error
    except ValueError as error:
        if isinstance(error, UserMistake):
            raise
        raise UserMistake(f"Run {folder.name} is damaged: its config.json or state.json cannot be read.") from error


def read_marks(folder: Path) -> Marks:
    """Nothing said where the file is missing or damaged: a run is read without it."""
    try:
        return Marks.model_validate_json((folder / "marks.json").read_bytes())
    except (OSError, ValueError):
        return Marks()


def ask_to_stop(run: Run) -> str:
    """Ask a run to stop and keep its model; a waiting one is cancelled. Says in one sentence what came of it.

    May be asked as often as one likes, by anyone, at any time.
    """
    with queue_lock(), suppress(Timeout):
        must_exist(run.folder)
        state = read_state(run.folder)
        if state.status == "queued":
            with run_lock(run.folder).acquire(timeout=BRIEFLY):  # it may be starting in this very moment
                if cancel(run.folder):
                    return f"Run {run.id} was cancelled before it started."
        if state.ended:
            return f"Run {run.id} had already ended ({state.status})."
    must_exist(run.folder)
    (run.folder / "stop").touch()
    return f"Run {run.id} was asked to stop. It keeps what it has learnt."


def cancel(folder: Path) -> bool:
    """End a run that nobody has begun to train; whether it was one. Under queue_lock and run_lock."""
    state, launch = read_state(folder), read_launch(folder)
    if state.status != "queued" or (launch and launch[0] == "worker"):
        return False
    drop_ticket(folder.name)
    write_state(folder, replace_state(state, status="stopped", message="Cancelled before it started."))
    return True


def must_exist(folder: Path) -> None:
    """UserMistake where the run was deleted: what is done to it must not bring a part of it back."""
    if not (folder / "config.json").exists():
        raise UserMistake(f"The files of run {folder.name} are gone from disk.")


def run_lock(folder: Path) -> FileLock:
    """The lock for what a worker writes: held for each file, and by whoever starts the run, ends it or takes it over.

    Taken after queue_lock where both are held; a worker holds it alone, so that one that is halted halts no other run.
    """
    return FileLock(folder / "manifest.lock", timeout=30, poll_interval=0.01)


def read_state(folder: Path) -> RunState:
    """state.json, except that a run whose process is gone reads as "lost", and one that is silent says so."""
    state = read_stored_state(folder)
    if state.ended or _is_looked_after(folder, state):
        return _with_silence(state)
    state = read_stored_state(folder)  # it may have ended well between the two looks
    if state.ended or _is_looked_after(folder, state):
        return _with_silence(state)
    message = NEVER_STARTED if state.status == "queued" else VANISHED
    return replace_state(state, status="lost", message=message, updated=state.updated)


def write_state(folder: Path, state: RunState) -> None:
    """For whoever holds the run just now: its asker until it starts, then its worker, or the supervisor after that."""
    if not state.updated:
        state = replace_state(state)
    write_json(folder / "state.json", state.model_dump(mode="json"))


def replace_state(state: RunState, **changes: Any) -> RunState:
    """A copy with changed fields, checked, and the time of the change."""
    return RunState.model_validate(state.model_dump() | {"updated": now()} | changes)


def read_launch(folder: Path) -> tuple[str, ProcessMark, dict[str, Any]] | None:
    """(role, process, all of it) from launch.json: "asker" until the run starts, then "worker"; None without it."""
    try:
        launch = read_json(folder / "launch.json")
        return str(launch["role"]), ProcessMark.from_json(launch), launch
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_launch(folder: Path, process: ProcessMark, role: str, attempt: int, supervised: bool = False) -> None:
    launch = {"role": role, **process.to_json(), "attempt": attempt, "supervised": supervised}
    write_json(folder / "launch.json", launch)


def read_manifest(folder: Path) -> dict[str, list[str]]:
    """File name -> the SHA-256 that it may have: two while the file is being replaced, else one."""
    try:
        return dict(read_json(folder / "manifest.json")["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def evaluation_name(part: str, measure: Measure) -> str:
    """File name of an evaluation; UserMistake for a part or measure that there is not."""
    if part not in ("train", "val", "test") or measure not in ("evaluation", "paper"):
        raise UserMistake(
            f"no evaluation {part!r} in measure {measure!r}; parts: train, val, test; measures: evaluation, paper"
        )
    return f"evaluation-{part}.npz" if measure == "evaluation" else f"evaluation-{part}-paper.npz"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_stored_state(folder: Path) -> RunState:
    try:
        return RunState.model_validate_json((folder / "state.json").read_bytes())
    except FileNotFoundError:
        return RunState()
    except ValueError:  # what a failing disk or a power cut has left; the run is not lost with it
        launch = read_launch(folder)
        return RunState(status="lost", message=DAMAGED, attempt=int(launch[2].get("attempt", 1)) if launch else 1)


def _with_silence(state: RunState) -> RunState:
    if state.status not in ("starting", "running") or not state.updated:
        return state
    silent = (datetime.now(UTC) - datetime.fromisoformat(state.updated)).total_seconds()
    if silent < _patience():
        return state
    message = f"Training has not responded for {silent:,.0f} s. Wait, or stop it? What it had saved is kept."
    return replace_state(state, updated=state.updated, silent=silent, message=message)


def _patience() -> float:
    try:
        return load_limits().silence_seconds
    except UserMistake:  # said where limits are what it is about
        return Limits().silence_seconds


def _is_looked_after(folder: Path, state: RunState) -> bool:
    """Whether a run that has not ended waits in the line or has a living process."""
    if state.status == "queued" and has_ticket(folder.name):
        return True
    launch = read_launch(folder)
    return launch is not None and launch[1].is_alive()


def _ids() -> list[str]:
    try:
        return [path.name for path in runs_root().iterdir() if is_run_id(path.name)]
    except FileNotFoundError:
        return []


def is_run_id(name: str) -> bool:
    """Whether a folder of that name can be a run; a draft or a stranger's file cannot."""
    return _ID.fullmatch(name) is not None


def _new_id() -> str:
    """Twelve characters that sort by time: eight of milliseconds, four drawn, which are also the run's short name."""
    number, digits = time.time_ns() // 1_000_000, ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.rjust(8, "0")[-8:] + "".join(secrets.choice(_DIGITS) for _ in range(4))


def _row_of(line: bytes) -> IterationRow | EpochRow | None:
    try:
        return parse_row(json.loads(line))
    except ValueError:
        return None


def _named(which: Which) -> str:
    return "model" if which == "last" else "best model"


def _newer(run_id: str, version: int) -> str:
    return f"Run {run_id} was made by a newer version of Atelier (schema {version}; this one knows {SCHEMA_VERSION})."
