"""Train: empty, with pictures, with a run, with a failed run; the form, the start, and the queue."""

import shutil

import pytest

from core.config import RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.disk import write_json
from core.fields import acts_in
from core.presets import PRESETS, preset
from core.runs.actions import delete_run
from core.runs.queue import waiting_runs
from core.runs.run import list_runs
from pages.parts.form.fields import all_fields, bounds, logarithmic, steps_of
from tests import tiny
from tests.app import add_failed_run, add_pictures, open_page, said, widget

pytestmark = pytest.mark.usefixtures("nobody_trains")


@pytest.fixture
def home(pets_home, tmp_path, monkeypatch):
    """A home of the test's own with the pets."""
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return shutil.copytree(pets_home, tmp_path / "home")


def plain(text: str) -> str:
    """What a person reads of an escaped text."""
    return text.replace("\\", "").replace("\u2060", "")


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def test_without_pictures_it_leads_to_the_data_page(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    app = open_page("pages/train.py")
    assert "There is no dataset to train on yet" in said(app)
    assert [button.label for button in app.button] == ["Start with the samples", "Add your own pictures"]
    assert not app.exception


def test_with_pictures_it_offers_a_start_and_shows_the_split(home):
    app = open_page("pages/train.py")
    assert not app.button(key="start").disabled
    assert "**6** training · **2** validation · **4** test" in said(app)
    assert "Nothing has been trained yet" in said(app)
    assert not app.exception and not app.error


def test_every_field_of_the_definition_that_acts_has_its_widget(home):
    app = open_page("pages/train.py")
    for field, info in all_fields().items():
        if acts_in(RunConfig(), field):
            assert widget(app, f"form.{field}").label.startswith(info.title), field


def test_a_preset_fills_the_form(home):
    app = open_page("pages/train.py")
    app.get_by_key("form.preset").set_value("paper").run()
    assert widget(app, "form.train.learning_rate").value == PRESETS["paper"].train.learning_rate
    assert widget(app, "form.train.epochs").value == 50
    assert widget(app, "form.data.split").value == "paper"


def test_a_preset_is_fitted_to_the_pictures_and_follows_another_dataset_where_nobody_changed_it(home):
    add_pictures("many", each=800)
    app = open_page("pages/train.py")
    for name, pictures in (("pets", 6), ("many", 1216)):
        app.selectbox(key="train_dataset").set_value(name).run()
        wanted = preset("quick", pictures).train
        assert widget(app, "form.train.batch_size").value == wanted.batch_size
        assert widget(app, "form.train.epochs").value == wanted.epochs
        assert widget(app, "form.train.learning_rate").value == wanted.learning_rate
        assert "Fitted to this small dataset" in said(app) and "changed" not in widget(app, "form.train.epochs").label


def test_what_a_person_changed_stays_with_another_dataset(home):
    add_pictures("more", each=200)
    app = open_page("pages/train.py")
    app.selectbox(key="train_dataset").set_value("pets").run()
    widget(app, "form.train.epochs").set_value(2).run()
    app.selectbox(key="train_dataset").set_value("more").run()
    assert widget(app, "form.train.epochs").value == 2
    assert widget(app, "form.train.batch_size").value == preset("quick", 304).train.batch_size


def test_a_changed_setting_is_marked_and_can_be_taken_back(home):
    app = open_page("pages/train.py")
    usual = widget(app, "form.train.learning_rate").value
    widget(app, "form.train.learning_rate").set_value(0.002).run()
    assert "changed" in widget(app, "form.train.learning_rate").label
    app.button(key="reset.train.learning_rate").click().run()
    assert widget(app, "form.train.learning_rate").value == usual
    assert "changed" not in widget(app, "form.train.learning_rate").label


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle"])
def test_every_schedule_is_drawn_before_the_training(home, schedule):
    app = open_page("pages/train.py")
    widget(app, "form.train.schedule").set_value(schedule).run()
    assert len(app.get("echarts_chart")) == 2 and not app.exception  # below its sliders, and in what will happen


def test_start_puts_a_run_with_these_settings_into_the_queue(home):
    app = open_page("pages/train.py")
    widget(app, "form.train.epochs").set_value(2).run()
    widget(app, "form.train.seed").set_value(7).run()
    app.button(key="start").click().run()
    (run,) = waiting_runs()
    wanted = {"data.dataset": "pets", "train.epochs": 2, "train.seed": 7}
    assert run.config == change_config(preset("quick", pictures=6), wanted)
    assert app.query_params["run"] == run.id
    assert "Next in the queue" in app.get("progress")[0].text
    assert widget(app, "form.train.epochs").value == 2  # ready to train again with one slider moved
    assert not app.exception and not app.error


def test_what_is_out_of_sight_does_not_decide(home):
    app = open_page("pages/train.py")
    widget(app, "form.train.warmup").set_value(0.5).run()
    widget(app, "form.train.schedule").set_value("cosine").run()  # takes the rise of one-cycle out of sight
    app.button(key="start").click().run()
    assert waiting_runs()[0].config.train.warmup == PRESETS["quick"].train.warmup


def test_a_full_queue_says_so_beside_the_disabled_button(home):
    write_json(home / "limits.json", {"queue_length": 1})
    app = open_page("pages/train.py")
    app.button(key="start").click().run()
    app.run()
    assert app.button(key="start").disabled
    assert "The queue is full: 1 waiting, 1 may wait" in plain(said(app))
    assert len(list_runs()) == 1


def test_a_waiting_run_can_be_cancelled(home):
    app = open_page("pages/train.py")
    app.button(key="start").click().run()
    app.button(key="action.cancel").click().run()
    assert list_runs()[0].state.status == "stopped" and not waiting_runs()
    assert "Cancelled before it started" in said(app)


def test_a_finished_run_shows_what_it_reached_with_its_number_of_pictures(trained_home, tiny_run):
    app = open_page("pages/train.py", run=tiny_run.id)
    test = tiny_run.evaluation("test")
    right = int(test.correct.sum())
    shown = metrics(app)
    assert shown["Test accuracy"] == f"{100 * test.accuracy:.1f} %"
    assert f"{right} of {test.n}; 95 % interval" in said(app)
    assert len(app.get("echarts_chart")) >= 3  # loss, accuracy, classes
    table = app.dataframe[0].value
    assert table["of"].tolist() == [test.n] and table["Status"].tolist() == ["Done"]
    assert not app.exception and not app.error


def test_an_address_with_an_unknown_run_shows_the_newest(trained_home, tiny_run):
    app = open_page("pages/train.py", run="zzzzzzzzzzzz")
    assert app.selectbox(key="run").value == tiny_run.id
    assert not app.exception and not app.error


def test_a_failed_run_says_its_sentence(home):
    run = add_failed_run(find_dataset("pets"), "The loss was not finite at step 3. Try a tenth of the learning rate.")
    app = open_page("pages/train.py", run=run.id)
    assert any("not finite at step 3" in plain(box.value) for box in app.error)
    assert app.dataframe[0].value["Status"].tolist() == ["Failed"]
    assert not app.button(key="start").disabled and not app.exception


def test_odd_names_are_shown_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    odd = "![x](http://evil.example/t.png) :red[hot] $x$"
    add_pictures(odd, (odd, "<b>b</b>"))
    app = open_page("pages/train.py")
    app.button(key="start").click().run()
    assert "http://evil" not in said(app) and not app.exception and not app.error


def test_a_select_box_reads_no_markdown(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    add_failed_run(add_pictures("my-pets_2"), "The disk is full.")
    app = open_page("pages/train.py")
    assert app.selectbox(key="train_dataset").options == ["my-pets_2"]
    assert "Paper · my-pets_2" in app.selectbox(key="run").options[0]


def test_a_slider_goes_in_steps_that_a_person_thinks_in():
    assert logarithmic(0.01, 0.1) == [0.01, 0.012, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1]
    assert logarithmic(1, 30) == [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30]
    assert steps_of("train.batch_size")[:5] == (1, 2, 4, 8, 16)
    assert bounds(all_fields()["train.momentum"]) == (0.0, 0.99)  # below one, in hundredths


def test_a_run_is_compared_with_the_run_before_it(trained_home):
    second = tiny.train_tiny_run(train__epochs=1)
    app = open_page("pages/train.py", run=second.id)
    assert float(metrics(app)["Since the run before"]) <= 100
    assert "points; that had" in said(app)


def test_a_link_to_a_run_that_is_not_here_says_so_once(home):
    run = add_failed_run(find_dataset("pets"), "Nothing came of it.")
    app = open_page("pages/train.py", run="nobodysrun00")
    assert "leads to a run that is not here" in plain(said(app)) and app.query_params["run"] == run.id
    app.button(key="notification.close").click().run()
    assert "leads to a run that is not here" not in plain(said(app))


def test_a_link_to_a_deleted_run_offers_it_back(home):
    run = add_failed_run(find_dataset("pets"), "Nothing came of it.")
    delete_run(run)
    app = open_page("pages/train.py", run=run.id)
    app.button(key="undo").click().run()
    assert [back.id for back in list_runs()] == [run.id] and app.query_params["run"] == run.id
