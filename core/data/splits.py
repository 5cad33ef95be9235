"""Which pictures train, which watch the training, and which test: computed from DataConfig on loading."""

from fractions import Fraction
from math import floor

import numpy as np

from core.config import DataConfig

PARTS = ("train", "val", "test")  # the number of a given part is its position here; NO_PART is none
NO_PART = -1


def split_indices(labels: np.ndarray, given_parts: np.ndarray, data: DataConfig) -> dict[str, np.ndarray]:
    """Sorted int64 indices for "train", "val" and "test"; no picture is in two of them.

    labels: int64 (N,) in store order, which is name order within a class; given_parts: int8 (N,), -1 none, 0 train,
    1 val, 2 test. A given test part is kept as it is; without one, a given val part is the test part. Balancing and
    drawing touch only what is left; pictures that balancing leaves out are in no part.
    """
    assert labels.shape == given_parts.shape, (labels.shape, given_parts.shape)
    test, val = np.flatnonzero(given_parts == 2), np.flatnonzero(given_parts == 1)
    if not len(test):
        test, val = val, test
    pool = _by_class(labels, np.flatnonzero((given_parts != 1) & (given_parts != 2)))
    if data.balance == "smallest" and pool:
        smallest = min(len(members) for members in pool)
        pool = [members[:smallest] for members in pool]
    if data.split == "stratified":
        random = np.random.default_rng(data.seed)
        pool = [random.permutation(members) for members in pool]
    test_share = Fraction(0) if len(test) else _exact(data.test_fraction)
    val_share = Fraction(0) if len(val) else _exact(data.val_fraction)
    parts: dict[str, list[np.ndarray]] = {"train": [], "val": [val], "test": [test]}
    for members in pool:
        kept = len(members) - _held_out(len(members), test_share)
        trained = kept - _held_out(kept, val_share)
        parts["train"].append(members[:trained])
        parts["val"].append(members[trained:kept])
        parts["test"].append(members[kept:])
    return {part: np.sort(np.concatenate(chosen or [val[:0]])).astype(np.int64) for part, chosen in parts.items()}


def _by_class(labels: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
    of_each = (indices[labels[indices] == label] for label in np.unique(labels[indices]))
    return [members for members in of_each if len(members)]


def _exact(share: float) -> Fraction:
    """The decimal that was written: 0.1 is a tenth, so that (1 - 0.9) x 10 is 1 and not 0.9999..."""
    return Fraction(str(share))


def _held_out(n: int, share: Fraction) -> int:
    """Pictures of n that are held out: n - floor((1 - share) n), at least one on each side where there are two."""
    if not share or n < 2:
        return 0
    return min(max(n - floor((1 - share) * n), 1), n - 1)
