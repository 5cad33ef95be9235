"""DatasetDocument: dataset.json, and whether the files beside it can be the ones that it describes."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.documents import Unreadable
from core.people import Person

Identity = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, Field(ge=0)]
SHORTEST_LINE = 3  # bytes of a line of names.jsonl: two quotation marks and the newline
LONGEST_LINE = 16 * 2**10  # bytes at either end of names.jsonl that are looked at
# one picture in index.npy
RECORD = np.dtype([("offset", "<i8"), ("length", "<i8"), ("sha256", "V32"), ("label", "<i4"), ("part", "i1")])


class RefusedDocument(BaseModel):
    """A file that an import refused."""

    name: str
    reason: str


class DatasetDocument(BaseModel):
    """dataset.json; core/data/datasets/dataset.py says what the fields are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Identity
    name: Annotated[str, StringConstraints(min_length=1)]
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    source: str
    drawn: bool
    created: str
    given: Count
    used: Annotated[int, Field(ge=1)]
    refused: tuple[RefusedDocument, ...]
    ignored: Count
    content_hash: str
    notes: tuple[str, ...]
    version: Annotated[int, Field(ge=1)] = 1
    parent: Identity | Annotated[str, StringConstraints(max_length=0)] = ""
    first: Identity | Annotated[str, StringConstraints(max_length=0)] = ""
    packs: tuple[Identity, ...] = ()
    changes: tuple[tuple[int, str, str, str | None, str, int], ...] = ()
    added: Count = 0
    taught: bool = False
    undone: bool = False
    owner: Person | None = None


def check_files(folder: Path, used: int, packs: tuple[Path, ...]) -> None:
    """Unreadable where index, names or originals are missing or plainly others; reads a few kB however many there are.

    What lies within them is checked where it is read.
    """
    open_index(folder, used)
    _check_names(folder / "names.jsonl", used)
    for pack in packs:
        if not pack.is_file():
            raise Unreadable(f"the originals are gone ({pack.parent.name}/{pack.name} is missing)")


def open_index(folder: Path, used: int) -> np.ndarray:
    """index.npy, memory-mapped: RECORD (used,). Unreadable where it is another array or none."""
    try:
        records: np.ndarray = np.load(folder / "index.npy", mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise Unreadable("index.npy is missing") from error
    except Exception as error:  # numpy has many errors for a file that is not its own
        raise Unreadable("index.npy is cut short or overwritten") from error
    if not isinstance(records, np.ndarray) or records.dtype != RECORD or records.shape != (used,):
        raise Unreadable("index.npy is of other pictures")
    return records


def read_index(folder: Path, used: int, classes: int) -> np.ndarray:
    """As open_index; Unreadable also where a label, a part or a place cannot be."""
    records = open_index(folder, used)
    labels, parts = records["label"], records["part"]
    if labels.min() < 0 or labels.max() >= classes or parts.min() < -1 or parts.max() > 2:
        raise Unreadable("index.npy is overwritten: it has labels that no class has")
    if records["offset"].min() < 0 or records["length"].min() < 0:
        raise Unreadable("index.npy is overwritten: it has places that no picture has")
    return records


def _check_names(path: Path, used: int) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(LONGEST_LINE)
            size = file.seek(0, 2)
            file.seek(max(0, size - LONGEST_LINE))
            tail = file.read()
    except FileNotFoundError as error:
        raise Unreadable("names.jsonl is missing") from error
    except OSError as error:
        raise Unreadable(f"names.jsonl cannot be read ({error.strerror})") from error
    lines = [head.partition(b"\n")[0], tail.removesuffix(b"\n").rpartition(b"\n")[2]]
    whole = size <= LONGEST_LINE
    if not tail.endswith(b"\n") or size < used * SHORTEST_LINE or not all(map(_is_name, lines)):
        raise Unreadable("names.jsonl is cut short or overwritten")
    if whole and head.count(b"\n") != used:
        raise Unreadable("names.jsonl has the names of other pictures")


def _is_name(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), str)
    except ValueError:
        return False
