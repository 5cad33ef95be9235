"""Sweep: a search for good settings as it lies on disk, read as a frozen snapshot. No torch.

It goes by the accuracy on the validation part, never on the test part. actions.py writes plan.json and the empty file
stop; a child of the supervisor (worker.py) runs the trials, each a run like any other, and keeps Optuna's journal, from
which trials.py reads the results. The best settings become a preset under a name that a person gives.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.disk import read_json
from core.documents import Unreadable, read_document
from core.errors import UserMistake
from core.experiments.folders import SpecFolders
from core.experiments.sweeps.spec import SCHEMA_VERSION, SweepSpec
from core.runs.process import is_at_work, stop_requested

SWEEPS = SpecFolders("sweep")
Status = Literal["waiting", "running", "stopped", "done"]


@dataclass(frozen=True)
class Sweep:
    """A sweep as it was when it was read."""

    id: str
    folder: Path
    plan: SweepSpec
    status: Status
    message: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ("done", "stopped")


def list_sweeps() -> list[Sweep]:
    """Every readable sweep, newest first."""
    return scan_sweeps()[0]


def scan_sweeps() -> tuple[list[Sweep], list[str]]:
    """Every readable sweep, newest first, and a sentence about each that is damaged."""
    return SWEEPS.scan(open_sweep)


def read_sweep(sweep_id: str) -> Sweep:
    """The sweep with that id, a unique beginning or ending of it, or "latest"; else UserMistake."""
    return open_sweep(SWEEPS.find(sweep_id))


def open_sweep(folder: Path) -> Sweep:
    """The sweep in `folder`. UserMistake where it cannot be read as one."""
    try:
        plan = read_document(folder / "plan.json", SweepSpec, SCHEMA_VERSION)
    except FileNotFoundError as error:
        raise UserMistake(f"The files of sweep {folder.name} are gone from disk.") from error
    except Unreadable as error:
        raise UserMistake(f"Sweep {folder.name} cannot be used: its {error}.") from error
    message = ""
    with suppress(OSError, ValueError, KeyError, TypeError):
        message = str(read_json(folder / "done")["message"])
    return Sweep(folder.name, folder, plan, _status(folder), message)


def _status(folder: Path) -> Status:
    if stop_requested(folder):
        return "stopped"
    if (folder / "done").exists():
        return "done"
    return "running" if is_at_work(folder) else "waiting"
