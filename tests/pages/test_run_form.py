"""The form: a widget a field, marks and ways back, typed numbers, filling it from a RunConfig, what is refused."""

import random
import shutil
from typing import get_args, get_origin

import numpy as np
import pytest

from core.backbones.catalogue import PUBLISHED
from core.config import Augmentation, ModelConfig, RunConfig, change_config
from core.data.datasets.dataset import find_dataset
from core.data.imports.pipeline import import_pictures
from core.disk import write_json
from core.errors import UserMistake
from core.fields import ACTING, acts, value_of
from core.presets import PRESETS, preset
from core.runs.queue import waiting_runs
from pages.parts.form import start_run as starting
from pages.parts.form.augmentation_preview import PICTURES, _alone, some_pictures
from pages.parts.form.fields import (
    FRONT,
    all_fields,
    allows,
    bounds,
    format_exact,
    groups,
    is_backbone,
    is_list,
    is_number,
    is_relevant,
    is_teacher,
    range_in_words,
    read_number,
    same_value,
    steps_of,
)
from pages.parts.form.run_form import REQUESTED, fit_preset, kept_forms, requested_by, set_field
from pages.parts.form.split_counts import given_parts
from pages.parts.form.validation import validate_config
from tests.app import open_page, said, widget
from tests.pictures import finish, png
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("nobody_trains")


