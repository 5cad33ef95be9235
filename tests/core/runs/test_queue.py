"""The queue: many who submit at once, what is refused, and races that must have one winner."""

import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.config import RunConfig
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.jobs.run_workers import hand_over
from core.runs.actions import ask_to_stop, create_run, delete_run, resume_run
from core.runs.process import mark_process
from core.runs.queue import announce_supervisor, queue_position, submit, waiting_runs, why_queue_is_full
from core.runs.queue_entries import waiting_ids
from core.runs.requester import Requester
from core.runs.run import list_runs, read_run
from core.runs.state import read_stored_state
from core.runs.writer import RunWriter, mark_ended
from core.settings import runs_root

pytestmark = pytest.mark.usefixtures("home")

ROOT = Path(__file__).resolve().parents[3]
ME = SimpleNamespace(pid=os.getpid())  # as a process that was started
ANNA, BERT = Requester(session="a" * 16, name="Anna"), Requester(session="b" * 16)


def new_run(requester: Requester | None = None, key: str = ""):
    return create_run(RunConfig(), "f" * 64, ("noir", "cartoon"), requester, key)


def submitted(requester: Requester | None = None):
    run = new_run(requester)
    submit(run)
    return run


def at_once(*actions):
    """What each action returned or raised, all begun in the same moment."""
    gate = threading.Barrier(len(actions))

    def do(action):
        gate.wait()
        try:
            return action()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(do, actions))


def test_a_run_knows_who_asked_for_it():
    assert read_run(new_run(ANNA).id).requester == ANNA and read_run(new_run().id).requester is None
    assert Requester(session="s", name="  \u202eA\nb" + "c" * 90).name == "A b" + "c" * 37


def test_a_run_of_version_0_1_0_knows_who_asked_for_it_and_says_so_in_todays_words_when_it_is_resumed(home):
    run = new_run(ANNA)
    document = read_json(run.folder / "config.json")
    write_json(run.folder / "config.json", {**without(document, "requester"), "asker": document["requester"]})
    assert read_run(run.id) == run
    ask_to_stop(run)
    resume_run(run, run.fingerprint, 10, epochs=60)
    resumed = read_json(run.folder / "config.json")
    assert resumed["requester"] == document["requester"] and "asker" not in resumed


def test_a_run_without_requester_and_key_is_read(home):
    run = new_run()
    document = read_json(run.folder / "config.json")
    write_json(run.folder / "config.json", without(document, "requester", "key"))
    assert read_run(run.id) == run


def without(document: dict, *names: str) -> dict:
    return {name: value for name, value in document.items() if name not in names}


def test_one_session_may_have_three_runs_waiting_and_the_others_have_their_turn():
    for _ in range(3):
        submitted(ANNA)
    refused = new_run(ANNA)
    with pytest.raises(UserMistake, match="You have 3 runs waiting, 3 may"):
        submit(refused)
    assert not refused.folder.exists()
    submitted(BERT), submitted()
    ask_to_stop(waiting_runs()[0])
    submitted(ANNA)
    assert len(waiting_ids()) == 5


def test_the_queue_takes_twenty():
    for _ in range(20):
        assert why_queue_is_full(None) == ""
        submitted()
    assert why_queue_is_full(None) == why_queue_is_full(BERT) != ""
    with pytest.raises(UserMistake, match="The queue is full: 20 waiting, 20 may wait"):
        submitted(BERT)
    assert len(list_runs()) == 20


def test_the_form_knows_beforehand_what_submitting_would_refuse():
    for _ in range(3):
        assert why_queue_is_full(ANNA) == ""
        submitted(ANNA)
    reason = why_queue_is_full(ANNA)
    with pytest.raises(UserMistake, match=reason):
        submitted(ANNA)
    assert why_queue_is_full(BERT) == "" == why_queue_is_full(None)


def test_the_file_of_the_supervisor_names_its_process_and_nothing_else(home):
    announce_supervisor()
    document = read_json(home / "supervisor.json")
    (home / "supervisor.json").unlink()  # else this process would be ended after the test
    assert document == mark_process().to_json()


