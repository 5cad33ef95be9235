"""A home in which everything may be clicked: a server over a copy of it, and the way back after each click."""

import json
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import psutil

from core.runs.actions import ask_to_stop
from core.runs.queue import stop_supervisor
from core.runs.run import list_runs
from tests.e2e.browser import Server

# what a server and a supervisor keep for themselves, and answers that are as true after a click as before it
KEPT = ("server.log", "supervisor.", "heartbeat", "queue.lock", "probes/", "log/")
OTHERS = ("config.json", "marks.json", "stop")  # of a run that waits or trains, what its process does not write
JOBS = (
    "core.jobs.import_job",
    "core.jobs.dataset_job",
    "core weights",
)  # in the command of a process that a page starts beside the supervisor


class Playground:
    """Over a copy of the folder `template`; ATELIER_HOME is `home` as long as it is used."""

    def __init__(self, template: Path, home: Path, begin: Callable[[], None] = lambda: None) -> None:
        """`begin` puts to work what works in this state; it is called again after each restoration."""
        self._template, self._home, self._begin = template, home, begin
        shutil.copytree(template, home, dirs_exist_ok=True)
        self._incidents = 0
        begin()
        self._before = self._content()
        self.server = Server(home)

    def close(self) -> None:
        self.server.kill()
        stop_supervisor()
        self._end_jobs()

    def new_incidents(self) -> list[str]:
        """The end of each traceback that was written since this was asked last."""
        path = self._home / "log" / "incidents.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        new, self._incidents = lines[self._incidents :], len(lines)
        return [json.loads(line)["traceback"].strip()[-600:] for line in new]

    def is_changed(self) -> bool:
        return self._content() != self._before

    def restore(self) -> None:
        """End whatever works in the home, put every file back, and begin again."""
        self._end_jobs()
        self._end_runs()
        before, now = _files(self._template), _files(self._home)
        for name in now.keys() - before.keys():
            (self._home / name).unlink(missing_ok=True)
        for name in (name for name, stamp in before.items() if now.get(name) != stamp):
            (self._home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self._template / name, self._home / name)
        for folder in sorted((path for path in self._home.rglob("*") if path.is_dir()), reverse=True):
            if not (self._template / folder.relative_to(self._home)).exists():
                with suppress(OSError):  # it is not empty: it is kept
                    folder.rmdir()
        self.new_incidents()  # what was ended in the middle of its work says so; no click did that
        self._begin()
        self._before = self._content()

    def _content(self) -> dict[str, object]:
        """Every file with its stamp, but of a run that waits or trains only what others make of it."""
        live = {run.id: run.state.status == "queued" for run in list_runs() if not run.state.ended}
        stays = {name: stamp for name, stamp in _files(self._home).items() if not _moves(name, live)}
        return stays | {"waits": sorted(live.items())}

    def _end_runs(self) -> None:
        worked = [folder for kind in ("experiments", "sweeps") for folder in (self._home / kind).glob("*")]
        if any(not (folder / "done").exists() for folder in worked):
            stop_supervisor()
        for run in list_runs():
            ask_to_stop(run)
        deadline = time.monotonic() + 20
        while not all(run.state.ended for run in list_runs()):
            if time.monotonic() > deadline:
                return stop_supervisor()
            time.sleep(0.05)

    def _end_jobs(self) -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                works = any(words in " ".join(process.cmdline()) for words in JOBS)
                if works and process.environ().get("ATELIER_HOME") == str(self._home):
                    process.kill()
                    process.wait(10)


def _moves(name: str, live: Collection[str]) -> bool:
    """Whether a file changes by itself while these runs wait and train."""
    room, _, rest = name.partition("/")
    run_id, _, file = rest.partition("/")
    return room == "queue" or (room == "runs" and run_id in live and file not in OTHERS)


def _files(home: Path) -> dict[str, tuple[int, int]]:
    """name -> (bytes, time of the last change in nanoseconds) of what is to be put back."""
    found = {}
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        if not name.startswith(KEPT) and path.suffix != ".lock":
            with suppress(OSError):  # it went meanwhile
                if path.is_file():
                    found[name] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found
