"""Where pictures come from: a zip or a folder with a folder per class, with or without train/ and test/ above them.

Nothing is ever extracted: names are compared as text, bytes are handed on, and no name becomes a path of ours.
"""

import os
import re
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from core.data.picture import Refusal, too_large
from core.data.splits import NO_PART
from core.errors import UserMistake
from core.settings import Limits, atelier_home

PART_FOLDERS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("val", "valid", "validation"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}
JUNK = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found"} | {
    "__pycache__",
    "@eadir",
    "_tmp",
    "icon\r",
}


@dataclass(frozen=True, slots=True)  # a folder may hold a million of them
class Entry:
    """A file that may be a picture. `key` is the source's own handle of it."""

    name: str  # the path as it was given, below a wrapper folder
    class_name: str
    part: int  # -1 none, 0 train, 1 val, 2 test
    key: int


@dataclass
class Listing:
    """What a source holds before anything is read: given = entries + refused; ignored is apart."""

    entries: list[Entry] = field(default_factory=list)  # sorted by part, class and name
    refused: list[tuple[str, str]] = field(default_factory=list)  # (name, reason)
    ignored: int = 0
    notes: list[str] = field(default_factory=list)
    wrapper: str = ""  # the folders that held everything else
    has_parts: bool = False  # train, test or val stand above the classes
    garbled: int = 0  # names whose code page is a guess


class Source(Protocol):
    listing: Listing

    def read(self, entry: Entry) -> bytes:
        """The bytes of one file. Raises Refusal; raises UserMistake when the whole source must be refused."""
        ...

    def length(self, entry: Entry) -> int:
        """Bytes of one file, as its directory says."""
        ...

    def head(self, entry: Entry) -> bytes:
        """The first HEAD_BYTES of one file, for a look before anything is imported. Raises as read()."""
        ...

    def checksum(self, entry: Entry) -> int | None:
        """CRC-32 of one file where the directory has it."""
        ...


HEAD_BYTES = 1024  # of a file, enough to tell what it is


@contextmanager
def open_source(path: Path, limits: Limits, encoding: str | None = None) -> Iterator["Source"]:
    """The zip or folder at `path`, listed. Raises UserMistake for anything else and for a hostile or broken zip.

    encoding: the code page of names in a zip that are not UTF-8, one of ENCODINGS; None reads them as cp437.
    """
    if path.is_dir():
        yield FolderSource(path, limits)
    elif not path.exists():
        raise UserMistake(f"there is no file or folder {str(path)!r}; nothing was imported")
    else:
        try:
            file = path.open("rb")
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise UserMistake(f"the file could not be opened ({why}); nothing was imported") from error
        with file:
            yield ZipSource(file, limits, encoding)


# ---------------------------------------------------------------------------------------------------- names


def clean_name(name: str) -> str:
    """A name as it can be stored and shown: NFC, with a replacement character for what is invisible or steers text."""
    name = unicodedata.normalize("NFC", name)
    return UNSHOWABLE.sub("\ufffd", name)


# control characters, lone surrogates (a name that was not UTF-8), and marks that turn the direction of text
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def class_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sorts classes as a person would: case aside, 9 before 10; the name itself decides between equals."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in pieces if p], name


def shortened(name: str) -> str:
    """A name as the ledger keeps it: clean, and at most 120 characters."""
    name = clean_name(name)
    return name if len(name) <= 120 else name[:80] + "…" + name[-39:]


def _is_junk(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part.casefold() in JUNK for part in parts)


def is_class_folder(name: str) -> bool:
    """Whether a folder of that name is always a class: it is one folder, no system file's and no part's."""
    return name == clean_name(name) and not (
        {"/", "\\"} & set(name) or _is_junk((name,)) or name.casefold() in PART_FOLDERS or re.match("[A-Za-z]:$", name)
    )


Found = tuple[tuple[str, ...], int, str | None]  # path parts, key, reason to refuse it


