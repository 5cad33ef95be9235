"""Import preview: what a zip or a folder would bring, found from names and first bytes before anything is imported."""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.imports.class_mapping import ClassMapping, check_classes
from core.data.imports.pipeline import same_pictures
from core.data.pictures.decode_pool import receive_in_child
from core.data.pictures.picture import Refusal, picture_kind, too_large
from core.data.pictures.preprocess import Preprocess
from core.data.sources.layout import Reading
from core.data.sources.listing import Entry, Listing, Source
from core.data.sources.names import class_order, shortened
from core.data.sources.open import open_source
from core.data.sources.table import Labels
from core.data.splits import PARTS
from core.errors import UserMistake
from core.settings import Limits, load_limits

SCANNED = 2_000  # files whose first bytes are read; of more files, as many evenly spaced ones
DECODED = 500  # most files that are decoded for a preview, so that it promises no picture that does not come
DECODED_BYTES = 2**25
NAMED = 5  # files that are named for each reason
COMPARED_BYTES = 2**26  # most bytes of a folder that are read to find duplicates; of more, none are searched
EXAMPLE_SIDE = 72  # pixels
EXAMPLE_CLASSES = 24
EXAMPLE_BYTES = 2**26  # most bytes of original files that are read for examples


@dataclass(frozen=True)
class Skip:
    """Files that would not be imported for one reason, which is worded to follow a name."""

    reason: str
    count: int
    names: tuple[str, ...]  # the first few


@dataclass(frozen=True)
class ImportPreview:
    """What an import would bring; given = pictures + the counts of the skips, system files not counted."""

    source: str  # "zip" | "folder"
    wrapper: str  # the folders around everything, "" where there are none
    parts: tuple[str, ...]  # of "train", "val" and "test", the folders above the classes
    parts_where: str  # "below", "each with" or "split by their names into", to precede the parts
    nested: int  # pictures in folders within the folder of their class
    found: dict[str, str | None]  # class as found -> its new name, None where it is left out
    sizes: dict[str, int]  # class as found -> files
    classes: dict[str, dict[int, int]]  # new name of a class -> part (-1 none, 0 train, 1 val, 2 test) -> pictures
    skips: tuple[Skip, ...]  # the most frequent reason first
    ignored: int  # system files such as .DS_Store
    given: int
    bytes: int  # of the pictures
    scanned: int  # files whose first bytes were read
    listed: int  # files
    duplicates: int | None  # files with the content of another one, None where a search would take too long
    conflicts: int  # pictures that are in more than one class
    notes: tuple[str, ...]
    garbled: int  # names whose code page is a guess
    decoded: bool  # whether every picture was decoded, so that the import brings exactly these
    table: str  # where the classes are from, in words, where that is no folder
    guess: str  # a sentence where the shape of the folders leaves a doubt which ones are the classes
    same_as: str  # name of a dataset with these very pictures, "" where there is none
    trouble: str  # why it cannot be imported like this, "" where it can

    @property
    def pictures(self) -> int:
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """New name of a class -> pictures, all parts together."""
        return {name: sum(parts.values()) for name, parts in self.classes.items()}

    @property
    def skipped(self) -> int:
        return sum(skip.count for skip in self.skips)

    @property
    def remarks(self) -> list[str]:
        """What else to know before the import, a list of sentences."""
        remarks = list(self.notes)
        if self.same_as:
            remarks.insert(0, f"Already imported as {self.same_as!r}.")
        if self.scanned < self.listed:
            remarks.append(f"Scanned {self.scanned:,} of {self.listed:,} files; the others are read at the import.")
        elif not self.decoded:
            remarks.append("Only the first bytes were read: damaged and too small pictures are found at the import.")
        if self.duplicates:
            remarks.append(f"{self.duplicates:,} file(s) are the same as another one; all are kept.")
        if self.conflicts:
            remarks.append(f"{self.conflicts:,} picture(s) are in more than one class; no network can tell them apart.")
        return remarks

    @property
    def layout(self) -> str:
        """The folders that were found, in a sentence."""
        where = f" inside {self.wrapper!r}" if self.wrapper else ""
        if self.table:
            parts = f" {self.parts_where} {_and(self.parts)}" if self.parts else ""
            return f"Found {len(self.found)} class{'es' * (len(self.found) != 1)}{parts} in {self.table}."
        if not self.found:
            return f"Found no folder with pictures{where}."
        sentence = f"Found {len(self.found)} folder{'s' * (len(self.found) != 1)}{where}, one for each class"
        if self.parts:
            sentence += f", {self.parts_where} {_and(self.parts)}"
        if self.nested:
            sentence += f"; {self.nested:,} of the pictures lie in folders within those and count for the class"
        return sentence + "."


