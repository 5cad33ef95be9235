"""Looking for copies in a process of its own, so that no page has to stay open.

python -m pages.parts.comparing DATASET FOLDER. The folder is atelier_home()/comparing/<dataset id>, each file with one
writer: launch.json and stop (the page; an empty file: please stop), progress.json (the process). It is gone when the
search is over; only a failure stays.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.data.dataset import Dataset
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.incidents import report_incident
from core.settings import atelier_home

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Comparison:
    """How far a search for copies is."""

    live: bool
    phase: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""  # why it failed
    stop_asked: bool = False

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0


def start_comparing(dataset: Dataset) -> None:
    """Begin to look for copies, unless somebody has begun already."""
    known = read_comparison(dataset)
    if known is not None and known.live:
        return
    forget_comparison(dataset)
    folder = _folder(dataset)
    folder.mkdir(parents=True)
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pages.parts.comparing", dataset.name, str(folder.resolve())],
            cwd=ROOT,
            env=os.environ | {"ATELIER_HOME": str(atelier_home())},  # relative to where the server began
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # the server may end; what was begun is finished
        )
    with contextlib.suppress(psutil.Error, OSError):  # it may be over, and its folder gone
        write_json(folder / "launch.json", {"pid": process.pid, "started": psutil.Process(process.pid).create_time()})


def read_comparison(dataset: Dataset) -> Comparison | None:
    """The search that is under way or has failed; None where there is none."""
    folder = _folder(dataset)
    if not folder.exists():
        return None
    told: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        told = read_json(folder / "progress.json")
    if told.get("message"):
        return Comparison(live=False, message=told["message"])
    if not _alive(folder):
        return (
            Comparison(live=False, message="The search for copies ended before it was done.")
            if _alone(folder)
            else None
        )
    return Comparison(live=True, stop_asked=(folder / "stop").exists(), **told)


def cancel_comparing(dataset: Dataset) -> None:
    with contextlib.suppress(OSError):  # it is over
        (_folder(dataset) / "stop").touch()


def forget_comparison(dataset: Dataset) -> None:
    shutil.rmtree(_folder(dataset), ignore_errors=True)


def _folder(dataset: Dataset) -> Path:
    return atelier_home() / "comparing" / dataset.id


def _alive(folder: Path) -> bool:
    try:
        launch = read_json(folder / "launch.json")
        process = psutil.Process(launch["pid"])
        return abs(process.create_time() - launch["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except FileNotFoundError:
        # the page is between making the folder and starting the process
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime < 10
        return False
    except (psutil.Error, ValueError):
        return False


def _alone(folder: Path) -> bool:
    """Whether a dead process has left its folder: it removes it as its last deed, which may be just now."""
    time.sleep(0.05)
    return folder.exists()


def main(name: str, folder: Path) -> int:
    """Search, and say in progress.json how far it is; the exit code is 0 only when it is done."""
    from core.data.dataset import find_dataset
    from core.data.store import look_for_copies

    spoken = 0.0
    try:
        with contextlib.closing(look_for_copies(find_dataset(name))) as steps:  # type: ignore[type-var]
            for progress in steps:
                if (folder / "stop").exists():
                    break
                if time.monotonic() - spoken > 0.25:
                    spoken = time.monotonic()
                    told = {"phase": progress.phase, "done": progress.done, "total": progress.total}
                    write_json(folder / "progress.json", told | {"seconds_left": progress.seconds_left})
    except UserMistake as mistake:
        write_json(folder / "progress.json", {"message": str(mistake)})
        return 1
    except Exception as error:
        number = report_incident(error)
        write_json(folder / "progress.json", {"message": f"This failed (incident {number}, see the log)."})
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
