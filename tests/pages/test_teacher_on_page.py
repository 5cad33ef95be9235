"""A teacher on the pages: chosen from the runs that fit, and said wherever the accuracy of its student stands."""

import pytest

from core.config import change_config
from core.runs.actions import rename_run
from core.runs.run import open_run, read_run
from core.runs.teachers import teacher_name
from core.submit import create_checked_run
from core.train import train_run
from pages.parts.form.run_form import REQUESTED, requested_by
from tests.app import open_page, said, widget
from tests.pages.test_run_form import form_of, plain

pytestmark = pytest.mark.usefixtures("nobody_trains")
PICKER = "form.train.teacher"


def opened_with(run):
    """Train's form with the settings of a run."""
    app = open_page("pages/train.py")
    app.session_state[REQUESTED] = requested_by(run.config)
    return app.run()


def test_a_form_without_a_run_that_fits_says_so(tiny_run):
    app = open_page("pages/train.py")  # quick splits these pictures otherwise
    assert widget(app, PICKER).options == ["None"]
    assert "No finished run has learnt from these parts of this dataset yet" in said(app)
    with pytest.raises(KeyError):
        widget(app, "form.train.temperature")


def test_a_teacher_is_chosen_by_title_and_accuracy(tiny_run):
    rename_run(tiny_run, "Two *colours*")
    app = opened_with(tiny_run)
    none, label = widget(app, PICKER).options
    assert none == "None" and label.startswith("Two *colours* · ") and label.endswith("%")
    widget(app, PICKER).set_value(teacher_name(tiny_run)).run()
    assert widget(app, "form.train.distill_share").value == 0.9 and widget(app, "form.train.temperature").value == 4.0
    widget(app, "typed.train.temperature").set_value("2.25").run()
    train = form_of(app).train
    assert (train.teacher, train.temperature) == (teacher_name(tiny_run), 2.25)
    assert f"teacher run {tiny_run.id[-4:]}" in app.get_by_key("group.Loss").label
    assert not app.button(key="start").disabled and not app.exception
    app.button(key="start").click().run()
    assert read_run("latest").config.train.teacher == teacher_name(tiny_run) and read_run("latest").id != tiny_run.id


def test_a_split_that_is_not_the_teachers_stops_the_start_beside_its_field(tiny_run):
    app = opened_with(tiny_run)
    widget(app, PICKER).set_value(teacher_name(tiny_run)).run()
    widget(app, "form.data.seed").set_value(5).run()
    assert "may have learnt pictures by which this run is judged" in plain(said(app))
    assert app.button(key="start").disabled and not app.exception
    assert any("does not fit, or is not here" in option for option in widget(app, PICKER).options)


def test_whoever_reads_an_accuracy_reads_whose_answers_it_was_learnt_from(tiny_run):
    config = change_config(tiny_run.config, {"train.teacher": teacher_name(tiny_run), "train.epochs": 1})
    run = create_checked_run(config)
    train_run(run.folder)
    run, sentence = open_run(run.folder), "Learnt 90 % from the answers of "
    app = open_page("pages/train.py", run=run.id)
    assert sentence in plain(said(app)) and not app.exception
    app = open_page("pages/results.py", own=run.id)
    assert sentence in plain(said(app)) and not app.exception
    app = open_page("pages/try_it.py", run=run.id)
    assert "learnt from a teacher" in said(app) and not app.exception
