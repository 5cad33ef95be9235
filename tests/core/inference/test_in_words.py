"""Sentences made of the numbers of an answer, a map and the nearest training pictures."""

import numpy as np
import pytest

from core.inference.in_words import concentration, describe_answer, describe_map, describe_neighbours, in_percent


def block(rows, columns, side=12):
    """A map of zeros with ones in a block: float32 (side, side)."""
    heat = np.zeros((side, side), np.float32)
    heat[slice(*rows), slice(*columns)] = 1
    return heat


def test_an_answer_says_how_sure_and_what_follows():
    said = describe_answer([("sketch", 0.87), ("cartoon", 0.1), ("painting", 0.03)])
    assert said == "It answered sketch with 87 %, cartoon follows with 10 %."
    assert "a close call: b follows with 45 %" in describe_answer([("a", 0.55), ("b", 0.45)])
    assert "only class" in describe_answer([("a", 1.0)])


@pytest.mark.parametrize(
    ("rows", "columns", "where"),
    [
        ((0, 2), (0, 2), "in the upper left"),
        ((5, 7), (5, 7), "in the centre"),
        ((10, 12), (5, 7), "at the lower edge"),
        ((5, 7), (10, 12), "on the right"),
    ],
)
def test_half_of_the_energy_of_a_block_is_half_of_its_area_and_lies_where_it_lies(rows, columns, where):
    heat = block(rows, columns)
    area, place = concentration(heat)
    assert (area, place) == (2 / 144, where)  # two of its four pixels hold half
    assert describe_map(heat, "sketch").endswith(f"{in_percent(area)} of the picture, {where}.")


def test_a_map_without_energy_and_one_that_is_everywhere_point_nowhere():
    assert describe_map(block((0, 0), (0, 0)), "sketch") == "No place of the picture speaks for sketch."
    assert "all over the picture" in describe_map(np.ones((8, 8), np.float32), "sketch")


def test_neighbours_are_counted_by_class():
    assert describe_neighbours(["a"] * 5, "a") == "All 5 training pictures most like it are a."
    assert describe_neighbours(["a", "b", "b", "c"], "a") == (
        "Of the 4 training pictures most like it 1 is a, 2 are b."
    )
    assert describe_neighbours([], "a") == ""


def test_per_cent_never_says_certain_or_impossible_of_what_is_neither():
    assert [in_percent(share) for share in (0, 0.004, 0.5, 0.996, 1)] == ["0 %", "<1 %", "50 %", ">99 %", "100 %"]
