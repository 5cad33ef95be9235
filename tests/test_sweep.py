"""Sweeps: ranges from the definitions, trials that are pruned or fail, a budget, and the best as a preset."""

import json
from types import SimpleNamespace

import pytest

from core.__main__ import main
from core.config import change_config
from core.disk import write_json
from core.errors import UserMistake
from core.experiments import sweep as rooms
from core.experiments.sweep import (
    Range,
    best_of,
    can_sweep,
    config_of,
    create_sweep,
    delete_sweep,
    list_sweeps,
    next_sweep,
    open_study,
    open_sweep,
    plan_sweep,
    range_for,
    resume_sweep,
    settle_sweep,
    stop_sweep,
    tried,
    work_at,
)
from core.presets import all_presets, forget_preset, keep_preset, preset
from core.runs.run import read_run
from core.settings import atelier_home, runs_root
from pages.parts.fields import all_fields
from tests.app import open_page, said

RATES = range_for("train.learning_rate", "0.001..0.1")


@pytest.fixture
def base(tiny_run):
    return change_config(tiny_run.config, {"train.epochs": 2})


def begun(base, *ranges: Range, trials: int = 4, minutes: float = 10.0):
    return create_sweep(plan_sweep(base, ranges or [RATES], 60 * minutes, trials))


def test_ranges_come_from_the_definitions_and_can_be_narrowed():
    assert range_for("train.optimizer").choices == ("sgd", "nesterov", "adam", "adamw", "rmsprop")
    assert range_for("train.learning_rate").log and range_for("train.momentum").high == pytest.approx(0.99)
    assert range_for("train.batch_size", "32..64") == Range(
        field="train.batch_size", low=32, high=64, whole=True, log=True
    )
    assert range_for("model.channels", "6,16|16,32").choices == ("6,16", "16,32")
    assert range_for("train.augment").choices[:2] == ("none", "flip")
    assert can_sweep("train.weight_decay") and not can_sweep("train.seed") and not can_sweep("data.split")


@pytest.mark.parametrize("field", [field for field in all_fields() if can_sweep(field)])
def test_every_end_of_a_range_is_a_value_of_its_field(field):
    found = range_for(field)
    for value in found.choices or (found.low, found.high):
        change_config(preset("quick"), {field: int(value) if found.whole else value})


