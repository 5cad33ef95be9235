"""Why, on Try-It: a map for any class by any method, the sentence of its numbers, how good each method is."""

import json

import pytest

from core.experiments.audits.deletion_curves import measure_explanations
from core.settings import explanations_root
from tests.app import open_page, said


@pytest.fixture
def app(trained_home):
    return open_page("pages/try_it.py")


def method_of(app):
    return next(one for one in app.get("button_group") if one.label == "Method")


def test_the_map_says_what_it_shows_and_how_fine_it_is(app):
    assert "It answered" in said(app) and "What speaks for" in [box.label for box in app.selectbox]
    assert "has not been measured for this network" in said(app)
    assert any(button.label.startswith("Measure which explanation") for button in app.button)
    assert not app.exception and not app.error


def test_another_method_layer_and_class_can_be_chosen(app):
    method_of(app).set_value("grad_cam").run()
    layer = next(box for box in app.selectbox if box.label == "Layer")
    assert layer.options == ["conv1 · 14 × 14 cells", "conv2 · 5 × 5 cells"]
    target = next(box for box in app.selectbox if box.label == "What speaks for")
    other = next(name for name in ("blue", "orange") if name != target.value)
    target.set_value(other).run()
    assert f"speaks for {other}" in said(app) and not app.exception and not app.error


def test_the_default_is_the_method_that_measures_best_and_one_that_is_no_better_than_chance_is_said_to_be(tiny_run):
    list(measure_explanations(tiny_run, 4))
    path = explanations_root() / f"{tiny_run.id}.json"
    document = json.loads(path.read_text())
    for row in document["curves"]:
        good = row["method"] == "integrated_gradients"
        row["insertion"] = [0.9 if good else 0.5] * 4
        row["deletion"] = [0.1 if good else 0.5] * 4
    path.write_text(json.dumps(document))
    app = open_page("pages/try_it.py", run=tiny_run.id)
    assert method_of(app).value == "integrated_gradients" and not app.warning
    assert "Integrated gradients +0.80" in said(app) and "no better than chance" in said(app)
    method_of(app).set_value("occlusion").run()
    assert "do not believe this map" in said(app) and not app.exception
