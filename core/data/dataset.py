"""Dataset: an imported set of pictures, and how one comes in, is found and goes."""

import hashlib
import io
import json
import os
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from core.data.choices import Choices, check_classes
from core.data.decoding import CHUNK_BYTES, CHUNK_PICTURES, Outcome, Task, decode
from core.data.images import (
    HEADER_BYTES,
    STAGING,
    close_images,
    create_images,
    fingerprint_of,
    place_store,
    root_lock,
    staging,
)
from core.data.picture import CHANGES, Refusal, picture_kind
from core.data.preprocess import Preprocess
from core.data.sources import Listing, Source, class_order, clean_name, open_source
from core.data.splits import NO_PART, PARTS
from core.disk import disk_trouble, read_json, sync_folder, write_atomic, write_json
from core.errors import UserMistake
from core.settings import Limits, atelier_home, datasets_root, load_limits, stores_root

RECORD = np.dtype(
    [("offset", "<i8"), ("length", "<i8"), ("sha256", "V32"), ("label", "<i4"), ("part", "i1")]
)  # one picture in index.npy
TICK_SECONDS = 0.2  # between two reports of progress


@dataclass(frozen=True)
class Refused:
    name: str
    reason: str  # in words that stand after the name: "is empty"


@dataclass(frozen=True)
class Dataset:
    """An imported set of pictures, as it lies on the disk; given = used + len(refused), system files apart."""

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

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 (used,): index into classes."""
        return self._index["label"].astype(np.int64)

    @cached_property
    def given_parts(self) -> np.ndarray:
        """int8 (used,): -1 none, 0 train, 1 val, 2 test, as the source had it."""
        return self._index["part"].astype(np.int8)

    @cached_property
    def names(self) -> Sequence[str]:
        """The name of each picture as it was given; read from the disk when the first one is asked for."""
        return Names(self.folder / "names.jsonl", self.used)

    @property
    def class_counts(self) -> dict[str, int]:
        """Used pictures of each class, all parts together."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    def original(self, i: int) -> bytes:
        """The file of picture `i` as it was given. Raises UserMistake where the disk has changed it."""
        record = self._index[i]
        with (self.folder / "pictures.pack").open("rb") as pack:
            pack.seek(int(record["offset"]))
            content = pack.read(int(record["length"]))
        if hashlib.sha256(content).digest() != record["sha256"].tobytes():
            raise UserMistake(f"{self.names[i]!r} of {self.name!r} is damaged on the disk; import the pictures again")
        return content

    def tasks(self) -> Iterator[list[Task]]:
        """Every picture, in pieces for decode()."""
        for first in range(0, self.used, CHUNK_PICTURES):
            piece = self._index[first : first + CHUNK_PICTURES]
            places = zip(piece["offset"].tolist(), piece["length"].tolist(), strict=True)
            yield [Task(first + row, offset, length) for row, (offset, length) in enumerate(places)]

    @property
    def digests(self) -> np.ndarray:
        """uint8 (used, 32): the SHA-256 of each original."""
        return np.frombuffer(self._index["sha256"].tobytes(), np.uint8).reshape(-1, 32)

    @property
    def places(self) -> np.ndarray:
        """int64 (used, 2): offset and length of each original in pictures.pack."""
        return np.stack([self._index["offset"], self._index["length"]], axis=1)

    @cached_property
    def _index(self) -> np.ndarray:
        return np.load(self.folder / "index.npy", mmap_mode="r", allow_pickle=False)