def arrange(files: list[Found], limits: Limits) -> Listing:
    """Sort (path parts, key, reason to refuse it or None) into classes and parts; strip what wraps it all."""
    listing = Listing()
    kept = []
    for parts, key, reason in files:
        if _is_junk(parts):
            listing.ignored += 1
        else:
            kept.append((parts, key, reason))
    if not kept:
        raise UserMistake("it contains no pictures; expected one folder for each class; nothing was imported")
    kept, listing.wrapper = _unwrapped(kept)
    _must_train(kept)
    _must_have_folders(kept)
    has_parts = listing.has_parts = _has_parts(kept)
    if has_parts and not any(len(parts) > 2 for parts, _, _ in kept):
        raise UserMistake(
            "it has train and test folders but no folder for each class inside them; nothing was imported"
        )
    folders: dict[str, set[str]] = {}
    for parts, key, reason in kept:
        name = clean_name("/".join(parts))
        part = PART_FOLDERS.get(parts[0].casefold(), NO_PART) if has_parts else NO_PART
        below = parts[1:] if has_parts else parts
        if reason is None and (len(below) < 2 or (has_parts and part == NO_PART)):
            reason = "is not inside the folder of a class"
        reason = reason or _too_deep(parts, limits)
        if reason is not None:
            listing.refused.append((shortened("/".join(parts)), reason))
            continue
        named = class_name(below[0])
        folders.setdefault(named, set()).add(below[0])
        listing.entries.append(Entry(name, named, part, key))
    _note_names(listing, folders)
    listing.entries = sort_entries(listing.entries)
    return listing


def sort_entries(entries: list[Entry]) -> list[Entry]:
    """By part, class and name: the order of a dataset."""
    classes = sorted({entry.class_name for entry in entries}, key=class_order)
    rank = {name: number for number, name in enumerate(classes)}
    return sorted(entries, key=lambda entry: (entry.part, rank[entry.class_name], entry.name, entry.key))


def _unwrapped(files: list[Found]) -> tuple[list[Found], str]:
    """Without the folders that hold everything else, as zips of a folder have: top/cat/1.png is cat/1.png, in "top"."""
    wrapper: list[str] = []
    while True:
        tops = {parts[0] for parts, _, _ in files if len(parts) > 1}
        inside = [parts for parts, _, reason in files if len(parts) > 1 and reason is None]
        if len(tops) != 1 or not inside or any(len(parts) == 2 for parts in inside):
            return files, clean_name("/".join(wrapper))
        (top,) = tops
        if top.casefold() in PART_FOLDERS and not {p[1].casefold() for p in inside} & PART_FOLDERS.keys():
            return files, clean_name("/".join(wrapper))
        wrapper.append(top)
        files = [(parts[1:] if len(parts) > 1 else parts, key, reason) for parts, key, reason in files]


def _must_train(files: list[Found]) -> None:
    """val/ and test/ alone with classes inside are not two classes of those names: the training folder is missing."""
    inside = [parts for parts, _, reason in files if len(parts) > 1 and reason is None]
    tops = {parts[0].casefold() for parts in inside}
    deep = bool(inside) and all(len(parts) > 2 for parts in inside)
    if deep and tops <= PART_FOLDERS.keys() and all(PART_FOLDERS[top] for top in tops):
        raise UserMistake(
            f"it has a {' and a '.join(sorted(tops))} folder but no train folder to learn from; nothing was imported"
        )


def _must_have_folders(files: list[Found]) -> None:
    """Pictures side by side in one place say nothing about their classes."""
    if all(len(parts) == 1 for parts, _, _ in files):
        raise UserMistake(
            f"it holds {len(files):,} file(s) side by side and no folder for each class; put the pictures of a class "
            "into a folder of its own, as in cartoon/1.png and noir/2.png; nothing was imported"
        )


