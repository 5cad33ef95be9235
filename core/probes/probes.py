"""Probes: questions that need torch and a free device. Pages and commands ask, the supervisor answers between runs.

Two kinds: "speed" (how long would this run take, how much memory) and "rate" (which learning rate suits it). A probe's
id is the hash of everything that its answer depends on, so the same question is answered once, for every session.
"""

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from core.config import OF_TEACHER, RunConfig, TrainConfig, change_config
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.locks import ProcessLock, process_lock
from core.runs.process import (
    ProcessMark,
    is_at_work,
    mark_process,
    read_launch,
    request_stop,
    stop_requested,
    write_launch,
)
from core.runs.state import now
from core.settings import atelier_home

Kind = Literal["speed", "rate"]
Status = Literal["waiting", "running", "done", "failed"]

MOST_WAITING = 6  # questions; more are refused
MOST_KEPT = 300  # answers
KEPT_SECONDS = 7 * 86400.0  # since somebody asked
FRESH_SECONDS = {"speed": 86400.0, "rate": 7 * 86400.0}  # a machine does not stay as fast as it was
FAILED_SECONDS = 60.0  # then a failed probe is tried again, and a speed that was measured on a busy machine
CROWDED = 0.25  # of all processors: where other programs take more, a speed is not that of a quiet machine
# without being asked again for so long, a question is dropped: while a page waits for a speed it asks twice a second,
# but a person who has pressed a button for a rate may go elsewhere while a run trains
ABANDONED_SECONDS = {"speed": 20.0, "rate": 3600.0}
# fields of TrainConfig that an answer does not depend on: another value of them is the same question
_INDIFFERENT: dict[str, tuple[str, ...]] = {
    "speed": (
        *("epochs", "learning_rate", "momentum", "weight_decay", "schedule", "warmup"),
        *("label_smoothing", "class_weights", "patience", "seed", "flips", *OF_TEACHER),
    ),
    "rate": ("epochs", "learning_rate", "schedule", "warmup", "patience", *OF_TEACHER),  # asked against the labels
}
_SOURCES = (  # the files of core/ that an answer depends on
    *("probes/worker.py", "engine/*.py", "models/*.py"),
    *("data/store/batches.py", "data/store/batch_count.py", "data/store/augment.py"),
)
_SECONDS_BETWEEN_REPORTS = 0.2


@dataclass(frozen=True)
class Probe:
    """A question as it stood when it was read."""

    id: str
    kind: Kind
    config: RunConfig
    status: Status
    message: str = ""  # one sentence for a person
    done: int = 0
    total: int = 0
    answer: dict[str, Any] | None = None  # as core/probes/worker.py gives it; a "speed" also has seconds, of `config`
    measured: str = ""  # ISO 8601, UTC: when it was answered

    @property
    def ended(self) -> bool:
        return self.status in ("done", "failed")


def probes_root() -> Path:
    return atelier_home() / "probes"


def ask_probe(kind: Kind, config: RunConfig, fingerprint: str) -> Probe:
    """Ask, or ask again: a question that waits, is measured or was answered is not put a second time.

    `fingerprint`: of the store that `config` asks for. Only a living supervisor answers. UserMistake where too many
    questions wait already.
    """
    question = _question(kind, config, fingerprint)
    folder = probes_root() / _name(question)
    if _status(folder) is None or _is_stale(folder, kind):
        with _lock():
            if _is_stale(folder, kind):
                shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                _sweep()
                _refuse_if_full()
                _put(folder, question)
    with contextlib.suppress(OSError):  # it was removed meanwhile: whoever asks again puts it again
        (folder / "asked").touch()
        (folder / "stop").unlink(missing_ok=True)  # it was cancelled, and is wanted again
    return _open(folder, kind, config)


def find_probe(kind: Kind, config: RunConfig, fingerprint: str) -> Probe | None:
    """The probe with this question where it was asked already, else None."""
    folder = probes_root() / _name(_question(kind, config, fingerprint))
    return None if _status(folder) is None or _is_stale(folder, kind) else _open(folder, kind, config)


