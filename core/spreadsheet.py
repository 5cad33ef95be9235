"""CSV files for spreadsheets: one way to write them, for every download of a page and for the import log."""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PIECE = 2**16  # characters


def csv_file(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> bytes:
    """A CSV file in UTF-8, with the byte order mark without which Excel garbles every letter beyond ASCII."""
    return "".join(csv_pieces(head, rows)).encode("utf-8-sig", errors="replace")


def csv_pieces(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """The lines of a CSV file in pieces: texts through disarm(), nothing for None and nan."""
    yield from csv_lines(chain([head], rows))


def csv_lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """As csv_pieces, for a file that has its head already."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        if buffer.tell() > _PIECE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def disarm(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet would read it as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return disarm(value)
    return "" if isinstance(value, float) and math.isnan(value) else value
