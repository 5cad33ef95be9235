"""Locks between processes. Each has a limit and a sentence that says who holds it; none becomes a file that a killed
process leaves behind, and a lock that is held tells that its holder lives where its process id tells nothing."""

import errno
import os
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from core.errors import UserMistake

SECONDS = 30.0  # to wait for a lock that is held for moments
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_HELD: dict[Path, FileLock] = {}  # by hold_for_life


class ProcessLock(FileLock):
    """A lock on a file. Waiting for it longer than its own limit is a UserMistake that names the holder; with a
    `timeout` given to acquire it is filelock.Timeout, as everywhere."""

    def acquire(self, timeout: float | None = None, **options: Any) -> Any:  # type: ignore[override]
        try:
            return super().acquire(timeout, **options)
        except Timeout as error:
            if timeout is not None:
                raise
            path = Path(self.lock_file)
            raise UserMistake(
                f"{_holder(path)} has held {path} for {self.timeout:.0f} seconds and does not go on. "
                "Nothing was changed. End it, then try again."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise UserMistake(
                f"The disk of {Path(self.lock_file).parent} cannot lock files ({error.strerror}), so two processes "
                "could write the same one. Choose a folder on another disk in ATELIER_HOME."
            ) from error


def process_lock(path: Path, seconds: float = SECONDS, **options: Any) -> ProcessLock:
    """The lock at `path`; options as of filelock.FileLock. Its folder must be there."""
    return ProcessLock(path, timeout=seconds, fallback_to_soft=False, **options)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock at `path`; False where systems cannot tell (Windows)."""
    try:
        import fcntl

        with path.open("rb") as file:  # closing it gives back what the next line takes: two who look disturb nobody
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        pass
    return False


def hold_for_life(path: Path) -> None:
    """Hold the lock at `path` until this process ends or gives it back. Where another process holds it, the end of
    that one is not waited for long."""
    if path in _HELD:
        return
    lock = process_lock(path, thread_local=False)
    try:
        lock.acquire(timeout=1.0)
    except (Timeout, OSError, UserMistake):  # it only helps others to see that this process lives
        return
    _HELD[path] = lock


def give_back(path: Path) -> None:
    """End hold_for_life; does nothing where this process does not hold it."""
    if lock := _HELD.pop(path, None):
        lock.release(force=True)


def _holder(path: Path) -> str:
    """Who holds the lock, as the beginning of a sentence; the kernel lists locks by their inode."""
    try:
        inode = path.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode) and int(fields[4]) > 0:
                return f"Process {fields[4]} ({psutil.Process(int(fields[4])).name()})"
    except (OSError, IndexError, ValueError, psutil.Error):
        pass
    return "Another process"


def _forget_after_fork() -> None:
    """A forked child shares the files of its parent's locks, and must not give them back."""
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