@pytest.fixture
def home(pets_home, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return shutil.copytree(pets_home, tmp_path / "home")


@pytest.fixture
def app(home):
    return open_page("pages/train.py")


NOT_IN_QUICK = (
    "train.distill_share",
    "train.temperature",
    "train.progressive",
    "train.filter_rate",
    "train.flips",
    "train.freeze_first",
)


def plain(text):
    return text.replace("\\", "").replace("\u2060", "")


def form_of(app):
    """What the form says, as it is kept for a reload."""
    token = app.query_params["form"]
    return RunConfig.model_validate_json(kept_forms()[token])


def lopsided(name, counts, part=None):
    """A dataset with so many pictures in each class."""
    entries = [(f"{i}.png", label, part, png(i)) for label, count in counts.items() for i in range(count)]
    return finish(import_pictures(name, iter(entries), "zip", False))


def words(remarks):
    return [remark.text for remark in remarks]


# ------------------------------------------------------------------------------------------------- fields


def test_every_field_is_in_front_or_in_one_group():
    placed = [*FRONT, *(field for fields in groups().values() for field in fields)]
    assert sorted(placed) == sorted(all_fields())


def test_every_field_has_a_widget_or_a_reason(app):
    values = {field: app.session_state["form.values"][field] for field in all_fields()}
    for field, info in all_fields().items():
        if is_relevant(field, values):
            key = f"{'typed' if is_list(field) else 'form'}.{field}"
            assert app.get_by_key(key).label.startswith(info.title), field
        else:
            of_others = field.startswith("model.") or field in NOT_IN_QUICK
            assert of_others, f"{field} does not act; quick shows all but what needs another network or a teacher"


@pytest.mark.parametrize("name", ACTING)
def test_a_network_shows_the_fields_that_act_for_it(app, name):
    widget(app, "form.model.name").set_value(name).run()
    for field in ModelConfig.model_fields:
        known = all_fields()[f"model.{field}"]
        key = f"{'typed' if is_list(f'model.{field}') else 'form'}.model.{field}"
        if field == "backbone":
            continue  # chosen from what there is: the test after this one
        if acts(field, ModelConfig(name=name).model_dump()):
            assert app.get_by_key(key).label.startswith(known.title), field
        else:
            with pytest.raises(KeyError):
                app.get_by_key(key)
    widget(app, "form.train.epochs").set_value(2).run()  # a form that nobody has changed is not kept
    begins_with = {"backbone": "efficientnet_lite0"} if name == "pretrained" else {}  # the one that is here
    assert form_of(app).model == ModelConfig(name=name, **begins_with) and not app.exception


def test_a_backbone_is_chosen_with_the_image_size_it_was_trained_with(app):
    widget(app, "form.model.name").set_value("pretrained").run()
    assert app.selectbox(key="form.backbone.published").value == "efficientnet_lite0"  # needs no download
    assert form_of(app).data.image_size == 224 and not app.button(key="start").disabled
    app.selectbox(key="form.backbone.published").set_value("googlenet").run()
    assert form_of(app).data.image_size == 224 and app.button(key="start").disabled
    assert "The weights of GoogLeNet are not here yet" in said(app) and app.button(key="download.googlenet")
    app.selectbox(key="form.backbone.published").set_value("resnet18").run()
    assert form_of(app).model.backbone == "resnet18"
    widget(app, "form.model.name").set_value("transfer").run()
    assert "There is no finished run to use as a backbone yet" in said(app) and app.button(key="start").disabled
    widget(app, "form.model.name").set_value("cnn").run()
    assert form_of(app).data.image_size == 32 and not app.button(key="start").disabled and not app.exception


def test_a_browser_that_has_not_heard_of_a_change_yet_does_not_undo_it(app):
    widget(app, "typed.train.epochs").set_value("1000")
    early = app._tree  # what the browser shows, and says again, until the answer has come: the slider as it was
    for one in (*app.select_slider, *app.text_input):
        one.set_value(one.value)
    app.run()
    assert widget(app, "form.train.epochs").value == form_of(app).train.epochs == 1000
    app._tree = early
    widget(app, "typed.train.batch_size").set_value("64").run()
    assert form_of(app).train.epochs == 1000 and form_of(app).train.batch_size == 64
    assert widget(app, "form.train.epochs").value == 1000 and widget(app, "typed.train.epochs").value == "1000"
    # what a slider begins with is said in every run: a browser that missed the first one would begin with the least
    slider = widget(app, "form.train.epochs").proto
    assert slider.options[int(slider.default[0])] == "1000" and not slider.set_value


def places(app) -> dict[str, tuple[int, ...]]:
    """Where the clocks of the form stand: the estimate and the rate finder."""
    found = {}

    def walk(node, path):
        for index, child in getattr(node, "children", {}).items():
            if str(getattr(child, "value", "")).startswith(":material/timer:"):
                found["estimate"] = (*path, index)
            if getattr(child, "key", None) == "finder.start":
                found["finder"] = (*path, index)
            walk(child, (*path, index))

    walk(app._tree, ())
    return found


def test_a_clock_keeps_its_place_whatever_comes_before_it(app):
    before = places(app)
    assert len(before) == 2
    widget(app, "typed.train.epochs").set_value("12").run()  # "Changed from" appears
    widget(app, "form.train.optimizer").set_value("adam").run()
    widget(app, "typed.train.learning_rate").set_value("0.5").run()  # and a remark under the rate
    assert "High for Adam" in said(app) and places(app) == before
    widget(app, "typed.train.learning_rate").set_value("many").run()
    assert places(app)["finder"] == before["finder"]  # there is nothing to estimate
    widget(app, "typed.train.learning_rate").set_value("0.01").run()
    assert places(app) == before


def test_the_channels_of_the_blocks_are_typed_and_what_is_wrong_says_why(app):
    widget(app, "form.model.name").set_value("cnn").run()
    widget(app, "typed.model.channels").set_value("8 16, 32").run()
    assert form_of(app).model.channels == (8, 16, 32) and not app.button(key="start").disabled
    assert widget(app, "typed.model.channels").value == "8, 16, 32"
    widget(app, "typed.model.channels").set_value("8, many").run()
    assert "must be 1 to 6 whole numbers from 1 to 4096" in plain(said(app)) and app.button(key="start").disabled
    widget(app, "form.model.name").set_value("paper_cnn").run()  # what is out of sight stops nothing
    assert not app.button(key="start").disabled
    widget(app, "form.model.name").set_value("cnn").run()
    app.button(key="reset.model.channels").click().run()
    widget(app, "typed.model.linear").set_value("none").run()
    assert (form_of(app).model.channels, form_of(app).model.linear) == ((6, 16), ())


def test_a_network_that_shrinks_a_map_to_nothing_says_so_before_it_starts(app):
    widget(app, "form.model.name").set_value("cnn").run()
    widget(app, "typed.model.channels").set_value("4, 4, 4, 4").run()
    assert "pool4" in plain(said(app)) or "conv4" in plain(said(app))
    assert app.button(key="start").disabled and not app.exception


def test_a_field_that_does_not_act_is_left_out(app):
    widget(app, "form.data.split").set_value("paper").run()
    widget(app, "form.train.schedule").set_value("cosine").run()
    for field in ("data.seed", "data.duplicates", "train.warmup"):
        with pytest.raises(KeyError):
            widget(app, f"form.{field}")


def test_shares_that_a_dataset_brings_along_are_not_asked_for():
    values = {field: value_of(RunConfig(), field) for field in all_fields()}
    both = frozenset({1, 2})
    assert is_relevant("data.test_fraction", values) and is_relevant("data.val_fraction", values)
    assert not is_relevant("data.test_fraction", values, frozenset({2})) and is_relevant(
        "data.val_fraction", values, {2}
    )
    assert not is_relevant("data.test_fraction", values, both) and not is_relevant("data.val_fraction", values, both)


@pytest.mark.parametrize("field", [field for field in all_fields() if is_number(field)])
def test_a_slider_stops_only_where_the_definition_allows_and_reaches_both_ends(field):
    low, high = bounds(all_fields()[field])
    if high > 10**6:
        return
    steps = steps_of(field)
    assert list(steps) == sorted(set(steps)) and len(steps) <= 110
    assert all(allows(field, step) for step in steps)
    assert steps[0] == low and (steps[-1] == high or field == "data.image_size")
    assert all(read_number(field, format_exact(step)) == step for step in steps)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("train.learning_rate", "0.00123", 0.00123),
        ("train.learning_rate", " 0,00123 ", 0.00123),
        ("train.learning_rate", "1e-7", 1e-7),
        ("train.learning_rate", ".5", 0.5),
        ("train.momentum", "0.937", 0.937),
        ("train.epochs", "37", 37),
        ("train.weight_decay", "0", 0.0),
    ],
)
def test_a_typed_number_is_taken_exactly(field, text, value):
    assert read_number(field, text) == value
    assert read_number(field, format_exact(value)) == value


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "1e-8", "1e9", "1_000", "１", "", "1e", "0x1", "1" * 60])
def test_what_is_no_learning_rate_is_refused_with_the_range(text):
    with pytest.raises(UserMistake, match="Learning rate must be a number from 1e-7 to 1\\."):
        read_number("train.learning_rate", text)