def read_probe(probe_id: str) -> Probe:
    """The probe with that id, for the settings that it was measured with. UserMistake where there is none."""
    folder = probes_root() / probe_id
    if not probe_id.isalnum() or _status(folder) is None:
        raise UserMistake(f"No such question: {probe_id[:40]!r}; it was answered long ago, or taken back")
    question = read_json(folder / "question.json")
    return _open(folder, question["kind"], RunConfig.model_validate(question["config"]))


def cancel_probe(probe_id: str) -> None:
    """Cancel a probe, or forget its answer. Whoever else waits for it puts it again by asking again."""
    folder = probes_root() / probe_id
    if not probe_id.isalnum() or not folder.exists():
        return
    with _lock():
        if _status(folder) == "running":
            request_stop(folder)  # the supervisor ends the child and removes the folder
        else:
            shutil.rmtree(folder, ignore_errors=True)


def total_seconds(answer: dict[str, Any], epochs: int) -> float:
    """Seconds of a whole run by a "speed" answer: start, epochs and the evaluation at the end."""
    return float(answer["start_seconds"] + epochs * answer["seconds_per_epoch"] + answer["evaluation_seconds"])


# -------------------------------------------------------------------------------------------- for the supervisor


def next_probe() -> Path | None:
    """The folder of the question that is next; those that nobody waits for any more are removed."""
    waiting = []
    for folder in _folders():
        if _status(folder) != "waiting":
            continue
        try:
            kind, asked = read_json(folder / "question.json")["kind"], (folder / "asked").stat().st_mtime
            put = (folder / "question.json").stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if time.time() - asked > ABANDONED_SECONDS[kind]:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            waiting.append((kind != "rate", put, folder))  # a rate was asked for by a button, so it comes first
    return min(waiting)[2] if waiting else None


def begin_probe(folder: Path, mark: ProcessMark) -> None:
    """Give a question to the process that answers it."""
    write_launch(folder, mark, role="probe")


def is_wanted(folder: Path) -> bool:
    """Whether nobody has cancelled the probe, or stopped the experiment or the sweep, of this folder."""
    return folder.exists() and not stop_requested(folder)


def settle_probe(folder: Path, gave_way: bool) -> None:
    """Once its process is gone: a cancelled probe is removed, one that gave way waits again, any other has failed."""
    with _lock():
        if not folder.exists() or _stored(folder).get("status") in ("done", "failed"):
            return
        if stop_requested(folder):
            shutil.rmtree(folder, ignore_errors=True)
        elif gave_way:
            (folder / "state.json").unlink(missing_ok=True)
        else:
            message = "The process that was measuring ended before it was done; it was killed, or memory ran out."
            write_json(folder / "state.json", {"status": "failed", "message": message, "ended": now()})


