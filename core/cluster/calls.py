"""run_calls: functions that are called on the machines of the cluster, as many at once as it has places.

For trainings that are no runs: those of folds, of data-size curves, of controls. A call whose machine is lost is made
again on another one.
"""

import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.cluster.connection import (
    CRASHES,
    WAIT_SECONDS,
    MachineLost,
    bring,
    connected,
    errors_of_loss,
    guest,
    is_alive,
    must_be_same_program,
    must_fit,
    wait_for_place,
)
from core.cluster.machine import ENDED, FAULT, MISTAKE, Callee
from core.cluster.parcel import Part
from core.cluster.settings import ClusterSettings
from core.errors import UserMistake

MOST_LANES = 64  # calls at once
_MOST_WAITING = 256  # messages that nobody has taken yet
_DONE = object()  # in place of a value: the call has ended


@dataclass(frozen=True)
class Call:
    """A function of a module, called with these arguments on a machine that has these files; it yields plain values."""

    name: str  # of no other call beside it; for people
    function: Callable[..., Iterator[Any]]
    arguments: tuple[Any, ...]
    parts: tuple[Part, ...]


def run_calls(calls: Sequence[Call], cluster: ClusterSettings) -> Iterator[tuple[str, Any] | None]:
    """Make all of them. Yields (name, value) as values come, and None now and then while none comes; after the loss of
    a machine the values of its call come again from the first one on.

    Closing the generator ends what is at work. UserMistake as a function raises it, where the cluster cannot train, or
    where a process of it ends again and again; RuntimeError with the traceback of another fault there.
    """
    with connected(cluster) as ray:
        must_fit(ray, cluster)
        work = _Work(ray, cluster, deque(calls))
        lanes = [threading.Thread(target=work.serve, daemon=True) for _ in range(min(len(calls), MOST_LANES))]
        for lane in lanes:
            lane.start()
        try:
            left = len(calls)
            while left:
                message = work.next_message()
                if isinstance(message, BaseException):
                    raise message
                if message is None or message[1] is not _DONE:
                    yield message
                else:
                    left -= 1
        finally:
            work.closing.set()
            for lane in lanes:
                lane.join()


class _Work:
    """What is left to do, shared by lanes: each is a thread that holds one place of the cluster, once it has one."""

    def __init__(self, ray: Any, cluster: ClusterSettings, waiting: deque[Call]) -> None:
        self.ray, self.cluster, self.waiting = ray, cluster, waiting
        self.messages: queue.Queue[tuple[str, Any] | BaseException] = queue.Queue(_MOST_WAITING)
        self.closing = threading.Event()
        self.crashes: dict[str, int] = {}

    def next_message(self) -> tuple[str, Any] | BaseException | None:
        try:
            return self.messages.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            return None

    def serve(self) -> None:
        """Call after call, on one machine after the other, until none waits."""
        try:
            while self.waiting and not self.closing.is_set():
                with guest(self.ray, Callee, self.cluster) as callee:
                    self._serve_on(callee)
        except BaseException as fault:
            self._send(fault)

    def _serve_on(self, callee: Any) -> None:
        """Calls on one machine, until none waits or the machine is lost."""
        machine, node, call, brought = "a machine of the cluster", "", None, None
        try:
            hello = callee.hello.remote()
            for _ in wait_for_place(self.ray, hello, self.cluster):
                if self.closing.is_set() or not self.waiting:
                    return
            greeting = self.ray.get(hello)
            machine, node = greeting["machine"], greeting["node"]
            must_be_same_program(greeting)
            while (call := self._next_call()) is not None:
                if call.parts != brought:
                    for _ in bring(self.ray, callee, list(call.parts)):
                        if self.closing.is_set():
                            return
                    brought = call.parts
                self._make(callee, call)
        except errors_of_loss(self.ray) as gone:
            if call is not None:
                self._put_back(call, MachineLost(machine, is_alive(self.ray, node)), gone)

    def _next_call(self) -> Call | None:
        try:
            return None if self.closing.is_set() else self.waiting.popleft()
        except IndexError:
            return None

    def _make(self, callee: Any, call: Call) -> None:
        messages = callee.call.options(num_returns="streaming").remote(call.function, call.arguments)
        while not self.closing.is_set():
            if not self.ray.wait([messages], timeout=WAIT_SECONDS, fetch_local=False)[0]:
                continue
            kind, value = self.ray.get(next(messages))
            if kind == ENDED:
                return self._send((call.name, _DONE))
            if kind in (MISTAKE, FAULT):
                raise UserMistake(value) if kind == MISTAKE else RuntimeError(f"{call.name}: {value}")
            self._send((call.name, value))

    def _put_back(self, call: Call, lost: MachineLost, why: Exception) -> None:
        """Let another machine make the call. UserMistake where the process that made it ends again and again."""
        self.crashes[call.name] = self.crashes.get(call.name, 0) + lost.is_alive
        if self.crashes[call.name] == CRASHES:
            raise UserMistake(
                f"The process that worked at {call.name} ended twice on its machines, at last on {lost.machine}: too "
                "little memory there, or a fault. What was done is kept; start it again to go on."
            ) from why
        print(f"{lost.machine} was lost ({why}); {call.name} begins again", file=sys.stderr, flush=True)
        self.waiting.appendleft(call)

    def _send(self, message: tuple[str, Any] | BaseException) -> None:
        while not self.closing.is_set():
            try:
                return self.messages.put(message, timeout=WAIT_SECONDS)
            except queue.Full:
                continue