def _has_parts(files: list[Found]) -> bool:
    """Whether the folders on top are train, test and val rather than classes that happen to be called so."""
    tops = {parts[0].casefold() for parts, _, _ in files if len(parts) > 1}
    named = {PART_FOLDERS[top] for top in tops if top in PART_FOLDERS}
    if 0 not in named:
        return False
    deep = [len(parts) > 2 for parts, _, reason in files if reason is None and parts[0].casefold() in PART_FOLDERS]
    return tops <= PART_FOLDERS.keys() or (len(named) > 1 and sum(deep) * 2 > len(deep))


def _too_deep(parts: tuple[str, ...], limits: Limits) -> str | None:
    if len(parts) - 1 > limits.path_depth:
        return f"lies deeper than {limits.path_depth} folders"
    if max(len(part.encode(errors="surrogatepass")) for part in parts) > limits.path_part_bytes:
        return f"has a name or a folder longer than {limits.path_part_bytes} bytes"
    return None


def class_name(folder: str) -> str:
    """What the class of a folder is called. Raises UserMistake where nothing of it can be seen."""
    name = clean_name(folder)
    if not name.replace("\ufffd", "").replace("\u200d", "").replace("\u200c", "").strip():
        raise UserMistake("a class folder has no visible name; rename it; nothing was imported")
    return name


def _note_names(listing: Listing, folders: dict[str, set[str]]) -> None:
    twice = sum(n - 1 for n in Counter(entry.name for entry in listing.entries).values() if n > 1)
    if twice:
        listing.notes.append(f"{twice} file(s) had the same name as another; all were kept.")
    for name, spellings in folders.items():
        if len(spellings) > 1:
            listing.notes.append(f"{name!r} was spelled in {len(spellings)} ways that look alike; they are one class.")
    listing.notes.extend(notes_on_likeness(folders))


def notes_on_likeness(names: Iterable[str]) -> list[str]:
    """A sentence for each set of classes whose names differ only in case or in blanks around them."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold().strip(), []).append(name)
    return [
        f"{', '.join(map(repr, sorted(same)))} differ only in case or blanks; they were kept as {len(same)} classes."
        for same in alike.values()
        if len(same) > 1
    ]


# --------------------------------------------------------------------------------------------------- folders


class FolderSource:
    """A folder on this computer. Links are not followed."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.limits = limits
        self.paths: list[str] = []
        self.listing = arrange(list(self._walk(str(folder), ())), limits)

    def _walk(self, folder: str, above: tuple[str, ...]) -> Iterator[Found]:
        try:
            with os.scandir(folder) as scan:
                found = sorted(scan, key=lambda item: item.name)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            if not above:
                raise UserMistake(f"the folder could not be opened ({why}); nothing was imported") from error
            yield above, -1, f"is a folder that could not be opened ({why})"
            return
        for item in found:
            parts = (*above, item.name)
            if item.is_dir(follow_symlinks=False) and not _is_junk((item.name,)):
                if len(parts) <= 100:  # deeper is refused below anyway, and the walk must end
                    yield from self._walk(item.path, parts)
                continue
            if item.is_dir(follow_symlinks=False):
                yield parts, -1, None  # junk: counted once, not looked into
                continue
            reason = None
            if item.is_symlink():
                reason = "is a link, not a picture"
            elif not item.is_file(follow_symlinks=False):
                reason = "is a device or a pipe, not a picture"
            self.paths.append(item.path)
            yield parts, len(self.paths) - 1, reason

    def read(self, entry: Entry) -> bytes:
        return self._read(entry, self.limits.picture_bytes + 1)

    def head(self, entry: Entry) -> bytes:
        return self._read(entry, HEAD_BYTES)

    def length(self, entry: Entry) -> int:
        try:
            return Path(self.paths[entry.key]).lstat().st_size
        except OSError:
            return 0  # what has gone since is refused when it is read

    def checksum(self, entry: Entry) -> int | None:
        return None

    def _read(self, entry: Entry, most: int) -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(self.paths[entry.key], flags), "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise Refusal("is a device or a pipe, not a picture")
                if status.st_size > self.limits.picture_bytes:
                    raise too_large(self.limits)
                return file.read(most)
        except OSError as error:
            raise Refusal(f"could not be opened ({os.strerror(error.errno or 0).lower()})") from error