@pytest.mark.parametrize("text", ["0", "2.5", "-1", "1000000000", "1025", "ten"])
def test_what_is_no_batch_size_is_refused_with_the_range(text):
    with pytest.raises(UserMistake, match="Batch size must be a whole number from 1 to 1024\\."):
        read_number("train.batch_size", text)


def test_a_range_that_leaves_its_end_out_says_so():
    assert range_in_words("train.momentum") == "from 0 to less than 1"
    with pytest.raises(UserMistake, match="to less than 1"):
        read_number("train.momentum", "1")


# -------------------------------------------------------------------------------------------- typed and marked


def test_what_is_typed_moves_the_slider_and_the_slider_what_is_typed(app):
    widget(app, "typed.train.learning_rate").set_value("0.00123").run()
    assert widget(app, "form.train.learning_rate").value == 0.00123
    widget(app, "form.train.learning_rate").set_value(0.02).run()
    assert widget(app, "typed.train.learning_rate").value == "0.02"
    assert form_of(app).train.learning_rate == 0.02


def test_what_is_typed_wrong_says_why_beside_the_field_and_beside_the_start(app):
    widget(app, "typed.train.epochs").set_value("many").run()
    assert plain(said(app)).count("Epochs must be a whole number from 1 to 1000.") == 2
    assert app.button(key="start").disabled
    assert widget(app, "typed.train.epochs").value == "many"  # stays, to be corrected
    widget(app, "typed.train.epochs").set_value("12").run()
    assert not app.button(key="start").disabled and form_of(app).train.epochs == 12
    assert not app.exception and not app.error


