"""Imports as background jobs: what is kept of them, one at a time, and the run that follows."""

import pytest

from core.data.datasets.dataset import list_datasets
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.jobs import import_job
from core.jobs.import_job import KEPT, forget_job, imports_root, list_jobs, start_import
from core.runs.process import mark_process, write_launch
from core.runs.requester import Requester, requester_document, requester_in
from tests.pictures import two_classes, write_zip

pytestmark = pytest.mark.usefixtures("home")

ANNA = Requester(session="a" * 16, name="Anna")


@pytest.fixture
def launched(monkeypatch):
    """Instead of starting a process: the folders of which one would work."""
    folders = []
    monkeypatch.setattr(import_job, "launch_job", lambda folder, *_: folders.append(folder))
    return folders


def stored(number: int = 0, **fields):
    """The folder of a job as it may lie on the disk."""
    folder = imports_root() / f"{number:016x}"
    folder.mkdir(parents=True)
    created = f"2026-01-01T00:{number:02}:00+00:00"
    document = {"name": "pets", "kind": "pictures", "path": None, "is_upload": False, "then": None, "source": None}
    document |= {"class_mapping": {}, "into": None, "requester": None, "created": created}
    write_json(folder / "job.json", document | fields)
    return folder


def test_what_was_asked_for_is_what_the_process_reads(launched, tmp_path):
    upload = write_zip(tmp_path / "upload.zip", two_classes(3))
    mapping = {"rename": {"cat": "kitten"}}
    start_import("pictures", "pets", upload, is_upload=True, source="folder", class_mapping=mapping, requester=ANNA)
    (folder,) = launched
    assert requester_in(read_json(folder / "job.json")) == ANNA
    assert list_jobs()[0].is_live and list_jobs()[0].status == "starting"
    assert import_job.main(folder) == 0, read_json(folder / "progress.json")
    (job,) = list_jobs()
    assert (job.status, job.dataset, job.run) == ("done", "pets", None)
    assert (
        not upload.exists()
        and list_datasets()[0].classes == ("dog", "kitten")
        and list_datasets()[0].source == "folder"
    )


def test_a_second_import_waits_for_the_first_one_to_end(launched):
    start_import("sample", "sample-objects")
    with pytest.raises(UserMistake, match="'sample-objects' is being added right now"):
        start_import("cifar10", "cifar10")
    assert len(launched) == 1


def test_of_ended_imports_the_newest_stay_readable(launched):
    for number in range(KEPT + 5):
        write_json(stored(number) / "progress.json", {"status": "done", "dataset": "pets"})
    start_import("sample", "sample-objects")
    assert len(list_jobs()) == KEPT + 1
    assert min(job.created for job in list_jobs()) == "2026-01-01T00:05:00+00:00"


def test_a_refused_import_says_why_and_deletes_its_upload(tmp_path):
    upload = tmp_path / "upload.zip"
    upload.write_bytes(b"no zip at all")
    assert import_job.main(stored(path=str(upload), is_upload=True)) == 1
    assert list_jobs()[0].status == "refused" and list_jobs()[0].message and not upload.exists()


def test_where_only_the_training_fails_the_pictures_are_there(monkeypatch, tmp_path):
    monkeypatch.setattr(import_job, "_start_supervisor", lambda: None)
    monkeypatch.setattr(import_job, "_train", lambda *_: 1 / 0)
    pictures = write_zip(tmp_path / "pets.zip", two_classes(3))
    assert import_job.main(stored(path=str(pictures), then="quick")) == 1
    (job,) = list_jobs()
    assert job.message.startswith("The pictures are there, but the training did not start (incident")
    assert (job.status, job.dataset, job.run) == ("failed", "pets", None) and pictures.exists()
    assert job.phase == "starting the training"


def test_an_import_of_version_0_1_0_is_read(home):
    folder = imports_root() / "0123456789abcdef"
    folder.mkdir(parents=True)
    document = {"name": "pets", "kind": "pictures", "path": None, "draft": False, "then": "quick", "source": None}
    document |= {"choices": {}, "into": None, "asker": requester_document(ANNA), "created": "2026-01-01T00:00:00+00:00"}
    write_json(folder / "job.json", document)
    write_json(folder / "launch.json", {"pid": 2**22 + 1, "started": "never"})
    progress = {"status": "running", "phase": "reading", "done": 3, "total": 9, "seconds_left": None}
    write_json(folder / "progress.json", progress)
    (job,) = list_jobs()
    assert (job.status, job.then, job.done, job.total) == ("lost", "quick", 3, 9)
    assert requester_in(document) == ANNA
    forget_job(job)
    assert list_jobs() == []


def test_a_live_import_is_not_forgotten():
    write_launch(stored(), mark_process(), role="job")
    forget_job(list_jobs()[0])
    assert len(list_jobs()) == 1
