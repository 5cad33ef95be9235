"""Probes: questions that need torch and a free device. Pages and commands ask, the supervisor answers between runs.

Two kinds: "speed" (how long would this run take, how much memory) and "rate" (which learning rate suits it). A question
is named by what its answer depends on, so that whoever asks the same again, in whatever session, finds the answer.
"""

import contextlib
import hashlib
import json
import os
import platform
import secrets
import shutil
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from core.config import RunConfig, TrainConfig, change_config
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.evaluation import MEASURES
from core.rows import EpochRow
from core.runs.process import ProcessMark, mark_process
from core.runs.run import Run, list_runs, now, read_launch
from core.settings import atelier_home

Kind = Literal["speed", "rate"]
Status = Literal["waiting", "running", "done", "failed"]

MOST_WAITING = 6  # questions; whoever asks more is told to wait
MOST_KEPT = 300  # answers
KEPT_SECONDS = 7 * 86400.0  # since somebody asked
FRESH_SECONDS = {"speed": 86400.0, "rate": 7 * 86400.0}  # a machine does not stay as fast as it was
FAILED_SECONDS = 60.0  # then the same question may be tried again; so may a speed that was measured in a crowd
CROWDED = 0.25  # of all processors: when other programs take more, a speed says little about a quiet hour
# a question that nobody has asked again for so long is dropped unanswered: a page asks twice a second while it waits
# for seconds, but a person who has pressed a button may look elsewhere while a run trains
ABANDONED_SECONDS = {"speed": 20.0, "rate": 3600.0}
# what an answer does not depend on: moving these sliders asks nothing new
_INDIFFERENT: dict[str, tuple[str, ...]] = {
    "speed": (
        *("epochs", "learning_rate", "momentum", "weight_decay", "schedule", "warmup"),
        *("label_smoothing", "class_weights", "patience", "seed"),
    ),
    "rate": ("epochs", "learning_rate", "schedule", "warmup", "patience"),
}
_SOURCES = ("probe.py", "engine/*.py", "models/*.py", "data/batches.py", "data/augment.py")  # that decide an answer
_SECONDS_BETWEEN_WORDS = 0.2


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
    answer: dict[str, Any] | None = None  # what core.probe gives for this kind; "speed" also has seconds, for `config`
    measured: str = ""  # ISO 8601, UTC: when it was answered

    @property
    def ended(self) -> bool:
        return self.status in ("done", "failed")


def probes_root() -> Path:
    return atelier_home() / "probes"


