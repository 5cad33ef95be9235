"""answer_all: thousands of pictures through a network, piece by piece, each kept as soon as it is answered."""

import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

from core.cli.answers_file import AnswersFile
from core.cli.output import Bar, minutes, print_table, shown
from core.cli.sorting import NONE, Sorter
from core.data.sources.picture_files import GivenFile

if TYPE_CHECKING:
    from core.inference.answers import Answers

PICTURES_AT_ONCE, BYTES_AT_ONCE = 256, 32 * 2**20  # a piece; so that ten thousand files do not fill the memory
AHEAD = 2  # pieces at work: one is decoded while the network is at the other

Piece = list[tuple[str, bytes | str]]


@dataclass
class Total:
    """What came of all pictures."""

    answers: Counter[str] = field(default_factory=Counter)  # by class, and none
    none: int = 0
    unreadable: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> int:
        return self.answers.total() + self.none + self.unreadable

    def count(self, row: dict[str, Any]) -> None:
        if row["error"]:
            self.unreadable += 1
        elif row["none_of_these"]:
            self.none += 1
        else:
            self.answers[row["classes"][0]["class"]] += 1

    def print_table(self) -> None:
        print_table(["answer", "pictures"], [[name, n] for name, n in self.answers.most_common()])
        print(f"{NONE}: {self.none:,}; could not be read: {self.unreadable:,}")
        print(f"{self.done:,} pictures in {self.seconds:,.1f} s, {self.done / max(self.seconds, 1e-9):,.0f} a second")


def answer_all(
    answers: "Answers",
    given: Sequence[GivenFile],
    file: AnswersFile | None,
    sorter: Sorter | None,
    printed: Any,
    bar: Bar,
) -> Total:
    """Answer every picture in order. What is answered is copied, then in the file, then printed; so a file that is gone
    on with misses nothing. KeyboardInterrupt after a Ctrl-C, once the pieces at hand are kept; a second one ends
    at once."""
    total, began = Total(), time.monotonic()
    pieces: Iterator[Piece] = _pieces(given)
    running: deque[tuple[Piece, Future[list[dict[str, Any]]]]] = deque()
    pool = ThreadPoolExecutor(AHEAD)
    stop = _Stop()
    try:
        while not stop.asked:
            while len(running) < AHEAD and (piece := next(pieces, None)):
                running.append((piece, pool.submit(answers.rows, piece)))
            if not running:
                return total
            piece, future = running.popleft()
            rows = future.result()
            for (_, content), row in zip(piece, rows, strict=True):
                if sorter and isinstance(content, bytes) and not row["error"]:
                    sorter.put(None if row["none_of_these"] else row["classes"][0]["class"], row["file"], content)
            if file:
                file.add(rows)
            for row in rows:
                total.count(row)
                if printed:
                    printed.add(row)
            total.seconds = time.monotonic() - began
            rate = total.done / max(total.seconds, 1e-9)
            left = (len(given) - total.done) / rate
            bar.show("predicting", total.done, len(given), f"{rate:,.0f} pictures/s {minutes(left)}")
        raise KeyboardInterrupt
    finally:
        stop.end()
        pool.shutdown(wait=True, cancel_futures=True)
        if file:
            file.close()
        if printed:
            with suppress(BrokenPipeError):
                printed.close()


class _Stop:
    """Whether Ctrl-C was pressed since, which no longer breaks into the middle of what is written."""

    def __init__(self) -> None:
        self.asked = False
        self._ours = threading.current_thread() is threading.main_thread()  # only there signals can be taken
        self._before = signal.signal(signal.SIGINT, self._ask) if self._ours else None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("Stopping after the pictures at hand; Ctrl-C again ends at once.", file=sys.stderr)

    def end(self) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)


def _pieces(given: Sequence[GivenFile]) -> Iterator[Piece]:
    """Each file's content, or why there is none."""
    piece: Piece = []
    held = 0
    for one in given:
        content = one.read()
        piece.append((one.name, content))
        held += len(content)
        if len(piece) >= PICTURES_AT_ONCE or held >= BYTES_AT_ONCE:
            yield piece
            piece, held = [], 0
    if piece:
        yield piece


class TextList:
    """A line a picture on stdout."""

    def add(self, row: dict[str, Any]) -> None:
        if row["error"]:
            print(f"{shown(row['file'])}: {shown(row['error'])}")
            return
        best = ", ".join(f"{shown(one['class'])} {one['probability']:.1%}" for one in row["classes"][:5])
        print(f"{shown(row['file'])}: {_verdict(row)}{best}{_calibrated(row['classes'][0])}")

    def close(self) -> None: ...


def _verdict(row: dict[str, Any]) -> str:
    if not row["none_of_these"]:
        return ""
    return f"none of these (more unlike than {row['unlike']:.0%} of the validation pictures); nearest: "


def _calibrated(best: dict[str, Any]) -> str:
    if best["calibrated"] is None or abs(best["calibrated"] - best["probability"]) < 0.01:
        return ""
    return f" (calibrated: {best['calibrated']:.1%})"
