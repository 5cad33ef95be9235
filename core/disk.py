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

_NETWORK_DRIVES = {"nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "fuse.sshfs"}
DRAFT = ".draft"  # a file whose name ends in this is an unfinished write and may be swept


def write_atomic(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace `path` by `content` in one step: a reader sees the old file or the new one, never a part.

    Not `durable`, a power cut may leave an empty file: for what is written anew in a moment, since waiting for the
    disk takes 10 to 50 ms.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_beside(path)
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
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


def is_read_only(folder: Path) -> bool:
    """Whether nothing can be written in `folder`, or where it would be made: its disk or its rights say no."""
    there = existing(folder)
    flags = os.statvfs(there).f_flag if hasattr(os, "statvfs") else 0
    return bool(flags & getattr(os, "ST_RDONLY", 1)) or not os.access(there, os.W_OK)


def is_on_network(folder: Path) -> bool:
    """Whether `folder` lies on a drive that other machines share: locks cannot be relied on there."""
    import psutil  # here, because no writer of files needs it

    there = str(existing(folder).resolve())
    parts = [part for part in psutil.disk_partitions(all=True) if _lies_below(there, part.mountpoint)]
    nearest = max(parts, key=lambda part: len(part.mountpoint), default=None)
    if nearest is None:
        return False
    return nearest.fstype.lower() in _NETWORK_DRIVES or "remote" in nearest.opts.split(",")


def existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _lies_below(path: str, mountpoint: str) -> bool:
    return path == mountpoint or path.startswith(mountpoint.rstrip("/\\") + os.sep)


def allow_more_files(most: int = 4096) -> None:
    """Raise this process's limit of open files, which is 256 on some systems: a class of thirty fills that."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def rotate(path: Path, most: int, kept: int = 5) -> None:
    """Begin a new log where `path` has grown beyond `most` bytes: it becomes path.1, that one path.2, and so on."""
    if not path.exists() or path.stat().st_size <= most:
        return
    for number in range(kept - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def cut_middle(path: Path, most: int) -> None:
    """Leave of a log that has grown beyond `most` bytes the first half of that and the newest quarter.

    For a log that somebody else is appending to: what is written in the very moment of the cut may be lost.
    """
    if not path.exists() or path.stat().st_size <= most:
        return
    with path.open("r+b") as file:
        beginning = file.read(most // 2).rfind(b"\n") + 1 or most // 2
        size = file.seek(0, os.SEEK_END)
        file.seek(size - most // 4)
        newest = file.read()
        newest = newest[newest.find(b"\n", 0, len(newest) // 2) + 1 :]  # from the beginning of a line, if there is one
        told = f"\n[... {size - beginning - len(newest):,} bytes were left out here ...]\n".encode()
        file.truncate(beginning)
    with path.open("ab") as file:
        file.write(told + newest)