def ask_probe(kind: Kind, config: RunConfig, fingerprint: str) -> Probe:
    """Ask, or ask again: a question that waits, runs or was answered is not put a second time.

    `fingerprint` is that of the dataset as `config` receives it. The answer comes only where a supervisor lives;
    UserMistake where too many questions wait already.
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
    with contextlib.suppress(OSError):  # it was swept between the two looks: asked again in a moment, it is put again
        (folder / "asked").touch()
        (folder / "stop").unlink(missing_ok=True)  # somebody wants it after all
    return _open(folder, kind, config)


def find_probe(kind: Kind, config: RunConfig, fingerprint: str) -> Probe | None:
    """The probe with this question where it was asked already; asks nothing."""
    folder = probes_root() / _name(_question(kind, config, fingerprint))
    return None if _status(folder) is None or _is_stale(folder, kind) else _open(folder, kind, config)


def read_probe(probe_id: str) -> Probe:
    """The probe with that id, for the config that it was measured with. UserMistake where there is none."""
    folder = probes_root() / probe_id
    if not probe_id.isalnum() or _status(folder) is None:
        raise UserMistake(f"No such question: {probe_id[:40]!r}; it was answered long ago, or taken back")
    told = read_json(folder / "question.json")
    return _open(folder, told["kind"], RunConfig.model_validate(told["config"]))


def cancel_probe(probe_id: str) -> None:
    """Take a question back, or forget its answer. Whoever else waits for it puts it again by asking again."""
    folder = probes_root() / probe_id
    if not probe_id.isalnum() or not folder.exists():
        return
    with _lock():
        if _status(folder) == "running":
            (folder / "stop").touch()  # the supervisor ends the child and removes the folder
        else:
            shutil.rmtree(folder, ignore_errors=True)


def in_all(answer: dict[str, Any], epochs: int) -> float:
    """Seconds of a whole run, from the click to the last answer, by a "speed" answer."""
    return float(answer["start_seconds"] + epochs * answer["seconds_per_epoch"] + answer["evaluation_seconds"])


# ------------------------------------------------------------------------------------- what finished runs tell


def known_speed(config: RunConfig, pictures: dict[str, int]) -> dict[str, Any] | None:
    """What finished runs with the same network, image size, batch, augmentation and precision say about this one.

    `pictures` in each part of the run that is asked about. The newest such run decides; None where there is none.
    Keys as in a "speed" answer where they are known, and "run", the id of that run.
    """
    for run in list_runs():
        if run.state.status in ("done", "stopped") and _alike(run.config, config):
            told = _speed_of(run, pictures, config.train.epochs)
            if told:
                return told
    return None


def judge_estimate(run: Run) -> tuple[float, float] | None:
    """(seconds that were estimated, seconds that it took) of a run that went from start to end in one go.

    None where it did not, and where its question was not answered before it began: that would be no estimate.
    """
    launch = run.folder / "launch.json"
    if run.state.status != "done" or run.state.attempt != 1 or run.state.epoch != run.config.train.epochs:
        return None
    probe = find_probe("speed", run.config, run.fingerprint)
    if probe is None or probe.answer is None or not launch.exists():
        return None
    began, ended = launch.stat().st_mtime, datetime.fromisoformat(run.state.updated).timestamp()
    if datetime.fromisoformat(probe.measured).timestamp() > began:
        return None
    return float(probe.answer["seconds"]), ended - began


def _alike(one: RunConfig, other: RunConfig) -> bool:
    fields = ("batch_size", "augment", "precision")
    return (
        one.model == other.model
        and one.data.image_size == other.data.image_size
        and all(getattr(one.train, field) == getattr(other.train, field) for field in fields)
    )


def _speed_of(run: Run, pictures: dict[str, int], epochs: int) -> dict[str, Any] | None:
    rows = [row for row in run.rows() if isinstance(row, EpochRow)]
    rows = rows[1:] or rows  # the first one warms up
    if not rows:
        return None
    rate = statistics.median(row.images_per_second for row in rows)
    trained = statistics.median(row.images_per_second * row.seconds for row in rows)  # pictures of an epoch
    share = pictures["train"] / trained
    watched = statistics.median(row.val_seconds for row in rows) * share if pictures["val"] else 0.0
    answered = 0.0
    for part in ("train", "val", "test"):
        for measure in MEASURES:
            with contextlib.suppress(UserMistake):
                evaluation = run.evaluation(part, measure)
                answered += evaluation.seconds * share if evaluation else 0.0
    told = {
        "images_per_second": rate,
        "seconds_per_epoch": pictures["train"] / rate + watched,
        "start_seconds": 0.0,
        "evaluation_seconds": answered,
        "run": run.id,
    }
    return told | {"seconds": in_all(told, epochs)}


# -------------------------------------------------------------------------------------------- for the supervisor


def next_probe() -> Path | None:
    """The folder of the question that is next; those that nobody waits for any more are dropped."""
    line = []
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
            line.append((kind != "rate", put, folder))  # who has pressed a button comes before who only looks
    return min(line)[2] if line else None


def begin_probe(folder: Path, mark: ProcessMark) -> None:
    """Give a question to the process that answers it."""
    write_json(folder / "launch.json", {"role": "probe", **mark.to_json()})


def is_wanted(folder: Path) -> bool:
    """Whether nobody has taken back the question, or stopped the experiment or the sweep, of this folder."""
    return folder.exists() and not (folder / "stop").exists()


def settle_probe(folder: Path, gave_way: bool) -> None:
    """Once its process is gone: what was taken back is removed, what gave way waits again, else it has failed."""
    with _lock():
        if not folder.exists() or _stored(folder).get("status") in ("done", "failed"):
            return
        if (folder / "stop").exists():
            shutil.rmtree(folder, ignore_errors=True)
        elif gave_way:
            (folder / "state.json").unlink(missing_ok=True)
        else:
            sentence = "The process that was measuring ended before it was done; it was killed, or memory ran out."
            write_json(folder / "state.json", {"status": "failed", "message": sentence, "ended": now()})


class ProbeWriter:
    """The pen of the process that answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._spoken = 0.0
        launch = read_launch(folder)
        if launch is None or launch[1] != mark_process():
            begin_probe(folder, mark_process())
        self.say("Getting ready.")

    def say(self, message: str, done: int = 0, total: int = 0) -> None:
        """How far it is; written a few times a second at most."""
        if time.monotonic() - self._spoken > _SECONDS_BETWEEN_WORDS:
            self._spoken = time.monotonic()
            self._write({"status": "running", "message": message, "done": done, "total": total})

    def finish(self, answer: dict[str, Any]) -> None:
        self._write({"status": "done", "answer": answer, "ended": now()})

    def fail(self, message: str) -> None:
        self._write({"status": "failed", "message": message, "ended": now()})

    def _write(self, state: dict[str, Any]) -> None:
        if self.folder.exists():  # what was swept meanwhile stays away
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
        "machine": _machine(),
        "program": _program(),
    }


