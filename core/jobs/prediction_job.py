"""Thousands of pictures asked of a run, as a background job that can be stopped and gone on with.

python -m core.jobs.prediction_job FOLDER

Its folder is atelier_home()/predictions/<id>: job.json, what was asked; answers.jsonl, a line a picture, appended in
the order of the names; sorted.zip, where somebody asked for it; and the files of every job (core/jobs/job.py).
"""

import contextlib
import json
import secrets
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.data.datasets.dataset import disk_troubles
from core.data.pictures.picture import Refusal
from core.data.sources.listing import Entry, Source
from core.data.sources.loose import open_loose
from core.data.versions.export import free_path, safe_folder, safe_name
from core.disk import draft_path, write_json
from core.documents import read_document
from core.errors import UserMistake
from core.jobs.job import JobStatus, JobWriter, launch_job, read_status, run_job, start_lock, step_aside
from core.jobs.uploads import forget_upload
from core.progress import Clock, Progress
from core.runs.process import request_stop
from core.runs.run import read_run
from core.settings import atelier_home, load_limits

NONE = "none of these"
UNREADABLE = "could not be read"
KEPT_SECONDS = 24 * 3600.0  # as uploads are
AT_ONCE, BYTES_AT_ONCE = 64, 32 * 2**20  # pictures that are read and answered together
RANKED = 5  # classes that are kept of each answer
LOST = "This ended before it was done. What was answered is kept; go on with it."


class _JobDocument(BaseModel):
    """job.json."""

    run: str
    weights: str  # SHA-256 of the model that answers
    path: str  # the zip or folder
    name: str  # what people call it: data
    is_upload: bool  # `path` is our own copy
    created: str  # ISO 8601, UTC


@dataclass(frozen=True)
class PredictionJob:
    """A job as it was when it was read."""

    id: str
    folder: Path
    run_id: str
    path: Path
    name: str
    is_upload: bool
    status: JobStatus

    @property
    def answers(self) -> Path:
        return self.folder / "answers.jsonl"


def predictions_root() -> Path:
    return atelier_home() / "predictions"


def start_prediction(run_id: str, path: Path, name: str, is_upload: bool) -> str:
    """Start a process that answers every picture of the zip or folder at `path`; the id of the job.

    `is_upload`: `path` is our own copy, and goes with the job. UserMistake where the run has no model.
    """
    run = read_run(run_id)
    document = _JobDocument(
        run=run.id,
        weights=run.weights_sha256(run.used_model),
        path=str(path),
        name=name,
        is_upload=is_upload,
        created=datetime.now(UTC).isoformat(),
    )
    with start_lock(predictions_root()):
        _sweep_old()
        folder = predictions_root() / secrets.token_hex(8)
        folder.mkdir()
        write_json(folder / "job.json", document.model_dump())
        launch_job(folder, "core.jobs.prediction_job", str(folder.resolve()))
    return folder.name


def read_prediction(job_id: str) -> PredictionJob | None:
    """None where there is no such job, any more or at all; `job_id` may be what somebody typed into an address."""
    if len(job_id) != 16 or not set(job_id) <= set("0123456789abcdef"):
        return None
    folder = predictions_root() / job_id
    try:
        document = read_document(folder / "job.json", _JobDocument)
    except (OSError, UserMistake):
        return None
    status = read_status(folder, LOST)
    path = Path(document.path)
    return PredictionJob(job_id, folder, document.run, path, document.name, document.is_upload, status)


def stop_prediction(job: PredictionJob) -> None:
    """It ends after the pictures at hand; what was answered stays."""
    with contextlib.suppress(OSError):
        request_stop(job.folder)


def resume_prediction(job: PredictionJob) -> None:
    """Go on behind the last answer, unless it is at work."""
    with start_lock(predictions_root()):
        if read_status(job.folder, LOST).is_live:
            return
        for name in ("stop", "launch.json", "progress.json"):
            (job.folder / name).unlink(missing_ok=True)
        launch_job(job.folder, "core.jobs.prediction_job", str(job.folder.resolve()))


def forget_prediction(job: PredictionJob) -> None:
    """Remove its folder, and the pictures where they are our own copy."""
    stop_prediction(job)
    if job.is_upload:
        forget_upload(job.path)
    shutil.rmtree(job.folder, ignore_errors=True)


def read_answers(job: PredictionJob) -> list[dict[str, Any]]:
    """{file, classes: [[class, probability that can be believed]], none_of_these, unlike, error} of each picture that
    was answered so far; a last line that is not finished is left out."""
    try:
        with job.answers.open("rb") as file:
            return [json.loads(line) for line in file if line.endswith(b"\n")]
    except FileNotFoundError:
        return []


