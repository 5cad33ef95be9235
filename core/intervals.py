"""95 % intervals of shares and of their differences, counted on pictures; no torch."""

import math

import numpy as np

DRAWS = 10_000  # of a bootstrap: its ends then move by about a fiftieth of its width from seed to seed


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % score interval of the share right / n (Wilson 1927): within 0..1, and as wide as a small n requires."""
    if n == 0:
        return 0.0, 1.0
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def difference_of_shares(right_a: int, n_a: int, right_b: int, n_b: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of right_b / n_b - right_a / n_a of two samples that share no picture, -1..1 (Newcombe 1998, method
    10: from the Wilson intervals of both)."""
    if not n_a or not n_b:
        return -1.0, 1.0
    a, b = right_a / n_a, right_b / n_b
    (low_a, high_a), (low_b, high_b) = wilson(right_a, n_a, z), wilson(right_b, n_b, z)
    down = ((b - low_b) ** 2 + (high_a - a) ** 2) ** 0.5
    up = ((high_b - b) ** 2 + (a - low_a) ** 2) ** 0.5
    return b - a - down, b - a + up


def bootstrap_difference(only_a: int, only_b: int, n: int, draws: int = DRAWS) -> tuple[float, float]:
    """95 % percentile interval of the second network's accuracy minus the first one's, -1..1, holding the difference
    itself. The same counts give the same interval.

    Drawing n pictures anew, pair for pair, is a multinomial draw of the counts. Half a picture is added to both right,
    both wrong and either one alone, as Agresti and Min (2005) do for their interval: a plain bootstrap of a few
    pictures on which two networks agree would say that they can never differ.
    """
    if not n:
        return -1.0, 1.0
    total = n + 2.0
    shares = np.array([(only_a + 0.5), (only_b + 0.5), total - only_a - only_b - 1.0]) / total
    drawn = np.random.default_rng([only_a, only_b, n]).multinomial(n, shares, draws)
    low, high = np.percentile((drawn[:, 1] - drawn[:, 0]) / n, [2.5, 97.5])
    difference = (only_b - only_a) / n
    return min(float(low), difference), max(float(high), difference)
