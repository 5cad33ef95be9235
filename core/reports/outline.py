"""Outline: what a person wishes of a report: title, name, date, which sections, and own words in them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.errors import UserMistake
from core.typed import visible

SECTIONS = {  # name -> heading, in the order of the report
    "question": "Question",
    "data": "Data",
    "network": "Network",
    "training": "Training",
    "results": "Results",
    "mistakes": "Mistakes",
    "findings": "Findings",
    "guesses": "Guesses",
    "time": "Time",
    "environment": "Environment",
    "limits": "Limits",
    "conclusion": "Conclusion",
}
WORDS_ONLY = ("question", "conclusion")  # the program has nothing to say there
MOST_LETTERS = 20_000  # of own words in a section
MOST_IN_A_LINE = 200  # of title, name and date
_HEADING = re.compile(r"#{1,2}\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


@dataclass(frozen=True)
class Outline:
    """`words`: section -> Markdown. Left empty, everything is in the report and the title is made of the names."""

    title: str = ""
    author: str = ""
    date: str = ""  # "" for today
    sections: tuple[str, ...] = tuple(SECTIONS)
    words: Mapping[str, str] = field(default_factory=dict)


def make_outline(
    title: str = "",
    author: str = "",
    date: str = "",
    sections: Iterable[str] = (),
    words: Mapping[str, str] | None = None,
) -> Outline:
    """A checked Outline; no section named means all of them. UserMistake for an unknown one, for words in a section
    that is left out and for text that is too long."""
    chosen = tuple(dict.fromkeys(map(_section, sections))) or tuple(SECTIONS)
    own = {_section(name): text.strip() for name, text in (words or {}).items() if text.strip()}
    for what, text in (("title", title), ("name", author), ("date", date)):
        if len(text) > MOST_IN_A_LINE:
            raise UserMistake(f"the {what} has {len(text):,} letters; at most {MOST_IN_A_LINE} fit")
    for name, text in own.items():
        if len(text) > MOST_LETTERS:
            raise UserMistake(f"the words for {name} have {len(text):,} letters; at most {MOST_LETTERS:,} fit")
        if name not in chosen:
            raise UserMistake(f"there are words for {name}, and that section is left out; choose it too")
    return Outline(visible(title), visible(author), visible(date), chosen, own)


def parse_words(text: str) -> dict[str, str]:
    """Own words from a Markdown file: under the heading of a section what stands there. UserMistake for another
    heading of the first or second level, and for words before the first one."""
    found: dict[str, list[str]] = {}
    now, fence = "", ""
    for line in text.splitlines():
        opened = _FENCE.match(line)
        if opened and not fence:
            fence = opened[1]
        elif opened and opened[1].startswith(fence):
            fence = ""
        heading = None if fence else _HEADING.match(line)
        if heading:
            now = _section(heading[1])
            found.setdefault(now, [])
        elif now:
            found[now].append(line)
        elif line.strip():
            raise UserMistake(
                f"own words stand under the heading of a section, such as # Results; {line[:40]!r} does not"
            )
    return {name: "\n".join(lines) for name, lines in found.items()}


def _section(name: str) -> str:
    found = name.strip().casefold()
    if found not in SECTIONS:
        raise UserMistake(f"a report has no section {name[:40]!r}; it has {', '.join(SECTIONS)}")
    return found
