"""escape: names are data, never markup."""

import pytest

from pages.parts.shell.escape import escape, plotted, shown


def test_hidden_and_direction_characters_become_visible():
    assert shown("a\x00b\n\x1b[31m\u202ec\u200b") == "a�b��[31m�c�"


def test_long_names_are_shortened_to_80():
    assert len(shown("x" * 200)) == 80 and shown("x" * 200).endswith("…")


@pytest.mark.parametrize(
    "name", ["**b**", "_i_", "`c`", "[l](u)", "$x$", ":red[x]", "<b>", "# h", "- l", "~~s~~", "&lt;"]
)
def test_every_mark_of_markdown_has_a_backslash(name):
    told = escape(name)
    assert told.replace("\\", "") == name
    marks = [place for place, character in enumerate(told) if character in "*_`[]()$:<>#-~&"]
    assert all(told[place - 1] == "\\" for place in marks)


@pytest.mark.parametrize("name", ["sample-artworks", "a.b: <c> = d@e", "https:/x", "10:30", "a->b", "x@y", "a--b"])
def test_a_usual_name_is_shown_and_copied_as_it_is(name):
    assert escape(name).replace("\\", "") == name


@pytest.mark.parametrize("name", ["http://evil.example", "www.evil.example", "a@b.example", ":smile:", "a -> b"])
def test_what_streamlit_looks_for_after_markdown_is_torn_apart(name):
    told = escape(name).replace("\\", "")
    assert "://" not in told and "www." not in told and "@b" not in told and "->" not in told and ":s" not in told


def test_plotly_gets_no_tags():
    assert plotted("<b>x</b> & y") == "&lt;b&gt;x&lt;/b&gt; &amp; y"
