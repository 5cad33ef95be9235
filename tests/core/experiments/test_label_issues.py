"""Label issues: planted wrong labels are found, and none is raised where there is none."""

import numpy as np
import pytest

from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.audits.label_issues import find_label_issues, label_issue_table, label_issues_among
from tests.tiny import COLOURS, add_colours


def answers(labels, probabilities, part="test", classes=("a", "b")):
    labels = np.array(labels)
    return Evaluation(part, "evaluation", classes, np.arange(len(labels)), labels, np.array(probabilities, np.float32))


def test_the_thresholds_of_classes_decide_and_the_margin_ranks():
    # threshold of a: (0.9 + 0.8 + 0.1) / 3 = 0.6; of b: (0.9 + 0.7 + 0.35) / 3 = 0.65
    probabilities = [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.3, 0.7], [0.65, 0.35]]
    found = label_issues_among([answers([0, 0, 0, 1, 1, 1], probabilities)])
    assert [(issue.row, issue.given, issue.suggested) for issue in found] == [(2, 0, 1), (5, 1, 0)]
    assert found[0].margin == pytest.approx(0.8) and found[1].margin == pytest.approx(0.3)


def test_a_network_that_favours_one_class_does_not_contradict_all_others():
    # a is always given 0.55 and more: its threshold is 0.7, so 0.55 says nothing against b
    probabilities = [[0.7, 0.3]] * 4 + [[0.55, 0.45]] * 4
    assert label_issues_among([answers([0] * 4 + [1] * 4, probabilities)]) == []


def test_a_class_without_pictures_is_never_suggested():
    found = label_issues_among([answers([0, 0, 1], [[0.2, 0.1, 0.7]] * 3, classes=("a", "b", "c"))])
    assert [(issue.row, issue.suggested) for issue in found] == [(2, 0)]  # c is likelier, but nothing was given to it


def test_planted_wrong_labels_are_found_first(mislabelled):
    run, dataset, wrong = mislabelled
    found = find_label_issues(run, dataset)
    first = {dataset.names[issue.row] for issue in found[: len(wrong)]}
    assert len(first & wrong) / len(wrong) == 1.0  # 6 of 6 among the first 6, in all parts together
    assert {issue.part for issue in found} >= {"train"}


def test_the_table_names_pictures_classes_and_choices(mislabelled):
    run, dataset, _ = mislabelled
    issue = find_label_issues(run, dataset)[0]
    (row,) = label_issue_table([issue], dataset, {issue.row: "exclude"})
    assert row["choice"] == "exclude" and row["picture"] == dataset.names[issue.row]
    assert {row["given class"], row["suggested class"]} == set(COLOURS)


def test_a_run_on_other_pictures_is_refused_in_words(mislabelled, tmp_path, monkeypatch):
    run, _, _ = mislabelled
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    with pytest.raises(UserMistake, match="has no answers about the pictures"):
        find_label_issues(run, add_colours())
