"""Downloading or reading pretrained weights as a background job: a process of the command line's `weights add`.

Its folder is atelier_home()/weights/.fetching/<name>: launch.json as of every job (core/jobs/job.py), log.txt, whose
last line is why it failed, and job.json, with the path of an uploaded file. How far a download is shows in the size of
its partial file, from which the next try continues.
"""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from core.backbones.catalogue import PUBLISHED
from core.disk import read_json, write_json
from core.jobs.job import JobStatus, launch_job, start_lock
from core.runs.process import read_launch
from core.settings import downloads_root, weights_root

MESSAGE_CHARACTERS = 600


def start_weights_job(name: str, path: Path | None = None) -> None:
    """Start it, unless it is live. `path`: an upload of our own, deleted once it was read."""
    folder = _folder(name)
    with start_lock(folder.parent):
        if (status := read_weights_job(name)) and status.is_live:
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(folder / "job.json", {"path": str(path or "")})
        arguments = ["--from", str(path)] if path else []
        launch_job(folder, "core", "weights", "add", name, *arguments, OMP_NUM_THREADS="1")


def read_weights_job(name: str) -> JobStatus | None:
    """How far it is, `done` in bytes, or why it failed; None where it was not started, or is done."""
    folder = _folder(name)
    launch = read_launch(folder)
    if launch is None:
        return None
    if launch.process.is_alive():
        return JobStatus("running", done=_partial_bytes(name))
    _remove_upload(folder)
    if message := _last_line(folder):
        return JobStatus("failed", message=message)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def cancel_weights_job(name: str) -> None:
    """End it; the partial file is kept, and the next try continues it."""
    launch = read_launch(_folder(name))
    if launch is not None and launch.process.is_alive():
        with suppress(OSError):
            os.kill(launch.process.pid, signal.SIGTERM)
    shutil.rmtree(_folder(name), ignore_errors=True)


def _last_line(folder: Path) -> str:
    """The last line of the log; "" where it says that the weights are there."""
    with suppress(OSError):
        lines = (folder / "log.txt").read_text(errors="replace").replace("\r", "\n").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return "" if last.endswith(", checked") else last[:MESSAGE_CHARACTERS]
    return ""


def _remove_upload(folder: Path) -> None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        if path := read_json(folder / "job.json")["path"]:
            Path(path).unlink(missing_ok=True)


def _partial_bytes(name: str) -> int:
    with suppress(OSError):
        return (downloads_root() / f"{PUBLISHED[name].file}.partial").stat().st_size
    return 0


def _folder(name: str) -> Path:
    assert name in PUBLISHED, name
    return weights_root() / ".fetching" / name
