"""Teach it, on Try-It: a picture with its class becomes a version, a run learns it, and it is told if it helped."""

import pytest

from core.data.datasets.dataset import find_dataset, list_datasets
from core.data.store.store import split_dataset
from core.inference.predictor import load_predictor
from core.runs.queue import waiting_runs
from core.runs.run import read_run
from core.train import train_run
from tests import tiny
from tests.app import open_page, said
from tests.pictures import encoded, noise


@pytest.fixture
def app(trained_home, nobody_trains):
    app = open_page("pages/try_it.py")
    app.session_state["closer"] = "Teach it"
    return app.run()


def show(app, name, content, class_name):
    """Drop a picture and say what it is."""
    app.file_uploader(key="pictures").upload(name, content).run()
    choice = next(box for box in app.selectbox if box.label == "Right class")
    choice.set_value(class_name).run()
    app.button(key="teach.add").click().run()


def test_a_test_picture_is_not_taught(app):
    assert "The network may not learn it" in said(app) and not app.exception


def test_a_taught_picture_becomes_a_version_and_a_run_learns_it(app, tiny_run):
    content = encoded(noise(16, 16, seed=5))
    show(app, "mine.png", content, "orange")
    app.button(key="teach.learn").click().run()
    assert not app.exception and not app.error and not app.warning
    made = find_dataset("colours v2")
    (run,) = waiting_runs()
    assert run.config.data.dataset == made.name and run.config.train == tiny_run.config.train
    row = list(made.names).index("taught in Try-It/mine.png")
    assert made.classes[made.labels[row]] == "orange" and row in split_dataset(made, run.config.data)["train"]
    train_run(run.folder)
    app.run()
    best, _ = load_predictor(read_run(run.id)).predict([("mine.png", content)])[0].classes[0]
    assert "Does it know better now?" in said(app) and f"**{best}**" in said(app)
    assert "On the 12 test pictures that both were asked it gets" in said(app) and not app.exception
    app.button(key="teach.use").click().run()
    assert app.selectbox(key="run").value == run.id and not app.exception


def test_a_copy_of_a_test_picture_stays_on_the_test_side(app, tiny_run):
    dataset = find_dataset("colours")
    place = int(tiny_run.evaluation("test").indices[0])
    show(app, "mine.png", dataset.original(place), "orange")
    app.button(key="teach.learn").click().run()
    assert any("It stays on the test side" in box.value for box in app.warning)
    assert [one.name for one in list_datasets()] == ["colours"] and not waiting_runs() and not app.exception


def test_none_of_these_is_a_new_class_and_needs_two_pictures(app):
    show(app, "one.png", encoded(noise(16, 16, seed=5)), "none of these")
    assert app.button(key="teach.learn").disabled and "needs at least two pictures" in said(app)
    app.button(key="teach.drop.0").click().run()
    assert not [button for button in app.button if button.key == "teach.learn"]


def test_a_picture_that_is_in_the_dataset_already_is_told(app, tiny_run):
    dataset = find_dataset("colours")
    place = int(split_dataset(dataset, tiny_run.config.data)["train"][0])
    show(app, "mine.png", dataset.original(place), dataset.classes[int(dataset.labels[place])])
    app.button(key="teach.learn").click().run()
    assert any("already" in box.value for box in app.warning) and not app.exception
    assert [one.name for one in list_datasets()] == ["colours"]


def test_what_cannot_be_read_teaches_nothing(app):
    app.file_uploader(key="pictures").upload("broken.png", b"no picture").run()
    assert "nothing can be learnt from it" in said(app) and not app.exception


def test_pictures_of_a_run_that_are_gone_cannot_be_added_to(app, tiny_run):
    from core.data.datasets.dataset import delete_dataset

    delete_dataset("colours")
    app.file_uploader(key="pictures").upload("mine.png", tiny.colour_pictures(1)[0][3]).run()
    assert "no longer there, so it cannot be taught" in said(app) and not app.exception
