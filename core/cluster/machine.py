"""What works on a machine of the cluster, each in a process of Ray's; the machine has this program too.

Trainer trains one run of home's; Callee calls functions, e.g. trainings of an audit, one after the other.
"""

import os
import queue
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.cluster.parcel import Part, Unpacking, forget, take_share
from core.cluster.relay import Message, RelayingWriter
from core.data.pictures.child import wait_briefly
from core.environment import hash_program
from core.errors import UserMistake
from core.runs.process import request_stop
from core.settings import runs_root

HOME = "ATELIER_NODE_HOME"  # where a machine keeps what it was brought
NAME = "ATELIER_NODE_NAME"  # what it is called, where its host name does not tell
SAID, MISTAKE, FAULT = "said", "mistake", "fault"  # what a Callee sends: a value, or why it ends, in words
ENDED = "ended"  # the last message: its argument is what went wrong, "" where nothing did
MOST_WAITING = 256  # messages that were not sent yet; then training waits
GATHER_SECONDS = 0.05


class Guest:
    """A process on this machine, with the files that home brings it. Only what is kept for later ones outlives it."""

    def __init__(self) -> None:
        os.environ["ATELIER_HOME"] = os.environ.get(HOME) or str(Path.home() / ".cache" / "atelier-node")
        wait_briefly()
        self._unpacking = Unpacking()
        self._parts: list[Part] = []

    def hello(self) -> dict[str, str]:
        """Which machine this is, and which program it has."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return {"machine": os.environ.get(NAME) or socket.gethostname(), "node": node, "program": hash_program()}

    def missing(self, parts: list[Part]) -> list[Part] | None:
        """The files that have to be brought; None while another process here receives what is kept, so that it is
        brought once."""
        self._parts = parts
        return self._unpacking.missing(parts)

    def receive(self, part: Part, *pieces: Any) -> None:
        """One file, as Ray fetched its pieces."""
        self._unpacking.write(part, iter(pieces))


class Trainer(Guest):
    """One run on this machine."""

    def __init__(self, run_id: str, threads: int) -> None:
        super().__init__()
        self._run_id, self._threads = run_id, threads
        self._messages: queue.Queue[Message] = queue.Queue(MOST_WAITING)
        forget(run_id)  # what an earlier attempt here has left

    @property
    def _folder(self) -> Path:
        return runs_root() / self._run_id

    def train(self) -> Iterator[list[Message]]:
        """Train the run; each message is something to write at home. They come in their order, some at a time, because
        each time costs home and this machine a millisecond."""
        self._unpacking.settle(self._parts)
        take_share(self._folder, self._threads)
        threading.Thread(target=self._train, daemon=True).start()
        ended = False
        while not ended:
            messages = [self._messages.get()]
            time.sleep(GATHER_SECONDS)
            while not self._messages.empty():
                messages.append(self._messages.get())
            ended = messages[-1][0] == ENDED
            yield messages
        forget(self._run_id)

    def stop(self) -> None:
        """Ask the run to stop; it saves what it has learnt and says so."""
        if self._folder.exists():
            request_stop(self._folder)

    def _train(self) -> None:
        fault = ""
        try:
            from core.train import train_rows

            for _ in train_rows(self._folder, RelayingWriter(self._folder, self._messages.put)):
                pass
        except UserMistake as mistake:  # the writer has sent it
            fault = str(mistake)
        except BaseException:
            fault = traceback.format_exc()
        self._messages.put((ENDED, (fault,), {}))


class Callee(Guest):
    """Calls of functions on this machine, one at a time."""

    def call(self, function: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
        """(SAID, value) for each value that the function yields, and at last (MISTAKE, why), (FAULT, traceback) or
        (ENDED, None)."""
        self._unpacking.settle(self._parts)
        try:
            for value in function(*arguments):
                yield SAID, value
        except UserMistake as mistake:
            yield MISTAKE, str(mistake)
        except Exception:
            yield FAULT, traceback.format_exc()
        else:
            yield ENDED, None
