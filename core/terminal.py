"""What the command line says: results on stdout, as a table or as JSON; progress on stderr."""

import json
import math
import shutil
import sys
import time
from typing import Any

from core.disk import finite

_SECONDS_BETWEEN_DRAWINGS = 0.1  # on a terminal
_SECONDS_BETWEEN_LINES = 10.0  # in a file


def print_json(value: Any) -> None:
    """Exactly one strict JSON document on stdout; numbers that are not finite become null."""
    print(json.dumps(finite(value), allow_nan=False, indent=1))  # ASCII: safe in every terminal's encoding


def print_table(head: list[str], rows: list[list[Any]]) -> None:
    """Columns under their heads: numbers to the right, text to the left."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    for number, line in enumerate([head, *cells]):
        source = rows[number - 1] if number else (rows[0] if rows else head)
        told = [
            cell.rjust(width) if isinstance(value, int | float) else cell.ljust(width)
            for cell, width, value in zip(line, widths, source, strict=True)
        ]
        print("  ".join(told).rstrip())


def shown(value: Any) -> str:
    """A value as a terminal may have it: no control characters, which could move the cursor or change its colours."""
    if isinstance(value, float):
        return f"{value:,.4g}" if math.isfinite(value) else "-"
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value).encode(errors="replace").decode()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


class Bar:
    """One line on stderr that is drawn over; where stderr is no terminal, a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._pause = _SECONDS_BETWEEN_DRAWINGS if self._terminal else _SECONDS_BETWEEN_LINES
        self._drawn = -math.inf if self._terminal else time.monotonic()
        self._dirty = False

    def show(self, label: str, done: int, total: int, told: str = "") -> None:
        if time.monotonic() - self._drawn < self._pause:
            return
        self._drawn = time.monotonic()
        share = min(1.0, done / total) if total else 0.0
        if not self._terminal:
            print(f"{shown(label)} {share:.0%} {shown(told)}".rstrip(), file=sys.stderr, flush=True)
            return
        line = f"{shown(label)} [{'#' * int(share * 24):24}] {share:4.0%} {shown(told)}"
        width = shutil.get_terminal_size().columns - 1
        print("\r" + line[:width].ljust(width), end="", file=sys.stderr, flush=True)
        self._dirty = True

    def close(self) -> None:
        """Leave an empty line for what is said next."""
        if self._dirty:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + " " * width + "\r", end="", file=sys.stderr, flush=True)
            self._dirty = False

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def minutes(seconds: float | None) -> str:
    """75.2 -> "1:15 left"; nothing for None."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = round(seconds)
    clock = (
        f"{whole // 60}:{whole % 60:02d}"
        if whole < 3600
        else f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    )
    return f"{clock} left"
