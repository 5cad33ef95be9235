"""The paper's split, the drawn one, and what becomes of parts that the pictures brought along."""

import numpy as np
import pytest

from core.config import DataConfig
from core.data.splits import split_indices

PAPER = DataConfig(split="paper", balance="smallest", val_fraction=0.0)


def labels_of(*counts):
    return np.repeat(np.arange(len(counts)), counts)


def split(labels, given=None, data=None, **changes):
    given = np.full(len(labels), -1, np.int8) if given is None else np.asarray(given, np.int8)
    data = (data or DataConfig()).model_copy(update=changes)
    parts = split_indices(labels, given, data)
    joined = np.concatenate(list(parts.values()))
    assert len(joined) == len(set(joined.tolist()))  # no picture in two parts
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts.values())
    return parts


def sizes(parts):
    return tuple(len(parts[part]) for part in ("train", "val", "test"))


def test_the_papers_split_has_the_papers_numbers():
    # section 3: classes of 3,567, 3,800 and 4,000 pictures; 80 % of 3,567 is 2,853.6
    parts = split(labels_of(3567, 3800, 4000), data=PAPER)
    assert sizes(parts) == (3 * 2853, 0, 3 * 714)
    assert parts["train"][:2853].tolist() == list(range(2853))  # the first in name order
    assert parts["test"][714:1428].tolist() == list(range(3567 + 2853, 3567 + 3567))


@pytest.mark.parametrize("tenths", range(1, 9))
def test_the_share_is_the_decimal_that_was_written(tenths):
    # (1 - 0.7) x 10 is 3.0000000000000004 and (1 - 0.8) x 10 is 1.9999999999999996 in binary
    parts = split(labels_of(10, 10), data=PAPER, test_fraction=tenths / 10)
    assert sizes(parts) == (2 * (10 - tenths), 0, 2 * tenths)


def test_the_papers_validation_part_is_the_end_of_train():
    parts = split(labels_of(10, 10), data=PAPER, val_fraction=0.25)
    assert parts["train"].tolist() == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]
    assert parts["val"].tolist() == [6, 7, 16, 17] and parts["test"].tolist() == [8, 9, 18, 19]


def test_the_drawn_split_has_the_same_share_of_each_class_and_leaves_nothing_out():
    labels = labels_of(100, 50, 10)
    parts = split(labels)
    assert sum(sizes(parts)) == 160
    assert np.bincount(labels[parts["test"]]).tolist() == [20, 10, 2]
    assert np.bincount(labels[parts["val"]]).tolist() == [8, 4, 1]


def test_the_seed_alone_decides_the_drawn_split():
    labels = labels_of(60, 60)
    first, again, other = split(labels), split(labels), split(labels, seed=1)
    assert all(np.array_equal(first[part], again[part]) for part in first)
    assert not np.array_equal(first["test"], other["test"])


@pytest.mark.parametrize("kind", ["paper", "stratified"])
def test_a_class_of_two_has_one_on_each_side(kind):
    parts = split(labels_of(2, 2), split=kind, val_fraction=0.0)
    assert sizes(parts) == (2, 0, 2)
    assert sizes(split(labels_of(3, 3), split=kind)) == (2, 2, 2)


def test_a_given_test_part_is_kept_whole_and_never_balanced():
    labels = np.array([0] * 10 + [1] * 6 + [0] * 5 + [1] * 2)
    given = [0] * 16 + [2] * 7
    parts = split(labels, given, balance="smallest", val_fraction=0.5)
    assert parts["test"].tolist() == list(range(16, 23))
    assert sizes(parts) == (6, 6, 7)  # six of each class remain for train and val
    assert max(parts["train"].max(), parts["val"].max()) < 16


def test_a_given_validation_part_is_kept_beside_a_given_test_part():
    labels, given = labels_of(6, 6), [0, 0, 0, 1, 2, 2] * 2
    parts = split(labels, given)
    assert parts["val"].tolist() == [3, 9] and parts["test"].tolist() == [4, 5, 10, 11]
    assert sizes(parts) == (6, 2, 4)


def test_val_alone_is_the_held_out_test_part():
    labels, given = labels_of(10, 10), [0] * 8 + [1] * 2 + [0] * 8 + [1] * 2
    parts = split(labels, given)
    assert parts["test"].tolist() == [8, 9, 18, 19] and len(parts["val"]) == 2
    assert len(split(labels, given, val_fraction=0.0)["val"]) == 0


def test_train_alone_is_split_as_if_nothing_were_given():
    labels = labels_of(10, 10)
    assert sizes(split(labels, [0] * 20)) == sizes(split(labels)) == (14, 2, 4)