@pytest.mark.parametrize(
    "field, narrowed, told",
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
def test_a_range_that_cannot_be_is_refused_in_words(field, narrowed, told):
    with pytest.raises(UserMistake, match=told):
        range_for(field, narrowed)


def test_a_sweep_needs_a_validation_part(base):
    with pytest.raises(UserMistake, match="goes by the validation part"):
        plan_sweep(change_config(base, {"data.val_fraction": 0.0}), [RATES], 60)


def test_trials_are_runs_judged_by_the_validation_part_and_the_base_is_the_first(base):
    sweep = begun(base, trials=3)
    assert next_sweep() == sweep.folder
    work_at(sweep.folder)
    trials = tried(sweep)
    assert [one.status for one in trials] == ["complete"] * 3 and next_sweep() is None
    assert trials[0].values == {"train.learning_rate": base.train.learning_rate}
    for one in trials:
        run = read_run(one.run)
        assert (
            run.marks.hidden and run.epochs()[-1].val_accuracy == one.accuracy and run.config == config_of(sweep, one)
        )
    assert best_of(trials).accuracy == max(one.accuracy for one in trials)
    assert open_sweep(sweep.folder).status == "done"


def test_what_falls_behind_is_given_up_and_its_run_stops(base, monkeypatch):
    sweep = begun(base, trials=2)
    monkeypatch.setattr("optuna.Trial.should_prune", lambda trial: trial.number == 1)
    work_at(sweep.folder)
    assert [one.status for one in tried(sweep)] == ["complete", "pruned"]
    run = read_run(tried(sweep)[1].run)
    assert run.state.status == "stopped" and run.state.epoch == 1


def test_a_trial_that_fails_says_why_and_the_next_one_comes(base, monkeypatch):
    sweep = begun(base, trials=2)
    real, asked = rooms.create_run, []

    def create(config, *rest):
        asked.append(config)
        if len(asked) == 1:
            raise UserMistake("a network that cannot be")
        return real(config, *rest)

    monkeypatch.setattr(rooms, "create_run", create)
    work_at(sweep.folder)
    assert [(one.status, one.why) for one in tried(sweep)] == [("fail", "a network that cannot be"), ("complete", "")]


def test_a_budget_ends_it_and_more_time_goes_on(base):
    sweep = begun(base, minutes=1e-4)
    work_at(sweep.folder)
    assert len(tried(sweep)) == 1 and open_sweep(sweep.folder).status == "done"
    resume_sweep(open_sweep(sweep.folder), more_seconds=600)
    work_at(sweep.folder)
    assert len(tried(sweep)) == 4


def test_more_time_after_the_last_trial_brings_as_many_again(base):
    sweep = begun(base, trials=1)
    work_at(sweep.folder)
    resume_sweep(open_sweep(sweep.folder))  # nobody asked for more
    work_at(sweep.folder)
    assert len(tried(sweep)) == 1
    resume_sweep(open_sweep(sweep.folder), more_seconds=600)
    work_at(sweep.folder)
    assert len(tried(sweep)) == 2 == open_sweep(sweep.folder).plan.trials
    assert resume_sweep(begun(base), 60).plan.trials == 4  # none is used up


def test_a_trial_whose_run_was_stopped_is_no_answer(base, monkeypatch):
    def stop(trial):
        if trial.number == 1:
            (runs_root() / trial.user_attrs["run"] / "stop").touch()

    sweep = begun(base, trials=2)
    monkeypatch.setattr("optuna.Trial.should_prune", stop)
    work_at(sweep.folder)
    assert [(one.status, one.why) for one in tried(sweep)] == [("complete", ""), ("fail", "it was stopped")]
    assert tried(sweep)[1].accuracy is None and best_of(tried(sweep)).number == 0


def test_no_trial_is_lost_while_the_disk_has_no_room_for_a_run(base, monkeypatch):
    sweep, limits, waited = begun(base, trials=2), atelier_home() / "limits.json", []
    write_json(limits, {"free_bytes": 2**60})
    monkeypatch.setattr(rooms, "time", SimpleNamespace(sleep=lambda _: waited.append(limits.unlink())))
    work_at(sweep.folder)
    assert waited and [one.status for one in tried(sweep)] == ["complete"] * 2


def test_whoever_looks_writes_nothing(base):
    sweep = begun(base, trials=1)
    assert tried(sweep) == [] and not (sweep.folder / "journal.log").exists()
    (sweep.folder / "journal.log").touch()  # its process has just begun
    assert tried(sweep) == []
    work_at(sweep.folder)
    before = (sweep.folder / "journal.log").read_bytes()
    assert len(tried(sweep)) == len(rooms.to_json(sweep)["trials"]) == 1
    assert (sweep.folder / "journal.log").read_bytes() == before


def test_a_trial_that_was_cut_short_is_begun_again(base):
    sweep = begun(base, trials=2)
    trial = open_study(sweep).ask()
    rate = trial.suggest_float("train.learning_rate", 0.001, 0.1, log=True)  # and its process was killed
    work_at(sweep.folder)
    failed, again, *_ = tried(sweep)
    assert failed.status == "fail" and again.values == {"train.learning_rate": rate}


def test_it_stops_and_a_dead_process_is_told(base):
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
    work_at(sweep.folder)
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
    monkeypatch.setattr("pages.parts.sweeps.supervisor", lambda: None)
    app = open_page("pages/results.py", show="Sweep")
    assert not app.exception and not app.error and not app.button(key="sweep.start").disabled
    app.text_input(key="sweep.range.train.learning_rate").set_value("5..1").run()
    assert app.button(key="sweep.start").disabled and "less than or equal" in said(app)
    sweep = begun(base, RATES, range_for("train.optimizer", "sgd|adam"), trials=5)
    work_at(sweep.folder)
    app = open_page("pages/results.py", show="Sweep")
    assert not app.exception and not app.error and "Best: trial" in said(app) and len(app.get("plotly_chart")) >= 4
    told = "".join(chart.proto.spec for chart in app.get("plotly_chart"))
    assert "Learning rate" in told and "validation accuracy" in told
    assert not any(word in told for word in ("train.learning_rate", "'sgd'", "Best Value", "Intermediate", "Hyper"))
    app.text_input(key="sweep.name").set_value("mine").run()
    app.button(key="sweep.keep").click().run()
    assert "mine" in all_presets() and not app.exception


def test_without_pictures_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    app = open_page("pages/results.py", show="Sweep")
    assert "A sweep needs pictures" in said(app) and not app.exception
