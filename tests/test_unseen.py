"""Networks that have not seen a picture: copies in one fold, and wrong labels that nobody could learn by heart."""

import numpy as np
import pytest
from PIL import Image

from core.data.dataset import import_pictures
from core.errors import UserMistake
from core.experiments.doubtful import find_unseen_doubts
from core.experiments.unseen import FOLDS, ask_unseen, draw_folds, read_unseen
from tests.pictures import encoded, finish
from tests.tiny import COLOURS, add_colours, colour_picture, train_tiny_run


def test_every_fold_has_its_share_of_each_class_and_copies_are_in_one():
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


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory):
    """(run, dataset, names of the 6 of 60 pictures that lie in the other colour's folder)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(tmp_path_factory.mktemp("mislabelled")))
        entries, wrong = [], set()
        for k, colour in enumerate(COLOURS):
            for i in range(30):
                name, label = f"{colour}/{i:02}.png", colour
                if i % 10 == 3:
                    label = list(COLOURS)[1 - k]
                    wrong.add(name)
                entries.append((name, label, None, encoded(Image.fromarray(colour_picture(colour, 100 * k + i)))))
        dataset = finish(import_pictures("colours", iter(entries), "zip", False))
        yield train_tiny_run(train__epochs=12, train__learning_rate=0.02), dataset, wrong


def test_every_picture_is_asked_once_and_planted_labels_are_found_first(mislabelled):
    run, dataset, wrong = mislabelled
    assert find_unseen_doubts(run, dataset) is None  # nobody has asked yet
    told = list(ask_unseen(dataset, run))
    assert [progress.done for progress in told if progress.phase.startswith("network")][-1] == 100 * FOLDS
    answers = read_unseen(dataset, run.id)
    assert answers is not None and np.array_equal(answers.indices, np.arange(60))
    assert np.allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    found = find_unseen_doubts(run, dataset)
    first = {dataset.names[doubt.row] for doubt in found[: len(wrong)]}
    assert first <= wrong and len(first) >= 5  # of 6; no right label stands before them
    assert {doubt.part for doubt in found} == {"unseen"}
    both = find_unseen_doubts(run, dataset, with_run=True)
    assert {doubt.part for doubt in both} == {"both"}
    assert {dataset.names[doubt.row] for doubt in both[: len(wrong)]} == wrong  # here the mean of all finds all 6
    assert list(ask_unseen(dataset, run)) == []  # it is known


def test_cancelling_leaves_nothing_and_a_damaged_file_is_none(mislabelled):
    run, dataset, _ = mislabelled
    path = dataset.folder / f"unseen-{run.id}.npz"
    path.write_bytes(b"PK")
    assert read_unseen(dataset, run.id) is None
    steps = ask_unseen(dataset, run)
    next(step for step in steps if step.phase == "network 1")
    path.unlink()
    steps.close()
    assert not path.exists()


def test_a_run_on_other_pictures_is_refused_in_words(mislabelled, tmp_path, monkeypatch):
    run, _, _ = mislabelled
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    with pytest.raises(UserMistake, match="was trained on other pictures"):
        list(ask_unseen(add_colours(), run))
