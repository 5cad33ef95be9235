"""The Check tab: ready or not, a shortcut that is told, and what is decided about doubtful labels."""

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.data.dataset import find_dataset, import_pictures
from core.experiments.doubtful import find_doubts
from core.runs.run import Run
from tests.app import add_pictures, open_page, said
from tests.pictures import encoded, finish
from tests.tiny import train_tiny_run


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))


def open_check() -> AppTest:
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Check"
    app.run()
    assert not app.exception and not app.error
    return app


def test_pictures_that_nothing_was_trained_on_are_checked_all_the_same(home):
    add_pictures()
    told = said(open_check())
    assert "Ready to train, with 4 things to know before." in told  # few, small, a vague test, one of 13 refused
    assert "has 3 pictures to learn from" in told
    assert "No shortcut found" in told
    assert "Once a network has been trained on these pictures" in told


def test_a_shortcut_is_told_beside_the_best_network(trained_home, tiny_run):
    told = said(open_check())
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
    wrong = next(doubt for doubt in find_doubts(mislabelled, dataset) if dataset.names[doubt.row].endswith("/00.png"))
    app = open_check()
    app.get_by_key(f"decide_{dataset.id}_{wrong.row}").set_value("relabel").run()
    assert "1 relabel" in said(app)
    assert app.session_state[f"decided_{dataset.id}"][wrong.row].label == wrong.suggested
    app.get_by_key(f"doubts_side_{dataset.id}").set_value("unseen" if wrong.part == "train" else "learnt").run()
    assert "1 relabel" in said(app) and not app.exception


def test_what_is_decided_elsewhere_is_what_the_list_says(mislabelled):
    dataset = find_dataset("colours")
    wrong = next(doubt for doubt in find_doubts(mislabelled, dataset) if dataset.names[doubt.row].endswith("/00.png"))

    def decided_elsewhere(choice):
        app.session_state["tab"] = "Pictures"
        app.run()
        app.button(key=f"look_{wrong.row}").click().run()
        app.get_by_key(f"one_{dataset.id}_{wrong.row}").set_value(choice).run()
        app.session_state["tab"] = "Check"
        app.run()
        assert not app.exception and not app.error
        return app.get_by_key(f"decide_{dataset.id}_{wrong.row}")

    app = open_check()
    app.get_by_key(f"decide_{dataset.id}_{wrong.row}").set_value("relabel").run()
    assert decided_elsewhere("stays").value is None and "1 relabel" not in said(app)
    assert decided_elsewhere("out").value == "exclude" and "1 exclude" in said(app)
    assert decided_elsewhere(wrong.suggested).value == "relabel" and "1 relabel" in said(app)
    app.button(key="forget_check").click().run()
    assert app.get_by_key(f"decide_{dataset.id}_{wrong.row}").value is None
    app.get_by_key(f"decide_{dataset.id}_{wrong.row}").set_value("keep").run()
    assert "1 keep" in said(app) and not app.session_state[f"decided_{dataset.id}"] and not app.exception
