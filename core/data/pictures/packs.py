"""Packs: files that hold the originals one after the other, read as if they were one long file."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType


class Packs:
    """Packs opened for reading; an offset counts from the beginning of the first one, and no picture spans two.

    The last pack may still be growing.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._starts = list(accumulate((path.stat().st_size for path in paths[:-1]), initial=0))
        self._files = [path.open("rb", buffering=0) for path in paths]
        self._at = self._files[0]

    def seek(self, offset: int) -> None:
        which = bisect_right(self._starts, offset) - 1
        self._at = self._files[which]
        self._at.seek(offset - self._starts[which])

    def read(self, length: int) -> bytes:
        return self._at.read(length) or b""

    def close(self) -> None:
        for file in self._files:
            file.close()

    def __enter__(self) -> "Packs":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
