"""Listing: the class and part of each file of a source, and which files are ignored or refused."""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.data.sources.layout import (
    File,
    Layout,
    Parts,
    Reading,
    empty_folders,
    find_layout,
    is_table,
    listed,
    part_name,
    without_doubles,
    without_wrappers,
)
from core.data.sources.name_classes import classes_in_names
from core.data.sources.names import class_name, class_order, clean_name, notes_on_similar_names, shortened
from core.data.splits import NO_PART
from core.errors import UserMistake
from core.settings import Limits

JUNK = frozenset(  # files and folders that systems, network drives and tools make by themselves
    (
        *("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "__pycache__", "_tmp"),
        *("$recycle.bin", "recycler", "recycled", "system volume information", "lost+found", "lost.dir", "found.000"),
        *("#recycle", "@recycle", "@recently-snapshot", "#snapshot", "~snapshot", "@eadir", "@__thumb", "@tmp"),
        *("@sharebin", "dfsrprivate", "network trash folder", "temporary items", "node_modules"),
    )
)


@dataclass(frozen=True, slots=True)  # slots: a folder may hold a million
class Entry:
    """A file that may be a picture; `key` is the source's own index of it."""

    name: str  # the path as given, below the wrapper folders
    class_name: str
    part: int  # -1 none, 0 train, 1 val, 2 test
    key: int


@dataclass
class Listing:
    """The files of a source before any is read: given = entries + refused; ignored files are not counted."""

    entries: list[Entry] = field(default_factory=list)  # sorted by part, class and name
    refused: list[tuple[str, str]] = field(default_factory=list)  # (name, reason)
    ignored: int = 0
    notes: list[str] = field(default_factory=list)
    wrapper: str = ""  # the folders around everything else
    depth: int = 1  # folders that say class and part: 2 in train/cat/1.png and cat/train/1.png
    parts_where: str = "below"  # to precede the parts in a sentence
    guess: str = ""  # a sentence where the shape of the folders leaves a doubt which ones are the classes
    tables: tuple[str, ...] = ()  # files beside the classes that may hold labels
    garbled: int = 0  # names whose code page is a guess
    table: str = ""  # where the classes are from, in words, where that is no folder


class Source(Protocol):
    """A zip or a folder, listed; its files are read one at a time."""

    listing: Listing

    def read(self, entry: Entry) -> bytes:
        """The bytes of one file. Refusal for the file, UserMistake where the whole source must be refused."""
        ...

    def length(self, entry: Entry) -> int:
        """The size of one file in bytes, as its directory has it."""
        ...

    def head(self, entry: Entry) -> bytes:
        """The first HEAD_BYTES of one file, for a preview of the import. Raises as read()."""
        ...

    def checksum(self, entry: Entry) -> int | None:
        """CRC-32 of one file; None where the directory has none."""
        ...


NAMES_OF_FILES = "the names of the files"
CIFAR = (
    "it holds the batches of CIFAR-10, not pictures; add it under the name cifar10 (data add cifar10 --from, or "
    "CIFAR-10 on the Data page); nothing was imported"
)
HEAD_BYTES = 1024  # enough to find the kind of a file


def is_junk(parts: tuple[str, ...]) -> bool:
    """Whether a path is hidden or of the operating system."""
    return any(part.startswith(".") or part.casefold() in JUNK for part in parts)


def is_class_folder(name: str) -> bool:
    """Whether a folder of that name is always read as a class: not as nested, as system files or as a part."""
    return name == clean_name(name) and not (
        {"/", "\\"} & set(name) or is_junk((name,)) or part_name(name) or re.match("[A-Za-z]:$", name)
    )


Found = File  # path parts, key, reason to refuse it
Arrange = Callable[[list[Found], Limits], Listing]  # files to their listing, by a table of labels


TABLE_OPTION = re.compile(r"are read with --labels .+? of python -m core data add", re.DOTALL)
PACKED = (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z", ".xz", ".bz2")


def arrange(files: list[Found], limits: Limits, reading: Reading = "auto", folders: Iterable[Parts] = ()) -> Listing:
    """The files sorted into classes and parts, without the folders around everything. Raises UserMistake.

    reading: "outer" takes the top folders as classes whatever they are called, "inner" the folders inside them.
    folders: every folder that is known to be there, so that those without pictures are named.
    """
    listing = Listing()
    kept = [found for found in files if not is_junk(found[0])]
    listing.ignored = len(files) - len(kept)
    if any(path[-1] == "batches.meta" for path, _, _ in kept):
        raise UserMistake(CIFAR)
    if not kept:
        raise UserMistake("it contains no pictures; expected one folder for each class; nothing was imported")
    kept, wrapper, empty = _unwrapped(listing, kept)
    given = [path for path, _, _ in kept]
    kept, guess = classes_in_names(kept) if reading == "auto" else (kept, "")
    listing.table = NAMES_OF_FILES if guess else ""
    _must_have_folders(kept, listing.refused, listing.tables)
    layout = find_layout(kept, reading)
    layout.guess = " ".join(one for one in (guess, layout.guess) if one)
    listing.depth, listing.guess, listing.parts_where = layout.depth, layout.guess, layout.parts_where
    spellings: dict[str, set[str]] = {}
    for name, (path, key, reason) in zip(given, kept, strict=True):
        place = layout.place(path)
        outside = "says no class in its name" if guess else "is not inside the folder of a class"
        reason = reason or (too_deep(path, limits) if place else outside)
        if reason is not None or place is None:
            listing.refused.append((shortened("/".join(name)), str(reason)))
            continue
        named = class_name(place[0])
        spellings.setdefault(named, set()).add(place[0])
        listing.entries.append(Entry(clean_name("/".join(name)), named, place[1], key))
    listing.notes.extend([layout.guess] if layout.guess else [])
    empty |= _without_pictures(layout, wrapper, {*folders, *(path[:-1] for path, *_ in files)}, set(spellings))
    if empty and not guess:
        listing.notes.append(f"No class is made of {listed(sorted(empty))}: no picture is in there.")
    _note_names(listing, spellings)
    listing.entries = sort_entries(listing.entries)
    return listing


def arrange_loose(
    files: list[Found], limits: Limits, reading: Reading = "auto", folders: Iterable[Parts] = ()
) -> Listing:
    """The files in the order of their names, of no class and no part: pictures that are only to be classified."""
    listing = Listing()
    kept = [found for found in files if not is_junk(found[0])]
    listing.ignored = len(files) - len(kept)
    for path, key, reason in sorted(kept, key=lambda found: found[0]):
        name = clean_name("/".join(path))
        if (why := reason or too_deep(path, limits)) is not None:
            listing.refused.append((shortened(name), why))
        else:
            listing.entries.append(Entry(name, "", NO_PART, key))
    return listing


def _without_pictures(layout: Layout, wrapper: Parts, folders: Iterable[Parts], classes: set[str]) -> set[str]:
    """Folders in the place of a class of which no file is used."""
    empty = set()
    for folder in folders:
        path = folder[len(wrapper) :] if folder[: len(wrapper)] == wrapper else ()
        if (
            len(path) < layout.depth
            or is_junk(path)
            or (layout.kind == "parts" and part_name(path[1 + layout.between]))
        ):
            continue
        place = layout.place((*path[: layout.depth], ""))
        if place and clean_name(place[0]) not in classes:
            empty.add(clean_name(place[0]))
    return empty


def _unwrapped(listing: Listing, files: list[Found]) -> tuple[list[Found], Parts, set[str]]:
    """The files below the wrappers, the wrappers, and folders without any picture, whose files are refused."""
    wrapper: Parts = ()
    empty: set[str] = set()
    while True:
        files, more = without_wrappers(files)
        wrapper += more
        found = empty_folders(files)
        if not found or found == {path[0] for path, _, _ in files if len(path) > 1}:
            break
        empty |= found
        gone = [(path, reason) for path, _, reason in files if len(path) > 1 and path[0] in found]
        listing.refused += [
            (shortened("/".join(path)), reason or "is in a folder without pictures") for path, reason in gone
        ]
        files = [one for one in files if len(one[0]) == 1 or one[0][0] not in found]
        listing.tables += tuple(shortened("/".join(path)) for path, _ in gone if is_table(path[-1]))
    listing.wrapper = clean_name("/".join(wrapper))
    listing.tables += tuple(shortened(path[0]) for path, _, _ in files if len(path) == 1 and is_table(path[0]))
    return without_doubles(files), wrapper, empty


def sort_entries(entries: list[Entry]) -> list[Entry]:
    """By part, class and name: the order of a dataset."""
    classes = sorted({entry.class_name for entry in entries}, key=class_order)
    rank = {name: number for number, name in enumerate(classes)}
    return sorted(entries, key=lambda entry: (entry.part, rank[entry.class_name], entry.name, entry.key))


def about_tables(tables: Sequence[str]) -> str:
    """What to do where the labels are in a table and not in the names of folders; "" without a table. Its
    end is TABLE_OPTION, in place of which a page says what to do there."""
    if not tables:
        return ""
    name = tables[0]
    return (
        f"; classes in a table such as {name!r} are read with --labels {shlex.quote(name)} of python -m core data add"
    )


def _must_have_folders(files: list[Found], refused: list[tuple[str, str]], tables: Sequence[str]) -> None:
    """UserMistake where no picture is in a folder, so that their classes are unknown."""
    if any(len(path) > 1 for path, _, _ in files):
        return
    packed = [path[0] for path, _, _ in files if path[0].casefold().endswith(PACKED)]
    if packed:
        raise UserMistake(
            f"it holds archives, such as {shortened(packed[0])!r}, and no folder for each class; unpack them first; "
            "nothing was imported"
        )
    reasons = why_refused([*refused, *((path[0], reason) for path, _, reason in files if reason)])
    raise UserMistake(
        f"it holds {len(files):,} file(s) side by side and no folder for each class; put the pictures of a class "
        f"into a folder of its own, as in cartoon/1.png and noir/2.png{about_tables(tables)}{reasons}; "
        "nothing was imported"
    )


def why_refused(refused: Iterable[tuple[str, str]], most: int = 3) -> str:
    """The commonest reasons with an example of each, to follow a sentence; "" where nothing was refused."""
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for name, reason in refused:
        names.setdefault(reason, name)
        counts[reason] += 1
    reasons = [
        f"{names[reason]!r} {reason}" + (f" (and {count - 1:,} more)" if count > 1 else "")
        for reason, count in counts.most_common(most)
    ]
    return f"; {', '.join(reasons)}" if reasons else ""


def too_deep(parts: tuple[str, ...], limits: Limits) -> str | None:
    """Why a path cannot be taken, in words that follow its name; None where it can."""
    if len(parts) - 1 > limits.path_depth:
        return f"lies deeper than {limits.path_depth} folders"
    if max(len(part.encode(errors="surrogatepass")) for part in parts) > limits.path_part_bytes:
        return f"has a name or a folder longer than {limits.path_part_bytes} bytes"
    return None


def _note_names(listing: Listing, folders: dict[str, set[str]]) -> None:
    twice = sum(n - 1 for n in Counter(entry.name for entry in listing.entries).values() if n > 1)
    if twice:
        listing.notes.append(f"{twice} file(s) had the same name as another; all were kept.")
    for name, spellings in folders.items():
        if len(spellings) > 1:
            listing.notes.append(f"{name!r} was spelled in {len(spellings)} ways that look alike; they are one class.")
    listing.notes.extend(notes_on_similar_names(folders))
