"""Results: empty, with a run, with a failed run; both measures, each view, the numbers as CSV."""

import csv
import io
import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from core.data.datasets.dataset import delete_dataset, find_dataset
from core.evaluation import Evaluation
from core.experiments.paper import ARTWORK, CIFAR10, paper_accuracy, paper_numbers
from core.intervals import wilson
from core.runs.history import MetricHistoryReader
from pages.parts.results.class_metrics import class_table, highest_loss
from pages.parts.results.confusion_matrix import confusions
from pages.parts.results.run_column import open_column, results_csv
from pages.parts.widgets.prediction_grid import predictions_csv
from tests.app import add_failed_run, add_pictures, open_page, said

VIEWS = (
    "Per class",
    "Compared",
    "Confusion matrix",
    "Calibration",
    "Cues",
    "Loss",
    "Pictures",
    "Cross-validation",
    "Data size",
    "Time",
)


def answers(labels, predictions, classes=("cat", "dog")) -> Evaluation:
    """An evaluation in which picture i was answered with predictions[i], 80 % sure."""
    labels, predictions = np.array(labels), np.array(predictions)
    probabilities = np.full((len(labels), len(classes)), 0.2 / (len(classes) - 1), np.float32)
    probabilities[np.arange(len(labels)), predictions] = 0.8
    return Evaluation("test", "evaluation", classes, np.arange(len(labels)), labels, probabilities)


