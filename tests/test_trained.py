"""Which runs are about the pictures of now, and which of them is the best on a split."""

from core.config import DataConfig
from core.data.dataset import find_dataset
from core.experiments.trained import best_run, runs_on, same_test, stored_score
from core.runs.run import list_runs, replace_state, write_state
from tests.tiny import DATA, add_colours


def test_the_best_run_comes_with_right_and_asked(tiny_run):
    run, (right, n) = best_run(find_dataset("colours"), DATA, list_runs())
    test = tiny_run.evaluation("test")
    assert run.id == tiny_run.id and (right, n) == (test.correct.sum(), test.n)
    write_state(tiny_run.folder, replace_state(tiny_run.state, score=None))  # as runs of before had it
    assert stored_score(list_runs()[0]) == (right, n)


def test_a_run_on_pictures_that_are_no_more_does_not_count(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "other"))
    from core.data.dataset import import_pictures
    from tests.pictures import finish
    from tests.tiny import colour_pictures

    others = finish(import_pictures("colours", iter(colour_pictures(each=10)), "zip", False))
    assert runs_on(others, [tiny_run]) == [] and best_run(others, DATA, [tiny_run]) is None


def test_splits_are_the_same_where_their_test_pictures_are(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    colours = add_colours()
    assert same_test(colours, DATA, DATA.model_copy(update={"val_fraction": 0.0, "copies": "together"}))
    assert not same_test(colours, DATA, DataConfig(dataset="colours", test_fraction=0.25, seed=1))
