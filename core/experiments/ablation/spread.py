"""Spread: how much chance moves a difference in accuracy, between seeds and between pictures, and what follows.

For seed s and picture i let d(s, i) be 1 where only the second arm is right, -1 where only the first one is, else 0.
Chance enters twice: another seed would give other networks, another test part other pictures. Seeds and pictures are
crossed random effects (Clark 1973; Westfall, Kenny and Judd 2014), so the mean of d varies by the spread of the seeds'
means over S and by the spread of the pictures' means over N. Each is multiplied by its own quantile of t, and the two
are added as squares, which follows Cochran and Cox (1957, section 4.14). Both hold what is left of single answers, so
an interval is a little too wide rather than too narrow.

With few seeds the first is known badly: three give t = 4.3. But the components of one experiment are trained alike, and
what they know together says how large such a spread usually is: the moderated variance of Smyth (2004, Statistical
Applications in Genetics and Molecular Biology 3, article 3) takes each spread towards that, as far as they differ no
more than chance would make them differ, and adds the degrees of freedom. In test_spread.py, with the spreads that
docs/components.md has, an experiment of a base with itself says "no difference" in at least 95 % of 2,000 repeats, and
1.0 point on 10,000 pictures is found within 8 seeds in at least 80 %.

Seeds until it is decided: looking again after each seed would find by chance what is not there. The boundary of O'Brien
and Fleming (1979) asks for more at the first looks, and keeps all of them together at 5 % (Jennison and Turnbull 2000,
table 2.3, as nominal p-values, section 3.8); an interval at a look is the repeated one that goes with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.05
LEAST_SEEDS = 2  # before anything is decided
MOST_DF = 1000.0  # degrees of freedom that are as good as infinitely many
# O'Brien and Fleming's constant for so many looks, two-sided 5 % (Jennison and Turnbull 2000, table 2.3)
_CONSTANTS = {1: 1.960, 2: 1.977, 3: 2.004, 4: 2.024, 5: 2.040, 6: 2.053, 7: 2.063, 8: 2.072, 9: 2.080, 10: 2.087}
_CONSTANTS |= {11: 2.092, 12: 2.098, 15: 2.110, 20: 2.126}


@dataclass(frozen=True)
class Difference:
    """An estimate and its interval, 95 % unless something else is said."""

    value: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether no difference at all lies inside the interval."""
        return self.low <= 0.0 <= self.high

    def times(self, factor: float) -> "Difference":
        ends = sorted((self.low * factor, self.high * factor))
        return Difference(self.value * factor, *ends)


@dataclass(frozen=True)
class Spread:
    """The mean of d and what chance does to it."""

    mean: float
    seeds: int
    between: float  # variance of the seeds' means, with seeds - 1 degrees of freedom; nan with one seed
    pictures: float  # variance of the mean over other pictures, for these very networks
    n: int  # pictures


@dataclass(frozen=True)
class Prior:
    """What the spreads of an experiment say together: worth `df` degrees of freedom, at `variance`."""

    df: float
    variance: float


NO_PRIOR = Prior(0.0, 0.0)


def measure_spread(base: np.ndarray, variant: np.ndarray) -> Spread:
    """Of accuracy of `variant` minus that of `base`. bool (S, N) each: whether picture i was right with seed s."""
    assert base.shape == variant.shape and base.size, (base.shape, variant.shape)
    d = variant.astype(np.float64) - base.astype(np.float64)
    seeds, n = d.shape
    pictures = float(d.mean(axis=0).var(ddof=1) / n) if n > 1 else 0.0
    if seeds == 1:
        return Spread(float(d.mean()), 1, math.nan, pictures, n)
    left = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0) + d.mean()
    noise = float((left**2).sum() / ((seeds - 1) * max(1, n - 1)))  # of a single answer
    # seeds cannot differ less than single answers make them; by chance their means may, and have no logarithm then
    between = max(float(d.mean(axis=1).var(ddof=1)), 0.1 * noise / n)
    return Spread(float(d.mean()), seeds, between, pictures, n)


def fit_prior(spreads: Sequence[Spread]) -> Prior:
    """Smyth's estimate from the logarithms of the variances between seeds, by their mean and variance."""
    from scipy import special  # here, because pages open this file

    known = [(one.between, one.seeds - 1) for one in spreads if one.seeds > 1 and one.between > 0]
    if len(known) < 2:
        return NO_PRIOR
    variances, df = (np.array(column, np.float64) for column in zip(*known, strict=True))
    logs = np.log(variances) - special.digamma(df / 2) + np.log(df / 2)
    mean = float(logs.mean())
    wanted = float(logs.var(ddof=1) - special.polygamma(1, df / 2).mean())
    if wanted <= 0:  # they differ less than chance makes equal ones differ
        return Prior(MOST_DF, math.exp(mean))
    prior_df = min(MOST_DF, 2 * _inverse_trigamma(wanted))
    return Prior(prior_df, math.exp(mean + float(special.digamma(prior_df / 2)) - math.log(prior_df / 2)))


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0, by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    from scipy import special

    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x


def interval(spread: Spread, prior: Prior = NO_PRIOR, level: float = LEVEL) -> Difference:
    """The difference over seeds and pictures. With one seed only the pictures are drawn anew, in thought."""
    from scipy import stats

    if spread.seeds == 1:
        return for_these_networks(spread, level)
    df = spread.seeds - 1
    moderated = (prior.df * prior.variance + df * spread.between) / (prior.df + df)
    squares = float(stats.t.ppf(1 - level / 2, df + prior.df)) ** 2 * moderated / spread.seeds
    return _around(spread.mean, math.sqrt(squares + _half_of_pictures(spread, level) ** 2))


def for_these_networks(spread: Spread, level: float = LEVEL) -> Difference:
    """The difference between these very networks on other pictures: nothing is said about other seeds."""
    return _around(spread.mean, _half_of_pictures(spread, level))


def _half_of_pictures(spread: Spread, level: float) -> float:
    from scipy import stats

    return float(stats.t.ppf(1 - level / 2, max(1, spread.n - 1))) * math.sqrt(spread.pictures)


def level_at(seeds: int, most: int) -> float:
    """The nominal two-sided level of the look after so many seeds, of at most `most`: small first, together 5 %."""
    constant = np.interp(most, list(_CONSTANTS), list(_CONSTANTS.values()))
    return float(2 * (1 - NormalDist().cdf(constant * math.sqrt(most / max(1, seeds)))))


def is_decided(spread: Spread, prior: Prior, most: int) -> bool:
    """Whether the difference is sure by now, however often it was looked at before."""
    return spread.seeds >= LEAST_SEEDS and not interval(spread, prior, level_at(spread.seeds, most)).is_noise


def _around(mean: float, half: float) -> Difference:
    return Difference(mean, mean - half, mean + half)
