"""The picture files that paths on the command line stand for: themselves, every picture in a folder or in a zip."""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.data.pictures.picture import Refusal, picture_kind
from core.data.sources.listing import HEAD_BYTES, Entry, is_junk
from core.data.sources.loose import IMPORTED, LooseZip
from core.errors import UserMistake
from core.settings import Limits, load_limits

ENDINGS = frozenset(
    (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
)
DEEPEST = 100  # folders within folders
ZIP = b"PK\x03\x04", b"PK\x05\x06"


@dataclass(frozen=True)
class GivenFile:
    """A file that may be a picture."""

    name: str  # its path, or that of its zip with the name inside: data, never opened by it
    read: Callable[[], bytes | str]  # its content, or in words, to follow the name, why there is none


@contextmanager
def open_given(paths: Sequence[Path], without: Path | None = None) -> Iterator[list[GivenFile]]:
    """Every picture that the paths stand for, in order; nothing is read before it is asked for.

    A folder stands for the pictures in it (list_pictures), a zip for those in it, whatever it is called; nothing of a
    zip is ever unpacked to the disk. without: a folder whose files are left out where it lies below one that was given.
    """
    with ExitStack() as zips:
        given: list[GivenFile] = []
        for path in paths:
            for file in list_pictures(path, without):
                given += _in_zip(file, zips) if file == path and _is_zip(path) else [_plain(file)]
        yield given


def list_pictures(path: Path, without: Path | None = None) -> list[Path]:
    """The path, or for a folder the pictures in it and in its folders, sorted; the folder itself where it has none.

    System files are left out, and so are files that are no picture by their name nor by their first bytes. A broken
    picture stays, so that it is reported. Linked folders are not followed.
    """
    try:
        if not path.is_dir():
            return [path]
    except (OSError, ValueError):
        return [path]  # who reads it says what is wrong
    return [file for file in sorted(_files_in(path, without)) if _is_picture(file)] or [path]


def read_picture(path: Path) -> bytes | str:
    """The content of a picture file, or in words why there is none."""
    limit = load_limits().picture_bytes
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return "is a folder without pictures"  # list_pictures puts its pictures in its place
        if not stat.S_ISREG(status.st_mode):
            return "is a device or a pipe, not a picture"  # reading one may never end
        if status.st_size > limit:
            return f"has {status.st_size:,} bytes; the limit is {limit:,}"
        return path.read_bytes()
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "is no path: it holds a NUL"


def _plain(path: Path) -> GivenFile:
    return GivenFile(str(path), partial(read_picture, path))


def _files_in(folder: Path, without: Path | None) -> Iterator[Path]:
    left_out = without.resolve() if without else None
    for above, folders, files in os.walk(folder):
        too_deep = len(Path(above).parts) - len(folder.parts) >= DEEPEST
        folders[:] = [] if too_deep else [name for name in folders if not is_junk((name,))]
        if left_out:
            folders[:] = [name for name in folders if Path(above, name).resolve() != left_out]
        yield from (Path(above, name) for name in files if not is_junk((name,)))


def _is_picture(file: Path) -> bool:
    if file.suffix.casefold() in ENDINGS:
        return True
    try:
        if not file.is_file():  # reading a device may never end
            return False
        with file.open("rb") as content:
            picture_kind(content.read(HEAD_BYTES), Limits())
    except (OSError, Refusal):
        return False
    return True


def _is_zip(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) in ZIP and zipfile.is_zipfile(file)
    except (OSError, ValueError):
        return False


def _in_zip(path: Path, zips: ExitStack) -> list[GivenFile]:
    """The pictures in a zip; where it is refused as a whole, itself with the reason."""
    try:
        source = LooseZip(zips.enter_context(path.open("rb")), load_limits())
        pictures = [entry for entry in source.listing.entries if _is_picture_in_zip(source, entry)]
        found = [GivenFile(str(path / entry.name), partial(_read_entry, source, entry)) for entry in pictures]
        found += [GivenFile(str(path / name), partial(str, reason)) for name, reason in source.listing.refused]
        return found or [GivenFile(str(path), lambda: "is a zip without pictures")]
    except UserMistake as mistake:
        reason = f"cannot be opened as a zip: {str(mistake).replace(IMPORTED, '')}"
        return [GivenFile(str(path), partial(str, reason))]


def _is_picture_in_zip(source: LooseZip, entry: Entry) -> bool:
    if Path(entry.name).suffix.casefold() in ENDINGS:
        return True
    try:
        picture_kind(source.head(entry), Limits())
    except Refusal:
        return False
    return True


def _read_entry(source: LooseZip, entry: Entry) -> bytes | str:
    try:
        return source.read(entry)
    except Refusal as refusal:
        return str(refusal)
    except UserMistake as mistake:  # it expands to more than it may, or a fifth of it is damaged
        return f"cannot be read: {str(mistake).replace(IMPORTED, '')}"
