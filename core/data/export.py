"""Export: the pictures that a dataset uses as a zip, a folder for each class, the files as they were given."""

import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from core.data.dataset import Clock, Dataset, Progress, disk_troubles
from core.data.sources import JUNK, is_class_folder
from core.data.splits import PARTS
from core.disk import draft_beside, sync_folder
from core.errors import UserMistake

NAME_BYTES = 120  # of a file or folder; shorter than any file system's limit, and three of them fit a Windows path
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # by Windows, which is the strictest
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)


def export_dataset(dataset: Dataset, target: Path) -> Iterator[Progress]:
    """Write the zip at `target`; below train/, val/ and test/ where the pictures came with parts.

    A picture at a time, so that memory stays flat. Closing the generator leaves no file. Importing the zip gives the
    same pictures in the same classes and parts. Raises UserMistake where a file is there already or one is damaged.
    """
    if target.exists():
        raise UserMistake(f"there is a file {str(target)!r} already; it was kept; choose another name")
    if not target.parent.is_dir():
        raise UserMistake(f"there is no folder {str(target.parent)!r}; nothing was exported")
    clock, draft = Clock(), draft_beside(target)
    try:
        yield Progress("packing", 0, dataset.used, None)
        with disk_troubles():
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:  # pictures are packed already
                for row, (path, content) in enumerate(zip(export_paths(dataset), dataset.originals(), strict=True)):
                    archive.writestr(zipfile.ZipInfo(path), content)
                    if clock.ticks():
                        yield Progress("packing", row, dataset.used, clock.seconds_left(row, dataset.used))
            with draft.open("r+b") as file:
                os.fsync(file.fileno())
            draft.replace(target)
            sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)
    yield Progress("done", dataset.used, dataset.used, 0.0, dataset)


def export_paths(dataset: Dataset) -> Iterator[str]:
    """Where each picture lies in the zip, in order: its own path where that leads to its class, else its file name."""
    folders = class_folders(dataset)
    has_parts = bool((dataset.given_parts >= 0).any())
    taken: dict[str, int] = {}
    for name, label, part in zip(dataset.names, dataset.labels.tolist(), dataset.given_parts.tolist(), strict=True):
        above = [PARTS[max(part, 0)]] if has_parts else []  # without a part of its own a picture trains
        below = _below(name, dataset.classes[label], has_parts)
        path = "/".join([*above, folders[label], *(safe_name(piece) for piece in below)])
        yield _free(path, taken)


def class_folders(dataset: Dataset) -> list[str]:
    """The folder of each class: its name, made safe for every system and unlike every other one."""
    taken: dict[str, int] = {}
    return [_free(safe_folder(name), taken) for name in dataset.classes]


def safe_folder(name: str) -> str:
    """safe_name, and also none that an import takes for a part or for a system's folder."""
    safe = safe_name(name)
    return safe if is_class_folder(safe) else f"_{safe}"


def safe_name(name: str) -> str:
    """A name that is one file or folder, and none that a system reserves or forbids."""
    safe = _FORBIDDEN.sub("_", name).strip(" ").rstrip(". ")
    stem, dot, ending = safe.rpartition(".")
    if len(safe.encode(errors="replace")) > NAME_BYTES:
        ending = dot + ending if dot and len(ending) < 10 else ""
        kept = (stem if ending else safe).encode(errors="replace")[: NAME_BYTES - len(ending.encode(errors="replace"))]
        safe = kept.decode(errors="ignore").rstrip(". ") + ending
    hidden = safe.startswith(".") or safe.casefold() in JUNK  # an import would pass it over
    return f"_{safe}" if not safe or hidden or _RESERVED.match(safe) else safe


def _below(name: str, class_name: str, has_parts: bool) -> list[str]:
    """The folders and the file that stand below the class in a picture's own name; without the class, the file."""
    pieces = [piece for piece in name.split("/") if piece not in ("", ".", "..")] or ["picture"]
    at = 1 if has_parts else 0
    return pieces[at + 1 :] if len(pieces) > at + 1 and pieces[at] == class_name else pieces[-1:]


def _free(path: str, taken: dict[str, int]) -> str:
    """The path, with a number behind its stem where one like it is taken, also by a system that knows no case.

    taken: each path in small letters, with the number that the next one like it may have.
    """
    stem, dot, ending = path.rpartition(".")
    if not dot or "/" in ending:
        stem, dot, ending = path, "", ""
    number, free = taken.get(path.casefold(), 2), path
    while free.casefold() in taken:
        free, number = f"{stem} ({number}){dot}{ending}", number + 1
    taken[path.casefold()] = number
    taken.setdefault(free.casefold(), 2)
    return free
