"""Catalogue: says what list_runs() says, and reads again only what has changed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from core.config import RunConfig
from core.runs import index as module
from core.runs.actions import ask_to_stop, create_run, delete_run, hide_run, rename_run, restore_run
from core.runs.index import RunIndex
from core.runs.run import list_runs, open_run
from core.settings import runs_root
from tests.core.runs.test_run import WORKER
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Ids of the runs that were read, in the order of reading."""
    ids: list[str] = []
    monkeypatch.setattr(module, "open_run", lambda folder: ids.append(folder.name) or open_run(folder))
    return ids


def ended_run():
    run = create_run(RunConfig(), "f" * 64, ("noir", "cartoon"))
    ask_to_stop(run)
    return open_run(run.folder)


def grow_old(run) -> None:
    """Nothing has changed in its folder for a minute."""
    os.utime(run.folder, ns=(time.time_ns() - 60 * 10**9,) * 2)


def test_only_what_has_changed_is_read_again(read):
    runs = [ended_run() for _ in range(3)]
    for run in runs:
        grow_old(run)
    catalogue = RunIndex(runs_root())
    assert catalogue.runs() == list_runs() and len(read) == 3
    read.clear()
    assert catalogue.runs() == list_runs() and read == []
    rename_run(runs[1], "the best")
    assert catalogue.runs() == list_runs() and read == [runs[1].id]


def test_two_changes_within_one_stamp_of_the_disk_are_both_seen():
    run = ended_run()
    catalogue = RunIndex(runs_root())
    moment = time.time_ns()
    for title in ("one", "two", "three"):
        rename_run(run, title)
        os.utime(run.folder, ns=(moment, moment))
        assert [known.title for known in catalogue.runs()] == [title]


def test_runs_that_come_and_go_are_followed():
    catalogue = RunIndex(runs_root())
    assert catalogue.runs() == []
    first, second = ended_run(), ended_run()
    assert {run.id for run in catalogue.runs()} == {first.id, second.id}
    delete_run(first)
    assert [run.id for run in catalogue.runs()] == [second.id]
    restore_run(first.id)
    hide_run(second)
    assert catalogue.runs() == list_runs()
    shutil.rmtree(runs_root())
    assert catalogue.runs() == []


def test_a_damaged_folder_is_left_out_until_it_is_whole_again():
    run = ended_run()
    content = (run.folder / "config.json").read_bytes()
    catalogue = RunIndex(runs_root())
    (run.folder / "config.json").write_bytes(content[:50])
    assert catalogue.runs() == []
    (run.folder / "config.json").write_bytes(content)
    grow_old(run)
    assert catalogue.runs() == [run]


def test_a_worker_that_dies_is_noticed_although_no_file_has_changed():
    run = create_run(RunConfig(), "f" * 64, ("noir", "cartoon"))
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(run.folder)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "ready\n"
    grow_old(run)
    catalogue = RunIndex(runs_root())
    assert catalogue.runs()[0].state.status == "running"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    wait_until(lambda: catalogue.runs()[0].state.status == "lost")


def test_a_caller_on_a_clock_gets_what_was_found_a_moment_ago():
    catalogue = RunIndex(runs_root())
    assert catalogue.runs(seconds=60.0) == []  # nothing was found before
    run = ended_run()
    assert catalogue.runs(seconds=60.0) == []
    assert catalogue.runs() == [run] == catalogue.runs(seconds=60.0)
