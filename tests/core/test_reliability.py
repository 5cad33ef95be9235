"""Reliability: the error worked out by hand, and what its interval is worth."""

import math

import numpy as np
import pytest

from core.evaluation import Evaluation
from core.reliability import measure_reliability


def answers(confidence, right) -> Evaluation:
    """Two classes; picture i is predicted as class 0 with this probability, and is of it where it is right."""
    confidence = np.asarray(confidence, np.float32)
    labels = np.where(np.asarray(right, bool), 0, 1)
    return Evaluation(
        "test", "evaluation", ("a", "b"), np.arange(len(labels)), labels, np.stack([confidence, 1 - confidence], 1)
    )


def drawn(random: np.random.Generator, n: int, overconfidence: float) -> Evaluation:
    """Networks that say p and are right in p - overconfidence * (p - 1/2) of the cases."""
    confidence = random.uniform(0.5, 1, n)
    return answers(confidence, random.random(n) < confidence - overconfidence * (confidence - 0.5))


def test_the_error_is_the_one_worked_out_by_hand():
    # of 15 bins the 9th has two pictures at 0.55, one right: |1.1 - 1|; the 14th three at 0.9, one right: |2.7 - 1|
    found = measure_reliability(answers([0.55, 0.55, 0.9, 0.9, 0.9], [1, 0, 1, 0, 0]))
    assert found.error == pytest.approx((0.1 + 1.7) / 5)
    assert found.leaning == pytest.approx((1.1 + 2.7 - 2) / 5)
    assert [(one.n, one.right) for one in found.bins if one.n] == [(2, 1), (3, 1)]
    assert found.bins[13].confidence == pytest.approx(0.9) and found.bins[13].accuracy == pytest.approx(1 / 3)
    assert math.isnan(found.bins[0].confidence) and math.isnan(found.bins[0].accuracy)


def test_an_empty_part_has_no_error():
    found = measure_reliability(answers([], []))
    assert math.isnan(found.error) and found.interval == (0.0, 1.0) and len(found.bins) == 15


def test_of_a_calibrated_network_the_interval_begins_at_0_and_of_an_overconfident_one_above():
    random = np.random.default_rng(0)
    assert measure_reliability(drawn(random, 2000, 0.0)).interval[0] == 0
    sure = measure_reliability(drawn(random, 2000, 0.4))
    assert sure.interval[0] > 0.05 and sure.leaning > 0.05 and sure.interval[0] <= sure.error <= sure.interval[1]


@pytest.mark.parametrize("overconfidence", [0.0, 0.4])
def test_the_interval_holds_the_truth_nearly_as_often_as_it_says(overconfidence):
    random = np.random.default_rng(1)
    truth = measure_reliability(drawn(random, 300_000, overconfidence), draws=2).error
    found = [measure_reliability(drawn(random, 500, overconfidence), draws=150).interval for _ in range(100)]
    assert sum(low <= truth <= high for low, high in found) >= 85


def test_the_same_answers_give_the_same_interval():
    same = drawn(np.random.default_rng(2), 100, 0.2)
    assert measure_reliability(same) == measure_reliability(same)
