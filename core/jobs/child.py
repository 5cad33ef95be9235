"""The life of a child of the supervisor: its log, its end together with its parent, and the function that it calls."""

import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from core.errors import UserMistake
from core.locks import hold_for_life
from core.runs.process import end_with_parent, work_lock
from core.runs.state import read_stored_state
from core.runs.writer import mark_ended


def train_run_folder(folder: str, worker: str, go: Connection) -> None:
    """Call `worker`, the dotted name of a function, on the folder of a run, once the supervisor sends its "go"."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        go.recv()
    except EOFError:
        return  # the run was cancelled before it started
    redirect_output(Path(folder) / "log.txt")
    _offer_to_oom_killer()
    attempt = read_stored_state(Path(folder)).attempt
    try:
        _find(worker)(Path(folder))
    except UserMistake as mistake:
        print(mistake, file=sys.stderr)
        mark_ended(Path(folder), "failed", str(mistake), attempt=attempt)
        sys.exit(2)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


def serve_folder(function: str, folder: str) -> None:
    """Call `function`, a dotted name, on the folder of a probe, an experiment or a sweep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    redirect_output(Path(folder) / "log.txt")
    _offer_to_oom_killer()
    hold_for_life(work_lock(Path(folder)))
    _find(function)(Path(folder))


def _find(dotted: str) -> Callable[[Path], None]:
    module, _, function = dotted.rpartition(".")
    found: Callable[[Path], None] = getattr(importlib.import_module(module), function)
    return found


def redirect_output(log: Path) -> None:
    """Append standard output and error to a log, also what C libraries write."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _offer_to_oom_killer() -> None:
    """Let the kernel kill the training rather than the server when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        pass
