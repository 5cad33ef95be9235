"""Questions on disk: asked once, shared, taken back, removed; and what finished runs say of the next one."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.config import RunConfig, change_config
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.probes import probes
from core.probes.estimates import judge_estimate, known_speed
from core.probes.probes import (
    MOST_WAITING,
    ProbeWriter,
    ask_probe,
    begin_probe,
    cancel_probe,
    find_probe,
    is_wanted,
    next_probe,
    probes_root,
    read_probe,
    settle_probe,
)
from core.runs.process import ProcessMark, mark_process
from tests import tiny

pytestmark = pytest.mark.usefixtures("home")

PRINT = "f" * 64
SPEED = {"start_seconds": 1.0, "seconds_per_epoch": 2.0, "evaluation_seconds": 3.0, "images_per_second": 100.0}


def config(**changes):
    return change_config(RunConfig(), {name.replace("__", "."): value for name, value in changes.items()})


def folder_of(probe):
    return probes_root() / probe.id


def aged(path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_the_same_question_is_put_once_and_its_answer_is_everybodys():
    probe = ask_probe("speed", config(), PRINT)
    assert probe.status == "waiting" and ask_probe("speed", config(), PRINT).id == probe.id
    assert len(list(probes_root().iterdir())) == 2  # the lock is the other one
    ProbeWriter(folder_of(probe)).finish(SPEED)
    assert ask_probe("speed", config(train__epochs=10), PRINT).answer == SPEED | {"seconds": 1 + 10 * 2 + 3}
    assert read_probe(probe.id).status == "done"


def test_what_the_answer_does_not_depend_on_asks_nothing_new():
    speed, rate = ask_probe("speed", config(), PRINT), ask_probe("rate", config(), PRINT)
    moved = config(train__epochs=3, train__learning_rate=0.1, train__schedule="cosine")
    assert find_probe("speed", moved, PRINT).id == speed.id and find_probe("rate", moved, PRINT).id == rate.id
    assert find_probe("speed", config(train__seed=7), PRINT).id == speed.id
    assert find_probe("rate", config(train__seed=7), PRINT) is None  # other weights, another order
    for other in (config(train__batch_size=64), config(data__image_size=64), config(train__augment="flip")):
        assert find_probe("speed", other, PRINT) is None
    assert find_probe("speed", config(), "e" * 64) is None


def test_every_source_that_an_answer_depends_on_is_where_the_program_looks_for_it():
    core = Path(probes.__file__).parent.parent
    assert [pattern for pattern in probes._SOURCES if not list(core.glob(pattern))] == []


def test_another_program_or_machine_asks_anew(monkeypatch):
    ask_probe("speed", config(), PRINT)
    monkeypatch.setattr(probes, "program", lambda: "newer")
    assert find_probe("speed", config(), PRINT) is None


def test_only_a_handful_may_wait():
    for number in range(MOST_WAITING):
        ask_probe("speed", config(train__batch_size=2 + number), PRINT)
    with pytest.raises(UserMistake, match=f"{MOST_WAITING} questions .* wait already"):
        ask_probe("speed", config(train__batch_size=500), PRINT)
    assert ask_probe("speed", config(train__batch_size=2), PRINT).status == "waiting"  # an old one is no new one


def test_a_pressed_button_comes_before_a_glance_and_what_nobody_waits_for_is_dropped():
    left, viewed = ask_probe("speed", config(), PRINT), ask_probe("speed", config(train__batch_size=64), PRINT)
    aged(folder_of(left) / "asked", 60)
    assert next_probe() == folder_of(viewed) and not folder_of(left).exists()
    pressed = ask_probe("rate", config(), PRINT)
    aged(folder_of(pressed) / "asked", 60)  # its person may be elsewhere meanwhile
    assert next_probe() == folder_of(pressed)


def test_a_question_is_taken_back_whether_it_waits_or_runs():
    waiting, running = ask_probe("speed", config(), PRINT), ask_probe("rate", config(), PRINT)
    cancel_probe(waiting.id)
    assert not folder_of(waiting).exists()
    ProbeWriter(folder_of(running)).report("Trying learning rates.", 3, 100)
    assert read_probe(running.id).status == "running"
    cancel_probe(running.id)
    assert not is_wanted(folder_of(running))
    settle_probe(folder_of(running), gave_way=False)
    assert not folder_of(running).exists()
    cancel_probe("../../etc")  # no id, no path


def test_whoever_still_waits_wants_it_again():
    probe = ask_probe("rate", config(), PRINT)
    ProbeWriter(folder_of(probe))
    cancel_probe(probe.id)
    assert ask_probe("rate", config(), PRINT).status == "running" and is_wanted(folder_of(probe))


def test_what_gave_way_waits_again_and_a_process_that_vanished_is_one_sentence():
    probe = ask_probe("rate", config(), PRINT)
    ProbeWriter(folder_of(probe)).report("Trying learning rates.", 3, 100)
    settle_probe(folder_of(probe), gave_way=True)
    assert read_probe(probe.id).status == "waiting" and next_probe() == folder_of(probe)
    settle_probe(folder_of(probe), gave_way=False)
    assert read_probe(probe.id).status == "failed" and "ended before it was done" in read_probe(probe.id).message
    settle_probe(folder_of(probe), gave_way=True)  # an end is not left
    assert read_probe(probe.id).status == "failed" and next_probe() is None


def test_an_answer_that_died_with_its_supervisor_is_waited_for_again():
    probe = ask_probe("speed", config(), PRINT)
    writer = ProbeWriter(folder_of(probe))
    writer.report("Timing.", 1, 2)
    begin_probe(folder_of(probe), ProcessMark(2**22, "never"))
    assert ask_probe("speed", config(), PRINT).status == "waiting" and next_probe() == folder_of(probe)


@pytest.mark.parametrize(("change", "again"), [({}, False), ({"ended": "2020-01-01T00:00:00.000+00:00"}, True)])
def test_an_old_answer_is_measured_again(change, again):
    probe = ask_probe("speed", config(), PRINT)
    ProbeWriter(folder_of(probe)).finish(SPEED)
    state = folder_of(probe) / "state.json"
    write_json(state, read_json(state) | change)
    assert (ask_probe("speed", config(), PRINT).status == "waiting") is again


def test_a_speed_that_was_measured_in_a_crowd_is_not_kept_for_long():
    probe = ask_probe("speed", config(), PRINT)
    ProbeWriter(folder_of(probe)).finish(SPEED | {"others": 0.6})
    assert ask_probe("speed", config(), PRINT).status == "done"
    state = folder_of(probe) / "state.json"
    two_minutes_ago = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    write_json(state, read_json(state) | {"ended": two_minutes_ago})
    assert ask_probe("speed", config(), PRINT).status == "waiting"


def test_what_nobody_has_asked_for_in_a_week_is_forgotten():
    old = ask_probe("speed", config(), PRINT)
    ProbeWriter(folder_of(old)).finish(SPEED)
    aged(folder_of(old) / "asked", 8 * 86400)
    ask_probe("rate", config(), PRINT)
    assert not folder_of(old).exists()


def test_an_unknown_question_is_refused_in_words():
    for wrong in ("nothere", "../runs", ""):
        with pytest.raises(UserMistake, match="No such question"):
            read_probe(wrong)


def test_a_finished_run_gives_the_speed_of_one_like_it(trained_home, tiny_run):
    twice = {"train": 72, "val": 24, "test": 24}  # it has 36 to learn from
    known = known_speed(tiny_run.config, twice)
    last = tiny_run.epochs()[1:]
    assert known["run"] == tiny_run.id
    assert min(row.images_per_second for row in last) <= known["images_per_second"]
    assert known["seconds_per_epoch"] >= 2 * min(row.seconds for row in last)
    assert known["seconds"] > 3 * known["seconds_per_epoch"]  # the answers at the end count too
    assert known_speed(change_config(tiny_run.config, {"train.batch_size": 4}), twice) is None


def test_an_estimate_is_judged_by_a_run_only_where_it_was_there_before(trained_home, tiny_run):
    assert judge_estimate(tiny_run) is None  # nobody had asked
    probe = ask_probe("speed", tiny_run.config, tiny_run.fingerprint)
    ProbeWriter(folder_of(probe)).finish(SPEED)
    assert judge_estimate(tiny_run) is None  # too late
    time.sleep(0.05)
    run = tiny.train_tiny_run(train__seed=1)
    estimated, took = judge_estimate(run)
    assert estimated == 1 + 3 * 2 + 3 and 0 < took < 60


def test_the_writer_belongs_to_this_process():
    probe = ask_probe("speed", config(), PRINT)
    ProbeWriter(folder_of(probe))
    assert ProcessMark.from_json(read_json(folder_of(probe) / "launch.json")) == mark_process()
