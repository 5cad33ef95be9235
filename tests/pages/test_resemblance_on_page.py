"""Most like it, on Try-It: the nearest training pictures, "none of these", and both probabilities where they differ."""

from dataclasses import replace

import pytest

from core.data.datasets.dataset import find_dataset
from core.data.store.store import split_dataset
from core.inference import novelty as novelty_module
from core.inference.calibration import load_calibration
from core.inference.measure_novelty import measure_novelty
from core.inference.predictor import load_predictor
from tests import tiny
from tests.app import open_page, said


def open_tab(run):
    app = open_page("pages/try_it.py", run=run.id)
    app.session_state["closer"] = "Most like it"
    return app.run()


@pytest.fixture
def measured_run(tiny_run):
    for _ in measure_novelty(tiny_run):
        pass
    return tiny_run


def test_before_it_was_measured_a_button_does_it(tiny_run):
    app = open_tab(tiny_run)
    assert any(button.label == "Compare with its training pictures" for button in app.button) and not app.exception


def test_a_training_picture_finds_itself_first_with_class_and_name(measured_run):
    dataset = find_dataset("colours")
    place = int(split_dataset(dataset, measured_run.config.data)["train"][0])
    app = open_tab(measured_run)
    app.file_uploader(key="pictures").upload("mine.png", dataset.original(place)).run()
    names = [one.value for one in app.caption if "· distance" in one.value]
    own = dataset.names[place].rsplit("/")[-1].replace(".", r"\.")
    assert len(names) == 8 and names[0] == f"{own} · distance 0.00"
    assert "is this very picture" in said(app)
    assert "training pictures most like it are blue" in said(app) and not app.exception and not app.error


def test_a_picture_that_is_none_of_the_classes_is_said_to_be(measured_run, monkeypatch):
    verdict = novelty_module.Novelty.verdict
    monkeypatch.setattr(
        novelty_module.Novelty, "verdict", lambda *a: replace(verdict(*a), none_of_these=True, unlike=0.99)
    )
    app = open_tab(measured_run)
    assert "### None of these" in said(app) and "If it had to be one" in said(app)
    assert "More unlike its training pictures than 99%" in said(app) and not app.exception


def test_both_probabilities_are_shown_where_they_differ(tiny_run, monkeypatch):
    content = tiny.colour_pictures(1)[0][3]
    raw = load_predictor(tiny_run).predict([("mine.png", content)])[0].classes
    assert 0.6 < raw[0][1] < 0.999  # so that another temperature is seen
    hot = load_calibration(tiny_run).model_copy(update={"temperature": 3.0})
    monkeypatch.setattr("pages.parts.try_it.answers.load_calibration", lambda run: hot)
    app = open_page("pages/try_it.py", run=tiny_run.id)
    app.file_uploader(key="pictures").upload("mine.png", content).run()
    believed = hot.rank(raw)[0][1]
    assert f"### blue · {believed:.0%}".replace("%", r" \%") in said(app)
    assert f"The network says {raw[0][1]:.1%}".replace("%", r"\%").replace(".", r"\.") in said(app).replace(
        " \\%", "\\%"
    )
