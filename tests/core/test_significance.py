"""Two networks asked about the same pictures."""

from itertools import combinations

import numpy as np
import pytest

from core.intervals import bootstrap_difference, difference_of_shares
from core.significance import compare_paired, holm, mcnemar, mcnemar_least_n, tiers


def test_23_against_57_discordant_answers_are_no_chance():
    assert mcnemar(23, 57) == pytest.approx(0.000183, rel=0.01)
    assert mcnemar(57, 23) == mcnemar(23, 57)


def test_equal_counts_and_no_discordant_answers_differ_by_nothing():
    assert mcnemar(10, 10) == 1.0
    assert mcnemar(0, 0) == 1.0


def test_one_against_five_is_the_binomial_sum():
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 2**6)


def test_answers_are_counted_picture_by_picture():
    a, b = np.array([1, 1, 1, 0, 0, 0], bool), np.array([1, 0, 0, 1, 0, 0], bool)
    found = compare_paired(a, b)
    assert (found.n, found.only_a, found.only_b) == (6, 2, 1)
    assert found.difference == pytest.approx(-1 / 6)
    assert not found.differs


def test_other_pictures_are_refused():
    with pytest.raises(ValueError, match="3 answers against 4"):
        compare_paired(np.ones(3, bool), np.ones(4, bool))


def test_of_equal_networks_one_comparison_in_twenty_at_most_is_called_a_difference():
    random = np.random.default_rng(0)
    called = 0
    for _ in range(1000):
        right = random.random((2, 200)) < 0.8
        called += compare_paired(right[0], right[1]).differs
    assert called <= 50  # the exact test keeps below 5 %


def test_a_difference_that_needs_more_pictures_says_about_how_many():
    assert mcnemar_least_n(10, 10, 100) == 0
    few = mcnemar_least_n(12, 20, 100)  # z = 8 / sqrt(32) = 1.414; (1.96 / 1.414)^2 = 1.92
    assert few == 192


def test_holm_is_worked_out_by_hand():
    # sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2 -> not below the one before, 0.5 x 1
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([]) == [] and holm([0.04]) == [0.04] and max(holm([0.9] * 5)) == 1.0


def test_networks_that_cannot_be_told_apart_share_a_tier():
    apart, alike = 0.001, 0.4
    pairs = {(0, 1): alike, (0, 2): apart, (1, 2): apart}
    assert tiers([0.90, 0.91, 0.70], pairs) == [1, 1, 2]
    chain = {(0, 1): alike, (0, 2): apart, (1, 2): alike}  # 0 and 2 differ, but nothing tells 1 from either
    assert tiers([0.9, 0.8, 0.7], chain) == [1, 1, 1]
    assert tiers([0.7, 0.8, 0.9], dict.fromkeys(pairs, apart)) == [3, 2, 1]


def test_of_equal_networks_one_family_in_twenty_at_most_gets_a_second_tier():
    random, families = np.random.default_rng(3), 0
    for _ in range(100):
        skill, luck = random.normal(1, 1, 300), random.normal(size=(4, 300))
        right = skill + luck > 0
        pairs = {(a, b): compare_paired(right[a], right[b]).p_value for a, b in combinations(range(4), 2)}
        found = tiers(right.mean(axis=1).tolist(), dict(zip(pairs, holm(list(pairs.values())), strict=True)))
        families += max(found) > 1
    assert families <= 5


@pytest.mark.parametrize("n", [9, 40, 1000])
def test_the_paired_bootstrap_holds_the_true_difference(n):
    random, held = np.random.default_rng(n), 0
    for _ in range(400):
        only_a, only_b, _ = random.multinomial(n, [0.15, 0.05, 0.8])
        low, high = bootstrap_difference(int(only_a), int(only_b), n, draws=1000)
        held += low <= -0.1 <= high
    assert held >= 0.93 * 400


def test_networks_that_agree_on_nine_pictures_may_still_differ():
    low, high = bootstrap_difference(0, 0, 9)
    assert low < -0.05 and high > 0.05 and bootstrap_difference(0, 0, 0) == (-1.0, 1.0)
    assert bootstrap_difference(3, 5, 40) == bootstrap_difference(3, 5, 40)


def test_the_interval_of_two_separate_shares_is_the_published_one():
    # Newcombe 1998, "Interval estimation for the difference between independent proportions", table II, method 10
    assert difference_of_shares(48, 80, 56, 70) == pytest.approx((0.0524, 0.3339), abs=5e-5)  # 56/70 - 48/80
    assert difference_of_shares(3, 10, 9, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert difference_of_shares(1, 2, 0, 0) == (-1.0, 1.0)
