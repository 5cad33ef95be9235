"""pack_export: an exported run as one zip, which a page can hand out. No torch until it is made."""

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from core.disk import draft_path, sync_folder
from core.export.export import export_run
from core.progress import Progress
from core.runs.run import Run
from core.settings import atelier_home

WITHIN = "network"  # the folder in the zip


def packed_path(run: Run) -> Path:
    """Where a page finds the zip of the model that predicts for a run: another one once it was trained on."""
    return atelier_home() / "exports" / f"{run.id}-{run.weights_sha256(run.used_model)[:12]}.zip"


def pack_export(run: Run, target: Path, workspace: Path) -> Iterator[Progress]:
    """Export everything into `workspace`, pack it as `target`, and leave nothing else. UserMistake as export_run."""
    folder, draft = workspace / WITHIN, draft_path(target)
    try:
        steps = export_run(run, folder)
        with closing(steps):  # type: ignore[type-var]
            yield from (step for step in steps if step.phase != "done")
        yield Progress("packing", 0, 0, None)
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:  # weights are as good as noise
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{WITHIN}/{path.name}")
        with draft.open("r+b") as file:
            os.fsync(file.fileno())
        draft.replace(target)
        sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
