"""The notebook of a home: notes and guesses, a line each in notebook.jsonl; lines are appended and never changed.

python -m core notebook
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.disk import append_line
from core.errors import UserMistake
from core.experiments.ablation.components import Variant
from core.experiments.ablation.experiment import Experiment
from core.locks import process_lock
from core.notebook.guess import Direction, Pace, Said, parse_guess
from core.people import Person, new_owner
from core.runs.run import Run, list_runs
from core.settings import atelier_home

MOST_LETTERS = 5_000  # of a note
MOST_BYTES = 16 * 2**20  # of the notebook, to be read on a page
LINE_BYTES = 32_000  # of an entry; a longer line is damage


class Note(BaseModel):
    """What somebody wrote down."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["note"] = "note"
    at: str  # ISO 8601, UTC
    text: str = Field(max_length=MOST_LETTERS)
    owner: Person | None = None  # who wrote it, where several share the store


class Guess(BaseModel):
    """What somebody expected of a run or an experiment before it had an outcome."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["guess"] = "guess"
    at: str  # ISO 8601, UTC
    text: str = Field(max_length=MOST_LETTERS)
    owner: Person | None = None  # who wrote it, where several share the store
    about: str = Field(max_length=40)  # id of a run or an experiment
    is_experiment: bool = False
    component: str = Field("", max_length=200)  # of the experiment: the key of a variant
    against: str = Field("", max_length=40)  # of a run: id of the one that it is compared with
    direction: Direction = ""
    points: float | None = Field(None, ge=-100, le=100)
    accuracy: float | None = Field(None, ge=0, le=1)
    pace: Pace = ""


Entry = Annotated[Note | Guess, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Note | Guess] = TypeAdapter(Entry)


class Notebook(NamedTuple):
    """Entries, oldest first; how many lines could not be read."""

    entries: tuple[Note | Guess, ...]
    damaged: int

    @property
    def guesses(self) -> list[Guess]:
        return [entry for entry in self.entries if isinstance(entry, Guess)]

    def about(self, subject_id: str) -> list[Guess]:
        return [guess for guess in self.guesses if guess.about == subject_id]


def notebook_path() -> Path:
    return atelier_home() / "notebook.jsonl"


def read_notebook() -> Notebook:
    """What is damaged costs its own lines only."""
    try:
        with notebook_path().open("rb") as file:
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        return Notebook((), 0)
    except OSError as error:
        raise UserMistake(f"the notebook {str(notebook_path())!r} cannot be read: {error.strerror}") from error
    lines = [line for line in content.split(b"\n") if line.strip()]
    entries = [entry for line in lines if (entry := _entry_of(line)) is not None]
    return Notebook(tuple(entries), len(lines) - len(entries))


def write_note(text: str) -> Note:
    """UserMistake for an empty one and one that is too long."""
    text = text.strip()
    if not text:
        raise UserMistake("the note is empty")
    if len(text) > MOST_LETTERS:
        raise UserMistake(f"a note has at most {MOST_LETTERS:,} letters, this one has {len(text):,}")
    note = Note(at=_now(), text=text, owner=new_owner())
    _append(note)
    return note


def check_run_guess(text: str, dataset: str, against: Run | None = None) -> Said:
    """What is said about a run on that dataset that does not exist yet.

    UserMistake where it says nothing that can be scored, and where there is nothing to be better or slower than.
    """
    said = parse_guess(text)
    if (said.direction or said.pace) and against is None and newest_finished(dataset) is None:
        raise UserMistake(
            "there is no finished run on these pictures to be better or slower than; guess an accuracy, such as 70 %"
        )
    return said


def write_run_guess(run: Run, text: str, against: Run | None = None) -> Guess:
    """A guess about a run that has not ended, against another run, else the newest finished one on its dataset.

    UserMistake as of check_run_guess, and where the outcome is known already. The same guess again is no second one.
    """
    dataset = run.config.data.dataset
    said = check_run_guess(text, dataset, against)
    if run.state.ended:
        raise UserMistake(f"run {run.id} has ended already; a guess is written before the outcome")
    before = against or newest_finished(dataset)
    guess = Guess(
        at=_now(),
        text=text.strip(),
        owner=new_owner(),
        about=run.id,
        against=before.id if before else "",
        direction=said.direction,
        points=said.points,
        accuracy=said.accuracy,
        pace=said.pace,
    )
    return _append_once(guess)


def check_experiment_guess(text: str, variants: Sequence[Variant]) -> tuple[Said, str]:
    """What is said about an experiment, and the key of the variant that it is about: the only one, or the one that is
    named before a colon. UserMistake where that cannot be told, and where nothing is said that can be scored."""
    said = parse_guess(text)
    if said.accuracy is not None:
        raise UserMistake("of an experiment a difference is guessed, such as +2 points, not an accuracy")
    return said, find_component(variants, said.subject)


def write_experiment_guess(experiment: Experiment, text: str) -> Guess:
    """A guess about one component of an experiment that has not ended."""
    said, component = check_experiment_guess(text, experiment.plan.variants)
    if experiment.ended:
        raise UserMistake(f"experiment {experiment.id} has ended already; a guess is written before the outcome")
    guess = Guess(
        at=_now(),
        text=text.strip(),
        owner=new_owner(),
        about=experiment.id,
        is_experiment=True,
        component=component,
        direction=said.direction,
        points=said.points,
        pace=said.pace,
    )
    return _append_once(guess)


def find_component(variants: Sequence[Variant], subject: str) -> str:
    """The key of the variant that is called so, by key or title; the only one where nothing is named."""
    if not subject and len(variants) == 1:
        return variants[0].key
    wanted = _plain(subject)
    names = [(variant.key, {_plain(variant.key), _plain(variant.title)}) for variant in variants]
    found = [key for key, known in names if wanted in known]
    if not found and wanted:
        found = [key for key, known in names if any(wanted in name for name in known)]
    if len(found) == 1:
        return found[0]
    offered = ", ".join(variant.title for variant in variants)
    raise UserMistake(f"which component is the guess about? Name it before a colon, one of: {offered}")


def newest_finished(dataset: str) -> Run | None:
    """The run on a dataset that was made last of those that are done."""
    done = (run for run in list_runs() if run.state.status == "done" and run.config.data.dataset == dataset)
    return max(done, key=lambda run: run.created, default=None)


def _append_once(guess: Guess) -> Guess:
    """A double click writes one guess."""
    same = [one for one in read_notebook().about(guess.about) if one.text == guess.text]
    if same:
        return same[0]
    _append(guess)
    return guess


def _entry_of(line: bytes) -> Note | Guess | None:
    if len(line) > LINE_BYTES:
        return None
    try:
        return _ENTRY.validate_python(_checked(json.loads(line)))
    except (ValueError, RecursionError, ValidationError):
        return None


def _checked(value: Any) -> Any:
    """ValueError for a time that is none: days are made of it."""
    if isinstance(value, dict):
        datetime.fromisoformat(str(value.get("at")))
    return value


def _append(entry: Note | Guess) -> None:
    path = notebook_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with process_lock(path.with_name("notebook.lock")):
            _end_cut_line(path)
            append_line(path, entry.model_dump(mode="json"))
    except OSError as error:
        raise UserMistake(f"the notebook {str(path)!r} cannot be written: {error.strerror}") from error


def _end_cut_line(path: Path) -> None:
    """A line that a power cut left without its end would take the next one with it."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("r+b") as file:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")


def _plain(text: str) -> str:
    return " ".join(text.replace("_", " ").casefold().split())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
