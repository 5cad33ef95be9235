"""Uploads: files that a page has received and no job has read yet, under names of our own."""

import contextlib
import secrets
import shutil
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from core.data.sources.names import clean_name
from core.errors import UserMistake
from core.settings import atelier_home, load_limits

UPLOAD_SECONDS = 24 * 3600.0  # for which an upload that nobody imported is kept


def save_upload(upload: BinaryIO, ending: str = ".zip") -> Path:
    """Copy an uploaded file to a name of our own in atelier_home()/uploads, piece by piece. Raises UserMistake."""
    target = _new_upload(ending)
    most, written = load_limits().zip_bytes, 0
    try:
        with target.open("wb") as file:
            while piece := upload.read(2**20):
                written += len(piece)
                if written > most:
                    raise UserMistake(f"The file is larger than {most // 2**20} MB; nothing was kept.")
                file.write(piece)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def save_files(files: Sequence[tuple[str, BinaryIO]], into: Path | None = None) -> Path:
    """Pack uploaded files under their names, such as "pets/cat/1.png", into a zip of our own, or add them to `into`.

    A name is only text in the zip: it is checked as the names of every zip are. UserMistake where there are too many
    files or bytes; `into` is then as it was."""
    limits, target = load_limits(), into or _new_upload()
    packed = target.with_suffix(".draft")
    try:
        if into is not None:
            shutil.copyfile(into, packed)
        with zipfile.ZipFile(packed, "a", zipfile.ZIP_STORED) as archive:
            for name, content in files:
                archive.writestr(_free_name(archive, clean_name(name)), content.read())
            if len(archive.NameToInfo) > limits.zip_entries:
                raise UserMistake(f"These are more than {limits.zip_entries:,} files; nothing was kept.")
        if packed.stat().st_size > limits.zip_bytes:
            most = limits.zip_bytes // 2**20
            raise UserMistake(f"Together these have more than {most} MB; give the folder's path instead.")
        packed.replace(target)
    finally:
        packed.unlink(missing_ok=True)
    return target


def forget_upload(path: Path) -> None:
    """Delete an upload that will not be imported."""
    if path.parent == atelier_home() / "uploads":
        path.unlink(missing_ok=True)


def _new_upload(ending: str = ".zip") -> Path:
    """A new path in atelier_home()/uploads; uploads that nobody imported within a day are removed."""
    folder = atelier_home() / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UPLOAD_SECONDS:
                path.unlink()
    return folder / f"{secrets.token_hex(8)}{ending}"


def _free_name(archive: zipfile.ZipFile, name: str) -> str:
    """The name, with a number where the zip has it already: pasted pictures are all called image.png."""
    stem, dot, ending = name.rpartition(".")
    number, free = 2, name
    while free in archive.NameToInfo:
        free, number = f"{stem} ({number}){dot}{ending}" if dot else f"{name} ({number})", number + 1
    return free