@dataclass(frozen=True)
class ImportScan:
    """What a scan found in a zip or a folder; preview() applies any class mapping to it without reading again."""

    source: str  # "zip" | "folder"
    listing: Listing
    lengths: dict[int, int]  # key of an entry -> bytes
    refused: dict[int, str]  # key -> why it is no picture, by its first bytes
    decoded: bool  # whether every picture was decoded as well, because there are few
    checksums: dict[int, int] | None  # key -> CRC-32 of each file that has the length of another; None: not known
    examples: dict[str, list[np.ndarray]]  # class as found -> a few pictures, uint8 (3, 72, 72)
    limits: Limits

    def preview(self, mapping: ClassMapping | None = None) -> ImportPreview:
        """What an import with this mapping would bring. UserMistake for an unknown class."""
        found, mapping = self.listing, mapping or ClassMapping()
        listing = mapping.apply(found)
        classes: dict[str, Counter[int]] = {entry.class_name: Counter() for entry in listing.entries}
        for entry in listing.entries:
            classes[entry.class_name][entry.part] += entry.key not in self.refused
        usable = [entry for entry in listing.entries if entry.key not in self.refused]
        no_pictures = [(e.name, self.refused[e.key]) for e in listing.entries if e.key in self.refused]
        sizes = Counter(entry.class_name for entry in found.entries)
        duplicates, conflicts = self._count_duplicates(usable)
        return ImportPreview(
            source=self.source,
            wrapper=found.wrapper,
            parts=tuple(word for part, word in enumerate(PARTS) if any(e.part == part for e in found.entries)),
            parts_where=found.parts_where,
            nested=sum(entry.name.count("/") > found.depth for entry in usable),
            found={name: mapping.class_of(name) for name in sorted(sizes, key=class_order)},
            sizes=dict(sizes),
            classes={name: dict(classes[name]) for name in sorted(classes, key=class_order)},
            skips=_skips([*listing.refused, *no_pictures]),
            ignored=listing.ignored,
            given=len(listing.entries) + len(listing.refused),
            bytes=sum(self.lengths[entry.key] for entry in usable),
            scanned=min(len(found.entries), SCANNED),
            listed=len(found.entries),
            duplicates=duplicates,
            conflicts=conflicts,
            notes=tuple(listing.notes),
            garbled=found.garbled,
            same_as=same_pictures(listing, lambda entry: self.lengths[entry.key]),
            decoded=self.decoded,
            guess=found.guess,
            table=found.table,
            trouble=_trouble(classes, self.limits, [*listing.refused, *no_pictures], listing),
        )

    def _count_duplicates(self, entries: list[Entry]) -> tuple[int | None, int]:
        """(files with the content of another one, pictures in more than one class)"""
        if self.checksums is None:
            return None, 0
        places: dict[tuple[int, int], list[str]] = {}
        for entry in entries:
            if entry.key in self.checksums:
                places.setdefault((self.lengths[entry.key], self.checksums[entry.key]), []).append(entry.class_name)
        same = [classes for classes in places.values() if len(classes) > 1]
        return sum(len(classes) - 1 for classes in same), sum(len(set(classes)) > 1 for classes in same)


def scan_source(
    path: Path,
    encoding: str | None = None,
    reading: Reading = "auto",
    *,
    labels: Labels | None = None,
    each: int = 0,
    decode: bool = True,
) -> ImportScan:
    """Scan a zip or a folder by the rules and with the code of import_dataset; nothing is written.

    encoding, reading, labels: as for open_source; each: number of example pictures of each class, read in a child
    process; decode: whether all pictures are decoded where they are few.
    UserMistake where nothing can be imported at all; what another class mapping might mend is `trouble` of the preview.
    """
    limits = load_limits()
    with open_source(path, limits, encoding, reading, labels) as source:
        listing = source.listing
        lengths = {entry.key: source.length(entry) for entry in listing.entries}
        refused = _scan_heads(source, lengths, limits)
        decoded = decode and len(lengths) <= DECODED and sum(lengths.values()) <= DECODED_BYTES
        refused |= _decode_all(source, refused, limits) if decoded else {}
        return ImportScan(
            source="folder" if path.is_dir() else "zip",
            listing=listing,
            lengths=lengths,
            refused=refused,
            decoded=decoded,
            checksums=_checksums(source, lengths),
            examples=_examples(source, lengths, refused, each, limits) if each else {},
            limits=limits,
        )


