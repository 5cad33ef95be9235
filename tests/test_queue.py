"""The waiting line: many who ask at once, who is in front, what is refused, and races that must have one winner."""

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
from core.runs.deeds import delete_run, rename_run
from core.runs.people import Asker
from core.runs.queue import announce_supervisor, queue_position, queue_sentence, submit, waiting_runs
from core.runs.run import ask_to_stop, create_run, list_runs, read_run, read_stored_state
from core.runs.tickets import waiting_ids
from core.runs.writer import RunWriter, mark_ended
from core.settings import runs_root
from core.supervise import _hand_over

ROOT = Path(__file__).resolve().parent.parent
ME = SimpleNamespace(pid=os.getpid())  # as a process that was started
ANNA, BERT = Asker(session="a" * 16, name="Anna"), Asker(session="b" * 16)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def new_run(asker: Asker | None = None, key: str = ""):
    return create_run(RunConfig(), "f" * 64, ("noir", "cartoon"), asker, key)


def submitted(asker: Asker | None = None):
    run = new_run(asker)
    submit(run)
    return run


def at_once(*deeds):
    """What each deed gave or raised, all begun in the same moment."""
    gate = threading.Barrier(len(deeds))

    def do(deed):
        gate.wait()
        try:
            return deed()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(do, deeds))


def test_a_run_knows_who_asked_for_it():
    assert read_run(new_run(ANNA).id).asker == ANNA and read_run(new_run().id).asker is None
    assert Asker(session="s", name="  \u202eA\nb" + "c" * 90).name == "A b" + "c" * 37


def test_a_run_of_before_there_were_askers_is_read(home):
    run = new_run()
    told = read_json(run.folder / "config.json")
    del told["asker"], told["key"]
    write_json(run.folder / "config.json", told)
    assert read_run(run.id) == run


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


def test_the_line_takes_twenty():
    for _ in range(20):
        submitted()
    with pytest.raises(UserMistake, match="The queue is full: 20 waiting, 20 may wait"):
        submitted(BERT)
    assert len(list_runs()) == 20


def test_a_waiting_run_says_who_is_in_front():
    first, second, third = submitted(ANNA), submitted(BERT), submitted()
    assert queue_sentence(first) == "It is the next one."
    assert queue_sentence(second) == f"1 in front, {first.title} of Anna."
    assert queue_sentence(third) == f"2 in front, first {first.title} of Anna."
    rename_run(first, "noir first")
    ask_to_stop(second)
    assert queue_sentence(third) == "1 in front, noir first of Anna." and queue_sentence(second) == ""


def test_the_run_that_trains_is_in_front_of_those_that_wait(home):
    at_work, waits = new_run(ANNA), submitted()
    announce_supervisor(at_work.id)  # as if this process were the supervisor
    assert queue_sentence(waits) == f"1 in front, {at_work.title} of Anna."
    (home / "supervisor.json").unlink()
    assert queue_sentence(waits) == "It is the next one."


def test_the_same_wish_ten_times_is_one_run():
    runs = at_once(*[lambda: new_run(ANNA, "form 7") for _ in range(10)])
    assert len({run.id for run in runs}) == 1 and {submit(run) for run in runs} == {1}
    assert new_run(ANNA, "form 8").id != runs[0].id and len(list_runs()) == 2


def test_submitted_again_when_it_trains_a_run_is_neither_trained_twice_nor_withdrawn(home):
    run = submitted(ANNA)
    assert _hand_over(run.folder, ME) == 1
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
    assert sorted(places) == list(range(1, 16 * each + 1))  # nobody left the line meanwhile
    assert len(waiting_ids()) == 16 * each and set(waiting_ids()) == {path.name for path in runs_root().iterdir()}


def test_two_servers_on_one_home_share_the_line():
    code = (
        "from core.runs.queue import submit; from core.runs.run import create_run; from core.config import RunConfig\n"
        "for _ in range(9): submit(create_run(RunConfig(), 'f', ('a', 'b')))"
    )
    servers = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [server.wait(60) for server in servers] == [0, 0]
    assert [queue_position(run) for run in waiting_runs()] == list(range(1, 19))


races = pytest.mark.parametrize("races", [25, pytest.param(1000, marks=pytest.mark.slow)])


@races
def test_of_cancelling_and_starting_one_wins(races):
    told = Counter()
    for race in range(races + 1000):
        if race >= races and told[None] and told[1]:
            break  # on a busy machine one of the two may win many times before the other does
        run = submitted()
        attempt, sentence = at_once(lambda: _hand_over(run.folder, ME), lambda: ask_to_stop(run))  # noqa: B023
        state = read_stored_state(run.folder)
        assert waiting_ids() == []
        if attempt is None:
            assert state.status == "stopped" and sentence.endswith("was cancelled before it started.")
        else:
            assert state.status == "queued" and sentence.endswith("was asked to stop. It keeps what it has learnt.")
            assert (run.folder / "stop").exists()
        told[attempt] += 1
    assert told[None] and told[1], told


@races
def test_of_two_ends_the_first_one_counts(races):
    told = Counter()
    for _ in range(races):
        run = new_run()
        pen = RunWriter(run.folder)
        pen.starting()
        finished, lost, sentence = at_once(
            pen.finish,
            lambda: mark_ended(run.folder, "lost", "The supervisor saw it die.", attempt=1),  # noqa: B023
            lambda: ask_to_stop(run),  # noqa: B023
        )
        status = read_run(run.id).state.status
        assert (status == "lost") is lost is isinstance(finished, UserMistake) is not (status == "done")
        assert "was asked to stop" in sentence or f"had already ended ({status})" in sentence
        told[status] += 1
    assert sum(told.values()) == races


def test_cancelled_ten_times_from_ten_tabs_a_run_says_the_same(home):
    run = submitted()
    told = at_once(*[lambda: ask_to_stop(run) for _ in range(10)])
    assert sum("cancelled before it started" in sentence for sentence in told) == 1
    assert sum("had already ended (stopped)" in sentence for sentence in told) == 9


def test_what_is_asked_of_a_deleted_run_does_not_bring_it_back():
    run = submitted()
    delete_run(run)
    for deed in (ask_to_stop, delete_run, submit):
        with pytest.raises(UserMistake, match="gone from disk"):
            deed(run)
    assert list(runs_root().iterdir()) == [] == waiting_ids()
