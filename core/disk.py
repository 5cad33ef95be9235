"""How every file of Atelier is written: to a draft, flushed, then moved into place. And why a disk refuses."""

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import UserMistake

DRAFT = ".draft"  # a file whose name ends in this is an unfinished write and may be swept


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_beside(path)
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def draft_beside(path: Path) -> Path:
    return path.with_name(f"{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}{DRAFT}")


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut; a no-op where folders cannot be opened (Windows)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot; the rename itself has happened
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (NaN is a ValueError: callers store null), UTF-8, sorted as given."""
    write_atomic(path, (json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def append_line(path: Path, value: Any) -> None:
    """Append one JSON value as one line in a single write, so that a reader can only miss an unfinished last line.

    On a full disk the file is left as it was, and OSError is raised.
    """
    line = (json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        before, rest = file.tell(), line
        try:
            while rest:  # a disk that is nearly full takes a part without complaint, and refuses the next one
                rest = rest[file.write(rest) :]
        except OSError:
            with suppress(OSError):  # what is no plain file cannot be cut; the first error is the one to tell
                file.truncate(before)
            raise


def read_lines(path: Path) -> list[Any]:
    """Every finished line of a JSON-lines file; an unfinished or damaged last line is ignored."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = content.split(b"\n")
    finished = lines[:-1]  # what follows the last newline is still being written
    rows = []
    for number, line in enumerate(finished):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number != len(finished) - 1:
                raise
    return rows


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finite(value: Any) -> Any:
    """The same value with null for every number that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def disk_trouble(error: OSError, folder: Path, kept: str) -> UserMistake | None:
    """The sentence for a disk that takes no more, None for any other error. `kept`: what is left, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = f" ({_free_megabytes(folder)} MB free)" if error.errno == errno.ENOSPC else " (your quota is used up)"
        return UserMistake(f"The disk is full{free}. {kept}")
    if error.errno == errno.EROFS:
        return UserMistake(
            "The disk is read-only, so nothing can be saved there. Make it writable, or move ATELIER_HOME."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return UserMistake("Atelier may not write in its own folder. Give it the right to, or move ATELIER_HOME.")
    return None


def _free_megabytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free // 2**20
    except OSError:
        return 0
