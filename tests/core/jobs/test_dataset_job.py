"""Long work about a dataset as a background job: begun once, cancelled without a trace, its failure kept."""

import pytest

from core.data.duplicates.duplicates import read_duplicates
from core.jobs import dataset_job
from core.jobs.dataset_job import DatasetJob, cancel_dataset_job, main, read_dataset_job, start_dataset_job
from core.runs.process import ProcessMark, mark_process, write_launch
from tests import tiny


@pytest.fixture
def job(home):
    return DatasetJob("duplicates", tiny.add_colours())


@pytest.fixture
def launched(monkeypatch):
    folders = []
    monkeypatch.setattr(dataset_job, "launch_job", lambda folder, *arguments: folders.append((folder, *arguments)))
    return folders


def test_work_that_is_done_leaves_its_result_and_no_folder(job, home):
    job.folder.mkdir(parents=True)
    assert main("duplicates", job.dataset.name, job.folder) == 0
    assert read_duplicates(job.dataset) is not None and read_dataset_job(job) is None
    assert list((home / "jobs").iterdir()) == []


def test_it_is_begun_once_and_again_only_after_a_failure(job, launched):
    start_dataset_job(job)
    start_dataset_job(job)
    assert launched == [(job.folder, "core.jobs.dataset_job", "duplicates", "colours", str(job.folder), "")]
    assert read_dataset_job(job).is_live
    main("duplicates", "nobody", job.folder)
    assert read_dataset_job(job).status == "refused" and "nobody" in read_dataset_job(job).message
    start_dataset_job(job)
    assert len(launched) == 2 and read_dataset_job(job).message == ""


def test_cancelled_it_leaves_nothing(job, launched):
    start_dataset_job(job)
    cancel_dataset_job(job)
    assert read_dataset_job(job).stop_requested
    assert main("duplicates", job.dataset.name, job.folder) == 0
    assert read_dataset_job(job) is None and read_duplicates(job.dataset) is None
    cancel_dataset_job(job)  # it is over
    assert not job.folder.exists()


def test_a_killed_process_is_said_and_a_living_one_is_not(job, launched):
    start_dataset_job(job)
    write_launch(job.folder, mark_process(), role="job")
    assert read_dataset_job(job).is_live
    write_launch(job.folder, ProcessMark(2**22 + 1, "never"), role="job")
    assert (read_dataset_job(job).status, read_dataset_job(job).message) == ("lost", dataset_job.LOST)


def test_work_with_a_run_has_a_folder_of_its_own(job):
    of_run = DatasetJob("map", job.dataset, "mx15vdkoxxvv")
    assert of_run.folder.name == f"{job.dataset.id}-map-mx15vdkoxxvv"
    assert of_run.folder != DatasetJob("map", job.dataset).folder


def test_what_version_0_1_0_left_in_errands_is_in_nobodys_way(job, home, launched):
    left = home / "errands" / f"{job.dataset.id}-copies"
    left.mkdir(parents=True)
    (left / "progress.json").write_text('{"message": "This failed (incident 7F3A09, see the log)."}')
    assert read_dataset_job(job) is None
    start_dataset_job(job)
    assert main("duplicates", job.dataset.name, job.folder) == 0 and read_duplicates(job.dataset) is not None
