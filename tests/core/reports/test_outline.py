"""Own words in a report: by section, as Markdown without HTML."""

import html
import re

import pytest

from core.errors import UserMistake
from core.reports.markdown import words_to_html, words_to_markdown
from core.reports.outline import MOST_LETTERS, SECTIONS, make_outline, parse_words

HOSTILE = """# Big <b>
<script>alert(1)</script> [a](javascript:alert(1)) [b](JaVaScRiPt:x) [c](data:text/html,x) ![d](https://a.b/c.png)

[e]: javascript:alert(1)

<javascript:alert(1)> `<i>` | <img src=x onerror=alert(1)> \\`<u>\\`
"""


def test_words_are_given_by_section():
    words = parse_words("# Question\nDoes *it* help?\n\n## results ##\n### Mine\n```\n# Data\n```\n")
    assert words == {"question": "Does *it* help?\n", "results": "### Mine\n```\n# Data\n```"}


def test_markdown_is_written_as_html():
    page = words_to_html(
        "One **bold** [link](https://example.org)\n\n- a\n- b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n# H\n"
    )
    for piece in ("<strong>bold</strong>", '<a href="https://example.org">', "<li>a</li>", "<td>2</td>", "<h4>H</h4>"):
        assert piece in page


def test_html_in_words_is_text():
    page = words_to_html(HOSTILE)
    assert set(re.findall(r"<(\w+)", page)) <= {"h4", "p", "code", "a"}
    assert not re.search(r'href="(?!https:)', page) and "<script>alert(1)</script>" in html.unescape(page)
    text = words_to_markdown(HOSTILE)
    assert "<" not in text.replace("`<i>`", "") and "#### Big" in text
    assert not re.search(r"(?<!\\)\]\((?!https:)|(?<!\\)!\[|^\[e\]:", text, re.M)


def test_code_in_words_stays_as_it_is():
    text = "```\nif a < b: print('<b>')\n```\n\n`a < b`"
    assert words_to_markdown(text) == text


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        ({"sections": ["nothing"]}, "no section 'nothing'"),
        ({"words": {"results": "x"}, "sections": ["data"]}, "left out"),
        ({"words": {"results": "x" * (MOST_LETTERS + 1)}}, "at most"),
        ({"title": "x" * 201}, "the title has 201"),
    ],
)
def test_wishes_that_cannot_be_are_told(wishes, why):
    with pytest.raises(UserMistake, match=why):
        make_outline(**wishes)


def test_words_under_no_heading_are_told():
    with pytest.raises(UserMistake, match="under the heading of a section"):
        parse_words("hello\n# Data\n")
    with pytest.raises(UserMistake, match="no section 'Outlook'"):
        parse_words("# Outlook\n")
    assert make_outline().sections == tuple(SECTIONS)