def test_without_a_finished_run_it_leads_to_train(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    app = open_page("pages/results.py")
    assert "No run has finished yet" in said(app) and not app.exception


def test_a_failed_run_is_not_a_result(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    add_failed_run(add_pictures(), "The disk is full.")
    app = open_page("pages/results.py")
    assert "No run has finished yet" in said(app) and not app.exception


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens(trained_home, view):
    app = open_page("pages/results.py", view=view)
    assert not app.exception and not app.error


@pytest.mark.parametrize("former", [{"view": "Mix-ups"}, {"show": "With and without"}])
def test_an_address_with_a_former_name_opens_the_page(trained_home, former):
    app = open_page("pages/results.py", **former)
    assert "Test accuracy" in {metric.label for metric in app.metric} and not app.exception and not app.error


def test_the_score_says_part_and_n_and_the_papers_number(trained_home, tiny_run):
    app = open_page("pages/results.py")
    test = tiny_run.evaluation("test")
    right = int(test.correct.sum())
    told = {metric.label: metric.value for metric in app.metric}
    assert told["Test accuracy"] == f"{100 * test.accuracy:.1f} %"
    assert f"{right} of {test.n}" in said(app)
    assert "were other pictures: 54.83 % test" in said(app)  # no headline beside ours
    assert "No other finished run to compare with yet" in said(app)  # the other column says what is missing


def test_a_side_without_a_run_offers_to_train_on_its_pictures(trained_home):
    add_pictures("cifar10")
    app = open_page("pages/results.py")
    assert app.button(key="train_cifar").label == "Start training on cifar10"
    app.button(key="train_cifar").click().run()
    assert app.session_state["train_dataset"] == "cifar10" and not app.exception and not app.error


def test_the_papers_own_measure_counts_fewer_pictures(trained_home, tiny_run):
    app = open_page("pages/results.py", measure="As the paper did")
    paper = tiny_run.evaluation("test", "paper")
    assert f"of {paper.n}" in said(app) and paper.n < tiny_run.evaluation("test").n
    assert "The first two pictures of each batch" in said(app)
    assert not app.exception and not app.error


def test_right_and_wrong_pictures_can_be_filtered(trained_home, tiny_run):
    app = open_page("pages/results.py", view="Pictures")
    right = int(tiny_run.evaluation("test").correct.sum())
    app.get_by_key("cifar.kind").set_value("right").run()
    assert len(app.get("image")) == min(12, right)
    assert not app.exception and not app.error


def test_pictures_that_are_gone_are_said_to_be_gone(trained_home):
    delete_dataset("colours")
    app = open_page("pages/results.py", view="Pictures")
    assert "no longer there" in said(app) and not app.exception and not app.error


def test_other_pictures_under_the_same_name_are_not_taken_for_them(trained_home):
    delete_dataset("colours")
    add_pictures("colours", ("blue", "orange"), each=24)
    app = open_page("pages/results.py", view="Pictures")
    assert "no longer there" in said(app)


def test_a_damaged_evaluation_costs_only_itself(trained_home, tiny_run):
    (tiny_run.folder / "evaluation-test.npz").write_bytes(b"broken")
    app = open_page("pages/results.py")
    assert "no predictions in this measure" in said(app) and not app.exception


def test_the_table_is_worked_out_by_hand():
    table = class_table(answers([0, 0, 0, 1], [0, 0, 1, 0]), None, None)  # cat 2 of 3, dog 0 of 1
    assert table["class"].tolist() == ["cat", "dog", "mean of classes"]
    assert table["test"].tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    assert table["test_n"].tolist() == [3, 1, 4]
    assert table["test_low"][0] == pytest.approx(wilson(2, 3)[0])


def test_confusions_are_counted_and_the_most_frequent_is_first():
    assert confusions(answers([0, 0, 0, 1], [1, 1, 0, 0])) == [(0, 1, 2), (1, 0, 1)]


def test_two_losses_share_an_axis(tiny_run):
    history, nothing = (
        MetricHistoryReader(tiny_run.folder).read(),
        MetricHistoryReader(tiny_run.folder / "nowhere").read(),
    )
    top = highest_loss(history, nothing)
    assert top is not None and math.isclose(top, round(top, 1))
    assert highest_loss(nothing, nothing) is None


def test_the_csv_is_what_is_shown_and_no_spreadsheet_runs_it(tiny_run):
    column = open_column("own", tiny_run, "evaluation")
    lines = list(csv.DictReader(io.StringIO(results_csv([column]).decode("utf-8-sig"))))
    assert [line["class"] for line in lines] == [*tiny_run.classes, "mean of classes"]
    assert sum(int(line["test_n"]) for line in lines[:-1]) == int(lines[-1]["test_n"]) == column.test.n
    assert results_csv([column]).startswith(b"\xef\xbb\xbfrun,")


def test_the_papers_numbers_are_the_papers():
    assert paper_numbers(("cat", *(name for name in CIFAR10.classes if name != "cat"))) is CIFAR10
    assert paper_numbers(("cartoon", "noir", "cyberpunk")) is ARTWORK
    assert paper_numbers(("cat", "dog")) is None
    assert paper_accuracy(CIFAR10.test, "plane") == paper_accuracy(CIFAR10.test, "airplane") == 0.74
    for numbers in (CIFAR10, ARTWORK):
        for part in (numbers.train, numbers.test):  # "mean" is the mean of the classes, to the paper's rounding
            assert sum(part.per_class.values()) / len(part.per_class) == pytest.approx(part.mean, abs=0.0001)


def test_odd_class_names_are_shown_as_they_are(trained_home, tiny_run):
    config = json.loads((tiny_run.folder / "config.json").read_text())
    odd = ["<img src=x onerror=alert(1)>", "$x$ :red[hot] [a](http://evil.example)"]
    (tiny_run.folder / "config.json").write_text(json.dumps(config | {"classes": odd}))
    for view in VIEWS:
        app = open_page("pages/results.py", view=view)
        assert "http://evil" not in said(app) and not app.exception and not app.error


def test_a_run_that_vanishes_is_not_offered(trained_home, tiny_run):
    shutil.rmtree(tiny_run.folder)
    app = open_page("pages/results.py", own=tiny_run.id)
    assert "No run has finished yet" in said(app) and find_dataset("colours") and not app.exception


def test_the_names_of_the_pictures_in_a_cell_go_along_as_a_table(tiny_run):
    test = tiny_run.evaluation("test")
    table = pd.read_csv(io.BytesIO(predictions_csv(find_dataset("colours"), test, np.array([1, 0]))))
    assert table["picture"].tolist() == [find_dataset("colours").names[test.indices[place]] for place in (1, 0)]
    assert set(table["class"]) <= {"blue", "orange"} and table["part"].tolist() == ["test", "test"]
    assert (table["probability"] >= table["probability of class"]).all()
