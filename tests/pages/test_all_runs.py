"""All runs on the Results page: the table, its filters, what to do with ticked runs, and a thousand of them."""

import csv
import io
import time

import pytest

from core.runs.actions import create_run, hide_run, rename_run, star_run
from core.runs.run import read_run
from pages.parts.results import all_runs
from pages.parts.results.all_runs import _compare, runs_csv, table_lines
from pages.parts.results.parallel_runs import parallel_figure
from tests.app import open_page, said
from tests.many_runs import copy_run

SHOW = "All runs"


def test_without_a_run_it_leads_to_train(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    assert "No run yet" in said(open_page("pages/results.py", show=SHOW))


def test_a_run_stands_with_its_numbers_and_the_model_that_answers(trained_home, tiny_run):
    app = open_page("pages/results.py", show=SHOW)
    table, test = app.dataframe[0].value, tiny_run.evaluation("test")
    assert not app.exception
    assert (
        table["Test accuracy"][0] == pytest.approx(100 * test.accuracy) and table["Answers"][0] == tiny_run.used_model
    )
    assert f"{int(test.correct.sum())} of {test.n}" in table["[95 %]"][0]


def test_filters_hide_star_and_group(trained_home, tiny_run):
    copies = [read_run(run_id) for run_id in copy_run(tiny_run, 12)]
    rename_run(star_run(copies[0], True), "the one")
    hide_run(copies[1], True)
    app = open_page("pages/results.py", show=SHOW)
    before = len(app.dataframe[0].value)
    app.text_input(key="results.find").set_value("the one").run()
    assert len(app.dataframe[0].value) >= 1 and not app.exception
    app.text_input(key="results.find").set_value("nobody has this").run()
    assert "No matching runs" in said(app)
    app.text_input(key="results.find").set_value("").run()
    app.toggle(key="results.together").set_value(True).run()
    assert len(app.dataframe[0].value) <= before and not app.exception


def test_seeds_together_have_a_mean_and_a_spread(trained_home, tiny_run):
    again = copy_run(tiny_run, 1)
    lines = table_lines([tiny_run, read_run(tiny_run.id)], [], True)
    assert len(again) == 1 and len(lines) == 1
    cells = lines[0].cells
    assert cells["Run"] == "2 runs" and cells["Spread"] == 0.0 and cells["[95 %]"] == "mean of 2"


def test_ticked_runs_lead_to_the_comparison(trained_home, tiny_run, monkeypatch):
    state, address = {}, {}
    monkeypatch.setattr(all_runs.st, "session_state", state)
    monkeypatch.setattr(all_runs.st, "query_params", address)
    _compare([read_run(run_id) for run_id in [tiny_run.id, *copy_run(tiny_run, 2)]])
    assert state["show"] == "Compare runs" and state["cifar.wanted"] == tiny_run.id
    assert address["more"] == state["results.more"][0] and len(state["results.more"]) == 1


def test_the_table_is_a_csv_with_excels_mark_and_no_formula(trained_home, tiny_run):
    rename_run(tiny_run, "=2+2")
    content = runs_csv(table_lines([read_run(tiny_run.id)], ["train.epochs"], False))
    assert content.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert row["Id"] == tiny_run.id and row["Run"] == "'=2+2" and row["Epochs"] == "3"


def test_parallel_lines_have_an_axis_for_each_setting_and_result(trained_home, tiny_run):
    runs = [read_run(run_id) for run_id in copy_run(tiny_run, 20)]
    tested = [run for run in runs if run.state.score and run.state.is_finished]
    axes = parallel_figure(tested, ["train.learning_rate", "train.batch_size"], all_runs.measured).data[0].dimensions
    assert [axis.label for axis in axes][:2] == ["Learning rate", "Batch size"]
    assert all(len(axis["values"]) == len(tested) for axis in axes)


@pytest.mark.slow
def test_a_thousand_runs_stay_fluid(trained_home, tiny_run):
    copy_run(tiny_run, 1000)
    app = open_page("pages/results.py", show=SHOW)
    assert len(app.dataframe[0].value) > 700 and not app.exception
    began = time.perf_counter()
    app.text_input(key="results.find").set_value("quick").run()
    app.text_input(key="results.find").set_value("").run()
    assert time.perf_counter() - began < 6  # 0.8 s measured beside four others' work


def test_a_run_that_waits_has_no_numbers_yet(trained_home, tiny_run):
    create_run(tiny_run.config, tiny_run.fingerprint, tiny_run.classes)
    app = open_page("pages/results.py", show=SHOW)
    assert not app.exception and len(app.dataframe[0].value) == 2
