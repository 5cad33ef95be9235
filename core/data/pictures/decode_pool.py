"""Decode pool: child processes that read pictures under a limit on time and memory; a crash costs one picture.

python -m core.data.pictures.decode_pool        a child; it reads tasks from standard input until that is closed
"""

import errno
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from core.data.pictures.child import ONE_THREAD, ROOT, usable_cores
from core.data.pictures.packs import Packs
from core.data.pictures.picture import Refusal, receive_noted
from core.data.pictures.preprocess import Preprocess
from core.settings import Limits, load_limits

CHILD = [sys.executable, "-m", "core.data.pictures.decode_pool"]
CHUNK_PICTURES, CHUNK_BYTES = 64, 2**20  # most in one chunk of work
MOST_IDLE_DEATHS = 3  # children that may die while on no picture; more are a fault of the program
FOR_TRY_IT = "atelier-pictures-"  # prefix of temporary folders
OLD_SECONDS = 3600.0
AHEAD = 2  # chunks that a child may hold: the next one is there when it has finished the first


class Task(NamedTuple):
    """Decode `length` bytes at `offset` of the pack into row `row` of the images."""

    row: int
    offset: int
    length: int


class Outcome(NamedTuple):
    """Whether one picture was decoded."""

    row: int
    refusal: str | None  # why it was not
    notes: tuple[str, ...] = ()  # keys of picture.CHANGES


def decode(
    chunks: Iterable[list[Task]],
    pack: Path | Sequence[Path],
    images: Path,
    start: int,
    preprocess: Preprocess,
    limits: Limits,
    processes: int | None = None,
) -> Iterator[list[Outcome]]:
    """Decode every task of `chunks` from `pack`, one file or several, into the file `images` at start + row * row size.

    `chunks` is consumed between answers, so that its source may still be filling the pack. Yields at least ten times a
    second, an empty list where there is no new outcome. Outcomes come in any order, one for each task. Closing the
    generator ends the children.
    """
    settings = {
        "packs": [str(pack)] if isinstance(pack, Path) else list(map(str, pack)),
        "images": str(images),
        "start": start,
        "preprocess": preprocess.model_dump(mode="json"),
        "limits": limits.model_dump(mode="json"),
    }
    with ExitStack() as stack:
        # in the folder of the images, so that the sweep after a killed import removes it too
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="decoding-", dir=images.parent)))
        pool = _Pool(settings, folder, limits.picture_seconds)
        stack.callback(pool.close)
        source, drained = iter(chunks), False
        count = processes or usable_cores()
        while not drained or pool.busy:
            if not pool.waiting and not drained and pool.has_room(count):
                chunk = next(source, None)
                drained = chunk is None
                if chunk:
                    pool.waiting.append(chunk)
            pool.hand_out(count)
            may_wait = drained or not pool.has_room(count)
            yield pool.collect(0.1 if may_wait else 0.0)


def receive_in_child(
    contents: list[bytes], preprocess: Preprocess, limits: Limits | None = None
) -> list[np.ndarray | Refusal]:
    """Each picture file preprocessed, uint8 (3, S, S), or why it is refused; decoded in a child process."""
    limits = limits or load_limits()
    size = preprocess.image_size
    answers: list[np.ndarray | Refusal] = [Refusal("is empty")] * len(contents)
    _sweep_old(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=FOR_TRY_IT) as folder:
        pack, images = Path(folder) / "pack", Path(folder) / "images"
        offsets = np.cumsum([0, *map(len, contents)])
        pack.write_bytes(b"".join(contents))
        images.write_bytes(bytes(3 * size * size * len(contents)))
        tasks = [Task(row, int(offsets[row]), len(content)) for row, content in enumerate(contents)]
        if not tasks:
            return []
        received = np.memmap(images, np.uint8, "r", shape=(len(contents), 3, size, size))
        for outcomes in decode([[task] for task in tasks], pack, images, 0, preprocess, limits, min(2, len(tasks))):
            for row, refusal, _ in outcomes:
                answers[row] = Refusal(refusal) if refusal else np.array(received[row])
        del received
    return answers


