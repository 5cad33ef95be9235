"""Evaluation: the numbers that follow from answers, worked out by hand."""

import math

import numpy as np
import pytest

from core.evaluation import Evaluation
from core.intervals import wilson


def evaluation(labels, predictions, classes=("a", "b", "c")):
    probabilities = np.full((len(labels), len(classes)), 0.1, np.float32)
    probabilities[np.arange(len(labels)), predictions] = 0.8
    labels = np.asarray(labels, np.int64)
    return Evaluation("test", "evaluation", classes, np.arange(len(labels)) + 7, labels, probabilities, seconds=1.5)


# six of class a, two of class b, none of class c; four and one of them right
HAND = evaluation([0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 2, 1, 0])


def test_the_numbers_are_those_worked_out_by_hand():
    assert HAND.n == 8 and HAND.counts.tolist() == [6, 2, 0]
    assert HAND.confusion.tolist() == [[4, 1, 1], [1, 1, 0], [0, 0, 0]]  # row: true, column: answered
    assert HAND.correct.tolist() == [True] * 4 + [False, False, True, False]
    assert HAND.accuracy == 5 / 8
    assert HAND.per_class[:2].tolist() == [4 / 6, 1 / 2] and math.isnan(HAND.per_class[2])
    assert HAND.mean_class_accuracy == pytest.approx((4 / 6 + 1 / 2) / 2)  # over the classes that have pictures


def test_an_empty_part_has_no_accuracy_and_says_nothing_about_it(recwarn):
    empty = evaluation([], np.zeros(0, int))
    assert math.isnan(empty.accuracy) and math.isnan(empty.mean_class_accuracy)
    assert empty.confusion.sum() == 0 and empty.interval == (0.0, 1.0) and not recwarn.list


def test_a_tie_is_the_first_class():
    even = Evaluation("test", "paper", ("a", "b"), np.array([0]), np.array([1]), np.full((1, 2), 0.5, np.float32))
    assert even.predictions.tolist() == [0] and even.accuracy == 0


def test_it_survives_the_disk_bit_for_bit():
    again = Evaluation.from_bytes(HAND.to_bytes())
    assert (again.part, again.measure, again.classes, again.seconds) == ("test", "evaluation", ("a", "b", "c"), 1.5)
    for name in ("indices", "labels", "probabilities"):
        before, after = getattr(HAND, name), getattr(again, name)
        assert np.array_equal(before, after) and before.dtype == after.dtype


def test_class_names_of_any_kind_survive_the_disk():
    names = ("<b>水牛</b>", "a,b\n'c'", "../x", " ")
    assert Evaluation.from_bytes(evaluation([3], [0], names).to_bytes()).classes == names


def test_a_file_with_code_in_it_is_not_run(tmp_path):
    np.savez(tmp_path / "evil.npz", part=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Evaluation.from_bytes((tmp_path / "evil.npz").read_bytes())


def test_columns_of_different_length_are_refused_at_once():
    with pytest.raises(AssertionError):
        Evaluation("test", "evaluation", ("a", "b"), np.arange(3), np.zeros(2, int), np.zeros((3, 2)))
    with pytest.raises(AssertionError):
        Evaluation("test", "evaluation", ("a", "b", "c"), np.arange(2), np.zeros(2, int), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(right, n, low, high):
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - right, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_the_interval_stays_between_0_and_1():
    assert wilson(0, 0) == (0.0, 1.0)
    for n in (1, 2, 10_000):
        for right in {0, 1, n}:
            low, high = wilson(right, n)
            assert 0 <= low <= right / n <= high + 1e-12 and high <= 1


def test_a_network_that_guesses_does_not_beat_chance():
    forty = tuple(f"class {k}" for k in range(40))
    one_of_80 = evaluation(np.arange(80) % 40, (np.arange(80) + (np.arange(80) > 0)) % 40, forty)
    assert one_of_80.correct.sum() == 1 and one_of_80.chance == 1 / 40 and not one_of_80.beats_chance
    assert evaluation([0, 1, 2] * 10, [0, 1, 2] * 10).beats_chance


def test_precision_and_f1_are_those_of_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 200)
    found = evaluation(labels, np.where(random.random(200) < 0.6, labels, random.integers(0, 5, 200)), tuple("abcde"))
    precision, recall, f1, _ = precision_recall_fscore_support(found.labels, found.predictions)
    assert found.precision == pytest.approx(precision) and found.per_class == pytest.approx(recall)
    assert found.f1 == pytest.approx(f1) and found.macro_f1 == pytest.approx(f1.mean())


def test_a_class_that_is_never_predicted_has_no_precision_and_no_f1():
    never = evaluation([0, 0, 1], [0, 0, 0])  # class c has no picture
    assert never.precision[0] == pytest.approx(2 / 3) and math.isnan(never.precision[1])
    assert never.f1[:2] == pytest.approx([4 / 5, 0]) and math.isnan(never.f1[2])
    assert never.macro_f1 == pytest.approx(2 / 5) and never.majority == pytest.approx(2 / 3)


@pytest.mark.parametrize("n", [9, 12, 50, 200, 2000])
def test_the_interval_holds_the_truth_in_93_to_97_of_a_hundred(n):
    random = np.random.default_rng(n)
    truth = random.uniform(0.05, 0.95, 20_000)
    right, times = np.unique(random.binomial(n, truth), return_inverse=True)
    low, high = np.array([wilson(int(r), n) for r in right]).T
    held = (low[times] <= truth) & (truth <= high[times])
    assert 0.93 <= held.mean() <= 0.97
