"""What a machine of the cluster is brought: whatever is kept comes once, also where two ask for it at once."""

import pytest

from core.cluster.parcel import Part, Unpacking
from core.errors import UserMistake
from core.settings import atelier_home

STORE, NAMES = Part("stores/abc/images.npy", 4, True), Part("datasets/d/names.jsonl", 2, False)


@pytest.mark.usefixtures("home")
def test_two_that_need_the_same_store_have_it_brought_once():
    first, second = Unpacking(), Unpacking()
    assert first.missing([STORE, NAMES]) == [STORE, NAMES]
    assert second.missing([STORE, NAMES]) is None  # it is on its way
    first.write(STORE, iter([b"ab", b"cd"]))
    assert second.missing([STORE, NAMES]) == [NAMES]
    assert (atelier_home() / STORE.path).read_bytes() == b"abcd"


@pytest.mark.usefixtures("home")
def test_what_arrived_cut_short_is_brought_again():
    first, second = Unpacking(), Unpacking()
    assert first.missing([STORE]) == [STORE]
    with pytest.raises(OSError, match="arrived with 2 of 4 bytes"):
        first.write(STORE, iter([b"ab"]))
    assert first.missing([STORE]) == [STORE] and second.missing([STORE]) is None
    first.write(STORE, iter([b"abcd"]))
    assert second.missing([STORE]) == []


@pytest.mark.usefixtures("home")
def test_nothing_is_written_outside_of_the_home_of_the_machine():
    with pytest.raises(UserMistake, match="outside of the home"):
        Unpacking().write(Part("../elsewhere", 1, False), iter([b"x"]))