def answer_of(row: dict[str, Any]) -> str:
    """The class that was answered, or that it is none of them, or that the picture could not be read."""
    if row["error"]:
        return UNREADABLE
    return NONE if row["none_of_these"] else str(row["classes"][0][0])


def pack_sorted(job: PredictionJob) -> Path:
    """A zip of the pictures with a folder for each answer; those that could not be read are left out.

    UserMistake where the pictures are gone, or the disk is full.
    """
    target, taken, folders = job.folder / "sorted.zip", dict[str, int](), dict[str, str]()
    names: dict[str, int] = {}
    answered = {row["file"]: answer_of(row) for row in read_answers(job) if not row["error"]}
    draft = draft_path(target)
    with disk_troubles(), open_loose(job.path, load_limits()) as source:
        try:
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
                for entry in source.listing.entries:
                    if (answer := answered.get(entry.name)) is None:
                        continue
                    if answer not in folders:
                        folders[answer] = free_path(safe_folder(answer), taken)
                    path = f"{folders[answer]}/{safe_name(entry.name.rsplit('/', 1)[-1])}"
                    with contextlib.suppress(Refusal):
                        archive.writestr(free_path(path, names), source.read(entry))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return target


def _sweep_old() -> None:
    """Remove the jobs of yesterday; their uploads go by themselves."""
    for folder in predictions_root().glob("*/"):
        with contextlib.suppress(OSError):
            old = time.time() - folder.stat().st_mtime > KEPT_SECONDS
            if old and not read_status(folder, LOST).is_live:
                shutil.rmtree(folder, ignore_errors=True)


# --------------------------------------------------------------------------------------------- in the process


def predict_all(job: PredictionJob) -> Iterator[Progress]:
    """Answer every picture that is not answered yet, and append the answers. Phase "predicting", in pictures.

    UserMistake where the run has no model or another one by now, and where the pictures are gone.
    """
    from core.inference.answers import Answers, prepare_answers

    run = read_run(job.run_id)
    if read_document(job.folder / "job.json", _JobDocument).weights != run.weights_sha256(run.used_model):
        raise UserMistake(f"Run {run.id} has trained on since, so its answers would be mixed. Ask it anew.")
    answers: Answers | None = None
    for step in prepare_answers(run):
        if isinstance(step, Progress):
            yield step
        else:
            answers = step
    assert answers is not None, run.id
    with disk_troubles(), open_loose(job.path, load_limits()) as source:
        entries, refused = source.listing.entries, source.listing.refused
        done, total, clock = _whole_lines(job.answers), len(entries) + len(refused), Clock()
        begun = done
        if not total:
            raise UserMistake("There is no picture in there.")
        with job.answers.open("ab") as file:
            for piece in _pieces(source, entries, refused, done):
                rows = answers.rows(piece)
                file.write(b"".join(json.dumps(_kept(row)).encode() + b"\n" for row in rows))
                file.flush()
                done += len(rows)
                yield Progress("predicting", done, total, clock.seconds_left(done - begun, total - begun))


def _pieces(
    source: Source, entries: Sequence[Entry], refused: Sequence[tuple[str, str]], done: int
) -> Iterator[list[tuple[str, bytes | str]]]:
    """(name, content, or in words why there is none) of the pictures behind the first `done`, a few at a time."""
    piece: list[tuple[str, bytes | str]] = []
    held = 0
    for entry in entries[done:]:
        try:
            content: bytes | str = source.read(entry)
        except Refusal as refusal:
            content = str(refusal)
        piece.append((entry.name, content))
        held += len(content)
        if len(piece) >= AT_ONCE or held >= BYTES_AT_ONCE:
            yield piece
            piece, held = [], 0
    piece += [(name, reason) for name, reason in refused[max(0, done - len(entries)) :]]
    if piece:
        yield piece


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a row of Answers.rows."""
    believed = [
        [one["class"], one["probability"] if one["calibrated"] is None else one["calibrated"]] for one in row["classes"]
    ]
    return {name: row[name] for name in ("file", "none_of_these", "unlike", "error")} | {"classes": believed[:RANKED]}


def _whole_lines(path: Path) -> int:
    """How many answers a file holds; what a killed process has left behind the last one is cut off."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        file.truncate(whole)
    return content.count(b"\n")


def main(folder: Path) -> int:
    """Do the job in this process; the exit code is 0 only where it is done."""
    job = read_prediction(folder.name)
    if job is None:
        return 1

    def work(writer: JobWriter) -> None:
        writer.follow(predict_all(job))

    return 0 if run_job(folder, work) == "done" else 1


if __name__ == "__main__":
    step_aside()
    sys.exit(main(Path(sys.argv[1])))
