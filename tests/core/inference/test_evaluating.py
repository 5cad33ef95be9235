"""evaluate_run: answers from the disk where they are, computed where they are not."""

import shutil

import numpy as np
import pytest

from core.config import change_config
from core.data.store.store import load_store
from core.engine.kernels import has_bfloat16
from core.errors import UserMistake
from core.inference.evaluating import evaluate_run
from core.runs.actions import create_run
from core.runs.run import open_run
from core.settings import datasets_root
from tests import tiny


def forget(run, part, end=""):
    (run.folder / f"evaluation-{part}{end}.npz").unlink()
    return open_run(run.folder)


def test_stored_answers_are_read_without_the_pictures(tiny_run):
    shutil.rmtree(datasets_root())
    answers = evaluate_run(tiny_run)
    assert (answers.part, answers.measure, answers.n, answers.accuracy) == ("test", "evaluation", 12, 1.0)


@pytest.mark.parametrize("measure", ["evaluation", "paper"])
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_missing_answers_are_computed_and_are_the_same(tiny_run, part, measure):
    stored = tiny_run.evaluation(part, measure)
    run = forget(tiny_run, part, "" if measure == "evaluation" else "-paper")
    assert run.evaluation(part, measure) is None
    again = evaluate_run(run, part, measure)
    assert np.array_equal(again.indices, stored.indices) and np.array_equal(again.labels, stored.labels)
    assert np.allclose(again.probabilities, stored.probabilities, atol=1e-6)
    assert (again.part, again.measure, again.classes) == (part, measure, stored.classes)


@pytest.mark.skipif(not has_bfloat16(), reason="this processor does not compute in bfloat16")
def test_a_run_that_trained_in_bfloat16_answers_in_it_then_and_later(trained_home):
    run = tiny.train_tiny_run(model__name="resnet", model__width=8, train__precision="bfloat16", train__epochs=1)
    stored = run.evaluation("test")
    assert np.array_equal(evaluate_run(forget(run, "test")).probabilities, stored.probabilities)
    assert run.epochs()[-1].val_accuracy == run.evaluation("val").accuracy
    (run.folder / "environment.json").unlink()  # nothing says any more what it was trained in
    plain = evaluate_run(open_run(run.folder)).probabilities
    assert not np.array_equal(plain, stored.probabilities) and np.allclose(plain, stored.probabilities, atol=0.05)


def test_an_empty_part_and_an_unknown_one_are_refused(trained_home):
    run = tiny.train_tiny_run(data__val_fraction=0, train__epochs=1)
    with pytest.raises(UserMistake, match="has no pictures in its val part; it has train and test"):
        evaluate_run(run, "val")
    with pytest.raises(UserMistake, match="parts: train, val, test"):
        evaluate_run(run, "all")


def test_a_dataset_that_changed_is_not_evaluated(tiny_run):
    config = change_config(tiny_run.config, {"data.image_size": 20})
    other = create_run(config, tiny_run.fingerprint, tiny_run.classes)
    assert load_store(config.data).fingerprint != other.fingerprint
    with pytest.raises(UserMistake, match=f"changed since run {other.id}"):
        evaluate_run(other)


def test_a_run_without_a_model_cannot_be_evaluated(new_run):
    with pytest.raises(UserMistake, match="has no model"):
        evaluate_run(new_run)
