"""What grows with the number of pictures: hardly anything. How much, up to a million: tests/measure_scale.py."""

import pytest

from tests.measure_scale import in_a_process

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize(
    "few", [pytest.param(2_000, marks=pytest.mark.slow), pytest.param(4_000, marks=pytest.mark.nightly)]
)
def test_ten_times_as_many_pictures_come_in_with_the_same_memory(few):
    less, more = (in_a_process("bring", count) for count in (few, 10 * few))
    assert 1024**2 * (more["peak"] - less["peak"]) < 250 * 9 * few, (less, more)  # bytes a picture, at most 9 MB in all
    assert more["child"] < less["child"] + 10, (less, more)


@pytest.mark.nightly
def test_forty_thousand_pictures_are_read_from_the_map():
    in_a_process("bring", 40_000)
    measured = in_a_process("mapped", 40_000)
    assert measured["mapped"] and measured["MB at most"] < measured["MB at the first look"] + 60, measured
