"""Cross-validated predictions: duplicates in one fold, and wrong labels that no network was trained on."""

import numpy as np
import pytest

from core.errors import UserMistake
from core.experiments.audits.cross_validation import (
    FOLDS,
    cross_validated_path,
    draw_folds,
    predict_cross_validated,
    read_cross_validated,
)
from core.experiments.audits.label_issues import find_cross_validated_label_issues
from tests.tiny import add_colours


def test_every_fold_has_its_share_of_each_class_and_duplicates_are_in_one():
    labels = np.repeat([0, 1, 2], [40, 21, 3])
    groups = np.arange(64)
    groups[[1, 2, 50]] = 0  # one group across two classes
    fold = draw_folds(labels, groups, 4, seed=0)
    assert len(set(fold[[0, 1, 2, 50]])) == 1
    assert np.bincount(fold[labels == 0], minlength=4).tolist() == [10, 10, 10, 10]
    assert sorted(np.bincount(fold[labels == 1], minlength=4).tolist())[0] >= 5
    assert np.bincount(fold[labels == 2], minlength=4).max() == 1
    assert np.array_equal(fold, draw_folds(labels, groups, 4, seed=0))
    assert not np.array_equal(fold, draw_folds(labels, groups, 4, seed=1))


def test_every_picture_is_predicted_once_and_planted_labels_are_found_first(mislabelled):
    run, dataset, wrong = mislabelled
    assert find_cross_validated_label_issues(run, dataset) is None  # not predicted yet
    steps = list(predict_cross_validated(dataset, run))
    assert [progress.done for progress in steps if progress.phase.startswith("network")][-1] == 100 * FOLDS
    answers = read_cross_validated(dataset, run.id)
    assert answers is not None and np.array_equal(answers.indices, np.arange(60))
    assert np.allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    found = find_cross_validated_label_issues(run, dataset)
    first = {dataset.names[issue.row] for issue in found[: len(wrong)]}
    assert first <= wrong and len(first) >= 5  # of 6; no right label stands before them
    assert {issue.part for issue in found} == {"cross-validated"}
    both = find_cross_validated_label_issues(run, dataset, with_run=True)
    assert {issue.part for issue in both} == {"both"}
    assert {dataset.names[issue.row] for issue in both[: len(wrong)]} == wrong  # here the mean of all finds all 6
    assert list(predict_cross_validated(dataset, run)) == []  # it is known


def test_predictions_of_version_0_1_0_are_read_under_their_former_name(mislabelled):
    run, dataset, _ = mislabelled
    list(predict_cross_validated(dataset, run))
    path, former = dataset.folder / f"cross-validated-{run.id}.npz", dataset.folder / f"unseen-{run.id}.npz"
    before = read_cross_validated(dataset, run.id).probabilities
    path.rename(former)
    assert cross_validated_path(dataset, run.id) == former
    assert np.array_equal(read_cross_validated(dataset, run.id).probabilities, before)
    assert list(predict_cross_validated(dataset, run)) == []  # they are there
    former.rename(path)
    assert cross_validated_path(dataset, run.id) == path


def test_cancelling_leaves_nothing_and_a_damaged_file_is_none(mislabelled):
    run, dataset, _ = mislabelled
    path = dataset.folder / f"cross-validated-{run.id}.npz"
    path.write_bytes(b"PK")
    assert read_cross_validated(dataset, run.id) is None
    steps = predict_cross_validated(dataset, run)
    next(step for step in steps if step.phase == "network 1")
    path.unlink()
    steps.close()
    assert not path.exists()


def test_a_run_on_other_pictures_is_refused_in_words(mislabelled, tmp_path, monkeypatch):
    run, _, _ = mislabelled
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    with pytest.raises(UserMistake, match="was trained on other pictures"):
        list(predict_cross_validated(add_colours(), run))
