"""What people type: names with characters that nobody sees, and paths that are none."""

import pytest

from core.errors import UserMistake
from core.typed import typed_path, unquoted, visible


@pytest.mark.parametrize("name", ["cat", "\u2060cat", "c\u200bat ", "\ufeffcat\u200f", "ca\u00adt\n"])
def test_characters_that_nobody_sees_are_left_out(name):
    assert visible(name) == "cat"


def test_joiners_of_letters_and_emoji_stay():
    assert visible("\U0001f469\u200d\U0001f680") == "\U0001f469\u200d\U0001f680"


def test_a_path_need_not_be_there(tmp_path):
    assert typed_path(tmp_path / "new" / "file") == (tmp_path / "new" / "file").resolve()
    (tmp_path / "file").touch()
    assert typed_path(str(tmp_path / "file" / "below")).name == "below"


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b", "x" * 5000, "/" + "y" * 300, "a/" * 3000])
def test_what_is_no_path_is_one_sentence(path):
    with pytest.raises(UserMistake, match="is no path on this machine: ") as mistake:
        typed_path(path)
    assert len(str(mistake.value)) < 250 and "\n" not in str(mistake.value)


def test_links_in_a_circle_are_no_path(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UserMistake, match="is no path"):
        typed_path(tmp_path / "a" / "x")


@pytest.mark.parametrize(
    ("pasted", "path"),
    [('"/a b/c.zip"', "/a b/c.zip"), (" '/a' ", "/a"), ("file:///a%20b/c", "/a b/c"), ("/it's", "/it's"), ('"', '"')],
)
def test_a_pasted_path_loses_its_quotes(pasted, path):
    assert unquoted(pasted) == path
