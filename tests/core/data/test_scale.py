"""What grows with the number of pictures: hardly anything. How much, up to a million: tests/measure_scale.py."""

import pytest

from tests.measure_scale import in_a_process

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize(
    "few", [pytest.param(2_000, marks=pytest.mark.slow), pytest.param(4_000, marks=pytest.mark.nightly)]
)
def test_ten_times_as_many_pictures_come_in_with_the_same_memory_and_are_read_from_the_map(few):
    counts = few, 10 * few
    less, more = (in_a_process("bring", count) for count in counts)
    assert 1024**2 * (more["peak"] - less["peak"]) < 250 * 9 * few, (less, more)  # bytes a picture, at most 9 MB in all
    assert more["child"] < less["child"] + 10, (less, more)
    measured = in_a_process("mapped", 10 * few)
    half = 10 * few * 3 * 32 * 32 / 2 / 1e6  # MB of all the pictures
    assert measured["mapped"] and measured["MB at most"] < measured["MB at the first look"] + half, measured