# ------------------------------------------------------------------------------------------------------ zips


class ZipSource:
    """A zip that nobody vouches for: bytes are counted as they come out, whatever the headers claim."""

    def __init__(self, file: IO[bytes], limits: Limits, encoding: str | None = None) -> None:
        if encoding is not None and encoding not in ENCODINGS:
            raise UserMistake(f"unknown encoding {encoding!r}; known: {', '.join(ENCODINGS)}; nothing was imported")
        self.file, self.limits, self.encoding = file, limits, encoding
        self.size = os.fstat(file.fileno()).st_size
        self.produced = self.consumed = self.damaged = self.tried = 0
        self.budget = min(limits.expanded_bytes, _free_bytes() // 2)
        self._check_kind()
        self.infos = self._listed()
        self._check_overlaps()
        self.garbled = 0
        self.listing = arrange(list(self._files()), limits)
        self.listing.garbled = self.garbled
        if self.garbled and encoding is None:
            self.listing.notes.append(
                f"{self.garbled} name(s) are in an old code page and may look garbled; choose the encoding, or pack "
                "the zip with UTF-8 names to have them right."
            )
        elif self.garbled:
            self.listing.notes.append(f"{self.garbled} name(s) were read as {ENCODINGS[self.encoding or '']}.")

    def _check_kind(self) -> None:
        if self.size > self.limits.zip_bytes:
            raise UserMistake(
                f"the zip has {_mb(self.size)}; the limit is {_mb(self.limits.zip_bytes)}; unpack it and import the "
                "folder, or raise zip_bytes in limits.json"
            )
        head = self.file.read(512)
        for words, offset, magic in OTHER_ARCHIVES:
            if head[offset:].startswith(magic):
                raise UserMistake(f"this file is {words}, not a zip; please pack it as zip; nothing was imported")
        if not head:
            raise UserMistake("the file is empty (0 bytes); nothing was imported")
        if head.startswith(b"PK\x05\x06"):
            raise UserMistake("the zip contains no pictures; expected one folder for each class; nothing was imported")
        if not head.startswith(b"PK\x03\x04"):
            raise UserMistake(f"this is not a plain zip file{_prefixed(self.file)}; nothing was imported")

    def _listed(self) -> list[zipfile.ZipInfo]:
        count, directory = _end_record(self.file, self.size)
        most = self.limits.zip_entries
        if count > most or directory > max(2**20, most * 512):
            raise UserMistake(
                f"the zip lists {count:,} files in a directory of {_mb(directory)}; the limit is {most:,} files; "
                "nothing was imported"
            )
        try:
            with zipfile.ZipFile(self.file) as archive:
                self.directory_start = archive.start_dir
                infos = archive.infolist()
        except Exception as error:  # seven kinds over mutated zips, none of them more telling than this sentence
            raise UserMistake(INCOMPLETE) from error
        if len(infos) > most:
            raise UserMistake(f"the zip lists {len(infos):,} files; the limit is {most:,}; nothing was imported")
        if (claimed := sum(info.file_size for info in infos)) > self.budget:
            raise self._bomb(claimed)
        return infos

    def _check_overlaps(self) -> None:
        """Each file's bytes end before the next file's begin, and the last one's before the directory."""
        ordered = sorted(self.infos, key=lambda info: info.header_offset)
        ends = [*(info.header_offset for info in ordered), self.directory_start][1:]
        if ordered and ordered[0].header_offset < 0:
            raise UserMistake(INCOMPLETE)
        self.ends = {id(info): end for info, end in zip(ordered, ends, strict=True)}
        for info, end in zip(ordered, ends, strict=True):
            if info.header_offset + LOCAL_HEADER.size + info.compress_size > end:
                raise UserMistake(OVERLAP)

    def _files(self) -> Iterator[Found]:
        for key, info in enumerate(self.infos):
            name, guessed = _entry_name(info, self.encoding)
            self.garbled += guessed
            path = name.replace("\\", "/")
            parts = tuple(part for part in path.split("/") if part not in ("", "."))
            if ".." in parts or path.startswith("/") or re.match(r"[A-Za-z]:(/|$)", path):
                raise UserMistake(
                    f"this zip was refused: it contains a path that points outside the archive ({shortened(name)!r}); "
                    "nothing was imported"
                )
            mode = info.external_attr >> 16
            if path.endswith("/") or stat.S_ISDIR(mode) or not parts:
                continue
            yield parts, key, self._reason(info, mode)

    def _reason(self, info: zipfile.ZipInfo, mode: int) -> str | None:
        if stat.S_ISLNK(mode):
            return "is a link inside the zip, not a picture"
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return "is a device or a pipe, not a picture"
        if info.flag_bits & 0x41:
            raise UserMistake("this zip is password-protected; please pack it without a password; nothing was imported")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserMistake(
                f"this zip uses an unsupported compression (method {info.compress_type}); please pack it again with "
                "the standard option; nothing was imported"
            )
        if info.file_size > self.limits.picture_bytes:
            return str(too_large(self.limits))
        return None

    def read(self, entry: Entry) -> bytes:
        info = self.infos[entry.key]
        self.tried += 1
        try:
            return self._expanded(info, self._packed(info))
        except Refusal as refusal:
            self.damaged += str(refusal) == DAMAGED
            if self.damaged >= 10 and self.damaged * 5 > len(self.listing.entries):
                raise UserMistake(
                    f"more than a fifth of the files in this zip are damaged ({self.damaged} of the first "
                    f"{self.tried}); please download or pack it again; nothing was imported"
                ) from refusal
            raise

    def length(self, entry: Entry) -> int:
        return self.infos[entry.key].file_size

    def checksum(self, entry: Entry) -> int | None:
        return self.infos[entry.key].CRC

    def head(self, entry: Entry) -> bytes:
        info = self.infos[entry.key]
        packed = self._packed(info, 4 * HEAD_BYTES)
        if info.compress_type == zipfile.ZIP_STORED:
            return packed[:HEAD_BYTES]
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, HEAD_BYTES)
        except zlib.error:
            raise Refusal(DAMAGED) from None

    def _packed(self, info: zipfile.ZipInfo, most: int | None = None) -> bytes:
        """The bytes of a file as they lie in the zip, or the first `most` of them."""
        self.file.seek(info.header_offset)
        header = self.file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise Refusal(DAMAGED)
        *_, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
        start = info.header_offset + LOCAL_HEADER.size + name_bytes + extra_bytes
        if start + info.compress_size > self.ends[id(info)]:
            raise UserMistake(OVERLAP)
        self.file.seek(start)
        return self.file.read(info.compress_size if most is None else min(most, info.compress_size))

    def _expanded(self, info: zipfile.ZipInfo, packed: bytes) -> bytes:
        most = self.limits.picture_bytes
        if info.compress_type == zipfile.ZIP_STORED:
            content, ended = packed[: most + 1], True
        else:
            most = min(most, max(2**20, int(self.limits.ratio_entry * len(packed))))
            expander = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = expander.decompress(packed, most + 1)
            except zlib.error:
                raise Refusal(DAMAGED) from None
            ended = expander.eof
        self._count(len(packed), len(content))
        if len(content) > self.limits.picture_bytes:
            raise too_large(self.limits)
        if len(content) > most:
            raise Refusal(f"expands to more than {self.limits.ratio_entry:g} times its packed size")
        if not ended or len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise Refusal(DAMAGED)
        return content

    def _count(self, consumed: int, produced: int) -> None:
        self.consumed += consumed
        self.produced += produced
        beyond = self.produced > 100e6 and self.produced > self.limits.ratio_whole * self.consumed
        if self.produced > self.budget or beyond:
            raise self._bomb(self.produced)

    def _bomb(self, size: int) -> UserMistake:
        if size <= self.limits.expanded_bytes and size > self.budget:
            return UserMistake(
                f"the pictures have {_mb(size)}; {_mb(2 * self.budget)} are free where Atelier keeps its files, half "
                "of which may be used; nothing was imported; free some space, or move ATELIER_HOME"
            )
        return UserMistake(
            f"this zip would expand to more than {_mb(self.budget)} or {self.limits.ratio_whole:g} times its size "
            "(limit); nothing was imported; split it, or raise the limit in limits.json"
        )


