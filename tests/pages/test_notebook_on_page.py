"""The notebook on Results, the guess on Train, and the report's panel: what is typed is kept, harmless and told."""

import pytest

from core.notebook.notebook import read_notebook, write_note, write_run_guess
from tests.app import open_page, said
from tests.tiny import new_run

pytestmark = pytest.mark.usefixtures("nobody_trains")

HOSTILE = "<script>alert(1)</script> :smile: **x** العربية 🎨" + "x" * 120


def test_a_guess_stands_beside_its_outcome_and_a_note_is_kept(tiny_run):
    write_run_guess(new_run(), f"{HOSTILE}: +2 points")
    write_note(HOSTILE)
    app = open_page("pages/results.py")
    app.get_by_key("show").set_value("Notebook").run()
    table = app.dataframe[0].value
    assert table["Guess"].iloc[0].startswith("<script>") and table["Verdict"].iloc[0] == "no outcome yet"
    app.get_by_key("notebook.note.0").set_value("second").run()
    app.get_by_key("notebook.write").click().run()
    assert [entry.text for entry in read_notebook().entries][-1] == "second" and not app.exception
    assert "**x**" not in said(app)


def test_a_guess_that_says_nothing_keeps_from_starting(tiny_run):
    app = open_page("pages/train.py")
    assert not app.get_by_key("start").disabled
    app.get_by_key("train.guess.0").set_value("hmm").run()
    assert app.get_by_key("start").disabled and "a guess names a difference" in said(app)
    app.get_by_key("train.guess.0").set_value("+2 points").run()
    assert not app.get_by_key("start").disabled and not app.exception


def test_a_report_without_a_section_is_told_and_own_words_are_kept(tiny_run):
    app = open_page("pages/results.py")
    app.get_by_key("results.report.words.question").set_value(HOSTILE).run()
    app.get_by_key("results.report.sections").set_value([]).run()
    assert "hoose at least one section" in said(app)
    app.get_by_key("results.report.sections").set_value(["question", "results"]).run()
    assert app.session_state["results.report.kept"] == {"question": HOSTILE} and not app.exception
