"""Sweeps: ranges from the definitions, trials that are pruned or fail, a budget, and the best as a preset."""

import json
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from core.cli.app import main
from core.config import change_config
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.experiments.sweeps import worker
from core.experiments.sweeps.actions import create_sweep, delete_sweep, resume_sweep, stop_sweep
from core.experiments.sweeps.ranges import Range, can_sweep, range_for
from core.experiments.sweeps.spec import plan_sweep
from core.experiments.sweeps.sweep import list_sweeps, open_sweep
from core.experiments.sweeps.trials import best_of, config_of, list_trials, open_study, sweep_document
from core.experiments.sweeps.worker import next_sweep, run_trials, settle_sweep
from core.presets import all_presets, forget_preset, keep_preset, preset
from core.probes.at_once import AT_ONCE
from core.runs.run import read_run
from core.settings import atelier_home, runs_root
from pages.parts.form.fields import all_fields
from tests.app import open_page, said

RATES = range_for("train.learning_rate", "0.001..0.1")


@pytest.fixture
def base(tiny_run):
    return change_config(tiny_run.config, {"train.epochs": 2})


def begun(base, *ranges: Range, trials: int = 4, minutes: float = 10.0):
    return create_sweep(plan_sweep(base, ranges or [RATES], 60 * minutes, trials))


def test_ranges_come_from_the_definitions_and_can_be_narrowed():
    assert range_for("train.optimizer").choices == ("sgd", "nesterov", "adam", "adamw", "rmsprop", "muon")
    assert range_for("train.learning_rate").log and range_for("train.momentum").high == pytest.approx(0.99)
    assert range_for("train.batch_size", "32..64") == Range(
        field="train.batch_size", low=32, high=64, integer=True, log=True
    )
    assert range_for("model.channels", "6,16|16,32").choices == ("6,16", "16,32")
    assert range_for("train.augment").choices[:2] == ("none", "flip")
    assert can_sweep("train.weight_decay") and not can_sweep("train.seed") and not can_sweep("data.split")


@pytest.mark.parametrize("field", [field for field in all_fields() if can_sweep(field)])
def test_every_end_of_a_range_is_a_value_of_its_field(field):
    found = range_for(field)
    for value in found.choices or (found.low, found.high):
        change_config(preset("quick"), {field: int(value) if found.integer else value})


@pytest.mark.parametrize(
    "field, narrowed, message",
    [
        ("train.rate", "", "unknown setting"),
        ("train.seed", "", "cannot be swept"),
        ("train.optimizer", "1..2", "is no number"),
        ("train.learning_rate", "0.1..0.01", "ends before it begins"),
        ("train.learning_rate", "a..b", "is no range"),
        ("train.learning_rate", "0.1..9", "learning_rate"),
        ("train.optimizer", "sgd|magic", "magic"),
        ("model.channels", "", "needs its values"),
    ],
)
def test_a_range_that_cannot_be_is_refused_in_words(field, narrowed, message):
    with pytest.raises(UserMistake, match=message):
        range_for(field, narrowed)


def test_a_sweep_needs_a_validation_part(base):
    with pytest.raises(UserMistake, match="goes by the validation part"):
        plan_sweep(change_config(base, {"data.val_fraction": 0.0}), [RATES], 60)


def test_trials_are_runs_judged_by_the_validation_part_and_the_base_is_the_first(base):
    sweep = begun(base, trials=3)
    assert next_sweep() == sweep.folder
    run_trials(sweep.folder)
    trials = list_trials(sweep)
    assert [one.status for one in trials] == ["complete"] * 3 and next_sweep() is None
    assert trials[0].values == {"train.learning_rate": base.train.learning_rate}
    for one in trials:
        run = read_run(one.run)
        assert (
            run.marks.hidden and run.epochs()[-1].val_accuracy == one.accuracy and run.config == config_of(sweep, one)
        )
    assert best_of(trials).accuracy == max(one.accuracy for one in trials)
    assert open_sweep(sweep.folder).status == "done"


def test_a_clock_that_jumps_does_not_end_a_sweep(base, monkeypatch):
    sweep = begun(base, trials=1)
    run_trials(sweep.folder)
    taken = list_trials(sweep)[0].seconds
    jumped = property(lambda trial: timedelta(hours=3))  # by Optuna's dates
    monkeypatch.setattr("optuna.trial.FrozenTrial.duration", jumped)
    assert list_trials(sweep)[0].seconds == taken < 600


