"""The folder of a background job: started, followed, stopped, failed, lost; and what its readers make of it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.disk import read_json, write_json
from core.errors import UserMistake
from core.jobs.job import JobStatus, JobWriter, StopRequested, has_process, launch_job, read_status, run_job, start_lock
from core.progress import Progress
from core.runs.process import ProcessMark, mark_process, request_stop, write_launch
from tests.waiting import wait_until

GONE = ProcessMark(2**22 + 1, "never")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    folder = tmp_path / "jobs" / "one"
    folder.mkdir(parents=True)
    return folder


def steps(count: int = 3, closed: list | None = None) -> Iterator[Progress]:
    try:
        for done in range(1, count + 1):
            yield Progress("reading", done, count, None)
    finally:
        if closed is not None:
            closed.append(True)


def read(folder: Path) -> JobStatus:
    return read_status(folder, lost="It is gone.")


def test_a_job_that_is_done_says_so_and_how_far_it_was(folder):
    assert run_job(folder, lambda writer: writer.follow(steps())) == "done"
    status = read(folder)
    assert (status.status, status.phase, status.total, status.is_live) == ("done", "reading", 3, False)


def test_while_it_is_live_its_progress_is_read(folder):
    write_launch(folder, mark_process(), role="job")
    JobWriter(folder).write(status="running", phase="saving", done=1, total=4, seconds_left=9.0)
    assert read(folder) == JobStatus("running", "saving", 1, 4, 9.0)
    assert read(folder).is_live and read(folder).share == 0.25


def test_a_job_that_is_asked_to_stop_closes_its_work(folder):
    request_stop(folder)
    closed = []
    assert run_job(folder, lambda writer: writer.follow(steps(closed=closed))) == "stopped"
    assert closed == [True] and read(folder).stop_requested and "Cancelled" in read(folder).message
    with pytest.raises(StopRequested):
        JobWriter(folder).follow(steps())


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserMistake("There is no such dataset."), "refused", "There is no such dataset."),
        (KeyError(1), "failed", "incident"),
    ],
)
def test_a_mistake_is_a_refusal_and_a_fault_has_its_incident(folder, tmp_path, error, status, message):
    def work(writer: JobWriter) -> None:
        writer.write(dataset="pets")
        raise error

    assert run_job(folder, work) == status
    assert message in read(folder).message and "Traceback" not in read(folder).message
    assert read_json(folder / "progress.json")["dataset"] == "pets"
    assert (tmp_path / "log" / "incidents.jsonl").exists() is (status == "failed")


def test_a_job_whose_process_is_gone_is_lost_unless_it_wrote_its_end(folder):
    write_launch(folder, GONE, role="job")
    JobWriter(folder).write(status="running", phase="reading", done=1, total=3)
    assert (read(folder).status, read(folder).message, read(folder).done) == ("lost", "It is gone.", 1)
    JobWriter(folder).write(status="done")
    assert read(folder) == JobStatus("done")


def test_without_a_process_a_job_may_be_about_to_start_for_ten_seconds(folder):
    assert has_process(folder) and read(folder).status == "starting"
    os.utime(folder, (time.time() - 11, time.time() - 11))
    assert not has_process(folder) and read(folder).status == "lost"
    assert not has_process(folder / "gone")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"pid": null, "started": ""}', "own id, other start"])
def test_a_launch_that_is_damaged_or_of_another_process_is_no_process(folder, content):
    (folder / "launch.json").write_text(content)
    if content.startswith("own"):
        write_json(folder / "launch.json", {"pid": os.getpid(), "started": psutil.Process().create_time()})
    assert not has_process(folder)


def test_damaged_or_unknown_progress_is_read_as_far_as_it_goes(folder):
    write_launch(folder, mark_process(), role="job")
    (folder / "progress.json").write_text('{"status": "runn')
    assert read(folder) == JobStatus("starting")
    write_json(folder / "progress.json", {"status": "running", "of a later version": 1})
    assert read(folder) == JobStatus("running")


def test_a_launched_process_works_in_the_same_home_and_leaves_its_words(folder, tmp_path):
    launch_job(folder, "core", "data", "add", "sample-objects", "--from", "nowhere")
    wait_until(lambda: not has_process(folder))
    assert read_json(folder / "launch.json")["role"] == "job" and (folder / "log.txt").read_text().strip()


def test_a_killed_process_is_noticed(folder):
    code = "import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        write_launch(folder, mark_process(process.pid), role="job")
        assert read(folder).is_live
        process.kill()
    assert read(folder).status == "lost"


def test_a_folder_from_the_future_is_no_job_that_is_about_to_start(folder):
    assert has_process(folder)
    os.utime(folder, (time.time() + 3600,) * 2)  # the clock was set back since then
    assert not has_process(folder)


def test_who_starts_jobs_waits_for_another_who_does(folder):
    order: list[str] = []

    def start(name: str) -> None:
        with start_lock(folder):
            order.append(f"{name} begins")
            time.sleep(0.05)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=start, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line.split()[1] for line in order] == ["begins", "ends"] * 4