def test_what_is_typed_wrong_is_taken_back_like_a_change(app):
    usual = widget(app, "form.train.epochs").value
    widget(app, "typed.train.epochs").set_value("0").run()
    app.button(key="reset.train.epochs").click().run()
    assert widget(app, "typed.train.epochs").value == str(usual) and not app.button(key="start").disabled


def test_changes_are_marked_at_the_field_and_the_group_and_taken_back_one_by_one_and_together(app):
    widget(app, "form.train.augment").set_value(["flip"]).run()
    widget(app, "form.train.label_smoothing").set_value(0.1).run()
    widget(app, "form.train.epochs").set_value(2).run()
    values = {field: app.session_state["form.values"][field] for field in all_fields()}
    shown = [field for field in all_fields() if is_relevant(field, values)]
    marked = {field for field in shown if "changed" in widget(app, f"form.{field}").label}
    assert marked == {"train.augment", "train.label_smoothing", "train.epochs"}
    assert {box.label.split("**")[1] for box in app.expander if "changed" in box.label} == {"Augmentation", "Loss"}
    app.button(key="reset.train.epochs").click().run()
    assert "changed" not in widget(app, "form.train.epochs").label
    assert "changed" in widget(app, "form.train.label_smoothing").label
    app.button(key="reset.all").click().run()
    assert "Changed from" not in said(app) and widget(app, "form.train.augment").value == []


# ------------------------------------------------------------------------------------------- filled from elsewhere


def fill(app, config):
    app.session_state[REQUESTED] = requested_by(config)
    return app.run()


def some_config(drawn: random.Random) -> RunConfig:
    """A RunConfig drawn over everything that the definitions allow, ends of ranges among it."""
    changes = {"data.dataset": "pets"}
    for field, info in all_fields().items():
        if is_list(field):
            changes[field] = [drawn.randint(1, 40) for _ in range(drawn.randint(1, 4))]
        elif get_origin(info.annotation) is tuple:
            changes[field] = [name for name in get_args(Augmentation) if drawn.random() < 0.4]
        elif info.annotation is bool:
            changes[field] = drawn.random() < 0.5
        elif is_backbone(field):
            changes[field] = drawn.choice(list(PUBLISHED))
        elif is_teacher(field):
            changes[field] = ""  # which runs fit depends on all the others: test_teacher_on_page.py
        elif not is_number(field):
            changes[field] = drawn.choice(get_args(info.annotation))
        else:
            low, high = bounds(info)
            between = drawn.randint(low, high) if isinstance(low, int) else drawn.uniform(low, high)
            changes[field] = drawn.choice([low, high, between, between])
    return change_config(RunConfig(preset=drawn.choice(list(PRESETS))), changes)


def assert_says(app, config):
    """The form says this RunConfig in every field that acts; one that does not act is at its preset."""
    form, values = form_of(app), {field: value_of(config, field) for field in all_fields()}
    base = fit_preset(config.preset, find_dataset("pets"))
    for field in all_fields():
        wanted = config if is_relevant(field, values) else base
        assert same_value(value_of(form, field), value_of(wanted, field)), field
    assert (form.preset, form.data.dataset) == (config.preset, "pets")
    assert not app.exception and not app.error


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_taken_as_it_is(app, name):
    config = change_config(preset(name), {"data.dataset": "pets", "train.seed": 5})
    assert_says(fill(app, config), config)


def test_any_settings_are_taken_as_they_are_and_none_raises(app):
    drawn = random.Random(3)
    for _ in range(12):
        config = some_config(drawn)
        assert_says(fill(app, config), config)


