"""Run: a frozen reader of a run folder: settings, progress, rows, weights and evaluations. No torch."""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from core.backbones.registry import BackboneSource
from core.config import ModelConfig, RunConfig
from core.disk import read_json
from core.documents import is_newer
from core.errors import UserMistake
from core.evaluation import Evaluation, Measure, Which
from core.people import Person
from core.rows import EpochRow, IterationRow, parse_row
from core.runs.process import stop_requested
from core.runs.requester import Requester, owner_of, requester_in
from core.runs.state import RunState, read_state
from core.runs.teacher_facts import TeacherFacts
from core.settings import runs_root
from core.snapshot import Snapshot
from core.typed import visible

MODEL_FILES: dict[Which, str] = {"last": "model", "best": "model-best"}
SCHEMA_VERSION = 1
_ID = re.compile(r"[a-z0-9]{12}")
_PART_OF_ID = re.compile(r"[a-z0-9]{1,12}")
_HEADER_BYTES = 2**20  # of a safetensors file; ours have a few kB, and a longer one is not ours
_checksums = TypeAdapter(dict[str, list[str]]).validate_python
_SNAPSHOT_FILES = ("snapshot.npz", "watch.npz")  # the second one as version 0.1.0 called it


class ModelCard(BaseModel):
    """The card of saved weights: everything that is needed to use them; model.json."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    classes: tuple[str, ...]  # in the order of the logits
    preprocess: dict[str, Any]
    model: ModelConfig
    image_size: int
    dataset: str
    fingerprint: str
    epoch: int | None = None  # of the best model: after which epoch it was saved
    val_loss: float | None = None  # of the best model
    source: BackboneSource | None = None  # of a network whose backbone is another run's: how that one is built
    schema_version: int = SCHEMA_VERSION


class Marks(BaseModel):
    """Title, star, note and visibility that people gave a run: marks.json. Escape its texts on a page."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: str = ""  # "": Run.title is made of preset and dataset
    star: bool = False
    note: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Run:
    """A run as its settings, state and marks were when it was read; read it again for newer ones.

    Rows, models, evaluations and the properties that look at files are read from the disk when they are asked for."""

    id: str
    folder: Path
    config: RunConfig
    created: str  # ISO 8601, UTC
    fingerprint: str
    classes: tuple[str, ...]
    state: RunState
    marks: Marks = field(default_factory=Marks)
    requester: Requester | None = None  # None for the command line and for runs of the first version
    threads: int | None = None  # that it is trained on, for its whole life; None: as many as there are cores
    teacher: TeacherFacts | None = None  # as it was when this run was made; None without one, or where it was not here

    @property
    def title(self) -> str:
        """The name that a person gave, or e.g. "paper · artworks · 7f3a". Names are people's: escape it on a page."""
        return self.marks.title or f"{self.config.preset} · {self.config.data.dataset} · {self.id[-4:]}"

    @property
    def owner(self) -> Person | None:
        """Whose it is; None: the owner of the store."""
        return owner_of(self.requester)

    @property
    def started_at(self) -> float | None:
        """When its present process took it, in seconds since 1970; None where there is no launch.json."""
        try:
            return (self.folder / "launch.json").stat().st_mtime
        except OSError:
            return None

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked this attempt to stop."""
        return stop_requested(self.folder)

    @property
    def has_rows(self) -> bool:
        return (self.folder / "rows.jsonl").exists()

    @property
    def has_checkpoint(self) -> bool:
        """Whether a place to resume from was ever saved."""
        return (self.folder / "checkpoint").is_dir()

    @property
    def has_snapshot(self) -> bool:
        return any((self.folder / name).exists() for name in _SNAPSHOT_FILES)

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

    @property
    def used_model(self) -> Which:
        """The model that predicts for this run unless another one is asked for: the best one where early stopping
        ended it, else the last one; also of runs of version 0.1.0, whose stored evaluations are of the last one."""
        return self.state.model if self.state.ended and self.has_best_model else "last"

    def describe_model(self, which: Which | None = None) -> str:
        """In words, e.g. "last model" or "best model, of epoch 15"; None: the used one."""
        if (which or self.used_model) == "last":
            return "last model"
        try:
            return f"best model, of epoch {self.card('best').epoch}"
        except UserMistake:  # damaged; whoever opens it says so
            return "best model"

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

    def weights_sha256(self, which: Which = "last") -> str:
        """SHA-256 of that model's file as the manifest has it: what is measured of a model is kept under it.
        UserMistake where there is none."""
        name = f"{MODEL_FILES[which]}.safetensors"
        digests = read_manifest(self.folder).get(name)
        if not digests or not (self.folder / name).exists():
            raise UserMistake(f"Run {self.id} has no {_named(which)}: {self._why_no_model()}")
        return digests[-1]

    def evaluation(self, part: str, measure: Measure = "evaluation") -> Evaluation | None:
        """The saved predictions for one part ("train", "val" or "test"); None where it was not evaluated. UserMistake
        where the file was changed or damaged."""
        name = evaluation_name(part, measure)
        content = self._checked(name)
        if content is None:
            return None
        try:
            return Evaluation.from_bytes(content)
        except Exception as error:
            raise UserMistake(f"{name} of run {self.id} cannot be read; evaluate the run again.") from error

    def snapshot(self) -> Snapshot | None:
        """The newest predictions for a few pictures, saved while it trains; None before the first ones, and where the
        file is damaged: nothing depends on it, and the next snapshot replaces it."""
        path = next((self.folder / name for name in _SNAPSHOT_FILES if (self.folder / name).exists()), None)
        try:
            return Snapshot.from_bytes(path.read_bytes()) if path else None
        except Exception:  # numpy and zipfile have many errors for a file that is not theirs
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
            return None  # nobody finished writing it
        raise UserMistake(
            f"{name} of run {self.id} was changed or damaged (its checksum differs), so it was not opened. "
            "Train again, or put the original file back."
        )

    def _why_no_model(self) -> str:
        if self.state.is_live:
            return "it is still training, and the first model is saved at the end of an epoch."
        if self.has_model and not read_manifest(self.folder):
            return "its manifest.json is damaged, so nothing says whether the file is whole. Train again."
        return f"it ended as {self.state.status} before a model was saved. Pick another run, or train again."


def read_run(run_id: str) -> Run:
    """The run with that id. A unique beginning or ending of an id will do, and so will "latest".

    UserMistake where there is no such run, or several.
    """
    run_id = visible(run_id)
    if run_id == "latest":
        newest = max(run_ids(), default=None)
        if newest is None:
            raise UserMistake(
                "There is no run yet. Start one on the Train page or with: python -m core train --data NAME"
            )
        return open_run(runs_root() / newest)
    if is_run_id(run_id) and (runs_root() / run_id).is_dir():
        return open_run(runs_root() / run_id)
    found = match_id(run_id, run_ids())
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
    """Every readable run, newest first. Reads no rows, models or answers."""
    return scan_runs([runs_root() / run_id for run_id in run_ids()])[0]


def scan_runs(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The readable runs among `folders`, newest first, and a sentence about each that is damaged."""
    runs, damage = [], []
    for folder in folders:
        try:
            runs.append(open_run(folder))
        except UserMistake as mistake:
            if folder.exists():  # else it was deleted in the meantime
                damage.append(str(mistake))
    return newest_first(runs), damage


