"""Import log: every file that was given, used, refused or excluded, and why. Given = used + refused + excluded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.data.datasets.dataset import Dataset
from core.data.splits import PARTS
from core.data.versions.versions import earlier_versions
from core.spreadsheet import csv_file, csv_pieces

State = Literal["used", "refused", "excluded"]
PIECE = 4096  # pictures whose records are read at once
HEADER = ("file", "state", "class", "part", "why")


@dataclass(frozen=True)
class LogLine:
    """One file that was given."""

    name: str
    state: State  # refused: by the import; excluded: by a version
    class_name: str  # "" where it has none
    part: str  # given part "train", "val" or "test", "" where none was given
    why: str  # reasons; "" for a picture that is used unchanged


def log_lines(dataset: Dataset) -> Iterator[LogLine]:
    """A line for every file: refused ones, excluded ones, then the used ones in the order of the dataset."""
    yield from refused_lines(dataset)
    yield from excluded_lines(dataset)
    yield from used_lines(dataset, np.arange(dataset.used))


def refused_lines(dataset: Dataset) -> Iterator[LogLine]:
    """The files that imports refused."""
    for refused in dataset.refused:
        yield LogLine(refused.name, "refused", "", "", refused.reason)


def excluded_lines(dataset: Dataset) -> Iterator[LogLine]:
    """The pictures that a version leaves out."""
    for change in dataset.excluded:
        yield LogLine(change.name, "excluded", change.was, "", f"left out in version {change.version}: {change.why}")


def used_lines(dataset: Dataset, rows: np.ndarray) -> Iterator[LogLine]:
    """The used pictures at `rows` (int64), with what a version changed about them."""
    relabelled = {change.place: change for change in dataset.changes if change.now is not None}
    begins = _begins(dataset)
    for first in range(0, len(rows), PIECE):
        chosen = rows[first : first + PIECE]
        piece = dataset.records[chosen]
        columns = (piece[field].tolist() for field in ("offset", "label", "part"))
        for row, place, label, part in zip(chosen.tolist(), *columns, strict=True):
            why = [f"added in version {version}" for begin, end, version in begins if begin <= place < end]
            if change := relabelled.get(place):
                why.append(f"relabelled from {change.was!r} in version {change.version}: {change.why}")
            yield LogLine(
                dataset.names[row], "used", dataset.classes[label], PARTS[part] if part >= 0 else "", ", ".join(why)
            )


def relabelled_rows(dataset: Dataset) -> np.ndarray:
    """int64: rows of the used pictures that a version relabelled."""
    places = [change.place for change in dataset.changes if change.now is not None]
    return np.flatnonzero(np.isin(dataset.records["offset"], np.array(places, np.int64)))


def added_rows(dataset: Dataset) -> np.ndarray:
    """int64: rows of the used pictures that were added after the first version."""
    return np.flatnonzero(dataset.records["offset"] >= dataset.packs[0].stat().st_size)


def counts_of(dataset: Dataset) -> dict[str, int]:
    """Files by state: "used", "refused" and "excluded" add up to "given"; "ignored" is not part of it."""
    counts = {"used": dataset.used, "refused": len(dataset.refused), "excluded": len(dataset.excluded)}
    return {"given": dataset.given, **counts, "ignored": dataset.ignored}


def log_csv(lines: Iterable[LogLine]) -> Iterator[str]:
    """The lines as CSV with a header, in pieces, as a command prints them: without the byte order mark."""
    return csv_pieces(HEADER, map(_cells, lines))


def log_csv_file(lines: Iterable[LogLine]) -> bytes:
    """The lines as a CSV file for a spreadsheet."""
    return csv_file(HEADER, map(_cells, lines))


def _cells(line: LogLine) -> tuple[str, ...]:
    return line.name, line.state, line.class_name, line.part, line.why


def _begins(dataset: Dataset) -> list[tuple[int, int, int]]:
    """(first offset, end, version) in the packs of the pictures that each later version added."""
    owners = {one.id: one.version for one in (dataset, *earlier_versions(dataset))}
    begins, begin = [], 0
    for pack in dataset.packs:
        end = begin + pack.stat().st_size
        begins.append((begin, end, owners[pack.parent.name]))
        begin = end
    return begins[1:]
