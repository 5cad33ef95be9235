"""The paper's split, the drawn one, and what becomes of parts that the pictures brought along."""

import numpy as np
import pytest

from core.config import DataConfig
from core.data.splits import split_indices

PAPER = DataConfig(split="paper", balance="smallest", val_fraction=0.0)


def labels_of(*counts):
    return np.repeat(np.arange(len(counts)), counts)


def split(labels, given=None, data=None, groups=None, **changes):
    given = np.full(len(labels), -1, np.int8) if given is None else np.asarray(given, np.int8)
    data = (data or DataConfig()).model_copy(update=changes)
    parts = split_indices(labels, given, data, groups)
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


def test_a_given_validation_part_is_kept_with_a_given_test_part():
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


def together(labels, groups, given=None, **changes):
    return split(labels, given, groups=np.asarray(groups), duplicates="together", **changes)


def part_of(parts, count):
    places = np.full(count, -1)
    for place, rows in enumerate(parts.values()):
        places[rows] = place
    return places


def random_groups(random, count, share):
    """Each picture is its own, and a share of them joins another one: groups of any size, across classes too."""
    groups = np.arange(count)
    for row in random.permutation(count)[: int(share * count)]:
        groups[row] = groups[random.integers(count)]
    return np.array([groups.tolist().index(group) for group in groups])


@pytest.mark.parametrize("seed", range(60))
def test_no_group_is_in_two_parts_whatever_the_groups_and_the_seed(seed):
    random = np.random.default_rng(seed)
    labels = labels_of(*random.integers(5, 60, random.integers(2, 5)))
    groups = random_groups(random, len(labels), random.choice([0.05, 0.3, 0.8]))
    changes = {"seed": seed, "val_fraction": float(random.choice([0.0, 0.1, 0.3])), "test_fraction": 0.2}
    parts = together(labels, groups, **changes)
    places = part_of(parts, len(labels))
    assert (places >= 0).all()  # nothing is left out
    for group in np.unique(groups):
        assert len(set(places[groups == group])) == 1, group
    again = together(labels, groups, **changes)
    assert all(np.array_equal(parts[part], again[part]) for part in parts)


@pytest.mark.parametrize("seed", range(20))
def test_pairs_of_duplicates_leave_the_fractions_as_they_were_asked_for(seed):
    random, labels = np.random.default_rng(seed), labels_of(100, 60, 40)
    groups = np.arange(200)
    for first, second in random.permutation(200)[:80].reshape(-1, 2):
        groups[second] = groups[first] = min(groups[first], groups[second])
    parts, alone = together(labels, groups, seed=seed), split(labels, seed=seed)
    for part, rows in parts.items():
        counts, asked = np.bincount(labels[rows], minlength=3), np.bincount(labels[alone[part]], minlength=3)
        assert (abs(counts - asked) <= 1).all(), (part, counts, asked)


def test_without_duplicates_the_split_is_the_one_without_groups():
    labels = labels_of(50, 30)
    plain, grouped = split(labels, seed=3), together(labels, np.arange(80), seed=3)
    assert all(np.array_equal(plain[part], grouped[part]) for part in plain)


def test_one_pair_of_duplicates_moves_as_few_pictures_as_can_be():
    labels, plain = labels_of(50, 50), split(labels_of(50, 50))
    groups = np.arange(100)
    groups[plain["test"][0]] = groups[plain["train"][0]] = min(plain["test"][0], plain["train"][0])
    moved = part_of(plain, 100) != part_of(together(labels, groups), 100)
    assert moved.sum() == 2  # one of the pair goes to the other, and one picture makes room


def test_a_group_is_drawn_into_the_test_part_as_often_as_a_picture():
    labels, groups, tested = labels_of(100, 100), np.arange(200) // 2 * 2, 0
    for seed in range(50):
        tested += len(together(labels, groups, seed=seed, val_fraction=0.0)["test"])
    assert tested == 50 * 40  # every seed has exactly a fifth
    first = sum(0 in together(labels, groups, seed=seed)["test"] for seed in range(400))
    assert 50 < first < 110  # 80 on the mean; 4 standard deviations are 32


def test_every_class_is_in_every_part_where_it_has_groups_enough():
    # a group of 8 of 10, and of 7 of 10: what is left goes where the class would else be missing
    labels = labels_of(10, 10)
    groups = [0] * 8 + [8, 9] + [10] * 7 + [17, 18, 19]
    for seed in range(10):
        parts = together(labels, groups, seed=seed)
        for rows in parts.values():
            assert set(labels[rows]) == {0, 1}, (seed, parts)


def test_a_class_that_is_one_group_trains():
    labels, groups = labels_of(6, 10), [0] * 6 + list(range(6, 16))
    for seed in range(10):
        parts = together(labels, groups, seed=seed)
        assert set(range(6)) <= set(parts["train"].tolist())


def test_a_given_test_part_stays_and_what_is_left_keeps_together():
    labels, given = labels_of(10, 10), [0] * 8 + [2] * 2 + [0] * 8 + [2] * 2
    groups = np.arange(20)
    groups[[0, 1, 8]] = 0  # two that are left and one that tests
    for seed in range(10):
        parts = together(labels, groups, given, val_fraction=0.25, seed=seed)
        assert parts["test"].tolist() == [8, 9, 18, 19]
        assert len({0, 1} & set(parts["val"].tolist())) in (0, 2)


def test_the_papers_split_takes_no_notice_of_groups():
    labels, groups = labels_of(10, 10), np.zeros(20, np.int64)
    parts, plain = split(labels, groups=groups, data=PAPER, duplicates="together"), split(labels, data=PAPER)
    assert all(np.array_equal(parts[part], plain[part]) for part in parts)


def test_duplicates_that_are_ignored_do_not_move_the_split():
    labels, groups = labels_of(10, 10), np.zeros(20, np.int64)
    parts, plain = split(labels, groups=groups), split(labels)
    assert all(np.array_equal(parts[part], plain[part]) for part in parts)