def test_what_falls_behind_is_given_up_and_its_run_stops(base, monkeypatch):
    sweep = begun(base, trials=2)
    monkeypatch.setattr("optuna.Trial.should_prune", lambda trial: trial.number == 1)
    run_trials(sweep.folder)
    assert [one.status for one in list_trials(sweep)] == ["complete", "pruned"]
    run = read_run(list_trials(sweep)[1].run)
    assert run.state.status == "stopped" and run.state.epoch == 1


def test_a_trial_that_fails_says_why_and_the_next_one_comes(base, monkeypatch):
    sweep = begun(base, trials=2)
    real, configs = worker.create_checked_run, []

    def create(config, *rest, **more):
        configs.append(config)
        if len(configs) == 1:
            raise UserMistake("a network that cannot be")
        return real(config, *rest, **more)

    monkeypatch.setattr(worker, "create_checked_run", create)
    run_trials(sweep.folder)
    assert [(one.status, one.why) for one in list_trials(sweep)] == [
        ("fail", "a network that cannot be"),
        ("complete", ""),
    ]


def test_a_budget_ends_it_and_more_time_goes_on(base):
    sweep = begun(base, minutes=1e-4)
    run_trials(sweep.folder)
    assert len(list_trials(sweep)) == 1 and open_sweep(sweep.folder).status == "done"
    resume_sweep(open_sweep(sweep.folder), more_seconds=600)
    run_trials(sweep.folder)
    assert len(list_trials(sweep)) == 4


def test_more_time_after_the_last_trial_brings_as_many_again(base):
    sweep = begun(base, trials=1)
    run_trials(sweep.folder)
    resume_sweep(open_sweep(sweep.folder))  # nobody asked for more
    run_trials(sweep.folder)
    assert len(list_trials(sweep)) == 1
    resume_sweep(open_sweep(sweep.folder), more_seconds=600)
    run_trials(sweep.folder)
    assert len(list_trials(sweep)) == 2 == open_sweep(sweep.folder).plan.trials
    assert resume_sweep(begun(base), 60).plan.trials == 4  # none is used up


def test_a_trial_whose_run_was_stopped_is_no_answer(base, monkeypatch):
    def stop(trial):
        if trial.number == 1:
            (runs_root() / trial.user_attrs["run"] / "stop").touch()

    sweep = begun(base, trials=2)
    monkeypatch.setattr("optuna.Trial.should_prune", stop)
    run_trials(sweep.folder)
    assert [(one.status, one.why) for one in list_trials(sweep)] == [("complete", ""), ("fail", "it was stopped")]
    assert list_trials(sweep)[1].accuracy is None and best_of(list_trials(sweep)).number == 0


def test_no_trial_is_lost_while_the_disk_has_no_room_for_a_run(base, monkeypatch):
    sweep, limits, waited = begun(base, trials=2), atelier_home() / "limits.json", []
    write_json(limits, {"free_bytes": 2**60})
    monkeypatch.setattr(
        worker, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: waited.append(limits.unlink()))
    )
    run_trials(sweep.folder)
    assert waited and [one.status for one in list_trials(sweep)] == ["complete"] * 2


def test_no_settings_are_trained_twice_and_a_small_space_ends_the_sweep(base):
    sweep = begun(base, range_for("train.augment", "none|flip"), range_for("train.batch_size", "4..5"), trials=9)
    run_trials(sweep.folder)
    trials = list_trials(sweep)
    assert len({json.dumps(one.values, sort_keys=True) for one in trials}) == len(trials) <= 4
    sweep = begun(base, range_for("train.augment", "none|flip"), range_for("model.flip_tta"), trials=9)
    run_trials(sweep.folder)
    sweep = open_sweep(sweep.folder)
    assert [one.status for one in list_trials(sweep)] == ["complete"] * 4
    assert (sweep.status, sweep.message) == ("done", "All 4 combinations of these values were tried.")


def test_reading_writes_nothing(base):
    sweep = begun(base, trials=1)
    assert list_trials(sweep) == [] and not (sweep.folder / "journal.log").exists()
    (sweep.folder / "journal.log").touch()  # its process has just begun
    assert list_trials(sweep) == []
    run_trials(sweep.folder)
    before = (sweep.folder / "journal.log").read_bytes()
    assert len(list_trials(sweep)) == len(sweep_document(sweep)["trials"]) == 1
    assert (sweep.folder / "journal.log").read_bytes() == before


