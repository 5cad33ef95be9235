"""Wire: a page as the server sees it, without a browser: it opens, keeps its clocks, reruns, and draws nothing."""

import time
from typing import Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol


class Wire:
    """One session over the WebSocket that a browser would open; `page` is "train", "results", ... or "" for Home."""

    def __init__(self, address: str, page: str, query: str = "") -> None:
        self.page, self.query = page, query
        self.clocks: dict[str, tuple[float, float]] = {}  # fragment -> its interval and when it is due, monotonic
        self.ticks = 0  # of those clocks
        self.bytes = 0  # received
        self.pages: list[str] = []  # Streamlit's hash of the page of each script and fragment that began
        self._buttons: dict[str, str] = {}  # label -> id
        self._finished = 0  # scripts, fragments included
        where = address.replace("http://", "ws://") + "/_stcore/stream"
        self._socket = connect(where, origin=Origin(address), max_size=None, subprotocols=[Subprotocol("streamlit")])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def rerun(self, seconds: float = 60.0) -> float:
        """Run the whole page, as opening it or moving a slider does; the seconds until the server had sent it all."""
        self.clocks.clear()
        began, wanted = time.monotonic(), self._finished + 1
        self._ask("")
        while self._finished < wanted:
            self._take(began + seconds)
        return time.monotonic() - began

    def stay(self, seconds: float) -> None:
        """Keep the page open: every clock that the server set asks for its fragment when it is due."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            for fragment, (interval, due) in self.clocks.items():
                if now >= due:
                    self.clocks[fragment] = (interval, max(due + interval, now))
                    self.ticks += 1
                    self._ask(fragment)
            self._take(min([until, *(due for _, due in self.clocks.values())]), patient=True)

    def tick(self, seconds: float = 60.0) -> None:
        """The next clock, without waiting until it is due."""
        fragment = list(self.clocks)[self.ticks % len(self.clocks)]
        began, wanted = time.monotonic(), self._finished + 1
        self.ticks += 1
        self._ask(fragment)
        while self._finished < wanted:
            self._take(began + seconds)

    def press(self, label: str) -> None:
        """Click a button, without waiting for what follows."""
        self._ask("", self._buttons[label])

    def tick_late(self, fragment: str) -> None:
        """A tick of a clock of this page, also where the server is at another one already."""
        self._ask(fragment)

    def _ask(self, fragment: str, pressed: str = "") -> None:
        message = BackMsg()
        if pressed:
            message.rerun_script.widget_states.widgets.add(id=pressed, trigger_value=True)
        message.rerun_script.page_name = self.page
        message.rerun_script.query_string = self.query
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = bool(fragment)
        self._socket.send(message.SerializeToString())

    def _take(self, until: float, patient: bool = False) -> None:
        """The next message; where none comes in time, TimeoutError, or nothing for the patient."""
        try:
            content = self._socket.recv(timeout=max(0.0, until - time.monotonic()))
        except TimeoutError:
            if patient:
                return
            raise
        self.bytes += len(content)
        message = ForwardMsg.FromString(content if isinstance(content, bytes) else content.encode())
        kind = message.WhichOneof("type")
        if kind == "script_finished":
            self._finished += 1
        elif kind == "new_session":
            self.pages.append(message.new_session.page_script_hash)
        elif kind == "delta" and message.delta.new_element.WhichOneof("type") == "button":
            button = message.delta.new_element.button
            self._buttons[button.label] = button.id
        elif kind == "auto_rerun":
            told = message.auto_rerun
            self.clocks[told.fragment_id] = (told.interval, time.monotonic() + told.interval)
