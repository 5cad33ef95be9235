"""Experiments on disk: planned, fed run by run, cut to a budget, stopped, resumed, and what they then say."""

import json
import os
import shutil
import signal
import time

import pytest

from core.__main__ import main
from core.config import change_config
from core.data.dataset import delete_dataset, find_dataset
from core.disk import append_line
from core.errors import UserMistake
from core.experiments import experiment as rooms
from core.experiments.components import find_components
from core.experiments.experiment import (
    create_experiment,
    delete_experiment,
    feed,
    go_on_later,
    list_experiments,
    next_experiment,
    open_experiment,
    plan_experiment,
    read_experiment,
    resume_experiment,
    settle_timing,
    stop_experiment,
    wants_timing,
)
from core.experiments.sweep import create_sweep, open_sweep, plan_sweep, range_for, tried
from core.experiments.with_without import report, to_markdown
from core.runs.deeds import delete_run
from core.runs.queue import ensure_supervisor, find_supervisor, submit
from core.runs.run import ask_to_stop, list_runs, open_run
from core.runs.tickets import drop_ticket, queue_lock, waiting_ids
from core.runs.writer import RunWriter, mark_ended
from core.settings import atelier_home, runs_root
from tests import tiny

TIMED = {"base": [[0.001, 0.001]] * 8, "other": [[0.002, 0.002]] * 8, "pictures": 27, "took": 1.0}


@pytest.fixture
def base(tiny_run):
    return change_config(tiny_run.config, {"train.epochs": 1})


def begun(base, *keys: str, seeds: int = 2, minutes: float | None = None, timed: bool = True):
    plan = plan_experiment(base, find_components(keys or ["flip"]), seeds, None if minutes is None else 60 * minutes)
    experiment = create_experiment(plan)
    if timed:
        for setting in plan.settings:
            append_line(experiment.folder / "timing.jsonl", {"key": setting.key} | TIMED)
    return open_experiment(experiment.folder)


def train_next() -> None:
    """What the supervisor does with the first run of the line."""
    from core.train import train_run

    (run_id,) = waiting_ids()
    with queue_lock():
        drop_ticket(run_id)
    train_run(runs_root() / run_id)


def train_all(experiment):
    while feed(experiment.folder):
        if waiting_ids():
            train_next()
    return open_experiment(experiment.folder)


def test_an_experiment_runs_to_its_end_and_tells_what_it_found(base):
    experiment = begun(base, "flip", "nothing")
    assert next_experiment() == experiment.folder and experiment.progress == (2, 8)
    ended = train_all(experiment)
    assert ended.status == "done" and next_experiment() is None and ended.progress == (8, 8)
    assert [cell.config.train.seed for cell in ended.cells] == [0, 0, 100_000, 1, 1, 100_001]  # seed by seed
    assert all(run.marks.hidden and "seed" in run.title for run in list_runs()[:6])
    flip, nothing = report(ended).effects
    assert flip.seeds == 2 and flip.pictures == len(ended.cells[0].run.evaluation("test").indices)
    assert flip.setting_accuracy - flip.base_accuracy == pytest.approx(flip.accuracy.value)
    assert flip.seconds.value == pytest.approx(27 * 0.001) and "an epoch takes 100 % longer" in flip.sentence
    assert nothing.accuracy.is_noise and "within the noise" in nothing.sentence
    assert flip.sentence in to_markdown(report(ended)) and json.dumps(report(ended).to_json())


def test_same_split_seeds_and_first_weights_on_both_sides(base):
    ended = train_all(begun(base, "label_smoothing", seeds=1))
    ours, theirs = (cell.run for cell in ended.cells)
    assert ours.config.data == theirs.config.data and ours.config.train.seed == theirs.config.train.seed
    assert ours.evaluation("test").indices.tolist() == theirs.evaluation("test").indices.tolist()


