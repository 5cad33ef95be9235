"""The supervisor: real processes that are killed, raced, stopped and outlived."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.config import RunConfig
from core.data.store.store import read_fingerprint
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.experiments.ablation.actions import create_experiment
from core.experiments.ablation.components import find_components
from core.experiments.ablation.experiment import open_experiment
from core.experiments.ablation.spec import plan_experiment
from core.experiments.sweeps.actions import create_sweep, stop_sweep
from core.experiments.sweeps.ranges import range_for
from core.experiments.sweeps.spec import plan_sweep
from core.jobs.supervisor import _run_child
from core.runs.actions import ask_to_stop, create_run, resume_run
from core.runs.queue import (
    ensure_supervisor,
    find_supervisor,
    move_in_queue,
    queue_position,
    stop_supervisor,
    submit,
    waiting_runs,
)
from core.runs.queue_entries import waiting_ids
from core.runs.run import read_run
from core.settings import home_trouble
from tests import tiny
from tests.waiting import is_alive, wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    yield tmp_path
    stop_supervisor()


def new_run():
    return create_run(RunConfig(), "f" * 64, ("noir", "cartoon"))


def submitted():
    run = new_run()
    submit(run)
    return run


def supervisor(worker: str = "count", idle_seconds: float = 600.0):
    return ensure_supervisor(f"tests.tiny_worker.{worker}", idle_seconds)


def wait_for(run, *statuses: str):
    """The state of `run` as soon as it is one of `statuses`, with a step done where it runs."""

    def reached():
        state = read_run(run.id).state
        return state if state.status in statuses and (state.status != "running" or state.step) else None

    return wait_until(reached, lambda: (read_run(run.id).state, statuses, read_run(run.id).log()))


def wait_for_message(run, message: str):
    """Until a lost run says so; a reader knows earlier that it is lost than why."""
    wait_until(lambda: message in wait_for(run, "lost").message, lambda: read_run(run.id).state.message)


def worker_pid(run) -> int:
    return read_json(run.folder / "launch.json")["pid"]


def gone(pid: int) -> bool:
    return wait_until(lambda: not is_alive(pid))


def test_waiting_runs_keep_their_order_and_can_be_moved():
    runs = [submitted() for _ in range(3)]
    assert [run.id for run in waiting_runs()] == [run.id for run in runs]
    move_in_queue(runs[2], 1)
    assert [queue_position(run) for run in runs] == [2, 3, 1]
    assert submit(runs[2]) == 1  # again: nothing changes
    ask_to_stop(runs[0])
    assert [run.id for run in waiting_runs()] == [runs[2].id, runs[1].id] and queue_position(runs[0]) is None
    move_in_queue(runs[0], 1)  # too late
    assert len(waiting_ids()) == 2


def test_a_full_queue_refuses_in_words_and_keeps_nothing(home):
    write_json(home / "limits.json", {"queue_length": 2})
    submitted()
    submitted()
    refused = new_run()
    with pytest.raises(UserMistake, match="The queue is full: 2 waiting, 2 may wait"):
        submit(refused)
    assert not refused.folder.exists()


def test_a_submitted_run_outlives_who_asked_for_it_and_one_that_was_not_is_lost():
    code = (
        "from core.config import RunConfig\n"
        "from core.runs.actions import create_run\n"
        "from core.runs.queue import submit\n"
        "a, b = (create_run(RunConfig(), 'f', ('a', 'b')) for _ in '12'); submit(a); print(a.id, b.id)"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    waiting, forgotten = output.split()
    assert read_run(waiting).state.status == "queued"
    assert read_run(forgotten).state.status == "lost" and "never started" in read_run(forgotten).state.message


def test_runs_are_trained_one_at_a_time_and_in_order():
    runs = [submitted() for _ in range(3)]
    handle = supervisor("finish")
    ends = [wait_for(run, "done") for run in runs]
    assert ends[0].updated < ends[1].updated < ends[2].updated
    assert handle.is_alive() and ensure_supervisor() == handle  # one supervisor, however often it is asked for


def test_a_running_run_stops_when_asked_and_a_waiting_one_never_starts():
    first, second, third = submitted(), submitted(), submitted()
    supervisor()
    wait_for(first, "running")
    assert "cancelled" in ask_to_stop(second)
    assert "asked to stop" in ask_to_stop(first)
    assert wait_for(first, "stopped").step >= 1
    wait_for(third, "running")
    assert read_run(second.id).state.status == "stopped" and not (second.folder / "log.txt").exists()
    assert "step 1" in read_run(first.id).log()


def test_a_killed_worker_is_noticed_and_the_next_run_starts():
    first, second = submitted(), submitted()
    supervisor()
    wait_for(first, "running")
    os.kill(worker_pid(first), signal.SIGKILL)
    assert "killed" in wait_for(first, "lost").message
    wait_for(second, "running")
    stored = read_json(first.folder / "state.json")
    assert stored["status"] == "lost" and first.rows()


@pytest.mark.parametrize(("worker", "message"), [("crash", "SIGABRT"), ("leave", "exit code 1")])
def test_a_worker_that_ends_without_a_word_is_lost_with_the_reason(worker, message):
    run = submitted()
    supervisor(worker)
    wait_for_message(run, message)
    assert ("about to crash" if worker == "crash" else "RuntimeError: the reason") in read_run(run.id).log()


def test_a_halted_worker_is_noticed_and_ended_when_asked_to_stop_and_the_next_run_starts(home):
    write_json(home / "limits.json", {"silence_seconds": 0.5, "silence_stop_seconds": 1})
    first, second = submitted(), submitted()
    supervisor()
    wait_for(first, "running")
    halted = worker_pid(first)
    os.kill(halted, signal.SIGSTOP)
    wait_until(lambda: read_run(first.id).state.unresponsive_seconds)
    assert "has not responded for" in read_run(first.id).state.message
    ask_to_stop(first)
    state = wait_for(first, "stopped")
    assert "did not respond when it was asked to stop, so it was ended. Nothing had been saved yet." in state.message
    wait_for(second, "running")
    assert gone(halted) and read_run(first.id).rows()


def test_a_worker_that_waits_for_ever_is_ended_and_its_run_is_lost(home):
    write_json(home / "limits.json", {"silence_end_seconds": 1.5})
    run = submitted()
    supervisor("hang")
    wait_for_message(run, "Training had not responded for 2 seconds, so it was ended.")


def test_a_worker_that_does_not_stop_speaking_keeps_the_beginning_and_the_end_of_its_log(home):
    write_json(home / "limits.json", {"run_log_bytes": 100_000})
    run = submitted()
    supervisor("shout")
    wait_for(run, "done")
    output = (run.folder / "log.txt").read_text().splitlines()
    assert (run.folder / "log.txt").stat().st_size < 100_000
    assert output[0].startswith("line 0 ") and output[-2].startswith("line 999 ") and output[-1] == "the last words"
    assert sum("bytes were left out here" in line for line in output) == 1


def test_after_an_update_the_next_run_is_trained_by_the_new_program(tmp_path, monkeypatch):
    program = tmp_path / "program"
    for part in ("core", "tests"):
        shutil.copytree(ROOT / part, program / part, ignore=shutil.ignore_patterns("__pycache__", "e2e"))

    def there(code: str) -> str:
        head = "import sys; from core.runs.queue import ensure_supervisor; from core.runs.queue import *\n"
        output = subprocess.run([sys.executable, "-c", head + code], cwd=program, capture_output=True, text=True)
        assert output.returncode == 0, output.stderr
        return output.stdout.strip()

    old = int(there("print(ensure_supervisor('tests.tiny_worker.finish').pid)"))
    wait_for(submitted(), "done")
    assert find_supervisor().pid == old
    with (program / "core" / "errors.py").open("a") as file:
        file.write("# changed\n")
    wait_for(submitted(), "done")
    assert find_supervisor().pid != old and gone(old)


def test_a_killed_supervisor_takes_its_worker_along_and_the_next_one_goes_on():
    first, second = submitted(), submitted()
    old = supervisor()
    wait_for(first, "running")
    worker = worker_pid(first)
    os.kill(old.pid, signal.SIGKILL)
    assert gone(worker)
    assert read_run(first.id).state.status == "lost" and read_run(second.id).state.status == "queued"
    assert find_supervisor() is None
    new = supervisor()
    assert new.pid != old.pid
    wait_for(second, "running")
    assert read_json(first.folder / "state.json")["status"] == "lost"


def test_a_run_whose_supervisor_was_killed_goes_on_by_itself_once_and_is_the_next_one():
    tiny.add_colours()
    first, second = tiny.new_run(), new_run()
    submit(first), submit(second)
    for attempt in (1, 2):
        killed = supervisor()
        wait_for(first, "running")
        assert read_run(first.id).state.attempt == attempt
        worker = worker_pid(first)
        os.kill(killed.pid, signal.SIGKILL)
        assert gone(worker)
    again = read_run(first.id).state
    assert again.retry.startswith("Its process was killed, or the machine was restarted. It went on by itself;")
    supervisor()
    wait_for(second, "running")
    assert (read_run(first.id).state.status, read_run(first.id).state.attempt) == ("lost", 2)  # now a person decides
    assert resume_run(read_run(first.id), *read_fingerprint(first.config.data)).state.retry == ""


def test_a_run_that_crashed_goes_on_by_itself_once():
    tiny.add_colours()
    run = tiny.new_run()
    submit(run)
    supervisor("crash")
    wait_until(lambda: read_run(run.id).state.attempt > 1, lambda: read_run(run.id).state)
    wait_for_message(run, "SIGABRT")
    state = read_run(run.id).state
    assert "SIGABRT" in state.retry and waiting_ids() == [] and state.attempt == 2


def test_a_run_that_was_asked_to_stop_does_not_go_on_by_itself():
    tiny.add_colours()
    run = tiny.new_run()
    submit(run)
    (run.folder / "stop").touch()
    supervisor("crash")
    wait_for_message(run, "SIGABRT")
    assert read_run(run.id).state.attempt == 1


def test_while_the_disk_has_no_room_for_a_run_the_queue_waits(home, monkeypatch):
    run = submitted()
    write_json(home / "limits.json", {"free_bytes": 2**60})
    supervisor("finish")
    wait_until(lambda: "What waits goes on waiting" in (home / "supervisor.log").read_text())
    assert read_run(run.id).state.status == "queued" and waiting_ids() == [run.id]
    assert "Runs wait until" in home_trouble()
    (home / "limits.json").unlink()
    wait_for(run, "done")


def test_while_the_disk_has_no_room_experiments_and_sweeps_wait_as_the_queue_does(home):
    """And the supervisor for them, however long it has been idle; it says so once."""
    tiny.add_colours()
    base = tiny.new_run().config
    sweep = create_sweep(plan_sweep(base, [range_for("train.momentum")], 600, trials=1))
    experiment = create_experiment(plan_experiment(base, find_components(["flip"]), seeds=1))
    (experiment.folder / "untimed").touch()
    write_json(home / "limits.json", {"free_bytes": 2**60})
    handle = supervisor("finish", idle_seconds=0.3)
    wait_until(lambda: "What waits goes on waiting" in (home / "supervisor.log").read_text())
    time.sleep(0.7)
    assert handle.is_alive() and (home / "supervisor.log").read_text().count("What waits goes on waiting") == 1
    assert not (experiment.folder / "runs.jsonl").exists() and not (sweep.folder / "launch.json").exists()
    stop_sweep(sweep)
    (home / "limits.json").unlink()
    wait_until(lambda: open_experiment(experiment.folder).progress == (2, 2))


def test_a_child_that_ended_together_with_its_supervisor_is_no_failure(tmp_path):
    output = []

    def begin(_, mark):
        while mark.is_alive():
            time.sleep(0.01)
        output.append(signal.SIGTERM)

    assert _run_child(multiprocessing.get_context("spawn"), "os.listdir", tmp_path, begin, lambda: bool(output))


def test_a_worker_that_takes_long_to_save_its_model_is_waited_for_when_the_supervisor_is_ended(home):
    write_json(home / "limits.json", {"silence_stop_seconds": 1})
    run = submitted()
    supervisor("save_slowly")
    wait_for(run, "running")
    stop_supervisor()
    assert read_run(run.id).state.status == "stopped" and "saved after 4 s" in read_run(run.id).state.message


def test_a_supervisor_outlives_who_started_it():
    code = "from core.runs.queue import ensure_supervisor; print(ensure_supervisor('tests.tiny_worker.count').pid)"
    run = submitted()
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert find_supervisor().pid == int(output)
    wait_for(run, "running")


def test_of_racing_supervisors_one_remains_and_nothing_is_trained_twice():
    runs = [submitted() for _ in range(4)]
    code = "from core.runs.queue import ensure_supervisor; print(ensure_supervisor('tests.tiny_worker.finish').pid)"
    racers = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    pids = {int(racer.communicate(timeout=60)[0]) for racer in racers}
    assert pids == {find_supervisor().pid}
    for run in runs:
        wait_for(run, "done")
    assert (Path(os.environ["ATELIER_HOME"]) / "supervisor.log").read_text().count(": ready") == 1


def test_ended_in_good_order_a_supervisor_lets_the_run_keep_its_model_and_the_queue_its_runs():
    first, second = submitted(), submitted()
    handle = supervisor()
    wait_for(first, "running")
    stop_supervisor()
    assert not handle.is_alive() and find_supervisor() is None
    assert read_run(first.id).state.status == "stopped" and read_run(second.id).state.status == "queued"


def test_a_supervisor_without_work_ends_and_the_next_submit_finds_no_trace_of_it():
    handle = supervisor("finish", idle_seconds=0.3)
    wait_until(lambda: not handle.is_alive())
    run = submitted()
    assert supervisor("finish").pid != handle.pid
    wait_for(run, "done")


def test_a_supervisor_whose_folder_was_removed_ends_and_does_not_bring_it_back(home):
    handle = supervisor("finish")
    moved = home.rename(home.with_name("removed"))
    wait_until(lambda: not handle.is_alive())
    assert not home.exists() and moved.exists()


def test_a_worker_that_cannot_be_imported_fails_the_run_in_words():
    run = submitted()
    ensure_supervisor("tests.no_such_module.train")
    assert wait_for(run, "failed", "lost").message
    assert "no_such_module" in read_run(run.id).log()


def test_where_the_process_that_forks_is_killed_its_worker_ends_and_what_waits_is_trained():
    first, second = submitted(), submitted()
    supervisor()
    wait_for(first, "running")
    worker = worker_pid(first)
    forking = psutil.Process(worker).ppid()
    os.kill(forking, signal.SIGKILL)
    wait_for_message(first, "The process that had started the training was killed.")
    assert gone(worker)  # before its run was called lost: nobody else writes to it
    wait_for(second, "running")
    assert psutil.Process(worker_pid(second)).ppid() != forking


def test_a_process_that_forks_may_be_killed_while_nothing_trains(home):
    supervisor("finish")
    first = submitted()
    wait_for(first, "done")
    for child in psutil.Process(find_supervisor().pid).children():
        if "forkserver" in " ".join(child.cmdline()):
            child.kill()
    wait_for(submitted(), "done")


@pytest.mark.parametrize("content", [b"", b'{"pid": 1', b'{"pid": 999999, "started": "in another container"}'])
def test_a_supervisor_is_there_as_long_as_it_holds_its_lock_whatever_its_file_says(home, content):
    run = submitted()
    handle = supervisor()
    wait_for(run, "running")
    (home / "supervisor.json").write_bytes(content)
    assert find_supervisor() is not None and ensure_supervisor().is_alive()  # no second one, and no wait of a minute
    assert read_run(run.id).state.status == "running"
    ask_to_stop(run)
    wait_for(run, "stopped")
    assert ensure_supervisor() == handle  # it has written its file again


def test_a_run_whose_process_cannot_be_seen_is_not_lost_while_its_lock_is_held():
    run = submitted()
    supervisor()
    wait_for(run, "running")
    launch = read_json(run.folder / "launch.json")
    write_json(run.folder / "launch.json", launch | {"started": "as another container counts"})
    assert read_run(run.id).state.status == "running"
    os.kill(launch["pid"], signal.SIGKILL)
    wait_for(run, "lost")


def of_one_thread():
    run = create_run(RunConfig(), "f" * 64, ("noir", "cartoon"), threads=1)
    submit(run)
    return run


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_runs_of_one_thread_share_the_cores_and_an_ordinary_one_trains_alone():
    first, second, third = of_one_thread(), of_one_thread(), of_one_thread()
    supervisor()
    wait_for(first, "running")
    wait_for(second, "running")
    ordinary = submitted()
    move_in_queue(ordinary, 1)  # before the third
    os.kill(worker_pid(first), signal.SIGKILL)
    assert "killed" in wait_for(first, "lost").message
    time.sleep(1.5)  # there is a place free, but not for somebody who takes all cores, nor for whoever comes after
    assert [read_run(run.id).state.status for run in (second, ordinary, third)] == ["running", "queued", "queued"]
    ask_to_stop(second)
    wait_for(ordinary, "running")
    assert read_run(second.id).state.status == "stopped" and read_run(third.id).state.status == "queued"
    ask_to_stop(ordinary)
    wait_for(third, "running")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_a_supervisor_that_ends_stops_every_run_that_shares_the_cores():
    runs = [of_one_thread(), of_one_thread()]
    supervisor()
    for run in runs:
        wait_for(run, "running")
    stop_supervisor()
    assert [read_run(run.id).state.status for run in runs] == ["stopped", "stopped"]
