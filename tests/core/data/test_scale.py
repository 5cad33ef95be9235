"""What grows with the number of pictures: hardly anything. How much, up to a million: tests/measure_scale.py."""

import pytest

from tests.measure_scale import in_a_process

pytestmark = pytest.mark.usefixtures("home")

FEW, MANY = 4_000, 40_000


@pytest.mark.slow
def test_ten_times_as_many_pictures_come_in_with_the_same_memory_and_are_read_from_the_map():
    few, many = (in_a_process("bring", count) for count in (FEW, MANY))
    assert 1024**2 * (many["peak"] - few["peak"]) < 250 * (MANY - FEW), (few, many)  # bytes a picture, 9 MB in all
    assert many["child"] < few["child"] + 10, (few, many)
    measured = in_a_process("mapped", MANY)
    assert measured["mapped"] and measured["MB at most"] < measured["MB at the first look"] + 60, (
        measured
    )  # half of 123 MB