def test_settings_for_pictures_that_are_gone_say_so_and_keep_the_rest(app):
    config = change_config(PRESETS["quick"], {"data.dataset": "gone", "train.epochs": 7})
    fill(app, config)
    assert any("gone" in toast.value for toast in app.toast)
    assert app.selectbox(key="train_dataset").value == "pets"
    assert widget(app, "form.train.epochs").value == 7


def test_only_what_the_definition_allows_can_be_asked_for():
    with pytest.raises(UserMistake, match=r"train\.epochs = 0"):
        set_field("train.epochs", 0)
    with pytest.raises(UserMistake, match="unknown setting"):
        set_field("train.epoch", 1)


def test_a_reload_finds_the_form_and_a_copy_of_it_is_its_own(app):
    widget(app, "form.train.epochs").set_value(2).run()
    token = app.query_params["form"]
    kept = dict(kept_forms())
    again = open_page("pages/train.py")  # empties the caches, as a new server would
    kept_forms().update(kept)
    again = type(again).from_file(again._script_path, default_timeout=PATIENCE)
    again.query_params["form"] = token
    again.switch_page("pages/train.py").run()
    assert widget(again, "form.train.epochs").value == 2
    widget(again, "form.train.epochs").set_value(3).run()
    assert form_of(again).train.epochs == 3
    assert RunConfig.model_validate_json(kept_forms()[token]).train.epochs == 2


def test_an_address_with_an_unknown_form_shows_the_preset(home):
    app = open_page("pages/train.py", form="../../x")
    assert not app.exception and not app.error and "Changed from" not in said(app)


# ------------------------------------------------------------------------------------------------- remarks


def remarks_on(counts, **changes):
    dataset = lopsided("some", counts)
    wanted = {"data.dataset": "some"} | {name.replace("__", "."): value for name, value in changes.items()}
    return validate_config(dataset, change_config(RunConfig(), wanted))


def test_a_batch_larger_than_the_training_part_is_lowered_and_that_is_said(home):
    plan, remarks = remarks_on({"a": 2, "b": 3}, train__batch_size=64, data__val_fraction=0.0)
    assert "Batch size lowered from 64 to 3 (only 3 training pictures)." in words(remarks)
    assert (plan.batch_size, plan.iterations) == (3, 1) and not any(remark.stops for remark in remarks)


def test_a_batch_of_one_stops_beside_its_field(home):
    _, (remark, *_) = remarks_on({"a": 30, "b": 30}, train__batch_size=1)
    assert remark.stops and remark.fields == ("train.batch_size",) and "at least 2 pictures" in remark.text


def test_early_stopping_without_a_validation_part_stops_beside_both_fields(home):
    _, (remark, *_) = remarks_on({"a": 40, "b": 40}, train__patience=5, data__val_fraction=0.0)
    assert remark.stops and remark.fields == ("train.patience", "data.val_fraction")
    _, remarks = remarks_on({"a": 40, "b": 40}, train__patience=5, data__val_fraction=0.2)
    assert not remarks


def test_a_class_with_few_pictures_is_named(home):
    _, remarks = remarks_on({"a": 100, "rare": 2}, data__val_fraction=0.0)
    assert "Class 'rare' has 1 picture to learn from; 20 or more are good." in words(remarks)


def test_a_class_that_is_not_tested_is_named(home):
    dataset = lopsided("some", {"a": 100, "b": 100})
    dataset.labels, dataset.given_parts  # noqa: B018  # read before they are changed below
    dataset.__dict__["given_parts"] = np.where(dataset.labels == 0, np.arange(200) % 2 * 2, 0).astype(np.int8)
    config = change_config(RunConfig(), {"data.dataset": "some"})
    given_parts.clear()
    _, remarks = validate_config(dataset, config)
    assert any("Class 'b' has no picture to test on" in text for text in words(remarks))


