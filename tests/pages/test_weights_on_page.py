"""Fetching weights from a page: in a process of its own, told, cancelled, and its failure in one sentence."""

import pytest

from core.backbones.catalogue import PUBLISHED
from core.backbones.registry import read_backbone
from core.disk import write_json
from core.jobs.weights_job import cancel_weights_job, read_weights_job, start_weights_job
from core.runs.process import mark_process
from core.settings import downloads_root, weights_root
from tests.backbones import SMALL, published_file
from tests.waiting import wait_until


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return tmp_path


def launched(mark):
    folder = weights_root() / ".fetching" / SMALL
    folder.mkdir(parents=True)
    write_json(folder / "launch.json", mark.to_json() | {"path": ""})
    return folder


def wait_for(name):
    wait_until(lambda: not ((known := read_weights_job(name)) and known.is_live))
    return read_weights_job(name)


def test_nobody_fetches_what_nobody_asked_for(home):
    assert read_weights_job(SMALL) is None


def test_the_part_that_came_says_how_far_it_is(home):
    launched(mark_process())
    downloads_root().mkdir(parents=True)
    (downloads_root() / f"{PUBLISHED[SMALL].file}.partial").write_bytes(b"x" * 700)
    known = read_weights_job(SMALL)
    assert known.is_live and known.done == 700


def test_a_process_that_ended_leaves_its_last_line_as_the_reason(home):
    folder = launched(mark_process(1_000_000_000))
    (folder / "log.txt").write_text("checking\nhost cannot be reached. Or bring FILE.\n")
    known = read_weights_job(SMALL)
    assert not known.is_live and known.message == "host cannot be reached. Or bring FILE."
    (folder / "log.txt").write_text(f"{SMALL}: 10.0 MB, checked\n")
    assert read_weights_job(SMALL) is None and not folder.exists()


def test_cancel_forgets_a_fetch_that_is_over(home):
    folder = launched(mark_process(1_000_000_000))
    cancel_weights_job(SMALL)
    assert not folder.exists()


@pytest.mark.slow
def test_an_uploaded_file_becomes_weights_and_is_deleted(home):
    upload = home / "upload.pth"
    upload.write_bytes(published_file())
    start_weights_job(SMALL, upload)
    assert wait_for(SMALL) is None and read_backbone(SMALL).origin == "file" and not upload.exists()


@pytest.mark.slow
def test_an_upload_that_is_none_has_its_sentence(home):
    upload = home / "upload.pth"
    upload.write_bytes(b"no weights")
    start_weights_job(SMALL, upload)
    assert "upload.pth" in wait_for(SMALL).message and not upload.exists()
