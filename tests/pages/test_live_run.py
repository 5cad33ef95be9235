"""The panel of a run on Train: a picture for every state that a run can be in, live and at its end."""

import re
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.config import RunConfig, change_config
from core.runs.actions import create_run
from core.runs.history import MetricHistoryReader
from core.runs.run import open_run, read_run
from core.runs.state import NEVER_STARTED, VANISHED, replace_state, write_state
from core.runs.writer import RunWriter
from core.settings import datasets_root
from core.snapshot import Snapshot
from pages.parts.train import run_outcome as ended
from pages.parts.train import run_overlay as overlay
from pages.parts.widgets import snapshots
from pages.parts.widgets.run_progress import describe_queue_position
from pages.parts.widgets.snapshots import describe_change, filters_in_words
from tests import tiny
from tests.app import add_pictures, open_page, said
from tests.core.runs.test_history import fine, whole
from tests.pages.test_train_page import metrics, plain

pytestmark = pytest.mark.usefixtures("nobody_trains")

DIVERGED = (
    "Training diverged in epoch 2, iteration 3: the loss is no longer a finite number; the model of epoch 1 was kept. "
    "The learning rate 0.5 is too high for this run: try a tenth of it."
)


@pytest.fixture
def at_work(trained_home):
    """A run in the middle of its training, and this process is its worker."""
    run = tiny.new_run(train__epochs=10, train__schedule="cosine")
    pen = RunWriter(run.folder)
    pen.starting()
    pen.append(fine(1, 4, 0.7, iterations=4))
    pen.append(row_of_two(1, val_loss=0.5))
    pen.save_snapshot(some_snapshot())
    pen.running(epoch=2, epochs=10, step=5, steps=40, seconds=3.0, seconds_left=21.0, images_per_second=900.0)
    return read_run(run.id)


def row_of_two(epoch: int, val_loss: float | None = None):
    """An epoch of two classes; 6 of 8 watched pictures are right."""
    row = whole(epoch, val_loss)
    changes = {"val_accuracy": 0.75, "val_per_class": (1.0, 0.5)} if val_loss is not None else {}
    return row.model_copy(update=changes)


def some_snapshot(pictures=(2, 3, 30, 31), classes: int = 2, part: str = "val") -> Snapshot:
    """Half of the pictures are answered rightly: always the first class."""
    shares = np.full((len(pictures), classes), 0.2 / (classes - 1), np.float32)
    shares[:, 0] = 0.8
    filters = np.random.default_rng(0).normal(size=(6, 3, 3, 3)).astype(np.float32)
    labels = np.array([int(index >= 24) for index in pictures])
    return Snapshot(part, 2, 5, np.array(pictures), labels, shares, filters + 1, filters)


def give_state(run, **changes):
    write_state(run.folder, replace_state(read_run(run.id).state, **changes))
    return read_run(run.id)


def html(app) -> str:
    return "\n".join(one.proto.body for one in app.get("html"))


def pressed(app) -> set[str]:
    return {button.key for button in app.button}


def opened(run):
    app = open_page("pages/train.py", run=run.id)
    assert not app.exception and "incident" not in said(app), said(app)
    return app


def test_a_waiting_run_says_its_place(trained_home):
    run = tiny.new_run()
    app = opened(run)
    assert app.get("progress")[0].text == describe_queue_position(run) and "action.cancel" in pressed(app)


def test_a_run_at_work_shows_how_far_it_is_with_n_and_interval(at_work):
    app = opened(at_work)
    assert "Epoch 2 of 10 · 12%" in app.get("progress")[0].text.replace("13%", "12%")
    text = html(app)
    for number in ("Loss", "0.700", "Validation accuracy", "75.0 %", "900", "0:03", "0:21"):
        assert f">{number}<" in text, number
    assert "of 10 · 49 to 94 %" in text  # round(0.75 x 10) = 8 of 10
    assert "**Learning rate** · " in said(app) and len(app.get("echarts_chart")) >= 4
    assert "action.stop" in pressed(app)


def test_the_predictions_are_shown_with_signs_and_words(at_work):
    app = opened(at_work)
    assert "2 of 4 right · epoch 2" in html(app) and "The same validation pictures all the time" in html(app)
    assert html(app).count("✓ right") == html(app).count("✗ wrong") == 2
    assert "80 %" in html(app) and "orange" in html(app)
    assert html(app).count(f'class="sheet-{at_work.id}"') == 4 and "data:image/jpeg" in html(app)


def test_the_filters_are_drawn_with_what_one_sees(at_work):
    app = opened(at_work)
    assert "6 filters of 3 × 3 pixels" in html(app) and "they have changed by" in html(app)
    assert html(app).count("image-rendering:pixelated") == 12  # each at the start and now


def test_before_its_first_row_a_run_gets_ready(trained_home):
    run = tiny.new_run()
    RunWriter(run.folder).starting("Opening the pictures.")
    app = opened(run)
    assert plain(app.get("progress")[0].text) == "Opening the pictures." and "Starting" in said(app)
    assert ">–<" in html(app)


