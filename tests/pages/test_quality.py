"""Quality: readiness, shortcut baselines, and decisions about label issues."""

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.data.datasets.dataset import find_dataset
from core.data.imports.pipeline import import_pictures
from core.experiments.audits.label_issues import find_label_issues
from core.runs.run import Run
from tests.app import add_pictures, open_page, said
from tests.pictures import encoded, finish
from tests.tiny import train_tiny_run


def open_quality() -> AppTest:
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Data quality"
    app.run()
    assert not app.exception and not app.error
    return app


def test_pictures_that_nothing_was_trained_on_are_checked_all_the_same(home):
    add_pictures()
    told = said(open_quality())
    assert "Ready to train, with 4 things to know before." in told  # few, small, a vague test, one of 13 refused
    assert "has 3 pictures to learn from" in told
    assert "No shortcut found" in told
    assert "Once a network has been trained on this dataset" in told


def test_a_shortcut_is_told_beside_the_best_network(trained_home, tiny_run):
    told = said(open_quality())
    assert "Colour alone tells the classes apart" in told or "Brightness alone tells the classes apart" in told
    assert "your best network: 100.0 % of 12" in told  # a quarter of 48
    of_run = f"(run {tiny_run.id[-4:]}, 95 % interval"
    assert f"12 test pictures {of_run}" in told
    plain = told.replace("\\", "").replace("\u2060", "")
    assert f"reached 100.0 % of 12 test pictures of its own split {of_run}" in plain


@pytest.fixture
def mislabelled(home) -> Run:
    """A run on bright and dark pictures, of which one of each lies in the other's folder."""
    random = np.random.default_rng(0)
    entries = []
    for k, name in enumerate(("dark", "light")):
        for i in range(24):
            level = 60 + 120 * (k if i else 1 - k)
            picture = random.normal(level, 15, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            entries.append((f"{name}/{i:02}.png", name, None, encoded(Image.fromarray(picture))))
    finish(import_pictures("colours", iter(entries), "zip", False))
    return train_tiny_run(train__epochs=12, train__learning_rate=0.02)


def test_a_decision_stays_and_is_in_the_list(mislabelled):
    dataset = find_dataset("colours")
    wrong = next(
        issue for issue in find_label_issues(mislabelled, dataset) if dataset.names[issue.row].endswith("/00.png")
    )
    app = open_quality()
    app.get_by_key(f"decision_{dataset.id}_{wrong.row}").set_value("relabel").run()
    assert "1 relabel" in said(app)
    assert app.session_state[f"edits_{dataset.id}"][wrong.row].label == wrong.suggested
    app.get_by_key(f"issues_subset_{dataset.id}").set_value("held out" if wrong.part == "train" else "train").run()
    assert "1 relabel" in said(app) and not app.exception


def test_what_is_edited_elsewhere_is_what_the_list_says(mislabelled):
    dataset = find_dataset("colours")
    wrong = next(
        issue for issue in find_label_issues(mislabelled, dataset) if dataset.names[issue.row].endswith("/00.png")
    )

    def edited_elsewhere(choice):
        app.query_params.pop("tab", None)  # as the click on the tab does
        app.session_state["tab"] = "Pictures"
        app.run()
        app.button(key=f"picture_{wrong.row}").click().run()
        app.get_by_key(f"edit_{dataset.id}_{wrong.row}").set_value(choice).run()
        app.session_state["tab"] = "Data quality"
        app.run()
        assert not app.exception and not app.error
        return app.get_by_key(f"decision_{dataset.id}_{wrong.row}")

    app = open_quality()
    app.get_by_key(f"decision_{dataset.id}_{wrong.row}").set_value("relabel").run()
    assert edited_elsewhere("none").value is None and "1 relabel" not in said(app)
    assert edited_elsewhere("out").value == "exclude" and "1 exclude" in said(app)
    assert edited_elsewhere(wrong.suggested).value == "relabel" and "1 relabel" in said(app)
    app.button(key="discard_quality").click().run()
    assert app.get_by_key(f"decision_{dataset.id}_{wrong.row}").value is None
    app.get_by_key(f"decision_{dataset.id}_{wrong.row}").set_value("keep").run()
    assert "1 keep" in said(app) and not app.session_state[f"edits_{dataset.id}"] and not app.exception
