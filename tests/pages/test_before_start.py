"""Before the start: what will happen, the presets as cards, and how good the estimates were."""

import pytest

from core.config import change_config
from core.data.datasets.dataset import find_dataset
from core.presets import PRESETS
from pages.parts.form.estimate import known_seconds
from pages.parts.form.preset_cards import describe
from pages.parts.form.run_form import fit_preset
from pages.parts.train.before_start import first_batch
from tests import tiny
from tests.app import add_pictures, open_page, said, widget

pytestmark = pytest.mark.usefixtures("nobody_trains")


@pytest.fixture
def pets(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return add_pictures("pets", ("*cat*", "dog"), each=30)


def test_without_a_run_the_split_the_schedule_and_a_batch_are_shown(pets):
    app = open_page("pages/train.py")
    config = fit_preset("quick", pets)
    assert "What will happen" in [head.value for head in app.header]
    assert f"in each of {config.train.epochs:,} epochs" in said(app)
    table = app.dataframe[0].value
    assert list(table.index) == ["*cat*", "dog", "Together"] and table.loc["Together"].sum() == 60
    assert "as the network receives them" in said(app)
    widget(app, "form.train.epochs").set_value(5).run()
    assert "in each of 5 epochs" in said(app)
    assert not app.exception and not app.error


def test_with_the_augmentation_the_batch_is_drawn_only_when_asked(pets, monkeypatch):
    page = "pages.parts.train.before_start"
    drawn = []  # in place of torch, whose import takes seconds
    monkeypatch.setattr(f"{page}.is_imported", lambda: False)
    monkeypatch.setattr(f"{page}.wait_for_torch", lambda: None)
    monkeypatch.setattr(f"{page}.augmented", lambda pictures, *how: drawn.append(how) or pictures[:, :, ::-1])
    app = open_page("pages/train.py")
    widget(app, "form.train.augment").set_value(["flip"]).run()
    assert "as the network receives them" in said(app)
    assert app.button(key="before.again").label == "Augment them" and not drawn
    app.button(key="before.again").click().run()
    assert "with Horizontal flip" in said(app) and app.button(key="before.again").label == "Draw again"
    assert drawn == [(("flip",), 1)]
    assert not app.exception and not app.error


def test_the_first_batch_is_of_training_pictures_and_the_same_for_a_seed(pets):
    config = fit_preset("quick", pets)
    rows = first_batch(pets, config, 8)
    assert rows == first_batch(pets, config, 8) and len(set(rows)) == 8
    assert first_batch(pets, config, 10_000) != [] and max(rows) < pets.used


def test_settings_that_cannot_be_trained_are_not_foretold(pets):
    app = open_page("pages/train.py")
    widget(app, "typed.train.epochs").set_value("many").run()
    assert "cannot be trained; what is wrong stands on the left" in said(app)
    assert not app.exception and not app.error


def test_a_card_tells_time_and_accuracy_of_what_was_trained_here_else_as_measured(trained_home, tiny_run):
    dataset = find_dataset("colours")
    text = describe(tiny_run.config, known_seconds(dataset, tiny_run.config))
    assert text.startswith("about ") and text.endswith("% of 12 here")
    assert describe(change_config(tiny_run.config, {"train.seed": 7}), None) == text.partition(" · ")[2]
    measured = {"quick": "68 % on CIFAR-10", "scratch": "98 % on 5,400 artworks"}
    for name, accuracy in (measured | {"speedrun": "accuracy not measured yet"}).items():
        config = fit_preset(name, dataset)
        assert describe(config, known_seconds(dataset, config)) == accuracy


def test_a_card_is_chosen_and_the_times_can_be_asked_for(pets):
    app = open_page("pages/train.py")
    assert app.radio(key="form.preset").options == [
        "Paper",
        "Quick",
        "Better",
        "Best",
        "Tiny",
        "From scratch",
        "Speedrun",
        "Pretrained",
    ]
    app.radio(key="form.preset").set_value("paper").run()
    assert widget(app, "form.train.epochs").value == PRESETS["paper"].train.epochs
    app.button(key="presets.measure").click().run()
    assert "Measuring: 0 of 8" in said(app)
    assert not app.exception and not app.error


def test_the_page_tells_how_good_its_estimates_were(trained_home, tiny_run):
    tiny.train_tiny_run(train__seed=1)  # with what the first one took as its estimate
    app = open_page("pages/train.py")
    widget(app, "form.train.batch_size").set_value(8).run()
    widget(app, "form.data.image_size").set_value(16).run()
    assert "The last estimate was within" in said(app)
    assert not app.exception and not app.error