def test_a_silent_run_asks_whether_to_wait_or_to_stop(at_work):
    run = give_state(at_work, updated="2026-01-01T00:00:00+00:00")
    assert run.state.unresponsive_seconds > 60
    app = opened(run)
    assert "has not responded for" in plain(app.warning[0].value) and "action.stop" in pressed(app)


def test_a_diverged_run_says_what_was_kept_and_offers_a_smaller_rate(at_work):
    app = opened(give_state(at_work, status="failed", message=DIVERGED, try_rate=0.05))
    assert "no longer a finite number" in plain(app.error[0].value)
    assert {"action.clone_slower", "action.clone"} <= pressed(app)
    assert len(app.get("echarts_chart")) >= 2  # the curves up to there


def test_a_failed_run_without_anything_kept_says_so(at_work):
    app = opened(give_state(at_work, status="failed", message="The disk is full (0 MB free)."))
    text = plain(app.error[0].value)
    assert "The disk is full" in text and "No checkpoint had been saved yet" in text
    assert "action.resume" in pressed(app)


def test_a_lost_run_says_up_to_where_it_can_go_on(trained_home, tiny_run):
    app = opened(give_state(tiny_run, status="lost", message=VANISHED))
    assert "Kept: the curves, and a checkpoint of epoch 3" in plain(app.error[0].value)
    assert "action.resume" in pressed(app)


def test_a_run_that_went_on_by_itself_says_after_what(at_work):
    give_state(at_work, retry="Its process was killed. It went on by itself from <b>epoch 1</b>.")
    assert "Its process was killed. It went on by itself from" in plain(said(opened(at_work)))


def test_a_run_that_the_disk_paused_says_so_and_offers_to_go_on(trained_home, tiny_run):
    give_state(tiny_run, status="stopped", epoch=2, message="Paused: the disk has only 256 MB free.")
    app = opened(tiny_run)
    assert "Epoch 2 of 3. Paused: the disk has only 256 MB free." in plain(said(app))
    assert "action.resume" in pressed(app)


def test_a_run_that_nobody_started_is_no_failure(trained_home):
    run = give_state(tiny.new_run(), status="lost", message=NEVER_STARTED)
    app = opened(run)
    assert "never started" in plain(app.warning[0].value) and not app.error


def test_a_stopped_run_shows_what_it_reached(trained_home, tiny_run):
    app = opened(give_state(tiny_run, status="stopped", message="Stopped when asked to; what it had learnt is kept."))
    assert "Epoch 3 of 3. Stopped when asked to" in plain(app.info[0].value)
    assert metrics(app)["Test accuracy"] == "100.0 %" and "to_results" in pressed(app)


def test_a_finished_run_leads_on_to_results_and_try_it(trained_home, tiny_run):
    app = opened(tiny_run)
    assert {"to_results", "to_try_it", "action.train_longer"} <= pressed(app)
    assert ("validation loss" in said(app) and "Its model" in said(app)) or "its model" in said(app).lower()
    assert "<b>Predictions</b>" in html(app)  # the last snapshot stays


def test_what_changed_since_the_run_before_stands_in_a_small_table(trained_home, tiny_run):
    second = tiny.train_tiny_run(train__epochs=1, train__learning_rate=0.01)
    app = opened(second)
    (table,) = [one.value for one in app.dataframe if "Before" in one.value]
    assert sorted(table.values.tolist()) == [["Epochs", "3", "1"], ["Learning rate", "0.05", "0.01"]]
    assert "What changed since the run before" in said(app) and "points" in said(app)


def test_the_verdict_tells_noise_from_a_difference(trained_home, tiny_run):
    again = tiny.train_tiny_run()
    text = ended.verdict(again, tiny_run, again.evaluation("test"), tiny_run.evaluation("test"), changed=False)
    assert text.startswith("No setting changed. +0.0 points, and every picture is answered alike.")
    moved = tiny.train_tiny_run(data__test_fraction=0.5, train__epochs=1)
    text = ended.verdict(moved, tiny_run, moved.evaluation("test"), tiny_run.evaluation("test"), changed=True)
    assert "the test part was drawn differently" in text


def test_settings_that_do_not_act_are_no_change():
    now = change_config(RunConfig(), {"train.warmup": 0.5, "train.momentum": 0.5})
    assert [title for title, _, _ in ended.changes(RunConfig(), now)] == ["Momentum"]


def test_a_network_with_a_run_as_its_backbone_names_the_run():
    now = change_config(RunConfig(), {"model.name": "transfer", "model.backbone": "mwua8a9l871n-ee1cf221"})
    changed = {title: (one, other) for title, one, other in ended.changes(RunConfig(), now)}
    assert changed["Pretrained backbone"] == ("–", "run 871n")
    assert changed["Network"] == ("Paper CNN", "Transfer (from a run)")


def test_last_and_best_epoch_both_have_their_names(at_work):
    pen_rows = at_work.folder / "rows.jsonl"
    with pen_rows.open("a") as file:
        file.write(row_of_two(2, val_loss=0.9).model_dump_json() + "\n")
    text = ended.best_in_words(MetricHistoryReader(at_work.folder).read())
    assert "**Last** epoch 2: validation loss 0.900" in text and "**Best** epoch 1: validation loss 0.500" in text


