"""Experiments on disk: planned, fed run by run, cut to a budget, stopped, resumed, and what they then say."""

import json
import os
import shutil
import signal

import pytest

from core.cli.app import main
from core.config import change_config
from core.data.datasets.dataset import delete_dataset, find_dataset
from core.disk import append_line, read_json, write_json
from core.errors import UserMistake
from core.experiments.ablation import experiment as experiments
from core.experiments.ablation.actions import (
    create_experiment,
    delete_experiment,
    resume_experiment,
    stop_experiment,
)
from core.experiments.ablation.components import find_components
from core.experiments.ablation.effects import report
from core.experiments.ablation.experiment import list_experiments, open_experiment, read_experiment
from core.experiments.ablation.feed import feed, go_on_later, next_experiment, settle_timing, wants_timing
from core.experiments.ablation.markdown import to_markdown
from core.experiments.ablation.spec import plan_experiment
from core.experiments.sweeps.actions import create_sweep
from core.experiments.sweeps.ranges import range_for
from core.experiments.sweeps.spec import plan_sweep
from core.experiments.sweeps.sweep import open_sweep
from core.experiments.sweeps.trials import list_trials
from core.probes.at_once import AT_ONCE
from core.runs.actions import ask_to_stop, delete_run
from core.runs.queue import ensure_supervisor, find_supervisor, submit
from core.runs.queue_entries import drop_queue_entry, queue_lock, waiting_ids
from core.runs.run import list_runs, open_run
from core.runs.writer import RunWriter, mark_ended
from core.settings import atelier_home, runs_root
from tests import tiny
from tests.waiting import wait_until

TIMED = {"base": [[0.001, 0.001]] * 8, "other": [[0.002, 0.002]] * 8, "pictures": 27, "took": 1.0}


@pytest.fixture
def base(tiny_run):
    return change_config(tiny_run.config, {"train.epochs": 1})


def begun(base, *keys: str, seeds: int = 2, minutes: float | None = None, timed: bool = True):
    plan = plan_experiment(base, find_components(keys or ["flip"]), seeds, None if minutes is None else 60 * minutes)
    experiment = create_experiment(plan)
    if timed:
        for variant in plan.variants:
            append_line(experiment.folder / "timing.jsonl", {"key": variant.key} | TIMED)
    return open_experiment(experiment.folder)


def train_next() -> None:
    """What the supervisor does with the first run of the queue."""
    from core.train import train_run

    (run_id,) = waiting_ids()
    with queue_lock():
        drop_queue_entry(run_id)
    train_run(runs_root() / run_id)


def train_all(experiment):
    while feed(experiment.folder):
        if waiting_ids():
            train_next()
    return open_experiment(experiment.folder)


def test_an_experiment_runs_to_its_end_and_reports_what_it_found(base):
    experiment = begun(base, "flip", "nothing")
    assert next_experiment() == experiment.folder and experiment.progress == (2, 8)
    ended = train_all(experiment)
    assert ended.status == "done" and next_experiment() is None and ended.progress == (8, 8)
    assert [cell.config.train.seed for cell in ended.cells] == [0, 0, 100_000, 1, 1, 100_001]  # seed by seed
    assert all(run.marks.hidden and "seed" in run.title for run in list_runs()[:6])
    flip, nothing = report(ended).effects
    assert flip.seeds == 2 and flip.pictures == len(ended.cells[0].run.evaluation("test").indices)
    assert flip.variant_accuracy - flip.base_accuracy == pytest.approx(flip.accuracy.value)
    assert flip.seconds.value == pytest.approx(27 * 0.001) and "an epoch takes 100 % longer" in flip.sentence
    assert nothing.accuracy.is_noise and "within the noise" in nothing.sentence
    assert flip.sentence in to_markdown(report(ended)) and json.dumps(report(ended).to_json())


def test_same_split_seeds_and_first_weights_in_both_arms(base):
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


def begun_until_decided(base):
    """(plan, experiment) of two components and at most three seeds, timed already."""
    plan = plan_experiment(base, find_components(["flip", "label_smoothing"]), 3, until_decided=True)
    experiment = create_experiment(plan)
    for variant in plan.variants:
        append_line(experiment.folder / "timing.jsonl", {"key": variant.key} | TIMED)
    return plan, experiment