def test_the_same_request_ten_times_is_one_run():
    runs = at_once(*[lambda: new_run(ANNA, "form 7") for _ in range(10)])
    assert len({run.id for run in runs}) == 1 and {submit(run) for run in runs} == {1}
    assert new_run(ANNA, "form 8").id != runs[0].id and len(list_runs()) == 2


def test_submitted_again_when_it_trains_a_run_is_neither_trained_twice_nor_withdrawn(home):
    run = submitted(ANNA)
    assert hand_over(run.folder, ME) == 1
    write_json(home / "limits.json", {"queue_length": 0})  # full: a run that is refused is withdrawn
    assert submit(run) == 0 and waiting_ids() == [] and read_run(run.id).id == run.id


def test_submitted_again_when_it_was_cancelled_a_run_stays_cancelled():
    run = submitted(ANNA)
    ask_to_stop(run)
    assert submit(run) == 0 and waiting_ids() == []


@pytest.mark.parametrize("each", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_sixteen_who_submit_at_once_each_have_a_place_each(home, each):
    write_json(home / "limits.json", {"queue_length": 1000})
    with ThreadPoolExecutor(16) as pool:
        places = list(pool.map(lambda _: submit(new_run()), range(16 * each)))
    assert sorted(places) == list(range(1, 16 * each + 1))  # nobody left the queue meanwhile
    assert len(waiting_ids()) == 16 * each and set(waiting_ids()) == {path.name for path in runs_root().iterdir()}


def test_two_servers_on_one_home_share_the_queue():
    code = (
        "from core.config import RunConfig\n"
        "from core.runs.actions import create_run\n"
        "from core.runs.queue import submit\n"
        "for _ in range(9): submit(create_run(RunConfig(), 'f', ('a', 'b')))"
    )
    servers = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [server.wait(60) for server in servers] == [0, 0]
    assert [queue_position(run) for run in waiting_runs()] == list(range(1, 19))


races = pytest.mark.parametrize(
    "races", [25, pytest.param(200, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.nightly)]
)


@races
def test_of_cancelling_and_starting_one_wins(races):
    outcomes = Counter()
    for race in range(races + 1000):
        if race >= races and outcomes[None] and outcomes[1]:
            break  # on a busy machine one of the two may win many times before the other does
        run = submitted()
        attempt, sentence = at_once(lambda: hand_over(run.folder, ME), lambda: ask_to_stop(run))  # noqa: B023
        state = read_stored_state(run.folder)
        assert waiting_ids() == []
        if attempt is None:
            assert state.status == "stopped" and sentence.endswith("was cancelled before it started.")
        else:
            assert state.status == "queued" and sentence.endswith("was asked to stop. It keeps what it has learnt.")
            assert (run.folder / "stop").exists()
        outcomes[attempt] += 1
    assert outcomes[None] and outcomes[1], outcomes


@races
def test_of_two_ends_the_first_one_counts(races):
    outcomes = Counter()
    for _ in range(races):
        run = new_run()
        writer = RunWriter(run.folder)
        writer.starting()
        finished, lost, sentence = at_once(
            writer.finish,
            lambda: mark_ended(run.folder, "lost", "The supervisor saw it die.", attempt=1),  # noqa: B023
            lambda: ask_to_stop(run),  # noqa: B023
        )
        status = read_run(run.id).state.status
        assert (status == "lost") is lost is isinstance(finished, UserMistake) is not (status == "done")
        assert "was asked to stop" in sentence or f"had already ended ({status})" in sentence
        outcomes[status] += 1
    assert sum(outcomes.values()) == races


def test_cancelled_ten_times_from_ten_tabs_a_run_says_the_same(home):
    run = submitted()
    messages = at_once(*[lambda: ask_to_stop(run) for _ in range(10)])
    assert sum("cancelled before it started" in message for message in messages) == 1
    assert sum("had already ended (stopped)" in message for message in messages) == 9


def test_what_is_asked_of_a_deleted_run_does_not_bring_it_back():
    run = submitted()
    delete_run(run)
    for action in (ask_to_stop, delete_run, submit):
        with pytest.raises(UserMistake, match="gone from disk"):
            action(run)
    assert list(runs_root().iterdir()) == [] == waiting_ids()
