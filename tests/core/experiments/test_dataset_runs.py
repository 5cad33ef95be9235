"""Which runs are about the pictures of now, and which of them is the best on a split."""

from core.config import DataConfig
from core.data.datasets.dataset import find_dataset
from core.data.imports.pipeline import import_pictures
from core.experiments.dataset_runs import best_run, is_run_on, runs_on, same_test, stored_score
from core.runs.run import list_runs
from core.runs.state import replace_state, write_state
from tests.pictures import finish
from tests.tiny import DATA, add_colours, colour_pictures


def test_the_best_run_comes_with_right_and_asked(tiny_run):
    run, (right, n) = best_run(find_dataset("colours"), DATA, list_runs())
    test = tiny_run.evaluation("test")
    assert run.id == tiny_run.id and (right, n) == (test.correct.sum(), test.n)
    write_state(tiny_run.folder, replace_state(tiny_run.state, score=None))  # as runs of before had it
    assert stored_score(list_runs()[0]) == (right, n)


def test_a_run_on_pictures_that_are_no_more_does_not_count(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "other"))
    others = finish(import_pictures("colours", iter(colour_pictures(each=10)), "zip", False))
    assert runs_on(others, [tiny_run]) == [] and best_run(others, DATA, [tiny_run]) is None


def test_the_fingerprint_decides_and_not_the_name(tiny_run):
    again = finish(import_pictures("the same again", iter(colour_pictures()), "zip", False))
    assert is_run_on(again, tiny_run) and runs_on(again, [tiny_run]) == [tiny_run]


def test_splits_are_the_same_where_their_test_pictures_are(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    colours = add_colours()
    assert same_test(colours, DATA, DATA.model_copy(update={"val_fraction": 0.0, "duplicates": "together"}))
    assert not same_test(colours, DATA, DataConfig(dataset="colours", test_fraction=0.25, seed=1))