def test_seeds_end_for_what_is_decided_and_the_rest_goes_on(base, monkeypatch):
    plan, experiment = begun_until_decided(base)
    flip, smoothing = (variant.key for variant in plan.variants)
    decided = {2: [flip], 4: [flip, smoothing]}  # by the runs that are done when it looks
    monkeypatch.setattr(
        "core.experiments.ablation.feed.decided_variants",
        lambda found: decided.get(sum(cell.is_done for cell in found.cells_of(plan.base)) * 2, []),
    )
    ended = train_all(experiment)
    done = {(cell.variant.key, cell.seed) for cell in ended.cells if cell.is_done}
    assert ended.status == "done" and not ended.to_do
    assert done == {("base", 0), (flip, 0), (smoothing, 0), ("base", 1), (smoothing, 1)}
    found = report(ended)
    assert not any("missing" in remark for effect in found.effects for remark in effect.remarks)
    assert any("looks after each seed" in remark for remark in found.remarks)
    assert not resume_experiment(ended).to_do  # what was not needed is not needed later either


def test_what_is_not_sure_any_more_gets_the_seeds_that_it_was_spared_one_by_one(base, monkeypatch):
    plan, experiment = begun_until_decided(base)
    flip, smoothing = (variant.key for variant in plan.variants)

    def decided(found):
        """Flip looks sure after one seed, is not once smoothing has two, and is after three of its own."""
        done = {variant.key: sum(cell.is_done for cell in found.cells_of(variant)) for variant in plan.variants}
        sure = [smoothing] if done[smoothing] >= 2 else []
        return [*sure, *([flip] if done[flip] >= 3 or done[smoothing] < 2 else [])]

    monkeypatch.setattr("core.experiments.ablation.feed.decided_variants", decided)
    ended = train_all(experiment)
    done = {(cell.variant.key, cell.seed) for cell in ended.cells if cell.is_done}
    assert ended.status == "done" and not ended.to_do
    assert done == {(key, seed) for key in ("base", flip) for seed in range(3)} | {(smoothing, 0), (smoothing, 1)}


def test_a_difference_that_is_within_the_noise_is_never_called_decided(base, monkeypatch):
    plan, experiment = begun_until_decided(base)
    monkeypatch.setattr("core.experiments.ablation.feed.decided_variants", lambda _: [one.key for one in plan.variants])
    for effect in report(train_all(experiment)).effects:  # by what was planted, every seed but the first was spared
        assert effect.seeds == 1 and effect.decided_after is None


def test_a_budget_leaves_out_whole_seeds_and_says_so(base, monkeypatch):
    monkeypatch.setattr("core.experiments.ablation.actions.estimate_run", lambda *_: None)  # no run was trained before
    monkeypatch.setattr(experiments, "START_SECONDS", 20.0)
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
    found = report(ended)
    assert "no pair of runs" in found.effects[0].sentence and "was deleted" in found.effects[0].remarks[0]
    assert any("stopped" in remark for remark in found.remarks)
    ended = train_all(resume_experiment(ended))
    assert report(ended).effects[0].seeds == 1