def test_earlier_runs_are_compared_in_colours_that_stay(trained_home, tiny_run, at_work):
    app = opened(at_work)
    app.multiselect(key="overlay").set_value([tiny_run.id]).run()
    assert not app.exception and app.multiselect(key="overlay").value == [tiny_run.id]
    sent = app.get("echarts_chart")[-4:]
    assert any(overlay.OVERLAY_COLOURS[0] in str(chart.proto) for chart in sent)
    ids = [f"run{i}" for i in range(6)]
    first = overlay.assign_colours(ids[:3], {})
    assert overlay.assign_colours([ids[2], ids[5]], first)[ids[2]] == first[ids[2]]
    assert len(set(overlay.assign_colours(ids, first).values())) == 6


def test_of_a_hundred_classes_the_best_and_the_worst_are_drawn(trained_home):
    classes = (*(f"class {i:03}" for i in range(98)), "**bold** <b>x</b>", "y" * 200)
    run = create_run(change_config(tiny.new_run().config, {"train.epochs": 5}), "f" * 64, classes)
    pen = RunWriter(run.folder)
    pen.starting()
    shares = tuple(i / 100 for i in range(100))
    pen.append(whole(1, 0.5).model_copy(update={"val_per_class": shares, "train_per_class": shares}))
    pen.save_snapshot(some_snapshot((0, 1), classes=100))
    pen.running(epoch=2, epochs=5, step=5, steps=20)
    app = opened(run)
    assert "88 classes between them, from 93.0 % to 6.0 %" in said(app)
    assert html(app).count("class 000") >= 2 and "<b>x</b>" not in html(app)


def test_a_dataset_that_is_gone_takes_its_pictures_but_not_the_panel(at_work):
    run = open_run(at_work.folder)
    shutil.rmtree(datasets_root())
    add_pictures("others")
    assert run.snapshot() is not None
    app = opened(run)
    assert "<b>Predictions</b>" in html(app) and "aria-label" not in html(app)


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "a" * 300, "**b** $x$"])
def test_a_class_name_in_a_card_is_text(name):
    card = snapshots.card(some_snapshot(), 2, ("safe", name))
    tags = re.findall(r"<[^>]*>", card)
    assert {re.match(r"</?(\w+)", tag).group(1) for tag in tags} == {"div", "span"}
    assert not any("onmouseover" in re.sub(r'"[^"]*"', "", tag) for tag in tags) and len(card) < 3_000


def test_a_filter_is_grey_where_it_is_zero():
    weights = np.zeros((3, 2, 2), np.float32)
    weights[0, 0, 0], weights[2, 1, 1] = 1.0, -1.0
    picture = Image.open(BytesIO(snapshots.png_of(weights, 1.0)))
    assert picture.size == (2, 2)
    assert [picture.getpixel(at) for at in ((0, 0), (1, 0), (1, 1))] == [(255, 128, 128), (128,) * 3, (128, 128, 0)]
    assert Image.open(BytesIO(snapshots.png_of(np.zeros((5, 7, 7)), 1.0))).size == (7, 7)  # not colours: grey


def test_a_run_stopped_within_an_epoch_does_not_claim_the_model_of_the_epoch_before(at_work):
    rows = MetricHistoryReader(at_work.folder).read()
    last = rows.last.epoch
    assert f"is from within epoch {last + 1}" in ended.best_in_words(rows, last + 1)
    assert "from within" not in ended.best_in_words(rows, last)


@pytest.mark.parametrize(("network", "whitened"), [("resnet", True), ("compact", True), ("paper_cnn", False)])
def test_filters_that_are_set_from_the_pictures_are_not_called_random(network, whitened):
    def page(network):
        import numpy as np

        from core.snapshot import Snapshot
        from pages.parts.widgets.snapshots import draw_filters

        none, first = np.zeros(0, np.int64), np.ones((4, 3, 2, 2), np.float32)
        draw_filters(Snapshot("val", 1, 1, none, none, np.zeros((0, 2), np.float32), first * 9, first), network)

    app = AppTest.from_function(page, args=(network,)).run()
    text = str(app.get("html")[0].proto)
    assert ("whitening" in text) is whitened
    assert ("Random at first" in text) is not whitened and ("at the start" in text) is not whitened


def test_pretrained_filters_are_never_called_random_and_a_part_of_them_says_of_how_many():
    few = np.ones((64, 3, 7, 7), np.float32)
    shot = Snapshot("val", 1, 1, *(np.zeros(0, np.int64),) * 2, np.zeros((0, 2), np.float32), few, few, all_filters=96)
    assert Snapshot.from_bytes(shot.to_bytes()).all_filters == 96
    assert "64 of 96 filters" in filters_in_words(shot.filters, shot.all_filters)[0]
    assert "64 filters" in filters_in_words(few, 64)[0] and "64 filters" in filters_in_words(few)[0]
    assert "random" in describe_change(shot) and "random" not in describe_change(shot, is_pretrained=True)
    moved = replace(shot, filters=few * 1.5)
    assert describe_change(moved, is_pretrained=True) == "Pretrained, they have changed by 50 %."
