"""Plan: what would come in from a zip or a folder, told by names and first bytes before anything is imported."""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.data.choices import Choices, check_classes
from core.data.dataset import same_pictures
from core.data.decoding import receive_in_child
from core.data.picture import Refusal, picture_kind, too_large
from core.data.preprocess import Preprocess
from core.data.sources import Entry, Listing, Source, class_order, open_source, shortened
from core.data.splits import PARTS
from core.errors import UserMistake
from core.settings import Limits, load_limits

LOOKED_INTO = 2_000  # files whose first bytes are read; of more, every so many-th
NAMED = 5  # files that a reason names
COMPARED_BYTES = 2**26  # files of a folder that are read to tell copies; with more nothing is said of copies
EXAMPLE_SIDE = 72  # pixels
EXAMPLE_CLASSES = 24
EXAMPLE_BYTES = 2**26  # of original files that are read for examples


@dataclass(frozen=True)
class Skip:
    """Files that would not come in, for one reason; the reason is in words that stand after a name."""

    reason: str
    count: int
    names: tuple[str, ...]  # the first few


@dataclass(frozen=True)
class Plan:
    """What would come in with these choices; given = pictures + the skips' counts, system files apart."""

    source: str  # "zip" | "folder"
    wrapper: str  # the folders around everything, "" without
    parts: tuple[str, ...]  # of train, val and test, those that stand above the classes
    nested: int  # pictures in folders within the folder of their class
    found: dict[str, str | None]  # class as found -> its name as chosen, None where it is left out
    sizes: dict[str, int]  # class as found -> files
    classes: dict[str, dict[int, int]]  # class as chosen -> part (-1 none, 0 train, 1 val, 2 test) -> pictures
    skips: tuple[Skip, ...]  # the most frequent reason first
    ignored: int  # system files such as .DS_Store
    given: int
    bytes: int  # of the pictures
    looked_into: int  # files whose first bytes were read; all of them where it is `listed`
    listed: int
    copies: int | None  # files that are the same as another, None where that would take too long
    conflicts: int  # of them, pictures that are in more than one class
    notes: tuple[str, ...]
    garbled: int  # names whose code page is a guess
    same_as: str  # a dataset that holds these very pictures already, "" without
    trouble: str  # why it cannot be imported as it is, "" where it can

    @property
    def pictures(self) -> int:
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Class as chosen -> pictures, all parts together."""
        return {name: sum(parts.values()) for name, parts in self.classes.items()}

    @property
    def skipped(self) -> int:
        return sum(skip.count for skip in self.skips)

    @property
    def remarks(self) -> list[str]:
        """What else to know before the import, each in a sentence."""
        told = list(self.notes)
        if self.same_as:
            told.insert(0, f"Already imported as {self.same_as!r}.")
        if self.looked_into < self.listed:
            told.append(
                f"Looked into {self.looked_into:,} of {self.listed:,} files; the others are read at the import."
            )
        if self.copies:
            told.append(f"{self.copies:,} file(s) are the same as another one; all are kept.")
        if self.conflicts:
            told.append(f"{self.conflicts:,} picture(s) are in more than one class; no network can tell them apart.")
        return told

    @property
    def layout(self) -> str:
        """In a sentence: how the pictures lie there."""
        where = f" inside {self.wrapper!r}" if self.wrapper else ""
        told = f"Found {len(self.found)} folder{'s' * (len(self.found) != 1)}{where}, one for each class"
        if self.parts:
            told += f", below {_and(self.parts)}"
        if self.nested:
            told += f"; {self.nested:,} of the pictures lie in folders within those and count for the class"
        return told + "."


@dataclass(frozen=True)
class Look:
    """What a zip or a folder was found to hold, ready to be asked about any choices; nothing is read again."""

    source: str  # "zip" | "folder"
    listing: Listing
    lengths: dict[int, int]  # key of each entry -> bytes
    refused: dict[int, str]  # key -> why its first bytes are no picture
    checksums: dict[int, int] | None  # key -> CRC-32 of those whose length another one has; None: not known
    examples: dict[str, list[np.ndarray]]  # class as found -> a few pictures, uint8 (3, 72, 72)
    limits: Limits

    def plan(self, choices: Choices | None = None) -> Plan:
        """What would come in with these choices. Raises UserMistake for a class that is not there."""
        found, choices = self.listing, choices or Choices()
        listing = choices.apply(found)
        classes: dict[str, Counter[int]] = {entry.class_name: Counter() for entry in listing.entries}
        for entry in listing.entries:
            classes[entry.class_name][entry.part] += entry.key not in self.refused
        usable = [entry for entry in listing.entries if entry.key not in self.refused]
        no_pictures = [(e.name, self.refused[e.key]) for e in listing.entries if e.key in self.refused]
        sizes = Counter(entry.class_name for entry in found.entries)
        copies, conflicts = self._copies(usable)
        return Plan(
            source=self.source,
            wrapper=found.wrapper,
            parts=tuple(word for part, word in enumerate(PARTS) if any(e.part == part for e in found.entries)),
            nested=sum(entry.name.count("/") > (2 if found.has_parts else 1) for entry in usable),
            found={name: choices.class_of(name) for name in sorted(sizes, key=class_order)},
            sizes=dict(sizes),
            classes={name: dict(classes[name]) for name in sorted(classes, key=class_order)},
            skips=_skips([*listing.refused, *no_pictures]),
            ignored=listing.ignored,
            given=len(listing.entries) + len(listing.refused),
            bytes=sum(self.lengths[entry.key] for entry in usable),
            looked_into=min(len(found.entries), LOOKED_INTO),
            listed=len(found.entries),
            copies=copies,
            conflicts=conflicts,
            notes=tuple(listing.notes),
            garbled=found.garbled,
            same_as=same_pictures(listing, lambda entry: self.lengths[entry.key]),
            trouble=_trouble(classes, self.limits),
        )

    def _copies(self, entries: list[Entry]) -> tuple[int | None, int]:
        """(files that are the same as another one, pictures in more than one class)"""
        if self.checksums is None:
            return None, 0
        places: dict[tuple[int, int], list[str]] = {}
        for entry in entries:
            if entry.key in self.checksums:
                places.setdefault((self.lengths[entry.key], self.checksums[entry.key]), []).append(entry.class_name)
        same = [classes for classes in places.values() if len(classes) > 1]
        return sum(len(classes) - 1 for classes in same), sum(len(set(classes)) > 1 for classes in same)


def look(path: Path, encoding: str | None = None, *, each: int = 0) -> Look:
    """Look into a zip or a folder by the rules of import_dataset, whose own code lists and chooses; nothing is written.

    encoding: as open_source. `each`: example pictures of each class, read in a child process. Raises UserMistake for
    what cannot be imported at all; what choices might still mend is the plan's `trouble`.
    """
    limits = load_limits()
    with open_source(path, limits, encoding) as source:
        listing = source.listing
        lengths = {entry.key: source.length(entry) for entry in listing.entries}
        refused = _look_into(source, lengths, limits)
        return Look(
            source="folder" if path.is_dir() else "zip",
            listing=listing,
            lengths=lengths,
            refused=refused,
            checksums=_checksums(source, lengths),
            examples=_examples(source, lengths, refused, each, limits) if each else {},
            limits=limits,
        )


def _checksums(source: Source, lengths: Mapping[int, int]) -> dict[int, int] | None:
    """CRC-32 of the files that another one is as long as: from the directory of a zip, else read."""
    often = Counter(lengths.values())
    alike = [entry for entry in source.listing.entries if often[lengths[entry.key]] > 1]
    known = not alike or source.checksum(alike[0]) is not None
    if not known and sum(lengths[entry.key] for entry in alike) > COMPARED_BYTES:
        return None
    checksums = {}
    for entry in alike:
        try:
            told = source.checksum(entry)
            checksums[entry.key] = zlib.crc32(source.read(entry)) if told is None else told
        except Refusal:
            continue  # told where its first bytes are read
    return checksums


def _look_into(source: Source, lengths: Mapping[int, int], limits: Limits) -> dict[int, str]:
    """Key -> reason of what is no picture, told by the first bytes alone; of many files, every so many-th."""
    refused, entries = {}, source.listing.entries
    places = np.linspace(0, max(0, len(entries) - 1), min(len(entries), LOOKED_INTO)).astype(int)
    for entry in (entries[place] for place in np.unique(places)):
        try:
            if lengths[entry.key] > limits.picture_bytes:
                raise too_large(limits)
            picture_kind(source.head(entry), limits)
        except Refusal as refusal:
            refused[entry.key] = str(refusal)
    return refused


def _skips(refused: list[tuple[str, str]]) -> tuple[Skip, ...]:
    names: dict[str, list[str]] = {}
    for name, reason in refused:
        names.setdefault(reason, []).append(name)
    ordered = sorted(names.items(), key=lambda item: -len(item[1]))
    return tuple(Skip(reason, len(of), tuple(map(shortened, of[:NAMED]))) for reason, of in ordered)


def _trouble(classes: Mapping[str, Mapping[int, int]], limits: Limits) -> str:
    try:
        check_classes(classes, limits)
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
