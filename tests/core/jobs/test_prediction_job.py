"""Many pictures asked of a run: stopped and gone on with, each answered once, sorted into folders."""

import json
import zipfile

import pytest

from core.errors import UserMistake
from core.inference.predictor import load_predictor
from core.jobs import prediction_job as jobs
from core.jobs.job import run_job
from core.runs.process import request_stop
from tests import tiny
from tests.pictures import write_zip
from tests.waiting import wait_until


@pytest.fixture
def pack(trained_home, tmp_path):
    """150 pictures of two colours in one folder, and a file that is none."""
    members = [(f"all/{name.replace('/', '-')}", content) for name, _, _, content in tiny.colour_pictures(each=75)]
    return write_zip(tmp_path / "pack.zip", [*members, ("all/zz.txt", b"no picture")])


@pytest.fixture
def job(pack, tiny_run, monkeypatch):
    """A job whose work the test does itself."""
    monkeypatch.setattr(jobs, "launch_job", lambda *words, **environment: None)
    found = jobs.read_prediction(jobs.start_prediction(tiny_run.id, pack, "my pack", is_upload=False))
    assert found is not None
    return found


def files(job):
    return [row["file"] for row in jobs.read_answers(job)]


def test_every_picture_is_answered_as_the_predictor_does(job, tiny_run):
    steps = list(jobs.predict_all(job))
    assert (steps[-1].phase, steps[-1].done, steps[-1].total) == ("predicting", 151, 151)
    rows = {row["file"]: row for row in jobs.read_answers(job)}
    assert len(rows) == 151 and "not a picture" in rows["all/zz.txt"]["error"]
    for name, _, _, content in tiny.colour_pictures(each=4):
        (answer,) = load_predictor(tiny_run).predict([(name, content)])
        assert rows[f"all/{name.replace('/', '-')}"]["classes"][0][0] == answer.classes[0][0]


def test_what_was_stopped_goes_on_behind_the_last_whole_answer(job):
    steps = jobs.predict_all(job)
    while next(steps).phase != "predicting":
        pass
    steps.close()
    first = files(job)
    assert len(first) == jobs.AT_ONCE
    with job.answers.open("ab") as file:
        file.write(b'{"file": "half')  # a process that was killed while it wrote
    assert files(job) == first
    list(jobs.predict_all(job))
    assert len(files(job)) == len(set(files(job))) == 151 and files(job)[: len(first)] == first


def test_a_stop_keeps_what_was_answered(job):
    request_stop(job.folder)
    assert run_job(job.folder, lambda writer: writer.follow(jobs.predict_all(job))) == "stopped"
    assert not jobs.read_prediction(job.id).status.is_live


def test_pictures_are_sorted_into_a_folder_for_each_answer(job):
    list(jobs.predict_all(job))
    answers = {row["file"]: jobs.answer_of(row) for row in jobs.read_answers(job)}
    with zipfile.ZipFile(jobs.pack_sorted(job)) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names)) == 150
    for name in names:
        folder, file = name.split("/")
        assert answers[f"all/{file}"] == folder


def test_a_run_that_trained_on_is_not_mixed(job):
    document = json.loads((job.folder / "job.json").read_text())
    (job.folder / "job.json").write_text(json.dumps(document | {"weights": "0" * 64}))
    with pytest.raises(UserMistake, match="trained on since"):
        list(jobs.predict_all(job))


@pytest.mark.parametrize("typed", ["", "../../etc", "0" * 16, "x" * 16])
def test_what_somebody_types_into_the_address_is_no_job(home, typed):
    assert jobs.read_prediction(typed) is None


@pytest.mark.slow
def test_the_process_answers_by_itself(pack, tiny_run):
    job_id = jobs.start_prediction(tiny_run.id, pack, "my pack", is_upload=False)
    wait_until(lambda: not jobs.read_prediction(job_id).status.is_live)
    job = jobs.read_prediction(job_id)
    assert job.status.status == "done" and len(files(job)) == 151
    jobs.forget_prediction(job)
    assert jobs.read_prediction(job_id) is None and pack.exists()
