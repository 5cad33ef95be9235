"""Ablation on the Results page: empty, the form, an experiment at work, one that has found something."""

from dataclasses import replace

import pytest

from core.experiments.ablation.actions import create_experiment
from core.experiments.ablation.components import find_components
from core.experiments.ablation.effects import report
from core.experiments.ablation.experiment import list_experiments, open_experiment
from core.experiments.ablation.feed import feed, settle_timing
from core.experiments.ablation.spec import plan_experiment
from core.runs.actions import ask_to_stop
from pages.parts.results.forest_figure import forest_figure
from tests.app import add_pictures, open_page, said
from tests.core.experiments.test_experiment import begun, train_all

SHOW = "Ablation"


@pytest.fixture(autouse=True)
def no_supervisor(monkeypatch):
    """Nothing trains behind these tests."""
    for module in ("ablation", "ablation_form"):
        monkeypatch.setattr(f"pages.parts.results.{module}.supervisor", lambda: None)


@pytest.fixture
def base(tiny_run):
    return tiny_run.config.model_copy(update={"train": tiny_run.config.train.model_copy(update={"epochs": 1})})


def test_without_pictures_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    app = open_page("pages/results.py", show=SHOW)
    assert "An experiment needs a dataset" in said(app) and not app.exception


def test_the_form_plans_and_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    add_pictures("pets", each=20)
    app = open_page("pages/results.py", show=SHOW)
    assert not app.exception and "21 runs" in said(app)  # the base and six components that are chosen, three seeds
    app.slider(key="experiment.seeds").set_value(2).run()
    app.pills(key="experiment.group.Augmentation").set_value(["mixup"]).run()
    assert "14 runs" in said(app)
    app.button(key="experiment.start").click().run()
    assert not app.exception
    (experiment,) = list_experiments()
    assert experiment.plan.seeds == (0, 1) and "mixup" in {one.key for one in experiment.plan.variants}
    assert "no pair of runs has finished yet" in said(app)
    app.selectbox(key="experiment.picked").set_value("new").run()
    app.button(key="experiment.start").click().run()
    assert app.selectbox(key="experiment.picked").value == list_experiments()[0].id != experiment.id


def test_nothing_chosen_cannot_be_started(trained_home):
    app = open_page("pages/results.py", show=SHOW)
    for pills in app.pills:
        pills.set_value([])
    app.run()
    assert app.button(key="experiment.start").disabled and "at least one component" in said(app)


def test_what_was_found_is_drawn_and_said(base):
    ended = train_all(begun(base, "flip", "nothing"))
    app = open_page("pages/results.py", show=SHOW)
    assert not app.exception and not app.error
    assert "within the noise" in said(app) and "Of 2 comparisons" in said(app)
    assert app.get("plotly_chart") and len(app.dataframe[0].value) == 2 and len(app.dataframe[1].value) == 6
    figure = forest_figure(report(ended).effects)
    assert [len(trace.x) for trace in figure.data] == [1] * 4  # two components, accuracy and seconds


def test_an_experiment_at_work_is_stopped_resumed_and_deleted(base):
    experiment = begun(base)
    app = open_page("pages/results.py", show=SHOW)
    app.button(key="experiment.stop").click().run()
    assert open_experiment(experiment.folder).status == "stopped"
    app.button(key="experiment.resume").click().run()
    assert open_experiment(experiment.folder).status == "waiting"
    app.button(key="experiment.stop").click().run()
    app.button(key="experiment.delete").click().run()
    assert not app.exception and not list_experiments()


def test_what_a_resumed_run_reached_is_seen_though_it_keeps_its_id(base):
    experiment = begun(base, seeds=1)
    feed(experiment.folder)
    ask_to_stop(open_experiment(experiment.folder).cells[0].run)
    assert train_all(experiment).status == "done"
    app = open_page("pages/results.py", show=SHOW)
    assert "no pair of runs has finished yet" in said(app)
    app.button(key="experiment.resume").click().run()
    train_all(experiment)
    app.run()
    assert "no pair of runs has finished yet" not in said(app) and not app.exception


def test_what_the_budget_leaves_out_is_not_offered_to_be_resumed(base):
    experiment = begun(base, seeds=2, minutes=0.01)
    assert len(train_all(experiment).cut) == 4
    app = open_page("pages/results.py", show=SHOW)
    assert "experiment.resume" not in {button.key for button in app.button}
    assert "experiment.delete" in {button.key for button in app.button}


def test_times_that_could_not_be_measured_can_be_measured_again(base):
    experiment = begun(base, seeds=1, timed=False)
    settle_timing(experiment.folder, gave_way=False)
    assert train_all(experiment).status == "done"
    app = open_page("pages/results.py", show=SHOW)
    app.button(key="experiment.resume").click().run()
    assert open_experiment(experiment.folder).untimed and not app.exception


def test_long_names_of_components_stand_whole_in_two_lines(base):
    (effect,) = report(train_all(begun(base, seeds=1))).effects
    (label,) = forest_figure([replace(effect, title="Constant rate instead of one-cycle <b>")]).layout.yaxis.ticktext
    assert label == "Constant rate instead of<br>one-cycle &lt;b&gt;"


def test_names_are_data(trained_home, base):
    plan = plan_experiment(base, find_components(["flip"]), 1)
    evil = plan.variants[0].model_copy(update={"title": "[x](javascript:1) <b>" + "w" * 300})
    create_experiment(plan.model_copy(update={"variants": (evil,)}))
    app = open_page("pages/results.py", show=SHOW)
    assert not app.exception and "[x](javascript" not in said(app)


def test_a_comparison_of_ones_own_is_planned_and_a_wrong_one_is_said(trained_home):
    app = open_page("pages/results.py", show=SHOW)
    before = said(app)
    app.text_area(key="experiment.own").set_value("train.batch_size=4 train.learning_rate=0.01\n\ntrain.epochs=2").run()
    assert not app.exception and said(app) != before
    app.button(key="experiment.start").click().run()
    (experiment,) = list_experiments()
    titles = [one.title for one in experiment.plan.variants]
    assert titles[-2:] == ["train.batch_size = 4, train.learning_rate = 0.01", "train.epochs = 2"]
    app.selectbox(key="experiment.picked").set_value("new").run()
    app.text_area(key="experiment.own").set_value("train.speed=4").run()
    assert "unknown setting" in said(app).lower() and app.button(key="experiment.start").disabled
