"""Moderated spreads and looks after each seed: false alarms and what is found, in simulation."""

import numpy as np
import pytest

from core.experiments.ablation.spread import (
    NO_PRIOR,
    Prior,
    Spread,
    fit_prior,
    for_these_networks,
    interval,
    is_decided,
    level_at,
    measure_spread,
)

# points by which seeds spread a difference, of the components on cifar10 in docs/components.md: from its intervals of
# three seeds, (half / 4.303) sqrt(3) without what 10,000 pictures add
MEASURED = np.array([0.2, 0.56, 0.76, 0.1, 0.45, 0.57, 0.53, 1.18, 0.74, 0.77, 0.7, 0.53, 0.32, 0.41, 0.06, 0.36, 0.67])
NOISE = 0.5  # standard deviation of a single answer's difference: a quarter of the answers differ
PICTURES = 10_000


def spread_of(d: np.ndarray) -> Spread:
    """d (S,): differences of seeds; as measure_spread finds it, without drawing every answer."""
    noise = NOISE**2 / PICTURES
    return Spread(float(d.mean()), len(d), max(float(d.var(ddof=1)), 0.1 * noise), noise / len(d), PICTURES)


def experiments(repeats: int, components: int, seeds: int, effect: float, seed: int):
    """(components, seeds) differences, as fractions: spreads drawn from MEASURED, the base's luck shared by all."""
    random = np.random.default_rng(seed)
    for _ in range(repeats):
        spreads = random.choice(MEASURED, components) / 100
        own = np.sqrt(np.maximum(spreads**2 - 0.003**2, 0.0015**2))
        base = 0.003 * random.standard_normal(seeds)
        answers = NOISE / PICTURES**0.5 * random.standard_normal((components, seeds))
        yield effect + own[:, None] * random.standard_normal((components, seeds)) - base + answers


def called(d: np.ndarray, most: int) -> np.ndarray:
    """bool (components,): whether a difference is called at any look after 2, 3 ... `most` seeds."""
    found = np.zeros(len(d), bool)
    for seeds in range(2, most + 1):
        spreads = [spread_of(row[:seeds]) for row in d]
        prior = fit_prior(spreads)
        found |= [is_decided(spread, prior, most) for spread in spreads]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("components", [4, 8])
def test_a_base_against_itself_is_no_difference_in_95_of_100_of_2000(components):
    every = [called(d, 8) for d in experiments(2000 // components, components, 8, 0.0, components)]
    assert np.concatenate(every).mean() <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("components", [4, 8])
def test_one_point_is_found_within_8_seeds_in_80_of_100(components):
    every = [called(d, 8) for d in experiments(240 // components, components, 8, 0.01, components)]
    assert np.concatenate(every).mean() >= 0.8


def test_three_seeds_looked_at_once_keep_5_in_100_as_well():
    noise = []
    for d in experiments(60, 8, 3, 0.0, 5):
        spreads = [spread_of(row) for row in d]
        noise += [interval(spread, fit_prior(spreads)).is_noise for spread in spreads]
    assert np.mean(noise) >= 0.95


def test_what_is_there_is_found_sooner_with_the_others_than_alone():
    together = alone = 0
    for d in experiments(40, 8, 3, 0.01, 6):
        spreads = [spread_of(row) for row in d]
        prior = fit_prior(spreads)
        together += sum(not interval(spread, prior).is_noise for spread in spreads)
        alone += sum(not interval(spread).is_noise for spread in spreads)
    assert together > 1.5 * alone


def test_the_prior_of_drawn_variances_is_the_one_they_were_drawn_from():
    random = np.random.default_rng(0)
    truth = 4e-6 * 10 / random.chisquare(10, 5000)  # scaled inverse chi-square: df 10 at variance 4e-6
    variances = truth * random.chisquare(2, 5000) / 2
    prior = fit_prior([Spread(0.0, 3, float(one), 0.0, 100) for one in variances])
    assert prior.df == pytest.approx(10, rel=0.2) and prior.variance == pytest.approx(4e-6, rel=0.1)


def test_equal_variances_pool_wholly_and_fewer_than_two_not_at_all():
    assert fit_prior([Spread(0.0, 3, 1e-6, 0.0, 100)] * 5).df == 1000
    assert fit_prior([Spread(0.0, 3, 1e-6, 0.0, 100)]) == NO_PRIOR == fit_prior([])


def test_the_moderated_interval_is_worked_out_by_hand():
    spread = Spread(0.02, 3, 4e-6, 0.0, 10_000)
    found = interval(spread, Prior(2.0, 16e-6))
    # (2 x 16e-6 + 2 x 4e-6) / 4 = 10e-6; t with 4 degrees of freedom 2.7764; sqrt(10e-6 / 3) = 0.0018257
    assert found.high - found.value == pytest.approx(2.776445 * 0.00182574, rel=1e-4)


def test_the_interval_for_these_networks_knows_pictures_alone():
    base = np.array([[True, False, False, False], [True, True, False, False]])
    variant = np.array([[True, True, True, False], [True, True, True, False]])
    spread = measure_spread(base, variant)
    these = for_these_networks(spread)
    # pictures 0, 1/2, 1, 0: variance 11/48, t of three degrees of freedom 3.18245
    assert these.high - these.value == pytest.approx(3.18245 * (11 / 48 / 4) ** 0.5, rel=1e-4)
    assert interval(spread).high > these.high


def test_the_looks_ask_for_more_at_first_and_little_less_than_5_in_100_at_last():
    levels = [level_at(seeds, 8) for seeds in range(2, 9)]
    assert levels == sorted(levels) and levels[0] < 1e-4 and 0.035 < levels[-1] < 0.05
    assert level_at(3, 3) == pytest.approx(0.0451, abs=1e-4)  # z = 2.004