def test_a_sweep_of_version_0_1_0_is_read_and_goes_on(base):
    sweep = begun(base, range_for("train.batch_size", "4..16"), range_for("model.flip_tta"), trials=1)
    run_trials(sweep.folder)
    before, plan = sweep_document(open_sweep(sweep.folder)), read_json(sweep.folder / "plan.json")
    for one in plan["ranges"]:
        one |= {"whole": one.pop("integer"), "field": one["field"].replace("flip_tta", "mirror")}
    write_json(sweep.folder / "plan.json", plan)
    journal = sweep.folder / "journal.log"
    journal.write_text(journal.read_text().replace("model.flip_tta", "model.mirror"))
    assert sweep_document(open_sweep(sweep.folder)) == before
    run_trials(resume_sweep(open_sweep(sweep.folder), 600).folder)
    assert [set(trial.values) for trial in list_trials(open_sweep(sweep.folder))] == [set(before["ranges"])] * 2


def test_a_trial_that_was_cut_short_is_begun_again(base):
    sweep = begun(base, trials=2)
    trial = open_study(sweep).ask()
    rate = trial.suggest_float("train.learning_rate", 0.001, 0.1, log=True)  # and its process was killed
    run_trials(sweep.folder)
    failed, again, *_ = list_trials(sweep)
    assert failed.status == "fail" and again.values == {"train.learning_rate": rate}


def test_it_stops_and_a_dead_process_is_reported(base):
    sweep = begun(base)
    stop_sweep(sweep)
    assert next_sweep() is None and open_sweep(sweep.folder).status == "stopped"
    resume_sweep(open_sweep(sweep.folder))
    settle_sweep(sweep.folder, gave_way=True)
    assert next_sweep() == sweep.folder
    settle_sweep(sweep.folder, gave_way=False)
    assert "ended before it was done" in open_sweep(sweep.folder).message
    delete_sweep(open_sweep(sweep.folder))
    assert not list_sweeps()


def test_the_best_becomes_a_preset_whose_name_is_data(base, capsys):
    sweep = begun(base, trials=1)
    run_trials(sweep.folder)
    name = "../**mine** <b>"
    assert main(["sweep", "keep", "latest", name, "--json"]) == 0
    assert preset(name).train == base.train and name in all_presets()
    capsys.readouterr()
    assert main(["presets", "list", "--json"]) == 0
    assert name in {one["name"] for one in json.loads(capsys.readouterr().out)}
    app = open_page("pages/train.py")
    assert not app.exception and "**mine**" not in said(app)
    forget_preset(name)
    with pytest.raises(UserMistake, match="unknown preset"):
        preset(name)
    with pytest.raises(UserMistake, match="built-in"):
        keep_preset("quick", base)
    with pytest.raises(UserMistake, match="no name"):
        keep_preset(" ", base)


def test_the_page_plans_starts_shows_and_keeps(base, monkeypatch):
    monkeypatch.setattr("pages.parts.results.sweep.supervisor", lambda: None)
    app = open_page("pages/results.py", show="Sweep")
    assert not app.exception and not app.error and not app.button(key="sweep.start").disabled
    app.text_input(key="sweep.range.train.learning_rate").set_value("5..1").run()
    assert app.button(key="sweep.start").disabled and "less than or equal" in said(app)
    sweep = begun(base, RATES, range_for("train.optimizer", "sgd|adam"), trials=5)
    run_trials(sweep.folder)
    app = open_page("pages/results.py", show="Sweep")
    assert not app.exception and not app.error and "Best: trial" in said(app) and len(app.get("plotly_chart")) >= 4
    charts = "".join(chart.proto.spec for chart in app.get("plotly_chart"))
    assert "Learning rate" in charts and "validation accuracy" in charts
    assert not any(word in charts for word in ("train.learning_rate", "'sgd'", "Best Value", "Intermediate", "Hyper"))
    app.text_input(key="sweep.name").set_value("mine").run()
    app.button(key="sweep.keep").click().run()
    assert "mine" in all_presets() and not app.exception


def test_without_pictures_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    app = open_page("pages/results.py", show="Sweep")
    assert "A sweep needs a dataset" in said(app) and not app.exception


@pytest.mark.slow
def test_trials_at_once_are_each_tried_once_and_told_to_one_study(base):
    sweep = begun(base, range_for("train.optimizer", "sgd|nesterov|adam"), trials=10)
    write_json(sweep.folder / AT_ONCE, {"runs": 2, "ratio": 1.7, "together": 2})
    run_trials(sweep.folder)
    ended = open_sweep(sweep.folder)
    trials = list_trials(ended)
    assert ended.status == "done" and "All 3 combinations" in ended.message
    assert sorted(one.values["train.optimizer"] for one in trials) == ["adam", "nesterov", "sgd"]
    assert {one.status for one in trials} <= {"complete", "pruned"} and best_of(trials) is not None
    assert {read_run(one.run).threads for one in trials} == {1}
