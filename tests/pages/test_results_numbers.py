"""The numbers on Results are those of `evaluate`: stored answers, and nothing else."""

import pytest

from core.cli.predict import evaluation_document
from core.experiments.audits.cues import read_cues
from core.experiments.audits.data_curve import measure_curve, of_run
from core.experiments.audits.folds import cross_validate
from core.findings.finding import read_facts
from core.findings.pairs import findings
from core.runs.naming import with_names
from pages.parts.results.compared import group_by_test_part
from pages.parts.results.run_column import open_column
from pages.parts.results.times import PARTS, parts_of_time
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import counted_share, share
from tests import tiny
from tests.app import open_page, said


@pytest.fixture
def two_runs(trained_home, tiny_run):
    return tiny_run, tiny.train_tiny_run(train__seed=1, train__epochs=1)


def document(run, part="test"):
    return evaluation_document(run, run.evaluation(part))


def test_the_score_is_what_evaluate_prints(two_runs):
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id)
    shown = [(metric.label, metric.value) for metric in app.metric]
    for run in two_runs:
        test, train = document(run), document(run, "train")
        assert ("Test accuracy", share(test["accuracy"])) in shown
        assert ("Training accuracy", share(train["accuracy"])) in shown
        assert ("Gap", f"{100 * (train['accuracy'] - test['accuracy']):.1f}") in shown
        low, high = test["interval"]
        assert f"95 % interval {100 * low:.1f} to {100 * high:.1f} %" in said(app)
        assert f"macro F1 {share(test['macro_f1'])}" in said(app)
        assert f"largest class {share(test['majority'])}" in said(app)
    assert not app.exception and not app.error


def test_the_table_of_classes_is_what_evaluate_prints(two_runs):
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id)
    for run, table in zip(two_runs, (one.value for one in app.dataframe), strict=True):
        by_name = table.set_index("Class")
        for name, one in document(run)["per_class"].items():
            low, high = one["interval"]
            cell = f"{one['right']} of {one['n']}, {100 * one['accuracy']:.0f} % [{100 * low:.0f}–{100 * high:.0f}]"
            assert by_name.loc[name, "test"] == cell
            assert by_name.loc[name, "f1"] == pytest.approx(100 * one["f1"])
            assert by_name.loc[name, "precision"] == pytest.approx(100 * one["precision"], nan_ok=True)
        assert by_name.loc["mean of classes", "f1"] == pytest.approx(100 * document(run)["macro_f1"])


def test_the_table_of_runs_is_what_evaluate_prints(two_runs):
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id, view="Compared")
    (table,) = (one.value for one in app.dataframe)
    for (_, line), run in zip(table.iterrows(), two_runs, strict=True):
        test, train = document(run), document(run, "train")
        assert line["Test accuracy [95 %]"] == counted_share(test["right"], test["n"])
        assert line["Training"] == pytest.approx(100 * train["accuracy"])
        assert line["Mean of classes"] == pytest.approx(100 * test["mean_class_accuracy"])
        assert line["Calibration error"] == pytest.approx(100 * test["calibration"]["error"])
        assert line["Largest class"] == pytest.approx(100 * test["majority"])
    assert "exact McNemar test" in said(app) and not app.exception and not app.error


def test_the_findings_are_those_of_the_command(two_runs):
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id)
    shown = [one.value for one in app.markdown if one.value.startswith(":small[")]
    expected = {escape(one.sentence, 700) for one in findings(*map(read_facts, with_names(two_runs)))}
    assert 3 <= len(shown) <= 7  # and what colour alone scores, which the expected ones were not told
    assert sum(any(sentence in text for sentence in expected) for text in shown) >= len(shown) - 1


def test_a_finding_leads_to_the_form_with_what_to_try(two_runs):
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id)
    buttons = [button for button in app.button if button.key.startswith("finding.")]
    assert buttons, "at least one finding has something to try"
    for button in buttons:
        again = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id)
        again.get_by_key(button.key).click().run()
        assert not again.exception and not again.error


def test_a_third_run_gets_its_column_and_stands_in_the_address(two_runs):
    third = tiny.train_tiny_run(train__seed=2, train__epochs=1)
    for view in ("Per class", "Compared", "Confusion matrix", "Calibration", "Time"):
        app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id, more=third.id, view=view)
        assert [metric.label for metric in app.metric].count("Test accuracy") == 3
        assert not app.exception and not app.error, view
    app = open_page("pages/results.py", more=f"{third.id},nothing", view="Compared")
    assert not app.exception and not app.error


def test_the_other_pages_open_after_results_in_one_session(two_runs):
    third = tiny.train_tiny_run(train__seed=2, train__epochs=1)
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id, more=third.id)
    for page in ("pages/train.py", "pages/data.py", "pages/architecture.py", "pages/results.py"):
        app.switch_page(page).run()
        assert not app.exception and not app.error, page


def test_runs_on_other_test_parts_are_not_compared(two_runs):
    other = tiny.train_tiny_run(data__seed=5, train__epochs=1)
    columns = [open_column(run.id, run, "evaluation") for run in (*two_runs, other)]
    assert [len(group) for group in group_by_test_part(columns)] == [2, 1]
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=other.id, view="Compared")
    assert "Tested on pictures of its own" in said(app) and "McNemar" not in said(app)


def test_the_parts_of_the_time_are_those_of_the_run(two_runs):
    run = two_runs[0]
    parts = parts_of_time(open_column("own", run, "evaluation"))
    assert parts.keys() == PARTS.keys() and parts["training"] == run.state.seconds
    assert all(seconds >= 0 for seconds in parts.values())


def test_what_it_goes_by_is_measured_from_the_page_once(two_runs):
    app = open_page("pages/results.py", cifar=two_runs[0].id, own=two_runs[1].id, view="Cues")
    assert app.get_by_key("cues.measure").label == "Measure what these 2 go by"
    app.get_by_key("cues.measure").click().run()
    reports = [read_cues(run) for run in two_runs]
    assert all(escape(report.verdict, 400) in said(app) for report in reports)
    assert not app.exception and not app.error and not [one for one in app.button if one.key == "cues.measure"]


def test_cross_validation_and_the_curve_are_offered_and_shown_once_they_are_there(trained_home, tiny_run, monkeypatch):
    def train(*_):  # that they are trained is asked of folds and curves themselves
        yield 0.5
        return tiny_run.evaluation("test")

    monkeypatch.setattr("core.experiments.audits.kept_trials.begin_trial", train)
    app = open_page("pages/results.py", view="Cross-validation")
    assert "Cross-validate these settings" in offered(app)
    (*_, found) = cross_validate(tiny_run.config)
    app = open_page("pages/results.py", view="Cross-validation")
    assert f"{found.right} of {found.n} pictures, each asked" in said(app) and not app.exception and not app.error
    app = open_page("pages/results.py", view="Data size")
    assert "Measure the curve" in offered(app)
    (*_, curve) = measure_curve(of_run(tiny_run))
    app = open_page("pages/results.py", view="Data size")
    assert f"Another **{curve.next.pictures}** pictures" in said(app) and not app.exception and not app.error


def offered(app) -> list[str]:
    return [button.label for button in app.button if button.key.startswith("start_")]
