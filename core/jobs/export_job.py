"""Packing a run to be taken along, as a background job.

python -m core.jobs.export_job RUN FOLDER

Its folder, atelier_home()/jobs/<run id>-take-away, is gone when the zip is there; only a failure stays.
"""

import contextlib
import shutil
import sys
from pathlib import Path

from core.export.pack import pack_export, packed_path
from core.jobs.dataset_job import LOST, has_stayed, sweep_exports
from core.jobs.job import JobStatus, JobWriter, launch_job, read_status, run_and_remove, start_lock, step_aside
from core.runs.process import request_stop
from core.runs.run import read_run
from core.settings import atelier_home


def export_folder(run_id: str) -> Path:
    """The folder of the job of a run."""
    return atelier_home() / "jobs" / f"{run_id}-take-away"


def start_export_job(run_id: str) -> None:
    """Start it, unless it is live; an earlier failure is forgotten."""
    folder = export_folder(run_id)
    with start_lock(folder.parent):
        status = read_export_job(run_id)
        if status is not None and status.is_live:
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        launch_job(folder, "core.jobs.export_job", run_id, str(folder.resolve()))


def read_export_job(run_id: str) -> JobStatus | None:
    """How far it is, or why it failed; None where it was not started, or is done."""
    folder = export_folder(run_id)
    if not folder.exists():
        return None
    status = read_status(folder, LOST)
    return None if status.status == "lost" and not has_stayed(folder) else status


def cancel_export_job(run_id: str) -> None:
    with contextlib.suppress(OSError):  # it is over
        request_stop(export_folder(run_id))


def main(run_id: str, folder: Path) -> int:
    """Do the work in this process; the exit code is 0 only where it is done or was cancelled, and the folder gone."""

    def work(writer: JobWriter) -> None:
        run = read_run(run_id)
        target = packed_path(run)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_exports(target)
        writer.follow(pack_export(run, target, folder))

    return run_and_remove(folder, work)


if __name__ == "__main__":
    from core.data.pictures.child import wait_briefly

    wait_briefly()
    step_aside()
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
