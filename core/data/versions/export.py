"""Export: the used pictures of a dataset as a zip or folder, laid out for whoever reads it, the files unchanged."""

import csv
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from core.data.datasets.dataset import Dataset, disk_troubles
from core.data.sources.listing import JUNK, is_class_folder
from core.data.splits import PARTS
from core.disk import draft_path, sync_folder
from core.errors import UserMistake
from core.progress import Clock, Progress

Layout = Literal["folders", "imagefolder", "huggingface", "table"]
LAYOUTS: dict[Layout, str] = {
    "folders": "A folder for each class, below train, val and test where the pictures came with them; comes in again.",
    "imagefolder": "train, val and test with a folder for each class, as torchvision.datasets.ImageFolder reads them.",
    "huggingface": "train, validation and test with a metadata.csv each, as load_dataset('imagefolder') reads them.",
    "table": "All pictures in one folder, and labels.csv with file and class; comes in again with --labels labels.csv.",
}
SPLIT_LAYOUTS: tuple[Layout, ...] = ("imagefolder", "huggingface")  # which need train, val and test
assert set(LAYOUTS) == set(get_args(Layout))
READ_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
METADATA = ("file_name", "label", "name")  # columns
NAME_BYTES = 120  # of a file or folder; shorter than any file system's limit, and three of them fit a Windows path
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # by Windows, which is the strictest
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)


def export_dataset(
    dataset: Dataset, target: Path, layout: Layout = "folders", parts: Mapping[str, np.ndarray] | None = None
) -> Iterator[Progress]:
    """Write `target`, a zip where it is called so and else a folder; a picture is in memory at a time.

    Layouts: see LAYOUTS. parts: rows (int64) of train, val and test, for those that have them. As "folders", importing
    the zip gives the same pictures in the same classes and parts. Closing the generator leaves no file. UserMistake
    where `target` exists or a picture is damaged.
    """
    if target.exists():
        raise UserMistake(f"there is a file {str(target)!r} already; it was kept; choose another name")
    if not target.parent.is_dir():
        raise UserMistake(f"there is no folder {str(target.parent)!r}; nothing was exported")
    clock, draft = Clock(), draft_path(target)
    rows, files = lay_out(dataset, layout, parts)
    into = _Zip(draft) if target.suffix.casefold() == ".zip" else _Folder(draft)
    try:
        yield Progress("packing", 0, dataset.used, None)
        with disk_troubles(), into:
            for row, content in enumerate(dataset.originals()):
                if rows[row]:
                    into.write(rows[row], content)
                if clock.ticks():
                    yield Progress("packing", row, dataset.used, clock.seconds_left(row, dataset.used))
            for path, table in files.items():
                into.write(path, table)
        with disk_troubles():
            into.finish()
            draft.replace(target)
            sync_folder(target.parent)
    finally:
        into.remove()
    yield Progress("done", dataset.used, dataset.used, 0.0, dataset)


class _Zip:
    """A zip as what is exported is written to."""

    def __init__(self, draft: Path) -> None:
        self._draft = draft

    def __enter__(self) -> None:
        self._archive = zipfile.ZipFile(self._draft, "w", zipfile.ZIP_STORED)  # pictures are packed already

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def write(self, path: str, content: bytes) -> None:
        self._archive.writestr(zipfile.ZipInfo(path), content)

    def finish(self) -> None:
        with self._draft.open("r+b") as file:
            os.fsync(file.fileno())

    def remove(self) -> None:
        self._draft.unlink(missing_ok=True)


class _Folder:
    """The same as a folder; every path in it was made by us."""

    def __init__(self, draft: Path) -> None:
        self._draft = draft

    def __enter__(self) -> None:
        self._draft.mkdir()

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, path: str, content: bytes) -> None:
        file = self._draft / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def finish(self) -> None:
        sync_folder(self._draft)

    def remove(self) -> None:
        shutil.rmtree(self._draft, ignore_errors=True)


def lay_out(
    dataset: Dataset, layout: Layout, parts: Mapping[str, np.ndarray] | None = None
) -> tuple[list[str], dict[str, bytes]]:
    """The path of each picture, "" for one that is left out because it is in no part; and the tables beside them."""
    if layout == "folders":
        return list(export_paths(dataset)), {}
    taken: dict[str, int] = {}
    names = [_with_ending(safe_name(name.rpartition("/")[2] or "picture")) for name in dataset.names]
    if layout == "table":
        paths = [free_path(f"images/{name}", taken) for name in names]
        given = [PARTS[part] if part >= 0 else "" for part in dataset.given_parts.tolist()]
        rows = zip(paths, _classes(dataset), given, dataset.names, strict=True)
        return paths, {"labels.csv": _csv(("file", "class", "part", "name"), rows)}
    if parts is None:
        raise UserMistake(f"the layout {layout} needs a split into train, val and test")
    return _by_part(dataset, layout, parts, names)


