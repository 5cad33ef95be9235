"""Many pictures, on Try-It: more than a few are answered by a job, into a table, a CSV and a zip sorted by answer."""

import io
import json
import zipfile

import pytest

from core.jobs import prediction_job as jobs
from pages.parts.try_it.given import AT_ONCE
from pages.parts.try_it.many import answers_csv
from tests import tiny
from tests.app import open_page, said
from tests.pictures import write_zip


@pytest.fixture
def zipped(tmp_path):
    """Thirty pictures and a file that is none."""
    members = [(name, content) for name, _, _, content in tiny.colour_pictures(each=15)]
    return write_zip(tmp_path / "many.zip", [*members, ("zz.txt", b"no picture")])


@pytest.fixture
def at_once(monkeypatch):
    """The work of a job is done in this process, when it is started."""
    monkeypatch.setattr(jobs, "launch_job", lambda folder, *words, **environment: jobs.main(folder))


def the_job():
    (folder,) = [path for path in jobs.predictions_root().iterdir() if path.is_dir()]
    return jobs.read_prediction(folder.name)


def test_a_zip_of_many_is_answered_into_a_table(trained_home, zipped, at_once):
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("many.zip", zipped.read_bytes()).run()
    assert f"The first {AT_ONCE} are answered below" in said(app)
    app.button(key="many.go").click().run()
    assert not app.exception and not app.error
    (table,) = app.dataframe
    assert list(table.value.columns) == ["picture", "answer", "sure", "unlike", "file", "why not"]
    assert len(table.value) == 31 and table.value["sure"].dropna().is_monotonic_increasing
    assert table.value["file"].iloc[-1] == "zz.txt" and "not a picture" in table.value["why not"].iloc[-1]
    app.selectbox(key="many.only").set_value("blue").run()
    assert set(app.dataframe[0].value["answer"]) == {"blue"}


def test_single_pictures_are_packed_and_answered(trained_home, at_once):
    app = open_page("pages/try_it.py")
    for name, _, _, content in tiny.colour_pictures(each=13):
        app.file_uploader(key="pictures").upload(name.replace("/", "-"), content)
    app.run()
    assert any(button.label == "Answer all 26 pictures" for button in app.button)
    app.button(key="many.go").click().run()
    assert len(app.dataframe[0].value) == 26 and not app.exception


def test_a_folder_on_this_machine_is_answered_where_it_is(trained_home, zipped, at_once, tmp_path):
    (trained_home / "limits.json").write_text(json.dumps({"import_roots": [str(tmp_path)]}))
    app = open_page("pages/try_it.py")
    app.text_input(key="many.path").set_value(str(zipped)).run()
    app.button(key="many.path.go").click().run()
    assert len(app.dataframe[0].value) == 31 and not app.exception
    app.button(key="many.close").click().run()
    assert not app.dataframe and not app.exception and zipped.exists()


def test_a_path_outside_of_what_pages_may_read_is_refused(trained_home, tmp_path):
    (trained_home / "limits.json").write_text(json.dumps({"import_roots": [str(tmp_path / "only")]}))
    app = open_page("pages/try_it.py")
    app.text_input(key="many.path").set_value("/etc").run()
    app.button(key="many.path.go").click().run()
    assert any("Pages read from" in box.value for box in app.warning) and not app.exception


def test_what_was_stopped_goes_on_where_it_was(trained_home, tiny_run, zipped, monkeypatch):
    monkeypatch.setattr(jobs, "launch_job", lambda *words, **environment: None)
    job_id = jobs.start_prediction(tiny_run.id, zipped, "many.zip", is_upload=False)
    job = the_job()
    (job.folder / "progress.json").write_text(json.dumps({"status": "stopped"}))
    app = open_page("pages/try_it.py", many=job_id)
    assert "Stopped; what was answered is kept" in said(app)
    monkeypatch.setattr(jobs, "launch_job", lambda folder, *words, **environment: jobs.main(folder))
    app.button(key="many.resume").click().run()
    assert len(app.dataframe[0].value) == 31 and not app.exception


def test_the_pictures_can_be_taken_along_sorted_and_the_answers_as_a_table(trained_home, tiny_run, zipped, at_once):
    job_id = jobs.start_prediction(tiny_run.id, zipped, "many.zip", is_upload=False)
    app = open_page("pages/try_it.py", many=job_id)
    app.button(key="many.sort").click().run()
    with zipfile.ZipFile(io.BytesIO((the_job().folder / "sorted.zip").read_bytes())) as archive:
        assert len(archive.namelist()) == 30
    lines = answers_csv(jobs.read_answers(the_job())).decode("utf-8-sig").splitlines()
    assert len(lines) == 32 and lines[0] == "file,answer,probability,none of these,unlike,error"
    assert not app.exception and not app.error
