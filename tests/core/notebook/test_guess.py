"""What a guess says, and what is none."""

import pytest

from core.errors import UserMistake
from core.notebook.guess import parse_guess


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dropout: +2 points, slower", ("dropout", "better", 2.0, None, "slower")),
        ("-1,5 points", ("", "worse", -1.5, None, "")),
        ("2 points better, as fast", ("", "better", 2.0, None, "same")),
        ("1 point worse", ("", "worse", -1.0, None, "")),
        ("+3 %", ("", "better", 3.0, None, "")),
        ("70 %", ("", "", None, 0.7, "")),
        ("about 70 percent, slower", ("", "", None, 0.7, "slower")),
        ("no difference", ("", "same", None, None, "")),
        ("Batch norm: helps", ("Batch norm", "better", None, None, "")),
        ("quicker", ("", "", None, None, "faster")),
    ],
)
def test_what_is_said(text, said):
    assert tuple(parse_guess(text)) == said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a guess names"),
        ("hmm", "a guess names"),
        ("170 %", "at most 100 %"),
        ("+2 points, worse", "say one of them"),
        ("slower and faster", "not both"),
        ("<b>" * 200, "300 letters"),
    ],
)
def test_what_is_no_guess_is_told(text, why):
    with pytest.raises(UserMistake, match=why):
        parse_guess(text)
