"""Trainer: what trains one run on a machine of the cluster, in a process of Ray's; the machine has this program too."""

import os
import queue
import socket
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.cluster.parcel import Part, Unpacking, forget
from core.cluster.relay import Message, RelayingWriter
from core.data.pictures.child import wait_briefly
from core.environment import hash_program
from core.errors import UserMistake
from core.runs.process import request_stop

HOME = "ATELIER_NODE_HOME"  # where a machine keeps what it was brought
NAME = "ATELIER_NODE_NAME"  # what it is called, where its host name does not tell
ENDED = "ended"  # the last message: its argument is what went wrong, "" where nothing did
MOST_WAITING = 64  # messages that home has not fetched yet; then training waits


class Trainer:
    """One run on this machine. Made for it, gone with it; only what is kept for later runs stays."""

    def __init__(self, run_id: str, threads: int) -> None:
        os.environ["ATELIER_HOME"] = os.environ.get(HOME) or str(Path.home() / ".cache" / "atelier-node")
        wait_briefly()
        self._unpacking = Unpacking(run_id, threads)
        self._parts: list[Part] = []
        self._messages: queue.Queue[Message] = queue.Queue(MOST_WAITING)

    def hello(self) -> dict[str, str]:
        """Which machine this is, and which program it has."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return {"machine": os.environ.get(NAME) or socket.gethostname(), "node": node, "program": hash_program()}

    def missing(self, parts: list[Part]) -> list[Part]:
        """The files that have to be brought."""
        self._parts = parts
        return self._unpacking.missing(parts)

    def receive(self, part: Part, *pieces: Any) -> None:
        """One file, as Ray fetched its pieces."""
        self._unpacking.write(part, iter(pieces))

    def train(self) -> Iterator[Message]:
        """Train the run; each message is something to write at home."""
        self._unpacking.settle(self._parts)
        threading.Thread(target=self._train, daemon=True).start()
        while True:
            message = self._messages.get()
            yield message
            if message[0] == ENDED:
                break
        forget(self._unpacking.run_id)

    def stop(self) -> None:
        """Ask the run to stop; it saves what it has learnt and says so."""
        if self._unpacking.folder.exists():
            request_stop(self._unpacking.folder)

    def _train(self) -> None:
        fault = ""
        try:
            from core.train import train_rows

            folder = self._unpacking.folder
            for _ in train_rows(folder, RelayingWriter(folder, self._messages.put)):
                pass
        except UserMistake as mistake:  # the writer has sent it
            fault = str(mistake)
        except BaseException:
            fault = traceback.format_exc()
        self._messages.put((ENDED, (fault,), {}))