LOCAL_HEADER = struct.Struct("<4s5H3I2H")
INCOMPLETE = (
    "the zip is incomplete or damaged (the upload or the original download was cut short); please download it again; "
    "nothing was imported"
)
OVERLAP = "this zip is malformed (files overlap); nothing was imported"
DAMAGED = "is damaged in the zip"
OTHER_ARCHIVES = (
    ("a RAR archive", 0, b"Rar!"),
    ("a 7-Zip archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a gzip archive", 0, b"\x1f\x8b"),
    ("a bzip2 archive", 0, b"BZh"),
    ("an xz archive", 0, b"\xfd7zXZ\x00"),
    ("a tar archive", 257, b"ustar"),
    ("a Zstandard archive", 0, b"\x28\xb5\x2f\xfd"),
)


ENCODINGS = {  # code pages in which zips without UTF-8 names are found, and what to call them
    "cp932": "Japanese (Shift-JIS)",
    "gb18030": "Chinese, simplified (GBK)",
    "big5": "Chinese, traditional (Big5)",
    "cp949": "Korean",
    "cp866": "Cyrillic (DOS)",
    "cp1251": "Cyrillic (Windows)",
    "cp1252": "Western European (Windows)",
    "cp850": "Western European (DOS)",
    "cp1250": "Central European (Windows)",
    "cp1253": "Greek (Windows)",
    "cp1254": "Turkish (Windows)",
    "cp1255": "Hebrew (Windows)",
    "cp1256": "Arabic (Windows)",
}


