"""What a report is made of: sections of paragraphs, tables, pictures and text that stands as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Items:
    """Sentences, one under the other."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shades: tuple[tuple[float | None, ...], ...] = ()  # of a confusion matrix: 0..1 behind each cell, None for none


@dataclass(frozen=True)
class Picture:
    """A picture inside the report; `name` is its file in a zip, and never what a person named."""

    name: str
    content: bytes  # SVG or PNG
    caption: str

    @property
    def media_type(self) -> str:
        return "image/svg+xml" if self.name.endswith(".svg") else "image/png"


@dataclass(frozen=True)
class Listing:
    """Text in a fixed width."""

    text: str


@dataclass(frozen=True)
class Words:
    """What a person wrote, as Markdown."""

    text: str


Block = Paragraph | Items | Table | Picture | Listing | Words


@dataclass(frozen=True)
class Section:
    heading: str
    blocks: tuple[Block, ...]
    level: int = 2  # 1 for what the report is about, 2 for its parts
    name: str = ""  # by which it is chosen and gets own words, one of outline.SECTIONS; "" for one that is always there


@dataclass(frozen=True)
class Report:
    title: str
    author: str  # "" for none
    date: str
    sections: tuple[Section, ...]


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Cells as text; whole numbers with thousands apart."""
    return Table(tuple(head), tuple(tuple(_cell(cell) for cell in row) for row in rows))


def _cell(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