def _sweep_old(temporary: Path) -> None:
    """Remove the pictures that a killed server has left in the temporary folder."""
    for folder in temporary.glob(f"{FOR_TRY_IT}*"):
        with suppress(OSError):  # of another user, or just removed by another process
            if time.time() - folder.stat().st_mtime > OLD_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


class _Pool:
    """The children and their unfinished tasks; one pool for each call of decode()."""

    def __init__(self, settings: dict[str, Any], folder: Path, seconds: float) -> None:
        self.settings, self.folder, self.seconds = settings, folder, seconds
        self.inbox: queue.SimpleQueue[tuple[_Child, bytes]] = queue.SimpleQueue()
        self.children: list[_Child] = []
        self.waiting: deque[list[Task]] = deque()
        self.started = 0
        self.idle_deaths = 0

    @property
    def busy(self) -> bool:
        """Whether tasks are left."""
        return bool(self.waiting) or any(child.tasks for child in self.children)

    def has_room(self, count: int) -> bool:
        """Whether a child can take another chunk, or another child may be started; count: most children."""
        return len(self.children) < count or any(len(child.chunks) < AHEAD for child in self.children)

    def hand_out(self, count: int) -> None:
        """Give waiting chunks to the least busy children, starting children up to `count`."""
        while self.waiting:
            idle = min(self.children, key=lambda child: len(child.chunks), default=None)
            if (idle is None or idle.chunks) and len(self.children) < count:
                idle = _Child(self.settings, self.folder / str(self.started), self.inbox)
                self.started += 1
                self.children.append(idle)
            if idle is None or len(idle.chunks) >= AHEAD:
                return
            idle.take(self.waiting.popleft())

    def collect(self, wait: float) -> list[Outcome]:
        """The new outcomes, after at most `wait` seconds; also kills children that are too slow."""
        outcomes: list[Outcome] = []
        while True:
            try:
                child, line = self.inbox.get(timeout=wait) if wait and not outcomes else self.inbox.get_nowait()
            except queue.Empty:
                break
            outcomes += child.read_answer(line) if line else self._remove_dead(child)
        for child in self.children:
            child.kill_if_slow(self.seconds)
        return outcomes

    def _remove_dead(self, child: "_Child") -> list[Outcome]:
        """Refuse the picture that a dead child was on; its other tasks wait for another child."""
        self.children.remove(child)
        row, left = child.end()
        if row not in left:  # killed from outside while it was on no picture, or it cannot even start
            self.idle_deaths += 1
            if self.idle_deaths > MOST_IDLE_DEATHS:
                raise RuntimeError(f"decoding processes end before they read anything: {child.error_output()}")
        culprit = left.pop(row, None)
        # one by one: a second bad picture among them would send the others round again
        self.waiting.extend([task] for task in left.values())
        if culprit is None:
            return []
        if child.too_slow:
            return [Outcome(culprit.row, f"took longer than {self.seconds:g} seconds to read")]
        return [Outcome(culprit.row, "could not be read safely (it made the decoder fail)")]

    def close(self) -> None:
        for child in self.children:
            child.process.kill()
        for child in self.children:
            child.end()