class ProbeWriter:
    """How the process that answers writes state.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = 0.0  # time.monotonic()
        launch = read_launch(folder)
        if launch is None or launch.process != mark_process():
            begin_probe(folder, mark_process())
        self.report("Getting ready.")

    def report(self, message: str, done: int = 0, total: int = 0) -> None:
        """How far it is; written a few times a second at most."""
        if time.monotonic() - self._written > _SECONDS_BETWEEN_REPORTS:
            self._written = time.monotonic()
            self._write({"status": "running", "message": message, "done": done, "total": total})

    def finish(self, answer: dict[str, Any]) -> None:
        self._write({"status": "done", "answer": answer, "ended": now()})

    def fail(self, message: str) -> None:
        self._write({"status": "failed", "message": message, "ended": now()})

    def _write(self, state: dict[str, Any]) -> None:
        if self.folder.exists():  # else it was removed meanwhile
            write_json(self.folder / "state.json", state)


# ------------------------------------------------------------------------------------------------ on the disk


def _question(kind: Kind, config: RunConfig, fingerprint: str) -> dict[str, Any]:
    """Everything that the answer depends on."""
    usual = TrainConfig()
    same = {f"train.{name}": getattr(usual, name) for name in _INDIFFERENT[kind]}
    plain = change_config(config.model_copy(update={"preset": ""}), same)
    return {
        "kind": kind,
        "config": plain.model_dump(mode="json"),
        "fingerprint": fingerprint,
        "machine": machine(),
        "program": program(),
    }


def _name(question: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:24]


def machine() -> str:
    """This computer, with its graphics cards: a speed holds for no other one."""
    cards = sorted(card.name for card in Path("/proc/driver/nvidia/gpus").glob("*"))
    return " ".join([platform.node(), platform.machine(), f"{os.cpu_count()} cores", *cards])


@cache
def program() -> str:
    """The version of the program as far as an answer depends on it: a hash of _SOURCES."""
    core = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(core.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _put(folder: Path, question: dict[str, Any]) -> None:
    """A reader finds the whole question or none."""
    draft = probes_root() / f".{secrets.token_hex(8)}.draft"
    draft.mkdir()
    try:
        (draft / "asked").touch()
        write_json(draft / "question.json", question)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _open(folder: Path, kind: Kind, config: RunConfig) -> Probe:
    status = _status(folder) or "waiting"
    state = _stored(folder) if status != "waiting" else {}
    answer = state.get("answer")
    if answer and kind == "speed":
        answer = answer | {"seconds": total_seconds(answer, config.train.epochs)}
    return Probe(
        id=folder.name,
        kind=kind,
        config=config,
        status=status,
        message=str(state.get("message", "")),
        done=int(state.get("done", 0)),
        total=int(state.get("total", 0)),
        answer=answer,
        measured=str(state.get("ended", "")),
    )


def _status(folder: Path) -> Status | None:
    """None where there is no such question. One whose process is gone waits again."""
    status = _stored(folder).get("status")
    if status in ("done", "failed"):
        return status
    if not (folder / "question.json").exists():
        return None
    return "running" if status == "running" and is_at_work(folder) else "waiting"


def _stored(folder: Path) -> dict[str, Any]:
    try:
        state = read_json(folder / "state.json")
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _is_stale(folder: Path, kind: Kind) -> bool:
    state = _stored(folder)
    if state.get("status") not in ("done", "failed"):
        return False
    age = (datetime.now(UTC) - datetime.fromisoformat(state["ended"])).total_seconds()
    holds = state["status"] == "done" and (state["answer"].get("others") or 0.0) <= CROWDED
    return age > (FRESH_SECONDS[kind] if holds else FAILED_SECONDS)


def _refuse_if_full() -> None:
    waiting = sum(_status(folder) == "waiting" for folder in _folders())
    if waiting >= MOST_WAITING:
        raise UserMistake(f"{waiting} questions about speed and learning rates wait already; ask again in a moment")


def _sweep() -> None:
    """Remove what nobody has asked for in a week, what exceeds MOST_KEPT, and unfinished drafts. Under the lock."""
    aged = []
    for folder in [*_folders(), *probes_root().glob(".*.draft")]:
        with contextlib.suppress(OSError):
            path = folder / "asked"
            aged.append(((path if path.exists() else folder).stat().st_mtime, folder))
    aged.sort(reverse=True)
    for number, (asked, folder) in enumerate(aged):
        too_old = time.time() - asked > (60.0 if folder.name.startswith(".") else KEPT_SECONDS)
        if too_old or (number >= MOST_KEPT and _status(folder) in ("done", "failed")):
            shutil.rmtree(folder, ignore_errors=True)


def _folders() -> list[Path]:
    try:
        return [path for path in probes_root().iterdir() if path.name.isalnum()]
    except FileNotFoundError:
        return []


def _lock() -> ProcessLock:
    probes_root().mkdir(parents=True, exist_ok=True)
    return process_lock(probes_root() / ".lock")
