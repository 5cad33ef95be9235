"""FolderSource: a folder that holds a folder for each class."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from core.data.pictures.picture import Refusal, too_large
from core.data.sources.layout import Parts, Reading
from core.data.sources.listing import HEAD_BYTES, Arrange, Entry, Found, arrange, is_junk
from core.errors import UserMistake
from core.settings import Limits

LINKED_FOLDER = "is a link to a folder; links are not followed, so put the folder itself in its place"


class FolderSource:
    """A folder on this computer. Links inside it are not followed: they may lead anywhere."""

    arranged = staticmethod(arrange)

    def __init__(self, folder: Path, limits: Limits, reading: Reading = "auto", labels: Arrange | None = None) -> None:
        """labels: arranges the files where a table says their classes."""
        self.limits = limits
        self.paths: list[str] = []
        self.folders: list[Parts] = []
        files = list(self._walk(str(folder), ()))
        self.listing = labels(files, limits) if labels else self.arranged(files, limits, reading, self.folders)

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
            if item.is_dir(follow_symlinks=False) and not is_junk((item.name,)):
                self.folders.append(parts)
                if len(parts) <= 100:  # deeper files are refused later anyway
                    yield from self._walk(item.path, parts)
                continue
            if item.is_dir(follow_symlinks=False):
                yield parts, -1, None  # junk: counted once, not opened
                continue
            reason = None
            if item.is_symlink():
                reason = LINKED_FOLDER if item.is_dir() else "is a link, not a picture"
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
            return 0  # a file that is gone is refused when it is read

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
