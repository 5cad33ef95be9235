"""Adding pictures in a process of its own, so that no page has to stay open: python -m pages.parts.importing JOB_FOLDER

A job is a folder under atelier_home()/imports, each file with one writer: job.json (the page), launch.json (whoever
starts it), progress.json (the process), stop (the page, an empty file: please stop). Pages only read it.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from core.data.sources import clean_name
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.incidents import report_incident
from core.runs.people import Asker
from core.runs.process import ProcessMark, mark_process
from core.settings import atelier_home, load_limits

LIVE = ("starting", "running")
LOST = (
    "The process that added the pictures ended before it was done. Nothing of it is used; the other datasets are "
    "unchanged."
)
DRAFT_SECONDS = 24 * 3600.0  # what was uploaded and not imported stays so long
STARTING_SECONDS = 10.0  # between making a folder and starting its process
KEPT = 20  # finished jobs that stay readable
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class ImportJob:
    """A snapshot of one job, as its files say."""

    id: str
    folder: Path
    name: str  # of the dataset
    kind: str  # "pictures": a zip or folder, "sample": drawn by the program, "cifar10"
    then: str | None  # preset to train when the pictures are there
    created: str
    status: str  # starting, running, done, stopped, refused (the user's mistake), failed, lost
    phase: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    dataset: str | None = None
    run: str | None = None

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def share(self) -> float | None:
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def stop_asked(self) -> bool:
        return (self.folder / "stop").exists()


def imports_root() -> Path:
    return atelier_home() / "imports"


def list_jobs() -> list[ImportJob]:
    """Every readable job, newest first."""
    jobs = []
    for folder in imports_root().glob("*/"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            jobs.append(_read_job(folder))
    return sorted(jobs, key=lambda job: job.created, reverse=True)


def start_import(
    kind: str,
    name: str,
    path: Path | None = None,
    *,
    draft: bool = False,
    then: str | None = None,
    source: str | None = None,
    choices: dict[str, Any] | None = None,
    into: str | None = None,
    asker: Asker | None = None,
) -> str:
    """Start a process that adds pictures and, with `then`, trains that preset on them; returns the job's id.

    `draft`: `path` is our own copy and is deleted at the end. `source`: what the dataset says it came from.
    `choices`: fields of Choices (core/data/choices.py), about the classes of a zip or folder. `into`: the dataset that
    they are added to, as a new version of it. `asker`: who asked for the run.
    A second job beside a live one is a UserMistake.
    """
    jobs = list_jobs()
    for job in jobs:
        if job.live:
            raise UserMistake(f"'{job.name}' is being added right now; wait until it is done, or cancel it first.")
    for job in jobs[KEPT:]:
        shutil.rmtree(job.folder, ignore_errors=True)
    folder = imports_root() / secrets.token_hex(8)
    folder.mkdir(parents=True)
    document = {
        "name": name,
        "kind": kind,
        "path": str(path) if path else None,
        "draft": draft,
        "then": then,
        "source": source,
        "choices": choices or {},
        "into": into,
        "asker": asker.model_dump(mode="json") if asker else None,
        "created": datetime.now(UTC).isoformat(),
    }
    write_json(folder / "job.json", document)
    write_json(folder / "launch.json", launch(folder, "pages.parts.importing", str(folder)).to_json())
    return folder.name


def launch(folder: Path, *arguments: str, **environment: str) -> ProcessMark:
    """Start python -m with these arguments in a process that outlives the server; log.txt in `folder` has its words."""
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=os.environ | {"ATELIER_HOME": str(atelier_home())} | environment,  # relative to where the server began
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # the server may end; what was begun is finished
        )
    return mark_process(process.pid)


def is_at_work(folder: Path, began: float) -> bool:
    """Whether the process of launch.json lives, or may still be about to be started: `began`, in seconds since 1970."""
    try:
        return ProcessMark.from_json(read_json(folder / "launch.json")).is_alive()
    except FileNotFoundError:
        return folder.exists() and time.time() - began < STARTING_SECONDS
    except (OSError, ValueError, KeyError, TypeError):
        return False


def cancel_import(job: ImportJob) -> None:
    (job.folder / "stop").touch()


def forget_job(job: ImportJob) -> None:
    """Remove a finished job's record; the pictures that it added stay."""
    if not job.live:
        shutil.rmtree(job.folder, ignore_errors=True)


def save_upload(upload: BinaryIO, ending: str = ".zip") -> Path:
    """Copy an uploaded file to a name of our own in atelier_home()/uploads, piece by piece. Raises UserMistake."""
    target = _new_draft(ending)
    most, written = load_limits().zip_bytes, 0
    try:
        with target.open("wb") as file:
            while piece := upload.read(2**20):
                written += len(piece)
                if written > most:
                    raise UserMistake(f"The file is larger than {most // 2**20} MB; nothing was kept.")
                file.write(piece)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def save_files(uploads: Sequence[tuple[str, BinaryIO]], draft: Path | None = None) -> Path:
    """Pack uploaded files with their names, such as "pets/cat/1.png", into a zip of our own, or add them to `draft`.

    A name is only ever text in the zip, so that what it says is judged where every zip is. What cannot be packed
    leaves `draft` as it was. Raises UserMistake."""
    limits, target = load_limits(), draft or _new_draft()
    packed = target.with_suffix(".draft")
    try:
        if draft is not None:
            shutil.copyfile(draft, packed)
        with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
            for name, content in uploads:
                archive.writestr(_free_name(archive, clean_name(name)), content.read())
            if len(archive.NameToInfo) > limits.zip_entries:
                raise UserMistake(f"These are more than {limits.zip_entries:,} files; nothing was kept.")
        if packed.stat().st_size > limits.zip_bytes:
            most = limits.zip_bytes // 2**20
            raise UserMistake(f"Together these have more than {most} MB; give the folder's path instead.")
        packed.replace(target)
    finally:
        packed.unlink(missing_ok=True)
    return target


