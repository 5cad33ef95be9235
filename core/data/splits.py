"""Splits: which pictures are for training, validation and test, computed from DataConfig when a store is opened."""

from fractions import Fraction
from math import floor

import numpy as np

from core.config import DataConfig

PARTS = ("train", "val", "test")  # the number of a given part is its position here; NO_PART is none
NO_PART = -1


def split_indices(
    labels: np.ndarray,
    given_parts: np.ndarray,
    data: DataConfig,
    groups: np.ndarray | None = None,
    before: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Sorted int64 indices for "train", "val" and "test"; no picture is in two of them.

    labels: int64 (N,) in store order, which is name order within a class; given_parts: int8 (N,), -1 none, 0 train,
    1 val, 2 test. A given test part is kept as it is; without one, a given val part is the test part. Balancing and
    drawing touch only what is left; pictures that balancing leaves out are in no part.
    groups: int64 (N,): with duplicates="together" a stratified split draws pictures of one group into one part. It
    differs from the split without groups only by the pictures that have to move for that.
    before: int8 (N,): the part of each picture in the previous version, before some were left out, relabelled or
    added; -1 none. There it stays, and fractions may drift; a new picture goes to the part that lacks most.
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
    test_fraction = Fraction(0) if len(test) else _exact(data.test_fraction)
    val_fraction = Fraction(0) if len(val) else _exact(data.val_fraction)
    drawn: list[list[np.ndarray]] = []  # a class: its train, val and test
    for members in pool:
        kept = len(members) - _held_out(len(members), test_fraction)
        trained = kept - _held_out(kept, val_fraction)
        if before is None or data.split != "stratified":
            drawn.append(np.split(members, [trained, kept]))
        else:
            drawn.append(_keep_parts(members, before[members], (trained, kept - trained, len(members) - kept)))
    if groups is not None and data.split == "stratified" and data.duplicates == "together":
        drawn = _keep_groups_together(drawn, groups)
    given = (val[:0], val, test)
    return {
        part: np.sort(np.concatenate([given[place], *(chosen[place] for chosen in drawn)])).astype(np.int64)
        for place, part in enumerate(PARTS)
    }


def _by_class(labels: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
    """The indices of each class that has any, in their order."""
    own = labels[indices]
    order = np.argsort(own.astype(np.int16) if len(own) and own.max() < 2**15 else own, kind="stable")
    members = np.split(indices[order], np.flatnonzero(np.diff(own[order])) + 1)
    return [of_class for of_class in members if len(of_class)]


def _exact(fraction: float) -> Fraction:
    """The decimal as it was written: 0.1 is a tenth, so that (1 - 0.9) x 10 is 1 and not 0.9999..."""
    return Fraction(str(fraction))


def _held_out(n: int, fraction: Fraction) -> int:
    """Held-out pictures of n: n - floor((1 - fraction) n); with two or more at least one is held out and one stays."""
    if not fraction or n < 2:
        return 0
    return min(max(n - floor((1 - fraction) * n), 1), n - 1)


def _keep_parts(members: np.ndarray, before: np.ndarray, wanted: tuple[int, int, int]) -> list[np.ndarray]:
    """Train, val and test of one class: each picture in its former part, new ones in the parts that lack pictures."""
    parts, new = [members[before == at] for at in range(len(PARTS))], members[before < 0]
    for at in (2, 1):  # test first: accuracies are reported on it
        lack = max(0, wanted[at] - len(parts[at]))
        parts[at], new = np.concatenate([parts[at], new[:lack]]), new[lack:]
    parts[0] = np.concatenate([parts[0], new])
    for at in (0, 2, 1):  # a part that has lost all its pictures of the class gets one again
        most = max(range(len(PARTS)), key=lambda place: len(parts[place]))
        if wanted[at] and not len(parts[at]) and len(parts[most]) > 1:
            parts[at], parts[most] = parts[most][:1], parts[most][1:]
    return parts


# ------------------------------------------------------------------------------------------------ duplicates


def _keep_groups_together(drawn: list[list[np.ndarray]], groups: np.ndarray) -> list[list[np.ndarray]]:
    """The same parts, of the same sizes as far as groups allow, with every group in one of them.

    Groups are placed first, the largest before the others: in the part that their first picture was drawn into, so
    that a group is as likely to be in the test part as a single picture; where that has no room, in the part with the
    most room. Single pictures stay where they were drawn, except those that make room.
    """
    rows = np.concatenate([part for parts in drawn for part in parts])
    _, unit, count = np.unique(groups[rows], return_inverse=True, return_counts=True)
    if (count == 1).all():
        return drawn
    label = np.repeat(np.arange(len(drawn)), [sum(map(len, parts)) for parts in drawn])
    place = np.concatenate([np.full(len(part), at) for parts in drawn for at, part in enumerate(parts)])
    wanted = np.array([[len(part) for part in parts] for parts in drawn])  # (classes, 3)
    room = wanted.copy()
    members_of = _members(unit, np.flatnonzero(count > 1))
    for members in sorted(members_of, key=len, reverse=True):
        need = np.bincount(label[members], minlength=len(drawn))
        first = members[np.argmin(rows[members])]  # in name order: drawn as any other picture
        place[members] = chosen = _roomiest(room, need, int(place[first]))
        room[:, chosen] -= need
    single = count[unit] == 1
    for kind in range(len(drawn)):
        _fill(place, np.flatnonzero(single & (label == kind)), room[kind])
    _fill_empty_classes(place, label, unit, wanted)
    return [[rows[(label == kind) & (place == at)] for at in range(len(PARTS))] for kind in range(len(drawn))]


def _members(unit: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    """The positions of each of the wanted groups, in order."""
    order = np.argsort(unit, kind="stable")
    begins, ends = (np.searchsorted(unit[order], wanted, side) for side in ("left", "right"))
    return [order[begin:end] for begin, end in zip(begins, ends, strict=True)]


def _roomiest(room: np.ndarray, need: np.ndarray, drawn_into: int) -> int:
    """The part that a group goes to; room: (classes, parts), pictures that still fit; need: (classes,), the group's."""
    left = (room - need[:, None])[need > 0].min(axis=0)
    return drawn_into if left[drawn_into] >= 0 else int(np.argmax(left))


def _fill(place: np.ndarray, members: np.ndarray, room: np.ndarray) -> None:
    """Keep single pictures of one class in their part while there is room; move the others to parts with room."""
    room, moved = room.copy(), []
    for at in range(len(PARTS)):
        here = members[place[members] == at]
        stay = max(0, int(room[at]))
        moved.append(here[stay:])
        room[at] -= len(here[:stay])
    for member in np.concatenate(moved):
        place[member] = at = int(np.argmax(room))
        room[at] -= 1


def _fill_empty_classes(place: np.ndarray, label: np.ndarray, unit: np.ndarray, wanted: np.ndarray) -> None:
    """Where large groups have left a part without a class that it was to have, move the smallest group that can go."""
    for at in (0, 2, 1):  # a class without training pictures is worst, one without test pictures next
        for kind in np.flatnonzero(wanted[:, at]):
            if (place[label == kind] == at).any():
                continue
            candidates = [
                members
                for members in _members(unit, np.unique(unit[label == kind]))
                if not any(_is_last(place, label, unit, members, other) for other in np.unique(label[members]))
            ]
            if candidates:
                place[min(candidates, key=len)] = at


def _is_last(place: np.ndarray, label: np.ndarray, unit: np.ndarray, members: np.ndarray, kind: int) -> bool:
    """Whether the group (a unit of pictures that move together) holds all pictures of a class in its part."""
    here = (label == kind) & (place == place[members[0]])
    return bool((unit[here] == unit[members[0]]).all())
