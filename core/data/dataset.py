"""Dataset: an imported set of pictures, and how one comes in, is found and goes."""

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.data.choices import Choices, check_classes
from core.data.decoding import CHUNK_PICTURES, Task
from core.data.draft import Draft, Given
from core.data.images import (
    STAGING,
    fingerprint_of,
    place_store,
    remove_stores,
    root_lock,
    staging,
)
from core.data.packs import Packs
from core.data.picture import Refusal
from core.data.preprocess import Preprocess
from core.data.sources import Entry, Listing, Source, clean_name, open_source
from core.data.splits import NO_PART, PARTS
from core.disk import disk_trouble, read_json, sync_folder, write_json
from core.errors import UserMistake
from core.settings import Limits, atelier_home, datasets_root, load_limits

TICK_SECONDS = 0.2  # between two reports of progress
SEARCHED_BYTES = 2**20  # of names at a time


@dataclass(frozen=True)
class Refused:
    name: str
    reason: str  # in words that stand after the name: "is empty"


@dataclass(frozen=True)
class Change:
    """What has become of one picture in a version, and why."""

    place: int  # of its original in the packs: by that it is known through all versions
    name: str
    was: str  # the class that it came with
    now: str | None  # the class from then on; None: it is left out
    why: str  # in words: "by hand", "doubtful label", "copy"
    version: int  # in which it last changed


@dataclass(frozen=True)
class Dataset:
    """A version of a set of pictures, as it lies on the disk: given = used + refused + excluded, system files apart.

    What was imported is the first version; a later one refers to the originals of the one that it was made from.
    """

    id: str
    name: str
    classes: tuple[str, ...]
    source: str  # "cifar10" | "zip" | "folder" | "samples"
    drawn: bool  # drawn by this program
    created: str  # ISO 8601, UTC
    given: int
    used: int
    refused: tuple[Refused, ...]
    ignored: int  # system files such as .DS_Store, not in given
    content_hash: str
    notes: tuple[str, ...]
    folder: Path
    version: int = 1
    parent: str = ""  # id of the version that it was made from
    first: str = ""  # id of the first version, "" where this is it
    packs: tuple[Path, ...] = ()  # the originals: pictures.pack of the first version and of each that added some
    changes: tuple[Change, ...] = ()  # all that differs from what was imported, one a picture
    added: int = 0  # pictures that this version brought along
    undone: bool = False  # put aside, and kept for the runs that learnt from it

    @property
    def family(self) -> str:
        """The id of the first version: what all versions of these pictures have in common."""
        return self.first or self.id

    @property
    def excluded(self) -> list[Change]:
        """Pictures that were given and can be read, and are left out of this version."""
        return [change for change in self.changes if change.now is None]

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 (used,): index into classes."""
        return self.records["label"].astype(np.int64)

    @cached_property
    def given_parts(self) -> np.ndarray:
        """int8 (used,): -1 none, 0 train, 1 val, 2 test, as the source had it."""
        return self.records["part"].astype(np.int8)

    @cached_property
    def names(self) -> "Names":
        """The name of each picture as it was given; read from the disk when the first one is asked for."""
        return Names(self.folder / "names.jsonl", self.used)

    @property
    def class_counts(self) -> dict[str, int]:
        """Used pictures of each class, all parts together."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    def original(self, i: int) -> bytes:
        """The file of picture `i` as it was given. Raises UserMistake where the disk has changed it."""
        with self.open_packs() as pack:
            return self._read_original(pack, i)

    def originals(self) -> Iterator[bytes]:
        """The file of each picture in turn, one held at a time. Raises as original()."""
        with self.open_packs() as pack:
            for i in range(self.used):
                yield self._read_original(pack, i)

    def _read_original(self, pack: Packs, i: int) -> bytes:
        record = self.records[i]
        pack.seek(int(record["offset"]))
        content = pack.read(int(record["length"]))
        if hashlib.sha256(content).digest() != record["sha256"].tobytes():
            raise UserMistake(f"{self.names[i]!r} of {self.name!r} is damaged on the disk; import the pictures again")
        return content

    def open_packs(self) -> Packs:
        """The originals, to be read at places()."""
        return Packs(self.packs)

    def tasks(self, rows: np.ndarray | None = None) -> Iterator[list[Task]]:
        """Every picture, or those at `rows`, in pieces for decode()."""
        rows = np.arange(self.used) if rows is None else rows
        for first in range(0, len(rows), CHUNK_PICTURES):
            chosen = rows[first : first + CHUNK_PICTURES]
            piece = self.records[chosen]
            places = zip(chosen.tolist(), piece["offset"].tolist(), piece["length"].tolist(), strict=True)
            yield [Task(row, offset, length) for row, offset, length in places]

    @property
    def digests(self) -> np.ndarray:
        """uint8 (used, 32): the SHA-256 of each original."""
        return np.frombuffer(self.records["sha256"].tobytes(), np.uint8).reshape(-1, 32)

    @property
    def places(self) -> np.ndarray:
        """int64 (used, 2): place of each original in the packs, and its length."""
        return np.stack([self.records["offset"], self.records["length"]], axis=1)

    @cached_property
    def records(self) -> np.ndarray:
        """RECORD (used,), memory-mapped: index.npy."""
        return np.load(self.folder / "index.npy", mmap_mode="r", allow_pickle=False)


