"""Doubtful labels: planted wrong labels are found, and honest doubt is not raised where there is none."""

import numpy as np
import pytest
from PIL import Image

from core.data.dataset import import_pictures
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.doubtful import doubts_among, doubts_table, find_doubts
from tests.pictures import encoded, finish
from tests.tiny import COLOURS, add_colours, colour_picture, train_tiny_run


def answers(labels, probabilities, part="test", classes=("a", "b")):
    labels = np.array(labels)
    return Evaluation(part, "evaluation", classes, np.arange(len(labels)), labels, np.array(probabilities, np.float32))


def test_the_thresholds_of_classes_decide_and_the_margin_ranks():
    # threshold of a: (0.9 + 0.8 + 0.1) / 3 = 0.6; of b: (0.9 + 0.7 + 0.35) / 3 = 0.65
    told = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.3, 0.7], [0.65, 0.35]]
    found = doubts_among([answers([0, 0, 0, 1, 1, 1], told)])
    assert [(doubt.row, doubt.given, doubt.suggested) for doubt in found] == [(2, 0, 1), (5, 1, 0)]
    assert found[0].margin == pytest.approx(0.8) and found[1].margin == pytest.approx(0.3)


def test_a_network_that_favours_one_class_does_not_doubt_all_others():
    # a is always given 0.55 and more: its threshold is 0.7, so 0.55 says nothing against b
    told = [[0.7, 0.3]] * 4 + [[0.55, 0.45]] * 4
    assert doubts_among([answers([0] * 4 + [1] * 4, told)]) == []


def test_a_class_without_pictures_is_never_suggested():
    found = doubts_among([answers([0, 0, 1], [[0.2, 0.1, 0.7]] * 3, classes=("a", "b", "c"))])
    assert [(doubt.row, doubt.suggested) for doubt in found] == [(2, 0)]  # c is likelier, but nothing was given to it


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


def test_planted_wrong_labels_are_found_first(mislabelled):
    run, dataset, wrong = mislabelled
    found = find_doubts(run, dataset)
    first = {dataset.names[doubt.row] for doubt in found[: len(wrong)]}
    assert len(first & wrong) / len(wrong) == 1.0  # 6 of 6 among the first 6, in all parts together
    assert {doubt.part for doubt in found} >= {"train"}


def test_the_table_names_pictures_classes_and_choices(mislabelled):
    run, dataset, _ = mislabelled
    doubt = find_doubts(run, dataset)[0]
    (row,) = doubts_table([doubt], dataset, {doubt.row: "exclude"})
    assert row["choice"] == "exclude" and row["picture"] == dataset.names[doubt.row]
    assert {row["given class"], row["suggested class"]} == set(COLOURS)


def test_a_run_on_other_pictures_is_refused_in_words(mislabelled, tmp_path, monkeypatch):
    run, _, _ = mislabelled
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    with pytest.raises(UserMistake, match="has no answers about the pictures"):
        find_doubts(run, add_colours())
