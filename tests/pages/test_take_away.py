"""Try-It, Take it away: offered, at work, ready, and a network whose files are gone."""

import pytest

from core.export.pack import packed_path
from core.jobs import export_job
from core.jobs.export_job import export_folder, read_export_job
from core.jobs.job import JobWriter
from core.runs.process import mark_process, write_launch
from tests.app import open_page, said, widget


@pytest.fixture
def launched(monkeypatch):
    folders = []
    monkeypatch.setattr(export_job, "launch_job", lambda folder, *words: folders.append(words))
    return folders


def test_a_click_starts_it_and_its_progress_is_shown(tiny_run, launched):
    app = open_page("pages/try_it.py", run=tiny_run.id)
    widget(app, "take-away-start").click().run()
    assert launched == [("core.jobs.export_job", tiny_run.id, str(export_folder(tiny_run.id)))]
    write_launch(export_folder(tiny_run.id), mark_process(), role="job")
    JobWriter(export_folder(tiny_run.id)).write(status="running", phase="writing ONNX", done=3, total=6)
    app = open_page("pages/try_it.py", run=tiny_run.id)
    assert "You may close this: it goes on." in said(app) and not app.exception
    widget(app, "take-away-cancel").click().run()
    assert read_export_job(tiny_run.id).stop_requested


def test_what_is_packed_is_downloaded(tiny_run):
    packed_path(tiny_run).parent.mkdir(parents=True)
    packed_path(tiny_run).write_bytes(b"zip")
    app = open_page("pages/try_it.py", run=tiny_run.id)
    assert "README.md in it says how each file is used." in said(app) and not app.exception


def test_why_it_failed_is_said(tiny_run):
    export_folder(tiny_run.id).mkdir(parents=True)
    JobWriter(export_folder(tiny_run.id)).write(status="failed", message="This failed (incident 7F3A09, see the log).")
    app = open_page("pages/try_it.py", run=tiny_run.id)
    assert any("incident 7F3A09" in error.value for error in app.error) and not app.exception