class _Child:
    """One decoding process: its unanswered tasks, and the picture that it is on."""

    def __init__(self, settings: dict[str, Any], slot: Path, inbox: "queue.SimpleQueue[tuple[_Child, bytes]]") -> None:
        self.slot = slot
        slot.write_bytes(NO_ROW)
        self.tasks: dict[int, Task] = {}  # by row
        self.chunks: deque[set[int]] = deque()  # their rows
        self.too_slow = False
        self.row, self.since = NO_ROW, time.monotonic()  # where it was when last checked, and since when
        self.errors = slot.with_suffix(".stderr").open("w+b")
        self.process = subprocess.Popen(
            CHILD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
            start_new_session=True,  # a decoder that Ctrl-C ended would look like a bad picture
        )
        threading.Thread(target=self._listen, args=(inbox,), daemon=True).start()
        self._send({**settings, "slot": str(slot)})

    def _listen(self, inbox: "queue.SimpleQueue[tuple[_Child, bytes]]") -> None:
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                inbox.put((self, line))
        inbox.put((self, b""))

    def _send(self, message: Any) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it is dead: _listen reports that in a moment, and its tasks go to another child

    def take(self, chunk: list[Task]) -> None:
        if not self.tasks:
            self.since = time.monotonic()
        self.tasks.update((task.row, task) for task in chunk)
        self.chunks.append({task.row for task in chunk})
        self._send(chunk)

    def read_answer(self, line: bytes) -> list[Outcome]:
        """The outcomes in a line of its output. OSError where the child had one."""
        message = json.loads(line)
        if "fault" in message:
            raise OSError(message["errno"], message["fault"])
        outcomes = [Outcome(row, refusal, tuple(notes)) for row, refusal, notes in message["done"]]
        for outcome in outcomes:
            del self.tasks[outcome.row]
            self.chunks[0].discard(outcome.row)
            if not self.chunks[0]:
                self.chunks.popleft()
        return outcomes

    def kill_if_slow(self, seconds: float) -> None:
        """Kill the child when it has tasks and has been on the same picture for `seconds`, or on none for too long."""
        row = self.slot.read_bytes()
        if row != self.row:
            self.row, self.since = row, time.monotonic()
        most = seconds if row != NO_ROW else max(seconds, START_SECONDS)
        if self.tasks and not self.too_slow and time.monotonic() - self.since > most:
            self.too_slow = True
            self.process.kill()

    def end(self) -> tuple[int, dict[int, Task]]:
        """Wait for its end: the row that it was on (-1 for none) and its unanswered tasks by row."""
        self.process.wait()
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                pass  # what was left in the pipe's buffer has no reader
        self.errors.close()
        return int.from_bytes(self.slot.read_bytes(), "little", signed=True), self.tasks

    def error_output(self) -> str:
        """The end of its stderr."""
        return self.slot.with_suffix(".stderr").read_text(errors="replace")[-2000:]


NO_ROW = (-1).to_bytes(8, "little", signed=True)
FLUSH_SECONDS = 0.05
START_SECONDS = 60.0  # a child imports its libraries in a fifth of a second, in some seconds from a cold disk


def main() -> None:
    """The child: reads settings from the first line of stdin, then tasks line by line until the input ends."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not be read as an answer
    settings = json.loads(sys.stdin.buffer.readline())
    limits = Limits.model_validate(settings["limits"])
    preprocess = Preprocess.model_validate(settings["preprocess"])
    with ExitStack() as stack:
        pack = stack.enter_context(Packs([Path(path) for path in settings["packs"]]))
        images, slot = (
            stack.enter_context(Path(settings[name]).open("r+b", buffering=0)) for name in ("images", "slot")
        )
        limit_memory(limits.decoder_memory_bytes)
        for line in sys.stdin.buffer:
            try:
                for done in _work(json.loads(line), pack, images, slot, settings["start"], preprocess, limits):
                    _answer(answers, {"done": done})
            except OSError as error:  # not the picture's fault: a full disk, a file that is gone
                _answer(answers, {"fault": os.strerror(error.errno or 0), "errno": error.errno})
                return


def _work(
    tasks: list[list[int]],
    pack: Packs,
    images: IO[bytes],
    slot: IO[bytes],
    start: int,
    preprocess: Preprocess,
    limits: Limits,
) -> Iterator[list[Outcome]]:
    done: list[Outcome] = []
    flushed = time.monotonic()
    row_bytes = 3 * preprocess.image_size**2
    for row, offset, length in tasks:
        slot.seek(0)
        slot.write(row.to_bytes(8, "little", signed=True))
        pack.seek(offset)
        content = pack.read(length)
        try:
            received, notes = receive_noted(content, preprocess, limits)
            images.seek(start + row * row_bytes)
            if images.write(received.tobytes()) != row_bytes:
                raise OSError(errno.ENOSPC, "the disk took only a part of a picture")
            done.append(Outcome(row, None, notes))
        except Refusal as refusal:
            done.append(Outcome(row, str(refusal)))
        if time.monotonic() - flushed > FLUSH_SECONDS:
            yield done
            done, flushed = [], time.monotonic()
    slot.seek(0)
    slot.write(NO_ROW)
    yield done


def _answer(answers: IO[bytes], message: Any) -> None:
    answers.write(json.dumps(message).encode() + b"\n")


def limit_memory(most: int) -> None:
    """Limit this process to `most` bytes of address space, and write no core dump."""
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit; the limits on pixels still hold
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