class Names(Sequence[str]):
    """The lines of names.jsonl, read on first use: opening a store does not wait for them."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.length = path, count

    @cached_property
    def _every(self) -> list[str]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: Any) -> Any:
        return self._every[i]


@dataclass(frozen=True)
class Progress:
    """How far a long piece of work is. `done` of `total` pictures; total is 0 where nobody knows it."""

    phase: str  # "listing" | "reading" | "saving" | "done"
    done: int
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


def delete_dataset(name: str) -> None:
    """Remove a dataset and the stores made of it; stores that another dataset shares stay."""
    with root_lock():
        dataset = find_dataset(name)
        away = datasets_root() / f"{STAGING}{secrets.token_hex(8)}"
        dataset.folder.replace(away)  # from here on nobody sees it, however long removing takes
        sync_folder(datasets_root())
    shutil.rmtree(away, ignore_errors=True)
    if all(other.content_hash != dataset.content_hash for other in list_datasets()):
        for path in stores_root().glob("*/store.json"):
            try:
                if read_json(path)["content_hash"] == dataset.content_hash:
                    shutil.rmtree(path.parent, ignore_errors=True)
            except (OSError, ValueError, KeyError, TypeError):
                continue


def _read_dataset(path: Path) -> Dataset:
    document = read_json(path)
    document.pop("schema_version")
    refused = tuple(Refused(**entry) for entry in document.pop("refused"))
    classes, notes = tuple(document.pop("classes")), tuple(document.pop("notes"))
    dataset = Dataset(**document, classes=classes, notes=notes, refused=refused, folder=path.parent)
    if dataset.id != path.parent.name or not re.fullmatch("[0-9a-f]{16}", dataset.id):
        raise ValueError(f"{path} is not the dataset that it says")
    return dataset


# ------------------------------------------------------------------------------------------------ intake


def import_dataset(
    name: str, path: Path, source: str | None = None, choices: Choices | None = None
) -> Iterator[Progress]:
    """Import a zip or a folder with a folder for each class, with or without train/ and test/ (or val/) above them.

    choices: classes to rename, merge or leave out, as look() of core/data/plan.py shows them before.

    Yields Progress about five times a second; the last one carries the dataset. The default store (32 pixels, crop)
    is made on the way, so that every picture is read once. Closing the generator cancels and leaves nothing behind.
    Content that is already there under this name is not imported twice. Raises UserMistake.
    """
    limits, choices = load_limits(), choices or Choices()
    yield Progress("listing", 0, 0, None)
    with open_source(path, limits, choices.encoding) as opened:
        listing = choices.apply(opened.listing)
        given = len(listing.entries) + len(listing.refused)
        _refuse_other_content(name, given)
        yield from _intake(
            name, _read_all(opened, listing), listing, source or ("folder" if path.is_dir() else "zip"), False, limits
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


Given = tuple[str, str, int, bytes | Refusal]  # name, class, part, content


def _read_all(source: Source, listing: Listing) -> Iterator[Given]:
    for entry in listing.entries:
        try:
            yield entry.name, entry.class_name, entry.part, source.read(entry)
        except Refusal as refusal:
            yield entry.name, entry.class_name, entry.part, refusal


def _with_part_numbers(entries: Iterable[tuple[str, str, int | str | None, bytes]]) -> Iterator[Given]:
    for name, class_name, part, content in entries:
        number = NO_PART if part is None else PARTS.index(part) if isinstance(part, str) else part
        yield clean_name(name), clean_name(class_name), number, content


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
    name, preprocess = _dataset_name(name), Preprocess()
    total = total or len(listing.entries)
    clock = Clock()
    with disk_troubles(), staging(datasets_root()) as folder:
        draft = _Draft(folder, preprocess, limits)
        yield Progress("reading", 0, total, None)
        for outcomes in draft.read(pictures):
            draft.keep(outcomes)
            if clock.ticks():
                yield Progress("reading", draft.answered, total, clock.seconds_left(draft.answered, total))
        yield Progress("saving", draft.answered, total, None)
        dataset = draft.finish(name, listing, source, drawn)
    yield Progress("done", draft.answered, draft.answered, 0.0, dataset)


@dataclass
class _Draft:
    """An import in its staging folder: pictures.pack and images.npy grow, the rest is written at the end."""

    folder: Path
    preprocess: Preprocess
    limits: Limits
    given: list[tuple[str, str, int]] = field(default_factory=list)  # name, class, part
    places: list[tuple[int, int]] = field(default_factory=list)  # offset, length in the pack
    hashes: list[bytes] = field(default_factory=list)
    refusals: dict[int, str] = field(default_factory=dict)  # row -> reason
    changes: Counter[str] = field(default_factory=Counter)
    answered: int = 0

    def read(self, pictures: Iterator[Given]) -> Iterator[list[Outcome]]:
        size = self.preprocess.image_size
        (self.folder / "store").mkdir()
        images, pack = self.folder / "store" / "images.npy", self.folder / "pictures.pack"
        create_images(images, size)
        with pack.open("wb", buffering=0) as file:
            yield from decode(self._pack(pictures, file), pack, images, HEADER_BYTES, self.preprocess, self.limits)
            os.fsync(file.fileno())

    def _pack(self, pictures: Iterator[Given], pack: IO[bytes]) -> Iterator[list[Task]]:
        """Append the bytes of each picture to the pack, a piece of work at a time."""
        chunk: list[Task] = []
        held: list[bytes] = []
        offset = bytes_held = 0
        for name, class_name, part, content in pictures:
            row = len(self.given)
            self.given.append((name, class_name, part))
            try:
                if isinstance(content, Refusal):
                    raise content
                picture_kind(content, self.limits)  # what is no picture at all need not go further
            except Refusal as refusal:
                self.refusals[row] = str(refusal)
                self.answered += 1
                self.places.append((offset, 0))
                self.hashes.append(b"")
                continue
            chunk.append(Task(row, offset, len(content)))
            held.append(content)
            self.places.append((offset, len(content)))
            self.hashes.append(hashlib.sha256(content).digest())
            offset += len(content)
            bytes_held += len(content)
            if len(chunk) >= CHUNK_PICTURES or bytes_held >= CHUNK_BYTES:
                _write_all(pack, b"".join(held))
                yield chunk
                chunk, held, bytes_held = [], [], 0
        if chunk:
            _write_all(pack, b"".join(held))
            yield chunk

    def keep(self, outcomes: list[Outcome]) -> None:
        for row, refusal, notes in outcomes:
            if refusal is not None:
                self.refusals[row] = refusal
            self.changes.update(notes)
        self.answered += len(outcomes)

    def finish(self, name: str, listing: Listing, source: str, drawn: bool) -> Dataset:
        """Sort by part, class and name, drop what was refused, and move the folder to its place."""
        classes = sorted({class_name for _, class_name, _ in self.given}, key=class_order)
        rank = {class_name: number for number, class_name in enumerate(classes)}
        used = [row for row in range(len(self.given)) if row not in self.refusals]
        used.sort(key=lambda row: (self.given[row][2], rank[self.given[row][1]], self.given[row][0], row))
        counts: dict[str, Counter[int]] = {class_name: Counter() for class_name in classes}
        for row in used:
            counts[self.given[row][1]][self.given[row][2]] += 1
        check_classes(counts, self.limits)
        content_hash = self._content_hash(used)
        refused = [*listing.refused, *((self.given[row][0], why) for row, why in sorted(self.refusals.items()))]
        notes = [*listing.notes, *self._notes(used)]
        document = {
            "schema_version": 1,
            "id": secrets.token_hex(8),
            "name": name,
            "classes": classes,
            "source": source,
            "drawn": drawn,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "given": len(self.given) + len(listing.refused),
            "used": len(used),
            "refused": [{"name": refused_name, "reason": why} for refused_name, why in refused],
            "ignored": listing.ignored,
            "content_hash": content_hash,
            "notes": notes,
        }
        rows = np.array(used, dtype=np.int64)
        close_images(self.folder / "store" / "images.npy", self.preprocess.image_size, rows, len(self.given))
        self._write_index(used, rank)
        with root_lock():
            for dataset in list_datasets():
                if dataset.name == name:
                    if dataset.content_hash != content_hash:
                        raise _taken(dataset)
                    return dataset
                if dataset.content_hash == content_hash:
                    document["notes"] = [*notes, f"The same pictures are here as {dataset.name!r} too."]
            fingerprint = fingerprint_of(content_hash, self.preprocess)
            place_store(self.folder / "store", fingerprint, content_hash, self.preprocess, [])
            write_json(self.folder / "dataset.json", document)
            target = datasets_root() / str(document["id"])
            self.folder.replace(target)
            sync_folder(target.parent)
        return _read_dataset(target / "dataset.json")

    def _content_hash(self, used: list[int]) -> str:
        """Of names, classes, parts and bytes in store order: the same from a zip and from a folder."""
        digest = hashlib.sha256()
        for row in used:
            digest.update(json.dumps(self.given[row]).encode() + self.hashes[row])
        return digest.hexdigest()

    def _notes(self, used: list[int]) -> list[str]:
        notes = [f"{count} {CHANGES[change]}." for change, count in sorted(self.changes.items())]
        seen: dict[bytes, list[tuple[str, int]]] = {}
        for row in used:
            seen.setdefault(self.hashes[row], []).append(self.given[row][1:])
        repeated = [places for places in seen.values() if len(places) > 1]
        across = sum(len({class_name for class_name, _ in places}) > 1 for places in repeated)
        leaked = sum(len({part for _, part in places}) > 1 for places in repeated)
        if across:
            notes.append(f"{across} identical picture(s) are in more than one class; no network can tell them apart.")
        if leaked:
            notes.append(f"{leaked} identical picture(s) are in more than one part, which makes the test too easy.")
        parts = {self.given[row][2] for row in used}
        if 1 in parts and 2 not in parts:
            notes.append("There is a val folder and no test folder: the val pictures are the held-out test part.")
        return notes

    def _write_index(self, used: list[int], rank: dict[str, int]) -> None:
        pack = self.folder / "pictures.pack"
        if used != list(range(len(self.given))):
            self.places = _sorted_pack(pack, used, self.places)
        index = np.zeros(len(used), RECORD)
        for place, row in enumerate(used):
            index[place] = (*self.places[row], self.hashes[row], rank[self.given[row][1]], self.given[row][2])
        buffer = io.BytesIO()
        np.save(buffer, index)
        write_atomic(self.folder / "index.npy", buffer.getvalue())
        lines = (json.dumps(self.given[row][0], ensure_ascii=False) + "\n" for row in used)
        write_atomic(self.folder / "names.jsonl", "".join(lines).encode())


def _sorted_pack(pack: Path, used: list[int], places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Rewrite the pack with the used pictures alone, one after the other; the new places by row."""
    moved, offset = list(places), 0
    draft = pack.with_suffix(".sorted")
    with pack.open("rb") as old, draft.open("wb") as new:
        for row in used:
            old.seek(places[row][0])
            new.write(old.read(places[row][1]))
            moved[row] = (offset, places[row][1])
            offset += places[row][1]
        new.flush()
        os.fsync(new.fileno())
    draft.replace(pack)
    return moved


def _write_all(file: IO[bytes], content: bytes) -> None:
    """An unbuffered write may take only a part; a full disk raises OSError on the next one."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


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
