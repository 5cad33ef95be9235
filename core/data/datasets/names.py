"""Names: the names of a dataset's pictures, read from names.jsonl line by line when they are used."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from operator import index
from pathlib import Path
from typing import SupportsIndex, overload

import numpy as np

from core.errors import UserMistake

SEARCHED_BYTES = 2**20  # of names at a time


class Names(Sequence[str]):
    """The lines of names.jsonl as a sequence. Opening reads nothing; the first access finds where lines begin.

    Reading raises UserMistake where the file is damaged.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.length = path, count

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, i: SupportsIndex) -> str: ...

    @overload
    def __getitem__(self, i: slice) -> list[str]: ...

    def __getitem__(self, i: SupportsIndex | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self[row] for row in range(*i.indices(self.length))]
        row = index(i) if index(i) >= 0 else index(i) + self.length
        if not 0 <= row < self.length:
            raise IndexError(i)
        if len(self._begins) != self.length + 1:
            raise self._damaged()
        return self._name(self._lines[self._begins[row] : self._begins[row + 1]].tobytes())

    def __iter__(self) -> Iterator[str]:
        count = 0
        with self.path.open("rb") as lines:
            for line in lines:
                count += 1
                yield self._name(line)
        if count != self.length:
            raise self._damaged()

    def _name(self, line: bytes) -> str:
        try:
            name = json.loads(line)
        except ValueError as error:
            raise self._damaged() from error
        if not isinstance(name, str):
            raise self._damaged()
        return name

    def _damaged(self) -> UserMistake:
        return UserMistake(f"{self.path.name} in {self.path.parent} is damaged; import these pictures again")

    def containing(self, wanted: str) -> np.ndarray:
        """int64: the rows whose names have `wanted` in them, whatever the case. A million names take half a second."""
        wanted = json.dumps(wanted.casefold(), ensure_ascii=False)[1:-1]
        found: list[int] = []
        first = 0
        with self.path.open("rb") as file:
            while lines := file.readlines(SEARCHED_BYTES):
                try:
                    text = b"".join(lines).decode().casefold()  # no case has another number of lines
                except UnicodeDecodeError as error:
                    raise self._damaged() from error
                found += [first + row for row in _lines_with(text, wanted)]
                first += len(lines)
        return np.array(found, np.int64)

    @cached_property
    def _lines(self) -> np.ndarray:
        return np.memmap(self.path, np.uint8, "r") if self.path.stat().st_size else np.zeros(0, np.uint8)

    @cached_property
    def _begins(self) -> np.ndarray:
        """int64 (lines + 1,): where each line begins, and the end."""
        ends = [np.zeros(1, np.int64)]
        for first in range(0, len(self._lines), SEARCHED_BYTES):
            ends.append(np.flatnonzero(self._lines[first : first + SEARCHED_BYTES] == ord("\n")) + first + 1)
        return np.concatenate(ends)


def _lines_with(text: str, wanted: str) -> Iterator[int]:
    """The numbers of the lines of `text` that contain `wanted`; finds them without splitting into lines."""
    line = begin = 0
    while (at := text.find(wanted, begin)) >= 0:
        line += text.count("\n", begin, at)
        yield line
        if (end := text.find("\n", at)) < 0:  # a last line that was cut short
            return
        begin = end + 1
        line += 1
