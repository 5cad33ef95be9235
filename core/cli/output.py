"""What the command line prints: results on stdout, as a table or as JSON; progress on stderr."""

import io
import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

from core.disk import finite
from core.documents import damage_warning
from core.progress import Progress

Found = TypeVar("Found")
_SECONDS_BETWEEN_DRAWINGS = 0.1  # on a terminal
_SECONDS_BETWEEN_LINES = 10.0  # in a file


def print_any_name() -> None:
    """Let stdout and stderr write what their encoding lacks as \\uXXXX: a name must not end work that is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where a program without a console started us
            stream.reconfigure(errors="backslashreplace")


def print_json(value: Any) -> None:
    """Exactly one strict JSON document on stdout; numbers that are not finite become null."""
    print(json.dumps(finite(value), allow_nan=False, indent=1))  # ASCII: safe in every terminal's encoding


class JsonList:
    """One strict JSON document on stdout, a list, printed row by row: it is whole whenever it is closed."""

    def __init__(self) -> None:
        self._before = "["

    def add(self, row: Any) -> None:
        print(self._before + json.dumps(finite(row), allow_nan=False, indent=1), end="")
        self._before = ",\n"

    def close(self) -> None:
        print("[]" if self._before == "[" else "]")


def print_table(head: list[str], rows: list[list[Any]]) -> None:
    """Columns under their heads: numbers to the right, text to the left."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    for number, line in enumerate([head, *cells]):
        source = rows[number - 1] if number else (rows[0] if rows else head)
        padded = [
            cell.rjust(width) if isinstance(value, int | float) else cell.ljust(width)
            for cell, width, value in zip(line, widths, source, strict=True)
        ]
        print("  ".join(padded).rstrip())


def shown(value: Any) -> str:
    """A value as a terminal may have it: no control characters, which could move the cursor or change its colours."""
    if isinstance(value, float):
        return f"{value:,.4g}" if math.isfinite(value) else "-"
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value).encode(errors="replace").decode()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def warn_of_damage(damage: Sequence[str]) -> None:
    """One line on stderr about what a list leaves out; nothing where that is nothing."""
    if warning := damage_warning(damage):
        print(shown(warning), file=sys.stderr)


class Bar:
    """One line on stderr that is drawn over; where stderr is no terminal, a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._pause = _SECONDS_BETWEEN_DRAWINGS if self._terminal else _SECONDS_BETWEEN_LINES
        self._drawn = -math.inf if self._terminal else time.monotonic()
        self._dirty = False

    def show(self, label: str, done: int, total: int, message: str = "") -> None:
        """Draw the bar anew, unless it was drawn a moment ago."""
        if time.monotonic() - self._drawn < self._pause:
            return
        self._drawn = time.monotonic()
        share = min(1.0, done / total) if total else 0.0
        if not self._terminal:
            print(f"{shown(label)} {share:.0%} {shown(message)}".rstrip(), file=sys.stderr, flush=True)
            return
        line = f"{shown(label)} [{'#' * int(share * 24):24}] {share:4.0%} {shown(message)}"
        width = shutil.get_terminal_size().columns - 1
        print("\r" + line[:width].ljust(width), end="", file=sys.stderr, flush=True)
        self._dirty = True

    def close(self) -> None:
        """Leave an empty line for what is printed next."""
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
    hours, rest = divmod(round(seconds), 3600)
    clock = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{clock} left"


def show_steps(steps: Iterator[Any]) -> Any:
    """Run steps of work to their end, their progress on stderr; returns the dataset that they make, if they do."""
    dataset = None
    with Bar() as bar, closing(steps):  # type: ignore[type-var]
        for progress in steps:
            bar.show(progress.phase, progress.done, progress.total, minutes(progress.seconds_left))
            dataset = getattr(progress, "dataset", None) or dataset
    return dataset


def show_until_found(steps: Iterable[Progress | Found], label: str = "") -> Found:
    """Run work whose last step is what it found, its progress on stderr, after `label`; returns what it found."""
    found: list[Found] = []
    with Bar() as bar:
        for step in steps:
            if isinstance(step, Progress):
                bar.show(f"{label}{step.phase}", step.done, step.total, minutes(step.seconds_left))
            else:
                found.append(step)
    return found[-1]


def percent(share: float) -> str:
    """0.7125 -> "71.25%"; "-" for nan."""
    return "-" if math.isnan(share) else f"{share:.2%}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """(1, "class", "classes") -> "1 class"; the plural is the noun with an s where it is not given."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def number(value: float | None) -> str:
    """A loss with four digits; "-" for None."""
    return "-" if value is None else f"{value:.4f}"
