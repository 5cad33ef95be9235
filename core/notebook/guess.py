"""What a guess says: "dropout: +2 points, slower" -> a difference in accuracy, a time, and of which component."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeVar

from core.errors import UserMistake

Direction = Literal["better", "worse", "same", ""]  # of the accuracy
Pace = Literal["slower", "faster", "same", ""]  # of the time
Name = TypeVar("Name", Direction, Pace)
MOST_LETTERS = 300
_NUMBER = r"(\d{1,3}(?:[.,]\d{1,3})?)"
_RELATIVE = re.compile(rf"([+\-−–])\s*{_NUMBER}\s*(?:percentage\s+)?(?:points?\b|pts?\b|pp\b|%)", re.I)
_POINTS = re.compile(
    rf"(?<![\d.,+\-−–]){_NUMBER}\s*(?:percentage\s+)?(?:points?|pts?|pp)\s+(better|more|worse|less)\b", re.I
)
_ABSOLUTE = re.compile(rf"(?<![\d.,+\-−–]){_NUMBER}\s*(?:%|per\s?cent\b)", re.I)
_TIMES: dict[Pace, str] = {
    "same": r"\b(?:as fast|same time|no slower|equally fast)\b",
    "slower": r"\b(?:slower|longer)\b",
    "faster": r"\b(?:faster|quicker|shorter)\b",
}
_DIRECTIONS: dict[Direction, str] = {
    "same": r"\b(?:no difference|no effect|nothing|same accuracy|the same|as good|as accurate|within the noise)\b",
    "worse": r"\b(?:worse|less accurate)\b",
    "better": r"\b(?:better|more accurate|helps)\b",
}
HOW = (
    'a guess names a difference in accuracy ("+2 points", "worse", "no difference"), an accuracy ("70 %"), a time '
    '("slower"), or both: "dropout: +2 points, slower"'
)


class Said(NamedTuple):
    """`subject`: what stands before the colon. points: 100 x (accuracy with it minus without it); accuracy: 0..1."""

    subject: str
    direction: Direction
    points: float | None
    accuracy: float | None
    pace: Pace


def parse_guess(text: str) -> Said:
    """UserMistake where nothing that can be scored is said, or two things that exclude each other."""
    if len(text) > MOST_LETTERS:
        raise UserMistake(f"a guess has at most {MOST_LETTERS} letters, this one has {len(text):,}")
    subject, colon, rest = text.partition(":")
    said = rest if colon else text
    pace = _one_of(_TIMES, said)
    for pattern in _TIMES.values():
        said = re.sub(pattern, " ", said, flags=re.I)
    points = _points(said)
    direction = _direction(said, points)
    found = _ABSOLUTE.search(said) if points is None else None
    accuracy = _number(found[1]) / 100 if found else None
    if accuracy is not None and accuracy > 1:
        raise UserMistake(f"no accuracy is {100 * accuracy:g} %; it is at most 100 %")
    if not (direction or pace or accuracy is not None):
        raise UserMistake(HOW)
    return Said(subject.strip() if colon else "", direction, points, accuracy, pace)


def _points(said: str) -> float | None:
    if found := _RELATIVE.search(said):
        return _number(found[2]) * (1 if found[1] == "+" else -1)
    if found := _POINTS.search(said):
        return _number(found[1]) * (1 if found[2].casefold() in ("better", "more") else -1)
    return None


def _direction(said: str, points: float | None) -> Direction:
    named = _one_of(_DIRECTIONS, said)
    if points is None:
        return named
    counted: Direction = "better" if points > 0 else "worse" if points < 0 else "same"
    if named and named != counted:
        raise UserMistake(f"a guess of {points:+g} points is not one of {named!r}; say one of them")
    return counted


def _one_of(names: Mapping[Name, str], said: str) -> Name:
    found = [name for name, pattern in names.items() if re.search(pattern, said, re.I)]
    if len(found) > 1 and found[0] != "same":
        raise UserMistake(f"a guess says one of {' and '.join(map(repr, found))}, not both")
    return found[0] if found else ""


def _number(text: str) -> float:
    return float(text.replace(",", "."))
