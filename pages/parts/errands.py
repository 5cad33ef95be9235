"""Errands: long work about a dataset in a process of its own, so that no page has to stay open.

python -m pages.parts.errands KIND DATASET FOLDER [RUN]. The folder is atelier_home()/errands/<dataset id>-<kind>, each
file with one writer: launch.json and stop (the page; an empty file: please stop), progress.json (the process). It is
gone when the work is over; only a failure stays. What the work finds lies beside the dataset.
"""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.dataset import Dataset, Progress, export_path, find_dataset
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.incidents import report_incident
from core.settings import atelier_home
from pages.parts.importing import is_at_work, launch

EXPORT_SECONDS = 24 * 3600.0  # a packed zip stays so long
PATIENCE = 10  # of os.nice: trainings and pages go first


@dataclass(frozen=True)
class Errand:
    """What is to be done about which pictures, and by which run where it takes one."""

    kind: str  # of WORK
    dataset: Dataset
    run_id: str = ""

    @property
    def folder(self) -> Path:
        name = "-".join(part for part in (self.dataset.id, self.kind, self.run_id) if part)
        return atelier_home() / "errands" / name


@dataclass(frozen=True)
class Doing:
    """How far an errand is."""

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


def start_errand(errand: Errand) -> None:
    """Begin it, unless somebody has begun already; a failure before is forgotten."""
    known = read_doing(errand)
    if known is not None and known.live:
        return
    shutil.rmtree(errand.folder, ignore_errors=True)
    errand.folder.mkdir(parents=True)
    arguments = (errand.kind, errand.dataset.name, str(errand.folder.resolve()), errand.run_id)
    mark = launch(errand.folder, "pages.parts.errands", *arguments)
    with contextlib.suppress(OSError):
        if mark.started:  # else it is over, and its folder gone
            write_json(errand.folder / "launch.json", mark.to_json())


def read_doing(errand: Errand) -> Doing | None:
    """How far it is, or why it failed; None where it is not at work."""
    folder = errand.folder
    if not folder.exists():
        return None
    told: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        told = read_json(folder / "progress.json")
    if told.get("message"):
        return Doing(live=False, message=told["message"])
    began = 0.0
    with contextlib.suppress(OSError):
        began = folder.stat().st_mtime
    if not is_at_work(folder, began):
        return Doing(live=False, message="This ended before it was done.") if _alone(folder) else None
    return Doing(live=True, stop_asked=(folder / "stop").exists(), **told)


def cancel_errand(errand: Errand) -> None:
    with contextlib.suppress(OSError):  # it is over
        (errand.folder / "stop").touch()


def _alone(folder: Path) -> bool:
    """Whether a dead process has left its folder: it removes it as its last deed, which may be just now."""
    time.sleep(0.05)
    return folder.exists()


# --------------------------------------------------------------------------------------------- in the process


def _copies(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.data.store import look_for_copies

    return look_for_copies(dataset)


def _map(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.data.map import make_map

    if not run_id:
        return make_map(dataset)
    from core.data.store import preprocess_of
    from core.inference.features import load_features
    from core.runs.run import read_run

    run = read_run(run_id)
    return make_map(dataset, load_features(run), preprocess_of(run.config.data), run.id)


def _unseen(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.unseen import ask_unseen
    from core.runs.run import read_run

    return ask_unseen(dataset, read_run(run_id))


def _leak(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.leak import keep_leak

    return keep_leak(dataset)


def _export(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.data.export import export_dataset

    path = export_path(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.iterdir():  # also what a killed one has left
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > EXPORT_SECONDS or old == path:
                old.unlink()
    return export_dataset(dataset, path)


WORK = {"export": _export, "copies": _copies, "map": _map, "unseen": _unseen, "leak": _leak}


def main(kind: str, name: str, folder: Path, run_id: str = "") -> int:
    """Do it, and say in progress.json how far it is; the exit code is 0 only when it is done or was cancelled."""
    spoken = 0.0
    try:
        with contextlib.closing(WORK[kind](find_dataset(name), run_id)) as steps:  # type: ignore[type-var]
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
    from core.data.child import wait_briefly

    wait_briefly()
    if hasattr(os, "nice"):
        os.nice(PATIENCE)
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]))