def _entry_name(info: zipfile.ZipInfo, encoding: str | None = None) -> tuple[str, bool]:
    """The name as it was packed, and whether its code page is a guess. Names without the UTF-8 flag often are UTF-8."""
    name = info.orig_filename
    if info.flag_bits & 0x800 or name.isascii():
        return name, False
    try:
        return name.encode("cp437").decode("utf-8"), False
    except UnicodeError:
        return (name.encode("cp437").decode(encoding, "replace") if encoding else name), True


def _end_record(file: IO[bytes], size: int) -> tuple[int, int]:
    """How many files the zip says it lists, and the bytes of its directory, before anything is made of them."""
    file.seek(max(0, size - 65_557))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise UserMistake(INCOMPLETE)
    count, directory = struct.unpack("<HI", tail[at + 10 : at + 16])
    wide = tail.rfind(b"PK\x06\x06", 0, at)
    if (count == 0xFFFF or directory == 0xFFFFFFFF) and wide >= 0 and at - wide >= 56:
        count, directory = struct.unpack("<QQ", tail[wide + 32 : wide + 48])
    return count, directory


def _prefixed(file: IO[bytes]) -> str:
    return " (other data stands before it)" if zipfile.is_zipfile(file) else ""


def _free_bytes() -> int:
    folder = atelier_home()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _mb(size: int) -> str:
    return f"{size / 2**30:.3g} GB" if size >= 2**30 else f"{size / 2**20:.3g} MB"
