"""The ledger: what has become of every file that was given, and why. Given = used + refused + excluded."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.data.dataset import Dataset
from core.data.splits import PARTS
from core.data.versions import earlier_versions

State = Literal["used", "refused", "excluded"]
PIECE = 4096  # pictures whose records are read in one go
HEAD = ("file", "state", "class", "part", "why")


@dataclass(frozen=True)
class Line:
    """One file that was given."""

    name: str
    state: State  # refused: it never came in; excluded: a version leaves it out
    class_name: str  # "" where it has none
    part: str  # "train", "val", "test" as it was given, "" where it was not
    why: str  # in words; "" of a picture that is used as it came


def ledger_lines(dataset: Dataset) -> Iterator[Line]:
    """Every file: those that were refused, those that are left out, then the used ones in the order of the dataset."""
    yield from refused_lines(dataset)
    yield from excluded_lines(dataset)
    yield from used_lines(dataset, np.arange(dataset.used))


def refused_lines(dataset: Dataset) -> Iterator[Line]:
    for refused in dataset.refused:
        yield Line(refused.name, "refused", "", "", refused.reason)


def excluded_lines(dataset: Dataset) -> Iterator[Line]:
    for change in dataset.excluded:
        yield Line(change.name, "excluded", change.was, "", f"left out in version {change.version}: {change.why}")


def used_lines(dataset: Dataset, rows: np.ndarray) -> Iterator[Line]:
    """The pictures at `rows`, with what a version changed about them."""
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
            yield Line(
                dataset.names[row], "used", dataset.classes[label], PARTS[part] if part >= 0 else "", ", ".join(why)
            )


def relabelled_rows(dataset: Dataset) -> np.ndarray:
    """int64: the used pictures that are not in the class that they came with."""
    places = [change.place for change in dataset.changes if change.now is not None]
    return np.flatnonzero(np.isin(dataset.records["offset"], np.array(places, np.int64)))


def added_rows(dataset: Dataset) -> np.ndarray:
    """int64: the used pictures that a later version than the first added."""
    return np.flatnonzero(dataset.records["offset"] >= dataset.packs[0].stat().st_size)


def counts_of(dataset: Dataset) -> dict[str, int]:
    """What the ledger comes to: "used", "refused" and "excluded" add up to "given"; "ignored" is apart."""
    counts = {"used": dataset.used, "refused": len(dataset.refused), "excluded": len(dataset.excluded)}
    return {"given": dataset.given, **counts, "ignored": dataset.ignored}


def ledger_csv(lines: Iterable[Line]) -> Iterator[str]:
    """The lines of a CSV with a head; names are data, so that no spreadsheet computes one."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEAD)
    for line in lines:
        cells = (line.name, line.state, line.class_name, line.part, line.why)
        writer.writerow([disarm(cell) for cell in cells])
        if buffer.tell() > 2**16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def disarm(text: str) -> str:
    """A text that starts like a formula gets an apostrophe, so that no spreadsheet computes it."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _begins(dataset: Dataset) -> list[tuple[int, int, int]]:
    """(first place, place behind the last, version) of the pictures that each later version added."""
    owners = {one.id: one.version for one in (dataset, *earlier_versions(dataset))}
    begins, begin = [], 0
    for pack in dataset.packs:
        end = begin + pack.stat().st_size
        begins.append((begin, end, owners[pack.parent.name]))
        begin = end
    return begins[1:]