def _name(question: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:24]


def _machine() -> str:
    """What a speed is good for: this computer, with its graphics cards."""
    cards = sorted(card.name for card in Path("/proc/driver/nvidia/gpus").glob("*"))
    return " ".join([platform.node(), platform.machine(), f"{os.cpu_count()} cores", *cards])


@cache
def _program() -> str:
    """The program's version as far as it decides an answer: the SHA-256 of those sources."""
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
    told = _stored(folder) if status != "waiting" else {}
    answer = told.get("answer")
    if answer and kind == "speed":
        answer = answer | {"seconds": in_all(answer, config.train.epochs)}
    return Probe(
        id=folder.name,
        kind=kind,
        config=config,
        status=status,
        message=str(told.get("message", "")),
        done=int(told.get("done", 0)),
        total=int(told.get("total", 0)),
        answer=answer,
        measured=str(told.get("ended", "")),
    )


def _status(folder: Path) -> Status | None:
    """None where there is no such question. One whose process is gone waits: its answer was never given."""
    status = _stored(folder).get("status")
    if status in ("done", "failed"):
        return status
    if not (folder / "question.json").exists():
        return None
    launch = read_launch(folder)
    return "running" if status == "running" and launch is not None and launch[1].is_alive() else "waiting"


def _stored(folder: Path) -> dict[str, Any]:
    try:
        told = read_json(folder / "state.json")
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_stale(folder: Path, kind: Kind) -> bool:
    told = _stored(folder)
    if told.get("status") not in ("done", "failed"):
        return False
    age = (datetime.now(UTC) - datetime.fromisoformat(told["ended"])).total_seconds()
    holds = told["status"] == "done" and (told["answer"].get("others") or 0.0) <= CROWDED
    return age > (FRESH_SECONDS[kind] if holds else FAILED_SECONDS)


def _refuse_if_full() -> None:
    waiting = sum(_status(folder) == "waiting" for folder in _folders())
    if waiting >= MOST_WAITING:
        raise UserMistake(f"{waiting} questions about speed and learning rates wait already; ask again in a moment")


def _sweep() -> None:
    """Forget what nobody has asked for in a week, and what exceeds MOST_KEPT; unfinished drafts too. Under the lock."""
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


def _lock() -> FileLock:
    probes_root().mkdir(parents=True, exist_ok=True)
    return FileLock(probes_root() / ".lock", timeout=30)