def _checksums(source: Source, lengths: Mapping[int, int]) -> dict[int, int] | None:
    """CRC-32 of each file that has the length of another: from the directory of a zip, else of its content."""
    often = Counter(lengths.values())
    candidates = [entry for entry in source.listing.entries if often[lengths[entry.key]] > 1]
    known = not candidates or source.checksum(candidates[0]) is not None
    if not known and sum(lengths[entry.key] for entry in candidates) > COMPARED_BYTES:
        return None
    checksums = {}
    for entry in candidates:
        try:
            stored = source.checksum(entry)
            checksums[entry.key] = zlib.crc32(source.read(entry)) if stored is None else stored
        except Refusal:
            continue  # _scan_heads reports it
    return checksums


def _scan_heads(source: Source, lengths: Mapping[int, int], limits: Limits) -> dict[int, str]:
    """Key -> reason of each file that is no picture by its first bytes; of many files SCANNED evenly spaced ones."""
    refused, entries = {}, source.listing.entries
    places = np.linspace(0, max(0, len(entries) - 1), min(len(entries), SCANNED)).astype(int)
    for entry in (entries[place] for place in np.unique(places)):
        try:
            if lengths[entry.key] > limits.picture_bytes:
                raise too_large(limits)
            picture_kind(source.head(entry), limits)
        except Refusal as refusal:
            refused[entry.key] = str(refusal)
    return refused


def _decode_all(source: Source, refused: Mapping[int, str], limits: Limits) -> dict[int, str]:
    """Key -> reason of each file that cannot be read to its end or decoded, though its first bytes are a picture's."""
    reasons, contents, entries = {}, [], []
    for entry in source.listing.entries:
        if entry.key in refused:
            continue
        try:
            contents.append(source.read(entry))
            entries.append(entry)
        except Refusal as refusal:
            reasons[entry.key] = str(refusal)
    answers = receive_in_child(contents, Preprocess(), limits)
    failed = ((entry, answer) for entry, answer in zip(entries, answers, strict=True) if isinstance(answer, Refusal))
    return reasons | {entry.key: str(answer) for entry, answer in failed}


def _skips(refused: list[tuple[str, str]]) -> tuple[Skip, ...]:
    names: dict[str, list[str]] = {}
    for name, reason in refused:
        names.setdefault(reason, []).append(name)
    ordered = sorted(names.items(), key=lambda item: -len(item[1]))
    return tuple(Skip(reason, len(of), tuple(map(shortened, of[:NAMED]))) for reason, of in ordered)


def _trouble(
    classes: Mapping[str, Mapping[int, int]], limits: Limits, refused: list[tuple[str, str]], listing: Listing
) -> str:
    try:
        check_classes(classes, limits, refused=refused, tables=listing.tables, table=listing.table)
    except UserMistake as mistake:
        return str(mistake).removesuffix("; nothing was imported")
    return ""


def _examples(
    source: Source, lengths: Mapping[int, int], refused: Mapping[int, str], each: int, limits: Limits
) -> dict[str, list[np.ndarray]]:
    """A few pictures of the first classes, from the beginning, the middle and the end of each."""
    chosen, contents, budget = [], [], EXAMPLE_BYTES
    for entry in _spread(source.listing.entries, refused, each):
        budget -= lengths[entry.key]
        if budget < 0:
            break
        try:
            contents.append(source.read(entry))
            chosen.append(entry)
        except Refusal:
            continue
    examples: dict[str, list[np.ndarray]] = {}
    received = receive_in_child(contents, Preprocess(image_size=EXAMPLE_SIDE), limits)
    for entry, answer in zip(chosen, received, strict=True):
        if not isinstance(answer, Refusal):
            examples.setdefault(entry.class_name, []).append(answer)
    return examples


def _spread(entries: list[Entry], refused: Mapping[int, str], each: int) -> Iterator[Entry]:
    members: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.key not in refused:
            members.setdefault(entry.class_name, []).append(entry)
    for name in sorted(members, key=class_order)[:EXAMPLE_CLASSES]:
        of_class = members[name]
        places = np.linspace(0, len(of_class) - 1, min(each, len(of_class))).astype(int)
        yield from (of_class[place] for place in places)


def _and(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