def forget_draft(path: Path) -> None:
    """Delete an upload that will not be imported."""
    if path.parent == atelier_home() / "uploads":
        path.unlink(missing_ok=True)


def _new_draft(ending: str = ".zip") -> Path:
    """A name of our own for what is being received; drafts that nobody imported within a day go."""
    folder = atelier_home() / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > DRAFT_SECONDS:
                path.unlink()
    return folder / f"{secrets.token_hex(8)}{ending}"


def _free_name(archive: zipfile.ZipFile, name: str) -> str:
    """The name, with a number behind it where the zip has one like it: two pasted pictures are both image.png."""
    stem, dot, ending = name.rpartition(".")
    number, free = 2, name
    while free in archive.NameToInfo:
        free, number = f"{stem} ({number}){dot}{ending}" if dot else f"{name} ({number})", number + 1
    return free


def _read_job(folder: Path) -> ImportJob:
    document = read_json(folder / "job.json")
    progress: dict[str, Any] = {"status": "starting"}
    if (folder / "progress.json").exists():
        progress = read_json(folder / "progress.json")
    if progress["status"] in LIVE and not is_at_work(folder, datetime.fromisoformat(document["created"]).timestamp()):
        if (folder / "progress.json").exists():
            progress = read_json(folder / "progress.json")  # it may have finished between the two looks
        if progress["status"] in LIVE:
            progress |= {"status": "lost", "message": LOST}
    kept = {key: document[key] for key in ("name", "kind", "then", "created")}
    return ImportJob(id=folder.name, folder=folder, **kept, **progress)


def _steps(job: dict[str, Any]) -> Iterator[Any]:
    """The generator that does the work, by kind."""
    path = Path(job["path"]) if job["path"] else None
    if job["kind"] == "sample":
        from core.data.samples import import_sample

        return import_sample(job["name"])
    if job["kind"] == "cifar10":
        from core.data.cifar import import_cifar10

        return import_cifar10(path)
    from core.data.dataset import find_dataset, import_dataset

    assert path is not None, job
    from core.data.choices import Choices

    choices = Choices.model_validate(job.get("choices", {}))
    if job.get("into"):
        from core.data.versions import extend_dataset

        return extend_dataset(find_dataset(job["into"]), path, choices)
    return import_dataset(job["name"], path, job.get("source"), choices)


def _train(preset_name: str, dataset: str, asker: Asker | None) -> str:
    from core.config import change_config
    from core.data.store import load_store
    from core.presets import preset
    from core.runs.queue import ensure_supervisor, submit
    from core.runs.run import create_run

    store = load_store(change_config(preset(preset_name), {"data.dataset": dataset}).data)
    config = change_config(preset(preset_name, len(store.parts["train"])), {"data.dataset": dataset})
    run = create_run(config, store.fingerprint, store.classes, asker)
    submit(run)
    ensure_supervisor()
    return run.id


def _warm_up() -> None:
    """The supervisor loads torch while the pictures are read, so that the training starts at once."""
    from core.runs.queue import ensure_supervisor

    ensure_supervisor()


def _known(name: str) -> bool:
    from core.data.dataset import list_datasets

    return name in {dataset.name for dataset in list_datasets()}


def main(folder: Path) -> int:
    """Do the job and say in progress.json how it stands; the exit code is 0 only when it is done."""
    job = read_json(folder / "job.json")
    asker = Asker.model_validate(job["asker"]) if job.get("asker") else None
    told: dict[str, Any] = {"status": "running", "phase": "starting"}
    write_json(folder / "progress.json", told)
    try:
        if job["then"]:
            _warm_up()
        dataset = job["name"]
        if not (job["kind"] == "sample" and _known(dataset)):
            spoken = 0.0
            with contextlib.closing(_steps(job)) as steps:  # type: ignore[type-var]
                for progress in steps:
                    if (folder / "stop").exists():
                        raise _Stopped
                    if progress.dataset is not None:
                        dataset = progress.dataset.name
                    if time.monotonic() - spoken > 0.25:
                        spoken = time.monotonic()
                        told |= {"phase": progress.phase, "done": progress.done, "total": progress.total}
                        told |= {"seconds_left": progress.seconds_left}
                        write_json(folder / "progress.json", told)
        told |= {"dataset": dataset}
        if job["then"]:
            write_json(folder / "progress.json", told | {"phase": "starting the training"})
            told |= {"run": _train(job["then"], dataset, asker)}
        told |= {"status": "done"}
    except _Stopped:
        told |= {"status": "stopped", "message": "Cancelled; nothing was kept."}
    except UserMistake as mistake:
        told |= {"status": "refused", "message": str(mistake)}
    except Exception as error:
        number = report_incident(error)
        what = "The pictures are there, but the training did not start" if "dataset" in told else "This failed"
        told |= {"status": "failed", "message": f"{what} (incident {number}, see the log)."}
    finally:
        if job["draft"] and job["path"]:
            Path(job["path"]).unlink(missing_ok=True)
    write_json(folder / "progress.json", told)
    return 0 if told["status"] == "done" else 1


class _Stopped(Exception):
    pass


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(Path(sys.argv[1])))
