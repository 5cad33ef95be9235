"""Files on disk: written to a draft, flushed and moved into place; JSON and JSON lines; what a full disk means."""

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.errors import UserMistake

_NETWORK_DRIVES = {"nfs", "nfs3", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afpfs", "webdav", "davfs", "fuse.sshfs"}
DRAFT = ".draft"  # suffix of an unfinished write, which may be swept


def write_atomic(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace `path` by `content` in one step: a reader sees the old file or the new one, never a part.

    With durable=False a power cut may leave an empty file; it is for files that are soon written again, because
    waiting for the disk takes 10 to 50 ms.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_path(path)
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


def draft_path(path: Path) -> Path:
    """A new name in the folder of `path` for writing it, ending in DRAFT."""
    begin = os.fsencode(path.name)[:80].decode(errors="ignore")  # file systems count bytes, an emoji has four
    return path.with_name(f"{begin}.{os.getpid()}.{secrets.token_hex(4)}{DRAFT}")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new draft folder to write in, which becomes `target`, not there yet, once everything is in it; where writing
    fails nothing of it stays. UserMistake where the disk refuses it."""
    draft = draft_path(target)
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(target)
    except OSError as error:
        raise UserMistake(f"{str(target)!r} cannot be written: {error.strerror}. Name another folder.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut; does nothing where folders cannot be opened (Windows)."""
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
    """Write strict JSON in UTF-8, keys in the order given. ValueError for NaN and infinity: callers store null."""
    write_atomic(path, (json.dumps(value, allow_nan=False, ensure_ascii=False, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def append_line(path: Path, value: Any) -> None:
    """Append one JSON value as a line, written at once, so that at most the last line is ever unfinished.

    On a full disk the file is left as it was, and OSError is raised.
    """
    line = (json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n").encode()
    with path.open("ab", buffering=0) as file:
        before, rest = file.tell(), line
        try:
            while rest:  # a disk that is nearly full writes a part without an error and fails on the next write
                rest = rest[file.write(rest) :]
        except OSError:
            with suppress(OSError):  # only a plain file can be cut; the first error is the one to report
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


def former_name(path: Path, former: str) -> Path:
    """`path`; a file that an earlier version wrote as `former` in the same folder is renamed to it first.

    Where nothing can be written, the path of the former file, to be read there.
    """
    old = path.with_name(former)
    if path.exists() or not old.exists():
        return path
    try:
        old.replace(path)
    except FileNotFoundError:  # another process has just renamed it
        return path
    except OSError:
        return old
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finite(value: Any) -> Any:
    """The same value with None for every NaN and infinity, which JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def disk_trouble(error: OSError, folder: Path, kept: str) -> UserMistake | None:
    """The mistake for a full, read-only or forbidden disk, None for other errors. `kept`: what was kept, what to do."""
    if error.errno == errno.ENOSPC and _has_no_inodes(folder):
        return UserMistake(
            f"The disk can hold no more files (all its inodes are used; {_free_megabytes(folder)} MB are free). {kept}"
        )
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


def _has_no_inodes(folder: Path) -> bool:
    try:
        numbers = os.statvfs(existing(folder))
    except (OSError, AttributeError):  # Windows counts none
        return False
    return numbers.f_files > 0 and numbers.f_favail == 0


def is_read_only(folder: Path) -> bool:
    """Whether `folder`, or the folder where it would be made, cannot be written: by its disk or its permissions."""
    there = existing(folder)
    flags = os.statvfs(there).f_flag if hasattr(os, "statvfs") else 0
    return bool(flags & getattr(os, "ST_RDONLY", 1)) or not os.access(there, os.W_OK)


def is_on_network(folder: Path) -> bool:
    """Whether `folder` lies on a network drive, where locks are unreliable."""
    import psutil  # here, because no writer of files needs it

    there = str(existing(folder).resolve())
    parts = [part for part in psutil.disk_partitions(all=True) if _lies_below(there, part.mountpoint)]
    nearest = max(parts, key=lambda part: len(part.mountpoint), default=None)
    if nearest is None:
        return False
    return nearest.fstype.lower() in _NETWORK_DRIVES or "remote" in nearest.opts.split(",")


def existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that exists."""
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
    """Cut a log of more than `most` bytes to its first most / 2 bytes and its newest most / 4.

    Another process may be appending to it: what that writes at the moment of the cut may be lost.
    """
    if not path.exists() or path.stat().st_size <= most:
        return
    with path.open("r+b") as file:
        beginning = file.read(most // 2).rfind(b"\n") + 1 or most // 2
        size = file.seek(0, os.SEEK_END)
        file.seek(size - most // 4)
        newest = file.read()
        newest = newest[newest.find(b"\n", 0, len(newest) // 2) + 1 :]  # from the beginning of a line, if there is one
        note = f"\n[... {size - beginning - len(newest):,} bytes were left out here ...]\n".encode()
        file.truncate(beginning)
    with path.open("ab") as file:
        file.write(note + newest)