def test_what_a_killed_worker_or_a_leaving_supervisor_cut_short_goes_on_by_itself(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    run = open_experiment(experiment.folder).cells[0].run
    with queue_lock():
        drop_queue_entry(run.id)
    mark_ended(run.folder, "lost", "It was killed.")
    feed(experiment.folder)
    assert waiting_ids() == [run.id] and open_run(run.folder).state.attempt == 2
    with queue_lock():
        drop_queue_entry(run.id)
    pen = RunWriter(run.folder)
    pen.starting()
    go_on_later(run.id)
    pen.finish("stopped", "The supervisor ends.")
    assert not open_experiment(experiment.folder).cells[0].is_settled("")
    feed(experiment.folder)
    assert waiting_ids() == [run.id] and open_run(run.folder).state.attempt == 3


def end_next(status: str, message: str):
    """End the run that waits, as whoever trains it would; its folder."""
    (waiting,) = waiting_ids()
    with queue_lock():
        drop_queue_entry(waiting)
    mark_ended(runs_root() / waiting, status, message)
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
        drop_queue_entry(waiting)
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


def test_a_variant_that_never_comes_to_its_end_is_reported_as_the_answer(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    train_next()
    feed(experiment.folder)
    (waiting,) = waiting_ids()
    with queue_lock():
        drop_queue_entry(waiting)
    mark_ended(runs_root() / waiting, "failed", "Training diverged.")
    assert not feed(experiment.folder)
    (flip,) = report(open_experiment(experiment.folder)).effects
    assert (
        flip.sentence == "Horizontal flip: with it none of 1 runs came to its end. Training diverged."
        and not flip.remarks
    )


def test_why_no_run_of_the_base_came_to_its_end_is_reported(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    (waiting,) = waiting_ids()
    with queue_lock():
        drop_queue_entry(waiting)
    mark_ended(runs_root() / waiting, "failed", "Training diverged.")
    remarks = report(train_all(experiment)).remarks
    assert "Base: the run with seed 0 is missing (failed: Training diverged)." in remarks


def test_other_pictures_or_none_are_reported_and_nothing_is_trained(base, trained_home):
    experiment = begun(base, seeds=1)
    delete_dataset("colours")
    assert feed(experiment.folder) and feed(experiment.folder) and not feed(experiment.folder)
    assert "'colours'" in open_experiment(experiment.folder).cells[0].why
    with pytest.raises(UserMistake):
        resume_experiment(open_experiment(experiment.folder))


def test_a_measurement_that_dies_is_given_up_and_reported(base):
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
    with pytest.raises(UserMistake, match=r"cannot be used: its plan\.json"):
        read_experiment(experiment.id)


def test_damaged_rows_are_left_out(base):
    experiment = begun(base, seeds=1)
    for name in ("runs.jsonl", "timing.jsonl"):
        for row in ({}, [1], {"key": None, "variant": ["base"], "seed": 0, "run": None, "why": "", "at": ""}):
            append_line(experiment.folder / name, row)
    assert open_experiment(experiment.folder) == experiment


def test_an_experiment_of_version_0_1_0_is_read(base):
    ended = train_all(begun(base, "flip", "nothing", seeds=1))
    plan, runs = read_json(ended.folder / "plan.json"), ended.folder / "runs.jsonl"
    plan["settings"] = plan.pop("variants")
    for one in (plan["base"], *plan["settings"]):
        one |= {"told": one.pop("changed"), "apart": one.pop("seed_offset")}
    write_json(ended.folder / "plan.json", plan)
    runs.write_text(runs.read_text().replace('"variant":', '"setting":'))
    assert '"setting"' in runs.read_text() and open_experiment(ended.folder) == ended


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

    assert {"key": "flip", "title": "Horizontal flip", "group": "Augmentation", "said": ""} in said("components")
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


def until(condition):
    return wait_until(condition, lambda: (atelier_home() / "supervisor.log").read_text()[-2000:])


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
    assert not now().ended and not any(cell.handled_at for cell in now().cells)  # the person did not wait for it
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
    until(lambda: list_trials(sweep))
    theirs = tiny.new_run(train__epochs=2, train__seed=9)
    submit(theirs)
    until(lambda: open_run(theirs.folder).state.status == "done")
    until(lambda: open_sweep(sweep.folder).status == "done")
    assert sum(one.status == "complete" for one in list_trials(sweep)) >= 1 and not open_sweep(sweep.folder).message


def share_cores(experiment, runs: int = 2):
    write_json(experiment.folder / AT_ONCE, {"runs": runs, "ratio": 1.7, "together": runs})
    return open_experiment(experiment.folder)


def test_as_many_runs_are_queued_as_train_at_once_each_on_one_thread(base):
    experiment = share_cores(begun(base))
    assert feed(experiment.folder) and feed(experiment.folder) and not feed(experiment.folder)
    waiting = [open_run(runs_root() / run_id) for run_id in waiting_ids()]
    assert [run.threads for run in waiting] == [1, 1] and len(open_experiment(experiment.folder).active) == 2
    ask_to_stop(waiting[0])
    assert feed(experiment.folder) and len(waiting_ids()) == 2
    assert "1.70 times as many pictures a second" in open_experiment(experiment.folder).at_once.sentence


def test_until_decided_a_seed_is_begun_when_the_one_before_has_its_answers(base):
    plan = plan_experiment(base, find_components(["flip"]), 3, None, True)
    folder = create_experiment(plan).folder
    append_line(folder / "timing.jsonl", {"key": plan.variants[0].key} | TIMED)
    share_cores(open_experiment(folder), runs=4)
    assert feed(folder) and feed(folder) and not feed(folder)
    assert [cell.seed for cell in open_experiment(folder).active] == [0, 0]


def test_a_run_that_shares_the_machine_costs_its_share_of_the_budget(base):
    experiment = share_cores(begun(base, "flip", seeds=1))
    while feed(experiment.folder):
        pass
    for run_id in waiting_ids():
        with queue_lock():
            drop_queue_entry(run_id)
        train_on_disk(run_id)
    ended = open_experiment(experiment.folder)
    own = sum(cell.run.state.process_seconds for cell in ended.cells)
    assert ended.spent == pytest.approx(1.0 + own / 2)


def train_on_disk(run_id: str) -> None:
    from core.train import train_run

    train_run(runs_root() / run_id)


def test_only_a_long_experiment_asks_how_many_train_at_once(base):
    assert not begun(base).asks_at_once
    long = begun(change_config(base, {"train.epochs": 1000}))  # of 0.03 and 0.05 s, two seeds
    assert long.asks_at_once and wants_timing(long.folder)
    assert not share_cores(long).asks_at_once
    settle_timing(begun(change_config(base, {"train.epochs": 1000})).folder, gave_way=False)
    assert not list_experiments()[0].asks_at_once  # measuring ended of itself: it goes on without