def test_a_run_that_is_there_already_is_not_trained_again(base, tiny_run):
    experiment = begun(tiny_run.config, "flip", seeds=1)
    feed(experiment.folder)
    first = open_experiment(experiment.folder).cells[0]
    assert first.run.id == tiny_run.id and not waiting_ids() and not tiny_run.marks.hidden
    assert open_experiment(experiment.folder).spent == 1.0  # what was there costs nothing


def test_a_budget_leaves_out_whole_seeds_and_says_so(base, monkeypatch):
    monkeypatch.setattr(rooms, "START_SECONDS", 20.0)
    experiment = begun(base, seeds=3, minutes=1.5)  # two runs of 20 s a seed, and a second of measuring
    assert {cell.seed for cell in experiment.cut} == {2} and experiment.progress == (1, 5)
    assert "The budget of 1.5 min does not suffice for 2 of 6 runs (seed 2)" in report(experiment).remarks[0]
    small = begun(base, seeds=3, minutes=0.01)
    assert not small.to_do and not feed(small.folder) and open_experiment(small.folder).status == "done"


def test_it_stops_with_its_run_and_goes_on_where_it_was(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    (waiting,) = waiting_ids()
    stop_experiment(experiment)
    stopped = open_experiment(experiment.folder)
    assert stopped.status == "stopped" and next_experiment() is None and not waiting_ids()
    assert open_run(runs_root() / waiting).state.status == "stopped"
    ended = train_all(resume_experiment(stopped))
    assert ended.status == "done" and ended.cells[0].run.id == waiting and ended.cells[0].run.state.attempt == 2


def test_a_run_that_somebody_stopped_or_deleted_is_left_out_until_the_experiment_is_resumed(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    ask_to_stop(open_experiment(experiment.folder).cells[0].run)
    feed(experiment.folder)
    delete_run(open_experiment(experiment.folder).cells[1].run)
    assert not feed(experiment.folder)
    ended = open_experiment(experiment.folder)
    told = report(ended)
    assert "no pair of runs" in told.effects[0].sentence and "was deleted" in told.effects[0].remarks[0]
    assert any("stopped" in remark for remark in told.remarks)
    ended = train_all(resume_experiment(ended))
    assert report(ended).effects[0].seeds == 1


def test_what_a_killed_worker_or_a_leaving_supervisor_cut_short_goes_on_by_itself(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    run = open_experiment(experiment.folder).cells[0].run
    with queue_lock():
        drop_ticket(run.id)
    mark_ended(run.folder, "lost", "It was killed.")
    feed(experiment.folder)
    assert waiting_ids() == [run.id] and open_run(run.folder).state.attempt == 2
    with queue_lock():
        drop_ticket(run.id)
    pen = RunWriter(run.folder)
    pen.starting()
    go_on_later(run.id)
    pen.finish("stopped", "The supervisor ends.")
    assert not open_experiment(experiment.folder).cells[0].is_settled("")
    feed(experiment.folder)
    assert waiting_ids() == [run.id] and open_run(run.folder).state.attempt == 3


def end_next(status: str, told: str):
    """End the run that waits, as whoever trains it would; its folder."""
    (waiting,) = waiting_ids()
    with queue_lock():
        drop_ticket(waiting)
    mark_ended(runs_root() / waiting, status, told)
    return runs_root() / waiting


def test_what_has_failed_is_trained_anew_only_when_a_person_asks_for_it(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    failed = end_next("failed", "Training diverged.")
    feed(experiment.folder)
    go_on_later(waiting_ids()[0])  # the supervisor leaves, and the next one comes
    stopped = end_next("stopped", "The supervisor ends.")
    assert feed(experiment.folder) and waiting_ids() == [stopped.name]
    train_next()
    assert not feed(experiment.folder)  # it does not fail again and again
    ended = train_all(resume_experiment(open_experiment(experiment.folder)))
    assert [cell.is_done for cell in ended.cells] == [True, True] and ended.cells[0].run.id != failed.name


def stopping(experiment) -> RunWriter:
    """The experiment is asked to stop while its next run is at work; whose writer is returned."""
    feed(experiment.folder)
    (waiting,) = waiting_ids()
    with queue_lock():
        drop_ticket(waiting)
    pen = RunWriter(runs_root() / waiting)
    pen.starting()
    stop_experiment(experiment)
    return pen


def test_resumed_before_its_run_has_stopped_it_goes_on_with_that_run(base):
    experiment = begun(base, seeds=1)
    pen = stopping(experiment)
    resume_experiment(open_experiment(experiment.folder))
    pen.finish("stopped", "It was asked to.")
    assert feed(experiment.folder) and waiting_ids() == [pen.folder.name]


def test_a_setting_that_never_comes_to_its_end_is_told_as_the_answer(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    train_next()
    feed(experiment.folder)
    (waiting,) = waiting_ids()
    with queue_lock():
        drop_ticket(waiting)
    mark_ended(runs_root() / waiting, "failed", "Training diverged.")
    assert not feed(experiment.folder)
    (flip,) = report(open_experiment(experiment.folder)).effects
    assert flip.sentence == "Flip: with it none of 1 runs came to its end. Training diverged." and not flip.remarks


def test_why_no_run_of_the_base_came_to_its_end_is_told(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    (waiting,) = waiting_ids()
    with queue_lock():
        drop_ticket(waiting)
    mark_ended(runs_root() / waiting, "failed", "Training diverged.")
    remarks = report(train_all(experiment)).remarks
    assert "Base: the run with seed 0 is missing (failed: Training diverged)." in remarks


def test_other_pictures_or_none_are_told_and_nothing_is_trained(base, trained_home):
    experiment = begun(base, seeds=1)
    delete_dataset("colours")
    assert feed(experiment.folder) and feed(experiment.folder) and not feed(experiment.folder)
    assert "'colours'" in open_experiment(experiment.folder).cells[0].why
    with pytest.raises(UserMistake):
        resume_experiment(open_experiment(experiment.folder))


def test_a_measurement_that_dies_is_given_up_and_told(base):
    experiment = begun(base, seeds=1, timed=False)
    assert len(experiment.untimed) == 1
    settle_timing(experiment.folder, gave_way=True)
    assert len(open_experiment(experiment.folder).untimed) == 1  # it comes again
    settle_timing(experiment.folder, gave_way=False)
    given_up = open_experiment(experiment.folder)
    assert not given_up.untimed and "Times could not be measured" in report(given_up).remarks[0]


def test_what_is_wrong_with_a_plan_is_said_before_anything_is_written(base):
    with pytest.raises(UserMistake, match="at least one component"):
        plan_experiment(base, [])
    with pytest.raises(UserMistake, match="1 to 20"):
        plan_experiment(base, find_components(["flip"]), seeds=0)
    with pytest.raises(UserMistake, match="budget"):
        plan_experiment(base, find_components(["flip"]), budget_seconds=0)
    assert not list_experiments()


def test_a_damaged_experiment_is_left_out_and_set_aside(base):
    experiment = begun(base)
    (experiment.folder / "plan.json").write_text("{}")
    assert not list_experiments() and not feed(experiment.folder) and next_experiment() is None


@pytest.mark.parametrize("left", ["", '{"schema_version": 1, "cre', "[]"])
def test_a_plan_that_was_cut_short_ends_no_supervisor(base, left):
    experiment = begun(base)
    (experiment.folder / "plan.json").write_text(left)
    assert not wants_timing(experiment.folder) and not feed(experiment.folder) and next_experiment() is None
    with pytest.raises(UserMistake, match="is damaged"):
        read_experiment(experiment.id)


def test_damaged_rows_are_left_out(base):
    experiment = begun(base, seeds=1)
    for name in ("runs.jsonl", "timing.jsonl"):
        for row in ({}, [1], {"key": None, "setting": ["base"], "seed": 0, "run": None, "why": "", "at": ""}):
            append_line(experiment.folder / name, row)
    assert open_experiment(experiment.folder) == experiment


def test_an_experiment_at_work_is_not_deleted(base):
    experiment = begun(base)
    with pytest.raises(UserMistake, match="Stop it first"):
        delete_experiment(experiment)
    stop_experiment(experiment)
    delete_experiment(open_experiment(experiment.folder))
    assert not list_experiments()
    with pytest.raises(UserMistake, match="No such experiment"):
        read_experiment("latest")


def test_one_that_is_still_stopping_says_so_when_it_is_deleted(base):
    experiment = begun(base)
    pen = stopping(experiment)
    with pytest.raises(UserMistake, match="is still stopping"):
        delete_experiment(open_experiment(experiment.folder))
    pen.finish("stopped", "It was asked to.")
    delete_experiment(open_experiment(experiment.folder))


def test_the_command_line_plans_lists_shows_stops_and_deletes(base, capsys):
    def said(*arguments: str):
        assert main(["experiment", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert {"key": "flip", "title": "Flip", "group": "Augmentation", "said": ""} in said("components")
    plan = said("run", "--plan", "--data", "colours", "--switch", "flip", "--change", "train.epochs=2 model.kernel=5")
    assert plan["runs"] == 9 and plan["settings"][1]["told"].endswith("train.epochs: 250 -> 2"), plan["settings"]
    experiment = begun(base, seeds=1)
    assert said("list")[0] | {"experiment": experiment.id, "done": 1, "total": 3} == said("list")[0]
    assert said("show", "latest")["components"][0]["key"] == "flip"
    assert said("stop", experiment.id[-4:])["status"] == "stopped"
    assert said("delete", experiment.id) == {"experiment": experiment.id, "deleted": True}
    assert main(["experiment", "show", "latest"]) == 2 and "No such experiment" in capsys.readouterr().err
    assert main(["experiment", "run", "--switch", "flip"]) == 2


def test_a_copy_of_a_home_keeps_its_experiments(base, trained_home, tmp_path, monkeypatch):
    ended = train_all(begun(base, seeds=1))
    shutil.copytree(trained_home, tmp_path / "other")
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "other"))
    assert report(read_experiment(ended.id)).effects == report(ended).effects
    assert find_dataset("colours") and tiny.DATA.dataset == "colours"


def until(told, seconds: float = 240.0):
    deadline = time.monotonic() + seconds
    while not (found := told()):
        assert time.monotonic() < deadline, (atelier_home() / "supervisor.log").read_text()[-2000:]
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_a_supervisor_measures_gives_way_to_people_and_goes_on_after_it_was_killed(base):
    experiment = begun(base, seeds=1, timed=False)

    def now():
        return open_experiment(experiment.folder)

    ensure_supervisor()
    until(lambda: now().status == "measuring")
    theirs = tiny.new_run(train__epochs=2, train__seed=9)
    submit(theirs)
    until(lambda: open_run(theirs.folder).state.status == "done")
    assert not now().ended and not any(cell.asked for cell in now().cells)  # the person did not wait for it
    until(lambda: any(cell.is_active for cell in now().cells))
    killed = find_supervisor()
    os.kill(killed.pid, signal.SIGKILL)
    until(lambda: not killed.is_alive())  # until then it counts as the one that is there
    ensure_supervisor()
    until(lambda: now().status == "done")
    (flip,) = report(now()).effects
    assert flip.seeds == 1 and flip.seconds is not None and flip.parameters > 0


@pytest.mark.slow
def test_a_supervisor_works_at_a_sweep(base):
    sweep = create_sweep(plan_sweep(base, [range_for("train.learning_rate", "0.001..0.1")], 600, trials=2))
    ensure_supervisor()
    until(lambda: open_sweep(sweep.folder).status == "running" and len(tried(sweep)) == 1)
    theirs = tiny.new_run(train__epochs=2, train__seed=9)
    submit(theirs)
    until(lambda: open_run(theirs.folder).state.status == "done")
    until(lambda: open_sweep(sweep.folder).status == "done")
    assert sum(one.status == "complete" for one in tried(sweep)) >= 1 and not open_sweep(sweep.folder).message
