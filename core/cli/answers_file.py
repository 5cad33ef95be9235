"""AnswersFile: the answers about many pictures as a CSV file that grows as they come, and that is gone on with."""

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.disk import draft_path
from core.errors import UserMistake
from core.spreadsheet import csv_lines, disarm

HEAD = ("file", "answer", "probability", "calibrated", "none_of_these", "unlike", "error", "run", "weights")
DIGITS = 6  # behind the point: the others differ with the pictures that are asked together


class AnswersFile:
    """A CSV file with a line a picture. What is in it already stays, and holds() knows its files.

    UserMistake where the file is another one, has answers of other weights, or cannot be written.
    """

    def __init__(self, path: Path, run: str, weights: str) -> None:
        self.path, self.run, self.weights = path, run, weights
        self._done: set[str] = set()
        with self._troubles():
            if path.exists():
                self._take_up()
            else:
                path.write_text(next(csv_lines([HEAD])), encoding="utf-8-sig", newline="")
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", newline="")

    def holds(self, file: str) -> bool:
        """Whether the answer about that file stands in it already."""
        return _cell(file) in self._done

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows of Answers.rows at once, so that after a kill at most the last line is unfinished."""
        with self._troubles():
            self._file.write("".join(csv_lines(self._line(row) for row in rows)))
            self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _line(self, row: dict[str, Any]) -> list[Any]:
        best = row["classes"][0] if row["classes"] else {}
        values = [row["file"], *(best.get(name) for name in ("class", "probability", "calibrated"))]
        values += [row[name] for name in ("none_of_these", "unlike", "error")]
        return [round(one, DIGITS) if isinstance(one, float) else one for one in values] + [self.run, self.weights]

    def _take_up(self) -> None:
        """Keep every whole line; a last one that was never finished is cut off."""
        draft = draft_path(self.path)
        try:
            with draft.open("w", encoding="utf-8-sig", newline="") as kept:
                for row in self._whole_rows():
                    kept.write(next(csv_lines([row])))
                kept.flush()
                os.fsync(kept.fileno())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def _whole_rows(self) -> Iterator[list[str]]:
        with self.path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
            rows = csv.reader(_finished_lines(file), strict=True)
            try:
                if next(rows, None) != list(HEAD):
                    raise self._mistake("holds no answers of this command")
                yield list(HEAD)
                for row in rows:
                    if len(row) != len(HEAD):
                        return
                    if row[-1] != self.weights:
                        raise self._mistake(f"holds answers of run {row[-2]!r} with other weights")
                    self._done.add(row[0])
                    yield row
            except csv.Error:  # a quote that is never closed: the last line, or no CSV at all
                if not self._done:
                    raise self._mistake("holds no answers of this command") from None

    def _mistake(self, what: str) -> UserMistake:
        there = f"{str(self.path)!r} is there already and {what}"
        return UserMistake(f"{there}; it was kept. Name another file with --csv.")

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserMistake(
                f"{str(self.path)!r} cannot be written ({error.strerror}); what it held before was kept."
            ) from error


def _finished_lines(file: Iterable[str]) -> Iterator[str]:
    return (line for line in file if line.endswith("\n"))


def _cell(file: str) -> str:
    """A file name as it stands in the CSV."""
    return disarm(file).encode("utf-8", "backslashreplace").decode()