def newest_first(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.created, run.id), reverse=True)


def open_run(folder: Path) -> Run:
    """The run in `folder`, wherever that lies. UserMistake where the folder cannot be read as a run."""
    try:
        document = read_json(folder / "config.json")
        if is_newer(document["schema_version"], SCHEMA_VERSION):
            raise UserMistake(_newer(folder.name, document["schema_version"]))
        return Run(
            id=folder.name,
            folder=folder,
            config=RunConfig.model_validate(document["config"]),
            created=str(document["created"]),
            fingerprint=str(document["fingerprint"]),
            classes=tuple(document["classes"]),
            state=read_state(folder),
            marks=read_marks(folder),
            requester=requester_in(document),
            threads=_threads_in(document),
            teacher=TeacherFacts.model_validate(document["teacher"]) if document.get("teacher") else None,
        )
    except FileNotFoundError as error:
        raise UserMistake(f"The files of run {folder.name} are gone from disk.") from error
    except OSError as error:
        raise UserMistake(f"Run {folder.name} cannot be read: {error.strerror}.") from error
    except (KeyError, TypeError, ValidationError, UnicodeDecodeError) as error:
        raise UserMistake(f"Run {folder.name} is damaged: its config.json or state.json cannot be read.") from error
    except ValueError as error:
        if isinstance(error, UserMistake):
            raise
        raise UserMistake(f"Run {folder.name} is damaged: its config.json or state.json cannot be read.") from error


def _threads_in(document: dict[str, Any]) -> int | None:
    threads = document.get("threads")
    return threads if isinstance(threads, int) and threads > 0 else None


def lowest_loss(run: Run) -> float:
    """The validation loss of the best model that an earlier attempt saved; infinite without one."""
    try:
        if run.has_best_model and run.weights("best"):
            loss = run.card("best").val_loss
            return math.inf if loss is None else loss  # 0.0 is a loss, and as low as it gets
    except UserMistake:
        pass  # damaged: the next epoch is the best again
    return math.inf


def read_marks(folder: Path) -> Marks:
    """The marks of a run; without any where the file is missing or damaged."""
    try:
        return Marks.model_validate_json((folder / "marks.json").read_bytes())
    except (OSError, ValueError):
        return Marks()


def read_manifest(folder: Path) -> dict[str, list[str]]:
    """File name -> the SHA-256 that it may have: two while the file is being replaced, else one."""
    try:
        return _checksums(read_json(folder / "manifest.json")["files"])
    except (OSError, ValueError, KeyError, TypeError):  # pydantic's ValidationError is a ValueError
        return {}


def evaluation_name(part: str, measure: Measure) -> str:
    """File name of an evaluation; UserMistake for a part or measure that there is not."""
    if part not in ("train", "val", "test") or measure not in ("evaluation", "paper"):
        raise UserMistake(
            f"no evaluation {part!r} in measure {measure!r}; parts: train, val, test; measures: evaluation, paper"
        )
    return f"evaluation-{part}.npz" if measure == "evaluation" else f"evaluation-{part}-paper.npz"


def run_ids() -> list[str]:
    try:
        return [path.name for path in runs_root().iterdir() if is_run_id(path.name)]
    except FileNotFoundError:
        return []


def is_run_id(name: str) -> bool:
    """Whether a folder of that name can be a run: neither an unfinished one nor a file of another program."""
    return _ID.fullmatch(name) is not None


def _row_of(line: bytes) -> IterationRow | EpochRow | None:
    try:
        return parse_row(json.loads(line))
    except ValueError:
        return None


def _named(which: Which) -> str:
    return "model" if which == "last" else "best model"


def _newer(run_id: str, version: int) -> str:
    return f"Run {run_id} was made by a newer version of Atelier (schema {version}; this one knows {SCHEMA_VERSION})."
