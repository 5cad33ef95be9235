"""The children of the supervisor: forked from a server that has torch imported, ended even where that was killed."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Any

from core.data.pictures.child import wait_briefly
from core.runs.process import ProcessMark
from core.runs.queue import WORKER

_PRELOADED = ("torch._dynamo",)  # torch imports it in the first step of an optimizer: 1.3 s that each run would wait
_TRIES = 3  # to start a child: the process that forks it may have been killed, and is then begun anew


def start_forkserver(worker: str) -> Any:
    """The multiprocessing context whose children have the worker's module, and torch with it, already imported."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing.forkserver import ensure_running

    wait_briefly()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([worker.rpartition(".")[0], *(_PRELOADED if worker == WORKER else ())])
    ensure_running()  # returns at once, while the server imports
    return context


def start_child(context: Any, target: Callable[..., None], arguments: tuple[Any, ...], name: str) -> BaseProcess:
    """A child that has started. Where the process that forks it was killed, multiprocessing begins that one anew."""
    for left in reversed(range(_TRIES)):
        process: BaseProcess = context.Process(target=target, args=arguments, name=name)
        try:
            process.start()
            return process
        except Exception as error:
            if not left:
                raise
            print(f"{name} could not be started ({error or type(error).__name__}); it is tried again", flush=True)
    raise AssertionError("unreachable")


def end_survivor(child: ProcessMark) -> bool:
    """End a child that outlives the process that forked it, which makes its end look as if it had come; whether it
    was alive. Before its run is called lost: two processes must never write to one run."""
    if not child.is_alive():
        return False
    with suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    while child.is_alive():
        time.sleep(0.02)
    return True