def test_uneven_classes_are_said_until_they_are_weighed_or_cut(home):
    even = {"data__val_fraction": 0.0}
    _, remarks = remarks_on({"many": 300, "few": 30}, **even)
    assert any("'many' has 10 times as many training pictures as 'few'" in text for text in words(remarks))
    assert not remarks_on({"many": 300, "few": 30}, train__class_weights="balanced", **even)[1]
    assert not remarks_on({"many": 300, "few": 30}, data__balance="smallest", **even)[1]


def test_a_high_rate_for_adam_is_said_and_stops_nothing(home):
    _, (remark,) = remarks_on({"a": 40, "b": 40}, train__optimizer="adam", train__learning_rate=0.05)
    assert not remark.stops and remark.fields == ("train.learning_rate",)


def test_a_stop_marks_the_group_that_hides_its_field(app):
    widget(app, "form.data.val_fraction").set_value(0.0).run()
    widget(app, "form.train.patience").set_value(3).run()
    stopped = {box.label.split("**")[1] for box in app.expander if ":material/block:" in box.label}
    assert stopped == {"Schedule", "Data"} and app.button(key="start").disabled
    assert plain(said(app)).count("Early stopping watches the loss on the validation part") == 3


# --------------------------------------------------------------------------------------------------- start


def test_a_double_click_is_one_run_and_other_settings_are_another(app, monkeypatch):
    monkeypatch.setattr(starting, "DOUBLE_CLICK_SECONDS", 600.0)
    app.button(key="start").click().run()
    app.button(key="start").click().run()
    assert len(waiting_runs()) == 1
    widget(app, "form.train.seed").set_value(1).run()
    app.button(key="start").click().run()
    assert [run.config.train.seed for run in waiting_runs()] == [0, 1]


def test_the_button_says_that_one_has_to_wait(app):
    assert app.button(key="start").label == "Start training"
    app.button(key="start").click().run()
    assert app.button(key="start").label == "Add to the queue (1 waiting)"
    assert any("training starts" in toast.value for toast in app.toast)


def test_one_session_may_have_so_many_waiting_runs(home):
    write_json(home / "limits.json", {"queue_per_session": 1})
    app = open_page("pages/train.py")
    app.button(key="start").click().run()
    assert app.button(key="start").disabled
    assert "You have 1 runs waiting, 1 may" in plain(said(app)) and len(waiting_runs()) == 1


# ------------------------------------------------------------------------------------------------- preview


def test_the_preview_shows_the_pictures_and_every_augmentation_on_its_own(app):
    batch = len(app.get("image"))  # beside the form, as the network will get it
    widget(app, "form.train.augment").set_value(["flip", "cutout"]).run()
    assert "left and right do not matter" in said(app)
    app.toggle(key="preview").set_value(True).run()
    assert len(app.get("image")) == batch + PICTURES * 4 + len(get_args(Augmentation))
    app.button(key="preview.draw").click().run()
    app.button(key="preview.others").click().run()
    assert not app.exception and not app.error
    widget(app, "form.train.augment").set_value([]).run()  # with none chosen training shows them as they are
    assert len(app.get("image")) == batch + PICTURES + len(get_args(Augmentation))


def test_the_pictures_of_the_preview_are_of_every_class_in_turn(home):
    dataset = lopsided("some", {"a": 2, "b": 5})
    for turn in range(4):
        chosen = some_pictures(dataset, turn)
        assert len(chosen) == PICTURES and {int(dataset.labels[index]) for index in chosen} == {0, 1}


@pytest.mark.parametrize("name", get_args(Augmentation))
def test_an_augmentation_on_its_own_shows_what_it_does(name):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert not np.array_equal(_alone(pictures, name, seed=0), pictures[0])


@pytest.mark.parametrize("side", [10, 11])
def test_the_smallest_pictures_of_the_form_suit_every_network(side):
    import torch

    from core.models.build import MODELS, build_model

    assert bounds(all_fields()["data.image_size"])[0] == 10
    for name in MODELS:
        network = build_model(RunConfig().model.model_copy(update={"name": name}), 3, side)
        assert network.eval()(torch.zeros(2, 3, side, side)).shape == (2, 3)