def _by_part(
    dataset: Dataset, layout: Layout, parts: Mapping[str, np.ndarray], names: list[str]
) -> tuple[list[str], dict[str, bytes]]:
    taken: dict[str, int] = {}
    folders, classes = class_folders(dataset), _classes(dataset)
    paths, lines = [""] * dataset.used, {}
    for part, rows in parts.items():
        above = "validation" if layout == "huggingface" and part == "val" else part
        for row in rows.tolist():
            below = f"{folders[dataset.labels[row]]}/{names[row]}" if layout == "imagefolder" else names[row]
            paths[row] = free_path(f"{above}/{below}", taken)
        if layout == "huggingface" and len(rows):
            lines[above] = [(paths[row].partition("/")[2], classes[row], dataset.names[row]) for row in rows.tolist()]
    return paths, _metadata(lines)


def _metadata(parts: Mapping[str, list[tuple[str, str, str]]]) -> dict[str, bytes]:
    """The table of each part: as CSV, or as JSON where its reader would take a class of any part for a number, for a
    truth or for a gap, as pandas does with 01, True and NA."""
    tables = {f"{part}/metadata.csv": _csv(METADATA, lines) for part, lines in parts.items()}
    labels = [[label for _, label, _ in lines] for lines in parts.values()]
    if all(map(_reads_labels, tables.values(), labels)):
        return tables
    return {f"{part}/metadata.jsonl": _json_lines(lines) for part, lines in parts.items()}


def _reads_labels(table: bytes, labels: list[str]) -> bool:
    import pandas as pd  # with which datasets reads it

    return pd.read_csv(io.BytesIO(table), usecols=["label"])["label"].tolist() == labels


def _json_lines(rows: Iterable[Iterable[str]]) -> bytes:
    lines = (json.dumps(dict(zip(METADATA, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
    return "".join(lines).encode(errors="replace")


def _classes(dataset: Dataset) -> list[str]:
    return [dataset.classes[label] for label in dataset.labels.tolist()]


def _csv(head: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    """Read by programs, so no name is changed for a spreadsheet."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([head, *rows])
    return buffer.getvalue().encode(errors="replace")


def _with_ending(name: str) -> str:
    """With one of the endings by which torchvision and datasets look for pictures; both read by content, not by it."""
    return name if name.casefold().endswith(READ_ENDINGS) else f"{name}.png"


def export_paths(dataset: Dataset) -> Iterator[str]:
    """The path of each picture in the zip, in order: its own path if that leads to its class, else its file name."""
    folders = class_folders(dataset)
    has_parts = bool((dataset.given_parts >= 0).any())
    taken: dict[str, int] = {}
    for name, label, part in zip(dataset.names, dataset.labels.tolist(), dataset.given_parts.tolist(), strict=True):
        above = [PARTS[max(part, 0)]] if has_parts else []  # a picture without a given part is in training
        below = _below(name, dataset.classes[label], has_parts)
        path = "/".join([*above, folders[label], *(safe_name(piece) for piece in below)])
        yield free_path(path, taken)


def class_folders(dataset: Dataset) -> list[str]:
    """The folder of each class: its name, made safe for every system and unique."""
    taken: dict[str, int] = {}
    return [free_path(safe_folder(name), taken) for name in dataset.classes]


def safe_folder(name: str) -> str:
    """safe_name, and no name that an import would read as a part or as a system folder."""
    safe = safe_name(name)
    return safe if is_class_folder(safe) else f"_{safe}"


def safe_name(name: str) -> str:
    """The name as one file or folder that no system reserves or forbids."""
    safe = _FORBIDDEN.sub("_", name).strip(" ").rstrip(". ")
    stem, dot, ending = safe.rpartition(".")
    if len(safe.encode(errors="replace")) > NAME_BYTES:
        ending = dot + ending if dot and len(ending) < 10 else ""
        kept = (stem if ending else safe).encode(errors="replace")[: NAME_BYTES - len(ending.encode(errors="replace"))]
        safe = kept.decode(errors="ignore").rstrip(". ") + ending
    hidden = safe.startswith(".") or safe.casefold() in JUNK  # an import would ignore it
    return f"_{safe}" if not safe or hidden or _RESERVED.match(safe) else safe


def _below(name: str, class_name: str, has_parts: bool) -> list[str]:
    """The folders and the file below the class in a picture's own path; only the file if the class is not in it."""
    pieces = [piece for piece in name.split("/") if piece not in ("", ".", "..")] or ["picture"]
    at = 1 if has_parts else 0
    return pieces[at + 1 :] if len(pieces) > at + 1 and pieces[at] == class_name else pieces[-1:]


def free_path(path: str, taken: dict[str, int]) -> str:
    """The path, with a number behind its stem if it is taken, regardless of case.

    taken: each casefolded path -> the number for the next one like it; the new path is added.
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
