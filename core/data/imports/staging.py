"""Import staging: an unfinished import in its folder. What grows with the number of pictures is kept on disk."""

import hashlib
import heapq
import json
import os
import shutil
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from core.data.datasets.document import RECORD
from core.data.pictures.decode_pool import CHUNK_BYTES, CHUNK_PICTURES, Outcome, Task, decode
from core.data.pictures.picture import CHANGES, Refusal, picture_kind
from core.data.pictures.preprocess import Preprocess
from core.data.sources.names import class_order
from core.data.storage import HEADER_BYTES, close_images, create_images, read_rows
from core.settings import Limits

PACKED = struct.Struct("<qq32sib")  # RECORD for struct
PIECE = 4096  # pictures that are written at once
SORTED = 65_536  # pictures that are sorted at once, about 15 MB

Given = tuple[str, str, int, bytes | Refusal]  # name, class, part, content
Placed = tuple[int, int, str, int]  # part, label, name, row; a dataset is sorted by it
Item = TypeVar("Item")


class ImportStaging:
    """Pictures on their way into a dataset: call read(), keep() for everything that it yields, then write()."""

    def __init__(self, folder: Path, preprocess: Preprocess, limits: Limits) -> None:
        self.folder, self.preprocess, self.limits = folder, preprocess, limits
        self.given = self.answered = 0  # pictures: read so far; decoded or refused so far
        self.refused: list[tuple[str, str]] = []  # name, reason; complete after write()
        self.notes: list[str] = []  # sentences; complete after write()
        self.content_hash = ""  # after write()
        self._refusals: dict[int, str] = {}  # row -> reason
        self._changes: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}  # class -> its number in the order of appearance
        self._orders: dict[str, tuple[list[tuple[int, int, str]], str]] = {}  # class -> class_order
        self._last = (-2, class_order(""), "")
        self._is_sorted = True
        self._pack, self._images = folder / "pictures.pack", folder / "store" / "images.npy"
        self._scratch = folder / "aside"  # removed before the folder becomes a dataset
        self._names, self._records = self._scratch / "names", self._scratch / "records"

    @property
    def classes(self) -> list[str]:
        return sorted(self._numbers, key=class_order)

    @property
    def used(self) -> int:
        """Pictures that were not refused so far."""
        return self.given - len(self._refusals)

    # -------------------------------------------------------------------------------------------- reading

    def read(self, pictures: Iterable[Given]) -> Iterator[list[Outcome]]:
        """Pack the pictures in the order given and decode them in child processes; closing the generator ends those."""
        self._images.parent.mkdir()
        self._scratch.mkdir()
        create_images(self._images, self.preprocess.image_size)
        with (
            self._pack.open("wb", buffering=0) as pack,
            self._names.open("wb") as names,
            self._records.open("wb") as records,
        ):
            chunks = self._take_in(pictures, pack, names, records)
            yield from decode(chunks, self._pack, self._images, HEADER_BYTES, self.preprocess, self.limits)
            os.fsync(pack.fileno())

    def keep(self, outcomes: list[Outcome]) -> None:
        """Note which pictures were refused and what decoding changed."""
        for row, refusal, changes in outcomes:
            if refusal is not None:
                self._refusals[row] = refusal
            self._changes.update(changes)
        self.answered += len(outcomes)

    def _take_in(
        self, pictures: Iterable[Given], pack: IO[bytes], names: IO[bytes], records: IO[bytes]
    ) -> Iterator[list[Task]]:
        """Append the bytes of each picture to the pack; yields the tasks of each chunk that was written."""
        chunk: list[Task] = []
        held: list[bytes] = []
        offset = bytes_held = 0
        for name, class_name, part, content in pictures:
            row = self.given
            self.given += 1
            number = self._number(part, class_name, name)
            names.write(name_line(name))
            try:
                if isinstance(content, Refusal):
                    raise content
                picture_kind(content, self.limits)  # what is no picture at all is not packed
            except Refusal as refusal:
                self._refusals[row] = str(refusal)
                self.answered += 1
                records.write(PACKED.pack(offset, 0, b"", number, part))
                continue
            records.write(PACKED.pack(offset, len(content), hashlib.sha256(content).digest(), number, part))
            chunk.append(Task(row, offset, len(content)))
            held.append(content)
            offset += len(content)
            bytes_held += len(content)
            if len(chunk) >= CHUNK_PICTURES or bytes_held >= CHUNK_BYTES:
                _write_all(pack, b"".join(held))
                yield chunk
                chunk, held, bytes_held = [], [], 0
        if chunk:
            _write_all(pack, b"".join(held))
            yield chunk

    def _number(self, part: int, class_name: str, name: str) -> int:
        """The number of the class; notes whether pictures still come in a dataset's order."""
        if class_name not in self._numbers:
            self._numbers[class_name] = len(self._numbers)
            self._orders[class_name] = class_order(class_name)
        if self._is_sorted:
            place = (part, self._orders[class_name], name)
            self._is_sorted = place >= self._last
            self._last = place
        return self._numbers[class_name]

    # -------------------------------------------------------------------------------------------- writing

    def write(self) -> Iterator[None]:
        """Sort by part, class and name, drop what was refused, and write index.npy, names.jsonl, pictures.pack and the
        images of a dataset. Yields between pieces of work. At least one picture must be used.
        """
        assert self.used, self.given
        classes, labels = self.classes, self._labels()
        rows: list[np.ndarray] = []
        duplicates = DuplicateTracker()
        moves = not self._is_sorted or bool(self._refusals)
        packed, hashed = 0, hashlib.sha256()
        with ExitStack() as stack:
            given, pack, index, names, moved = (
                stack.enter_context(path.open(mode))
                for path, mode in (
                    (self._records, "rb"),
                    (self._pack, "rb"),
                    (self.folder / "index.npy", "wb"),
                    (self.folder / "names.jsonl", "wb"),
                    (self._scratch / "pack", "wb"),
                )
            )
            shape = {"descr": RECORD.descr, "fortran_order": False, "shape": (self.used,)}
            np.lib.format.write_array_header_1_0(index, shape)
            for piece in _pieces(self._ordered(labels), PIECE):
                rows.append(np.array([row for *_, row in piece], np.int64))
                records = np.frombuffer(read_rows(given, 0, RECORD.itemsize, rows[-1]), RECORD).copy()
                records["label"] = labels[records["label"]]
                if moves:
                    _copy_contents(pack, moved, records)
                    ends = packed + np.cumsum(records["length"])
                    records["offset"], packed = ends - records["length"], int(ends[-1])
                index.write(records.tobytes())
                names.writelines(name_line(name) for *_, name, _ in piece)
                for (part, label, name, _), digest in zip(piece, records["sha256"].tolist(), strict=True):
                    hashed.update(hashed_picture(name, classes[label], part, digest))
                duplicates.add(records)
                yield
            for file in (index, names, moved):
                file.flush()
                os.fsync(file.fileno())
        if moves:
            (self._scratch / "pack").replace(self._pack)
        close_images(self._images, self.preprocess.image_size, np.concatenate(rows), self.given)
        shutil.rmtree(self._scratch)
        self.content_hash = hashed.hexdigest()
        self.notes = [f"{count} {CHANGES[change]}." for change, count in sorted(self._changes.items())]
        self.notes += duplicates.notes()

    def counts(self) -> dict[str, Counter[int]]:
        """Class -> part -> usable pictures, after read(); a class without usable pictures has an empty Counter."""
        classes, labels = self.classes, self._labels()
        counts: dict[str, Counter[int]] = {name: Counter() for name in classes}
        refused = np.fromiter(self._refusals, np.int64, len(self._refusals))
        with self._records.open("rb") as file:
            for first in range(0, self.given, SORTED):
                records = np.fromfile(file, RECORD, SORTED)
                records = records[~np.isin(np.arange(first, first + len(records)), refused)]
                places, numbers = np.unique(
                    np.stack([labels[records["label"]], records["part"]]), axis=1, return_counts=True
                )
                for label, part, count in zip(*places.tolist(), numbers.tolist(), strict=True):
                    counts[classes[label]][part] += count
        return counts

    def refusals(self) -> Iterator[tuple[str, str]]:
        """(name, reason) of every picture that was refused, after read() and before write()."""
        with self._names.open("rb") as names:
            for row, line in enumerate(names):
                if row in self._refusals:
                    yield json.loads(line), self._refusals[row]

    def _labels(self) -> np.ndarray:
        """int32 (classes,): the label of each class, classes in the order of appearance."""
        rank = {name: label for label, name in enumerate(self.classes)}
        return np.array([rank[name] for name in self._numbers], np.int32)

    def _ordered(self, labels: np.ndarray) -> Iterator[Placed]:
        """The used pictures in a dataset's order; sorted in runs on disk that are merged, unless they came in it."""
        if self._is_sorted:
            yield from self._as_given(labels)
            return
        runs: list[Path] = []
        for run in _pieces(self._as_given(labels), SORTED):
            runs.append(self._scratch / f"run-{len(runs)}")
            with runs[-1].open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(placed) + "\n" for placed in sorted(run))
        with ExitStack() as stack:
            files = [stack.enter_context(run.open(encoding="utf-8")) for run in runs]
            yield from heapq.merge(*(map(json.loads, file) for file in files))

    def _as_given(self, labels: np.ndarray) -> Iterator[Placed]:
        with self._names.open("rb") as names, self._records.open("rb") as records:
            for first in range(0, self.given, PIECE):
                piece = np.fromfile(records, RECORD, PIECE)
                lines = islice(names, len(piece))
                fields = zip(piece["label"], piece["part"].tolist(), lines, strict=True)
                for row, (number, part, line) in enumerate(fields, start=first):
                    if row in self._refusals:
                        self.refused.append((json.loads(line), self._refusals[row]))
                    else:
                        yield part, int(labels[number]), json.loads(line), row


