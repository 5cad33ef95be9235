"""Adding pictures as a background job, and training on them if it was asked for.

python -m core.jobs.import_job JOB_FOLDER

Its folder is atelier_home()/imports/<id>: job.json, what was asked for, and the files of every job (core/jobs/job.py).
"""

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.disk import read_json, write_json
from core.documents import read_document
from core.errors import UserMistake
from core.jobs.job import JobStatus, JobWriter, launch_job, read_fields, read_status, run_job, start_lock
from core.people import OWNER, Person, ask_who, must_be_own
from core.progress import Progress
from core.runs.process import request_stop
from core.runs.requester import Requester, owner_of, requester_document, requester_in, requester_now
from core.settings import atelier_home

LOST = (
    "The process that added the pictures ended before it was done. Nothing of it is used; the other datasets are "
    "unchanged."
)
KEPT = 20  # ended jobs that stay readable


@dataclass(frozen=True, kw_only=True)
class ImportJob(JobStatus):
    """An import as it was when it was read."""

    id: str
    folder: Path
    name: str  # of the dataset
    kind: str  # "pictures": a zip or folder; "sample": drawn by the program; "cifar10"
    then: str | None  # name of the preset to train with when the pictures are there
    created: str  # ISO 8601, UTC
    dataset: str | None = None  # name of the one that was added
    run: str | None = None  # id of the one that was submitted
    owner: Person | None = None  # whose it is; None: the owner of the store


class _JobDocument(BaseModel):
    """What pages read of job.json."""

    name: str
    kind: str
    then: str | None
    created: str
    requester: Requester | None = None


def imports_root() -> Path:
    return atelier_home() / "imports"


def list_jobs() -> list[ImportJob]:
    """Every readable import, newest first."""
    jobs = []
    for folder in imports_root().glob("*/"):
        with contextlib.suppress(OSError, UserMistake):  # gone meanwhile, or damaged: it says nothing of any dataset
            jobs.append(_read_job(folder))
    return sorted(jobs, key=lambda job: job.created, reverse=True)


def start_import(
    kind: str,
    name: str,
    path: Path | None = None,
    *,
    is_upload: bool = False,
    then: str | None = None,
    source: str | None = None,
    class_mapping: dict[str, Any] | None = None,
    into: str | None = None,
    requester: Requester | None = None,
) -> str:
    """Start a process that adds pictures and, with `then`, submits a run of that preset on them; returns the job's id.

    `is_upload`: `path` is our own copy and is deleted at the end. `source`: Dataset.source. `class_mapping`: fields of
    ClassMapping, for the classes of a zip or folder. `into`: the dataset of which this becomes a new version.
    `requester`: who asked for the run. UserMistake while another import is live.
    """
    document = {
        "name": name,
        "kind": kind,
        "path": str(path) if path else None,
        "is_upload": is_upload,
        "then": then,
        "source": source,
        "class_mapping": class_mapping or {},
        "into": into,
        "requester": requester_document(requester_now(requester)),
        "created": datetime.now(UTC).isoformat(),
    }
    with start_lock(imports_root()):
        _must_be_the_only_one()
        folder = imports_root() / secrets.token_hex(8)
        folder.mkdir(parents=True)
        write_json(folder / "job.json", document)
        launch_job(folder, "core.jobs.import_job", str(folder))
    return folder.name


def _must_be_the_only_one() -> None:
    """UserMistake while an import is live; removes the oldest of the others."""
    jobs = list_jobs()
    for job in jobs:
        if job.is_live:
            raise UserMistake(f"'{job.name}' is being added right now; wait until it is done, or cancel it first.")
    for job in jobs[KEPT:]:
        shutil.rmtree(job.folder, ignore_errors=True)


def cancel_import(job: ImportJob) -> None:
    must_be_own(job.owner, f"What is added as {job.name!r}")
    request_stop(job.folder)


def forget_job(job: ImportJob) -> None:
    """Remove the folder of an import that has ended; the pictures that it added stay."""
    if not job.is_live:
        shutil.rmtree(job.folder, ignore_errors=True)


def _read_job(folder: Path) -> ImportJob:
    document, status = read_document(folder / "job.json", _JobDocument), read_status(folder, LOST)
    fields = read_fields(folder)
    dataset, run = (value if isinstance(value := fields.get(name), str) else None for name in ("dataset", "run"))
    asked = document.model_dump(exclude={"requester"}) | {"owner": owner_of(document.requester)}
    return ImportJob(id=folder.name, folder=folder, dataset=dataset, run=run, **asked, **asdict(status))


# --------------------------------------------------------------------------------------------- in the process


def main(folder: Path) -> int:
    """Do the job in this process; the exit code is 0 only where it is done."""
    document = read_json(folder / "job.json")
    owner = owner_of(requester_in(document)) or OWNER
    ask_who(lambda: owner)

    def work(writer: JobWriter) -> None:
        try:
            _import_and_train(document, writer)
        finally:
            if document["is_upload"] and document["path"]:
                Path(document["path"]).unlink(missing_ok=True)

    return 0 if run_job(folder, work) == "done" else 1


def _import_and_train(document: dict[str, Any], writer: JobWriter) -> None:
    then = document["then"]
    writer.write(phase="starting")
    if then:
        _start_supervisor()  # it loads torch while the pictures are read, so that the training starts at once
    dataset = document["name"]
    if not (document["kind"] == "sample" and _is_known(dataset)):
        last = writer.follow(_steps(document))
        if last is not None and last.dataset is not None:
            dataset = last.dataset.name
    writer.write(dataset=dataset)
    if then:
        writer.failure = "The pictures are there, but the training did not start"
        writer.write(phase="starting the training")
        writer.write(run=_train(then, dataset, requester_in(document)))


def _steps(document: dict[str, Any]) -> Iterator[Progress]:
    """The generator that does the work, by kind."""
    path = Path(document["path"]) if document["path"] else None
    if document["kind"] == "sample":
        from core.data.imports.samples import import_sample

        return import_sample(document["name"])
    if document["kind"] == "cifar10":
        from core.data.imports.cifar10 import import_cifar10

        return import_cifar10(path)
    assert path is not None, document
    return _picture_steps(document, path)


def _picture_steps(document: dict[str, Any], path: Path) -> Iterator[Progress]:
    from core.data.datasets.dataset import find_dataset
    from core.data.imports.class_mapping import ClassMapping
    from core.data.imports.pipeline import import_dataset
    from core.data.versions.extending import extend_dataset

    mapping = ClassMapping.model_validate(document["class_mapping"])
    if document["into"]:
        return extend_dataset(find_dataset(document["into"]), path, mapping)
    return import_dataset(document["name"], path, document["source"], mapping)


def _train(preset_name: str, dataset: str, requester: Requester | None) -> str:
    """Submit a run of the preset on the dataset; its id."""
    from core.runs.queue import submit
    from core.submit import choose_config, create_checked_run, prepare_pictures

    config = choose_config(preset_name, dataset, {})
    for _ in prepare_pictures(config):
        pass
    run = create_checked_run(config, requester)
    submit(run)
    _start_supervisor()
    return run.id


def _start_supervisor() -> None:
    from core.runs.queue import ensure_supervisor

    ensure_supervisor()


def _is_known(name: str) -> bool:
    from core.data.datasets.dataset import list_datasets

    return name in {dataset.name for dataset in list_datasets()}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(Path(sys.argv[1])))