class Names(Sequence[str]):
    """The lines of names.jsonl. Opening reads nothing; where lines begin is found when the first one is asked for."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.length = path, count

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[row] for row in range(*i.indices(self.length))]
        row = int(i) if i >= 0 else int(i) + self.length
        if not 0 <= row < self.length:
            raise IndexError(i)
        return json.loads(self._lines[self._begins[row] : self._begins[row + 1]].tobytes())

    def __iter__(self) -> Iterator[str]:
        with self.path.open("rb") as lines:
            yield from map(json.loads, lines)

    def containing(self, wanted: str) -> np.ndarray:
        """int64: the rows whose names have `wanted` in them, whatever the case. A million names take half a second."""
        wanted = json.dumps(wanted.casefold(), ensure_ascii=False)[1:-1]
        found: list[int] = []
        first = 0
        with self.path.open("rb") as file:
            while lines := file.readlines(SEARCHED_BYTES):
                text = b"".join(lines).decode().casefold()  # no case has another number of lines
                found += [first + row for row in _lines_with(text, wanted)]
                first += len(lines)
        return np.array(found, np.int64)

    @cached_property
    def _lines(self) -> np.ndarray:
        return np.memmap(self.path, np.uint8, "r") if self.path.stat().st_size else np.zeros(0, np.uint8)

    @cached_property
    def _begins(self) -> np.ndarray:
        """int64 (lines + 1,): where each line begins, and the end."""
        ends = [np.zeros(1, np.int64)]
        for first in range(0, len(self._lines), SEARCHED_BYTES):
            ends.append(np.flatnonzero(self._lines[first : first + SEARCHED_BYTES] == ord("\n")) + first + 1)
        return np.concatenate(ends)


def _lines_with(text: str, wanted: str) -> Iterator[int]:
    """The numbers of the lines of `text` that hold `wanted`; between two of them nothing is looked at line by line."""
    line = begin = 0
    while (at := text.find(wanted, begin)) >= 0:
        line += text.count("\n", begin, at)
        yield line
        begin = text.index("\n", at) + 1
        line += 1


@dataclass(frozen=True)
class Progress:
    """How far a long piece of work is. `done` of `total` pictures; total is 0 where nobody knows it."""

    phase: str  # "listing" | "reading" | "saving" | "comparing" | "done" | "waiting": for whoever does the same already
    done: int  # while waiting: seconds
    total: int
    seconds_left: float | None
    dataset: Dataset | None = None  # on the last one of an import


# ------------------------------------------------------------------------------------------ what is there


def list_datasets() -> list[Dataset]:
    """Every dataset, oldest first; damaged folders are skipped."""
    found = []
    for path in datasets_root().glob("*/dataset.json"):
        if not path.parent.name.startswith("."):
            try:
                found.append(_read_dataset(path))
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return sorted(found, key=lambda dataset: (dataset.created, dataset.id))


def find_dataset(name: str) -> Dataset:
    """The dataset of that name; an unknown one raises UserMistake with the known ones."""
    wanted = clean_name(name).strip()
    every = list_datasets()
    for dataset in every:
        if dataset.name == wanted:
            return dataset
    known = ", ".join(dataset.name for dataset in every)
    raise UserMistake(f"unknown dataset {name!r}; {f'known: {known}' if every else 'nothing has been imported yet'}")


def made_from(dataset: Dataset, every: Iterable[Dataset]) -> list[Dataset]:
    """The versions that cannot be without this one: made from it, or from one that was."""
    ids = {dataset.id}
    later = sorted((other for other in every if other.family == dataset.family), key=lambda other: other.version)
    for other in later:
        if other.parent in ids:
            ids.add(other.id)
    return [other for other in later if other.id in ids and other.id != dataset.id]


def delete_dataset(name: str, versions: bool = False) -> None:
    """Remove a dataset, the stores made of it and its zip; stores that another dataset shares stay.

    versions: the versions that were made from it as well. Without that they are a reason to refuse (UserMistake): their
    originals lie in it.
    """
    gone, hashes = [], set[str]()
    with root_lock():
        dataset = find_dataset(name)
        later = made_from(dataset, list_datasets())
        if later and not versions:
            told = ", ".join(repr(other.name) for other in later)
            raise UserMistake(f"{dataset.name!r} was not deleted: {told} was made from it; delete that too, or first")
        for one in [*reversed(later), dataset]:  # cut short, no version is left without what it was made from
            gone.append(datasets_root() / f"{STAGING}{secrets.token_hex(8)}")
            one.folder.replace(gone[-1])  # from here on nobody sees it, however long removing takes
            hashes.add(one.content_hash)
        sync_folder(datasets_root())
    for away in gone:
        shutil.rmtree(away, ignore_errors=True)
    hashes -= {other.content_hash for other in list_datasets()}
    remove_stores(hashes.__contains__)
    for one in (dataset, *later):
        with suppress(OSError):
            export_path(one).unlink()


def export_path(dataset: Dataset) -> Path:
    """Where the zip of a dataset lies that a page has packed."""
    return atelier_home() / "exports" / f"{dataset.id}.zip"


def read_dataset(identity: str) -> Dataset:
    """The dataset of that id. Raises UserMistake where it is gone or damaged."""
    try:
        return _read_dataset(datasets_root() / identity / "dataset.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserMistake("the version that these pictures were made from is gone; import them again") from error


def _read_dataset(path: Path) -> Dataset:
    document = read_json(path)
    document.pop("schema_version")
    refused = tuple(Refused(**entry) for entry in document.pop("refused"))
    classes, notes = tuple(document.pop("classes")), tuple(document.pop("notes"))
    changes = tuple(Change(*entry) for entry in document.pop("changes", ()))
    owners = document.pop("packs", [document["id"]])
    packs = tuple(path.parent.parent / owner / "pictures.pack" for owner in owners)
    dataset = Dataset(
        **document, classes=classes, notes=notes, refused=refused, changes=changes, packs=packs, folder=path.parent
    )
    for identity in (dataset.id, *owners):
        if not re.fullmatch("[0-9a-f]{16}", identity):
            raise ValueError(f"{path} is not the dataset that it says")
    if dataset.id != path.parent.name or not all(pack.exists() for pack in packs[: dataset.version - 1]):
        raise ValueError(f"{path} is not the dataset that it says, or its originals are gone")
    return dataset


# ------------------------------------------------------------------------------------------------ intake


def import_dataset(
    name: str, path: Path, source: str | None = None, choices: Choices | None = None, twice: bool = True
) -> Iterator[Progress]:
    """Import a zip or a folder with a folder for each class, with or without train/ and test/ (or val/) above them.

    choices: classes to rename, merge or leave out, as look() of core/data/plan.py shows them before.

    Yields Progress about five times a second; the last one carries the dataset. The default store (32 pixels, crop)
    is made on the way, so that every picture is read once. Closing the generator cancels and leaves nothing behind.
    Content that is already there under this name is not imported twice; under another name only with `twice`.
    Raises UserMistake.
    """
    limits, choices = load_limits(), choices or Choices()
    yield Progress("listing", 0, 0, None)
    with open_source(path, limits, choices.encoding) as opened:
        listing = choices.apply(opened.listing)
        given = len(listing.entries) + len(listing.refused)
        _refuse_other_content(name, given)
        if not twice and (there := same_pictures(listing, opened.length)) not in ("", clean_name(name).strip()):
            raise UserMistake(f"these pictures are here already, as {there!r}; nothing was imported; --twice does it")
        yield from _intake(
            name, read_all(opened, listing), listing, source or ("folder" if path.is_dir() else "zip"), False, limits
        )


def import_pictures(
    name: str,
    entries: Iterable[tuple[str, str, int | str | None, bytes]],
    source: str,
    drawn: bool,
    total: int = 0,
) -> Iterator[Progress]:
    """Import pictures that the program has at hand: (name, class, part or None, bytes), in any order.

    part: None, "train", "val", "test" or their numbers 0, 1, 2. `total` is only for the progress. As import_dataset.
    """
    yield from _intake(name, _with_part_numbers(entries), Listing(), source, drawn, load_limits(), total)


def read_all(source: Source, listing: Listing) -> Iterator[Given]:
    for entry in listing.entries:
        try:
            yield entry.name, entry.class_name, entry.part, source.read(entry)
        except Refusal as refusal:
            yield entry.name, entry.class_name, entry.part, refusal


def _with_part_numbers(entries: Iterable[tuple[str, str, int | str | None, bytes]]) -> Iterator[Given]:
    for name, class_name, part, content in entries:
        number = NO_PART if part is None else PARTS.index(part) if isinstance(part, str) else part
        yield clean_name(name), clean_name(class_name), number, content


def same_pictures(listing: Listing, length_of: Callable[[Entry], int]) -> str:
    """The dataset whose pictures all have name, class, part and length of one of these, as many being given, or ""."""
    there: set[tuple[str, str, int, int]] = set()
    for dataset in list_datasets():
        if dataset.given != len(listing.entries) + len(listing.refused) or dataset.parent:
            continue
        there = there or {(e.name, e.class_name, e.part, length_of(e)) for e in listing.entries}
        names = (dataset.classes[label] for label in dataset.labels.tolist())
        parts, lengths = dataset.given_parts.tolist(), dataset.records["length"].tolist()
        if all(picture in there for picture in zip(dataset.names, names, parts, lengths, strict=True)):
            return dataset.name
    return ""


def _refuse_other_content(name: str, given: int) -> None:
    """The same name with another number of files is another dataset: said before the work instead of after it."""
    for dataset in list_datasets():
        if dataset.name == clean_name(name).strip() and dataset.given != given:
            raise _taken(dataset)


def _taken(dataset: Dataset) -> UserMistake:
    return UserMistake(
        f"a dataset named {dataset.name!r} with other pictures is already here ({dataset.used:,} pictures); "
        "it was kept; choose another name, or delete it first"
    )


def _dataset_name(name: str) -> str:
    cleaned = clean_name(name).strip()
    if not cleaned.replace("\ufffd", "").strip():
        raise UserMistake("a dataset needs a visible name; nothing was imported")
    if len(cleaned) > 80:
        raise UserMistake(f"a dataset's name may have at most 80 characters; {name[:20]!r}... has {len(cleaned)}")
    return cleaned


def _intake(
    name: str,
    pictures: Iterator[Given],
    listing: Listing,
    source: str,
    drawn: bool,
    limits: Limits,
    total: int = 0,
) -> Iterator[Progress]:
    name = _dataset_name(name)
    total = total or len(listing.entries)
    clock = Clock()
    with disk_troubles(), staging(datasets_root()) as folder:
        draft = Draft(folder, Preprocess(), limits)
        yield Progress("reading", 0, total, None)
        for outcomes in draft.read(pictures):
            draft.keep(outcomes)
            if clock.ticks():
                yield Progress("reading", draft.answered, total, clock.seconds_left(draft.answered, total))
        yield Progress("saving", draft.answered, total, None)
        check_classes(draft.counts(), limits)
        for _ in draft.write():
            if clock.ticks():
                yield Progress("saving", draft.answered, total, None)
        dataset = _place(draft, name, listing, source, drawn)
    yield Progress("done", draft.answered, draft.answered, 0.0, dataset)


def _place(draft: Draft, name: str, listing: Listing, source: str, drawn: bool) -> Dataset:
    """Move what is written to its place; a dataset that has the name and the content already stays."""
    refused = [*listing.refused, *draft.refused]
    notes = [*listing.notes, *draft.notes]
    document = {
        "schema_version": 1,
        "id": secrets.token_hex(8),
        "name": name,
        "classes": draft.classes,
        "source": source,
        "drawn": drawn,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "given": draft.given + len(listing.refused),
        "used": draft.used,
        "refused": [{"name": refused_name, "reason": why} for refused_name, why in refused],
        "ignored": listing.ignored,
        "content_hash": draft.content_hash,
        "notes": notes,
    }
    with root_lock():
        for dataset in list_datasets():
            if dataset.name == name:
                if dataset.content_hash != draft.content_hash:
                    raise _taken(dataset)
                return dataset
            if dataset.content_hash == draft.content_hash:
                document["notes"] = [*notes, f"The same pictures are here as {dataset.name!r} too."]
        fingerprint = fingerprint_of(draft.content_hash, draft.preprocess)
        place_store(draft.folder / "store", fingerprint, draft.content_hash, draft.preprocess, [])
        write_json(draft.folder / "dataset.json", document)
        target = datasets_root() / str(document["id"])
        draft.folder.replace(target)
        sync_folder(target.parent)
    return _read_dataset(target / "dataset.json")


@contextmanager
def disk_troubles() -> Iterator[None]:
    """A disk that takes no more is told as what it is."""
    try:
        yield
    except OSError as error:
        told = disk_trouble(error, atelier_home(), "Nothing was kept. Free some space and try again.")
        if told is None:
            raise
        raise told from error


class Clock:
    """When the next report of progress is due, and how long the rest will take at the pace so far."""

    def __init__(self) -> None:
        self.start = self.last = time.monotonic()

    def ticks(self) -> bool:
        now = time.monotonic()
        if now - self.last < TICK_SECONDS:
            return False
        self.last = now
        return True

    def seconds_left(self, done: int, total: int) -> float | None:
        elapsed = time.monotonic() - self.start
        return elapsed * (total - done) / done if 0 < done <= total and elapsed > 0.5 else None