def name_line(name: str) -> bytes:
    """A line of names.jsonl."""
    return json.dumps(name, ensure_ascii=False).encode() + b"\n"


def hashed_picture(name: str, class_name: str, part: int, sha256: bytes) -> bytes:
    """The bytes of a picture that go into a content hash, in store order: the same from a zip and from a folder."""
    return json.dumps((name, class_name, part)).encode() + sha256


class DuplicateTracker:
    """Finds identical files by 64 bits of their SHA-256; needs 13 bytes a picture."""

    def __init__(self) -> None:
        self.digests: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.parts: list[np.ndarray] = []

    def add(self, records: np.ndarray) -> None:
        self.digests.append(np.frombuffer(records["sha256"].tobytes(), np.uint64)[::4].copy())
        self.labels.append(records["label"].copy())
        self.parts.append(records["part"].copy())

    def notes(self) -> list[str]:
        """A sentence for identical pictures across classes, across parts, and for a val folder without test."""
        digests, labels, parts = map(np.concatenate, (self.digests, self.labels, self.parts))
        notes = []
        if across := _count_shared(digests, labels):
            notes.append(f"{across} identical picture(s) are in more than one class; no network can tell them apart.")
        if leaked := _count_shared(digests, parts):
            notes.append(f"{leaked} identical picture(s) are in more than one part, which makes the test too easy.")
        if (parts == 1).any() and not (parts == 2).any():
            notes.append("There is a val folder and no test folder: the val pictures are the held-out test part.")
        return notes


def _count_shared(digests: np.ndarray, values: np.ndarray) -> int:
    """How many distinct `digests` (uint64 (N,)) occur with more than one of `values` (int (N,))."""
    order = np.lexsort((values, digests))
    digests, values = digests[order], values[order]
    differs = (digests[1:] == digests[:-1]) & (values[1:] != values[:-1])
    return len(np.unique(digests[1:][differs]))


def _copy_contents(pack: IO[bytes], moved: IO[bytes], records: np.ndarray) -> None:
    for offset, length in zip(records["offset"].tolist(), records["length"].tolist(), strict=True):
        pack.seek(offset)
        moved.write(pack.read(length))


def _pieces(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while piece := list(islice(rest, most)):
        yield piece


def _write_all(file: IO[bytes], content: bytes) -> None:
    """An unbuffered write may take only a part; a full disk raises OSError on the next one."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
