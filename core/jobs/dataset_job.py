"""Long work about a dataset or a run on it, as a background job: duplicates, map, leakage, export and others (WORK).

python -m core.jobs.dataset_job KIND DATASET FOLDER [RUN]

Its folder, atelier_home()/jobs/<dataset id>-<kind>, is gone when the work is over; only a failure stays. What the work
finds is kept with the dataset.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.data.datasets.dataset import Dataset, export_path, find_dataset
from core.data.versions.export import LAYOUTS, Layout, export_dataset
from core.evaluation import Which
from core.jobs.job import JobStatus, JobWriter, launch_job, read_status, run_and_remove, start_lock, step_aside
from core.presets import PRESETS
from core.progress import Progress
from core.runs.process import request_stop
from core.settings import atelier_home

EXPORT_SECONDS = 24 * 3600.0  # for which a packed zip is kept
SPLIT_AS = "quick"  # the preset whose split is exported: the one that Train proposes
LOST = "This ended before it was done."


@dataclass(frozen=True)
class DatasetJob:
    """Which work, on which dataset, with which run where it needs one."""

    kind: str  # of WORK
    dataset: Dataset
    run_id: str = ""

    @property
    def folder(self) -> Path:
        name = "-".join(part for part in (self.dataset.id, self.kind, self.run_id) if part)
        return atelier_home() / "jobs" / name


def start_dataset_job(job: DatasetJob) -> None:
    """Start it, unless it is live; an earlier failure is forgotten."""
    with start_lock(job.folder.parent):
        status = read_dataset_job(job)
        if status is not None and status.is_live:
            return
        shutil.rmtree(job.folder, ignore_errors=True)
        job.folder.mkdir(parents=True)
        words = (job.kind, job.dataset.name, str(job.folder.resolve()), job.run_id)
        launch_job(job.folder, "core.jobs.dataset_job", *words)


def read_dataset_job(job: DatasetJob) -> JobStatus | None:
    """How far it is, or why it failed; None where it was not started, or is done."""
    if not job.folder.exists():
        return None
    status = read_status(job.folder, LOST)
    return None if status.status == "lost" and not has_stayed(job.folder) else status


def cancel_dataset_job(job: DatasetJob) -> None:
    with contextlib.suppress(OSError):  # it is over
        request_stop(job.folder)


def export_kind(layout: str) -> str:
    """The kind of the job that packs a dataset in that layout, one of LAYOUTS."""
    return "export" if layout == "folders" else f"export-{layout}"


def has_stayed(folder: Path) -> bool:
    """Whether a dead process has left its folder: it removes it as its last step, which may be just now."""
    time.sleep(0.05)
    return folder.exists()


# --------------------------------------------------------------------------------------------- in the process


def _find_duplicates(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.data.store.store import find_duplicates_of

    return find_duplicates_of(dataset)


def _make_map(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.data.quality.embedding_map import make_map

    if not run_id:
        return make_map(dataset)
    from core.data.store.store import preprocess_of
    from core.inference.features import load_features
    from core.runs.run import read_run

    run = read_run(run_id)
    return make_map(dataset, load_features(run), preprocess_of(run.config.data), run.id)


def _cross_validate(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.audits.cross_validation import predict_cross_validated
    from core.runs.run import read_run

    return predict_cross_validated(dataset, read_run(run_id))


def _measure_leakage(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.audits.leakage import store_leakage

    return store_leakage(dataset)


def _measure_explanations(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.audits.deletion_curves import measure_explanations
    from core.runs.run import read_run

    return _progress(measure_explanations(read_run(run_id)))


def _measure_novelty(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.inference.measure_novelty import measure_novelty
    from core.runs.run import read_run

    return _progress(measure_novelty(read_run(run_id)))


def _ask_folds(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.audits.folds import cross_validate
    from core.runs.run import read_run

    return _progress(cross_validate(read_run(run_id).config))


def _draw_curve(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.audits.data_curve import measure_curve, of_run
    from core.runs.run import read_run

    return _progress(measure_curve(of_run(read_run(run_id))))


def _train_controls(dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.experiments.audits.cue_controls import measure_controls
    from core.runs.run import read_run

    return measure_controls(read_run(run_id))


def _answer_with(dataset: Dataset, run_id: str, which: Which) -> Iterator[Progress]:
    from core.inference.evaluating import answer_with
    from core.runs.run import read_run

    return answer_with(read_run(run_id), which)


def _export(layout: Layout, dataset: Dataset, run_id: str) -> Iterator[Progress]:
    from core.data.store.store import split_dataset

    path = export_path(dataset, layout)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_exports(path)
    proposed = PRESETS[SPLIT_AS].data.model_copy(update={"dataset": dataset.name})
    return export_dataset(dataset, path, layout, split_dataset(dataset, proposed))


def sweep_exports(path: Path) -> None:
    """Remove `path` and what has been in its folder for more than a day, also what a killed process has left."""
    for old in path.parent.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > EXPORT_SECONDS or old == path:
                old.unlink()


def _progress(steps: Iterable[object]) -> Iterator[Progress]:
    """How far it is, without what is found at last, which is kept by whoever finds it."""
    return (step for step in steps if isinstance(step, Progress))


WORK: dict[str, Callable[[Dataset, str], Iterator[Progress]]] = {
    "duplicates": _find_duplicates,
    "map": _make_map,
    "cross_validation": _cross_validate,
    "leakage": _measure_leakage,
    "explanations": _measure_explanations,
    "novelty": _measure_novelty,
    "folds": _ask_folds,
    "curve": _draw_curve,
    "cue_controls": _train_controls,
    "answer_best": partial(_answer_with, which="best"),
    "answer_last": partial(_answer_with, which="last"),
    **{export_kind(layout): partial(_export, layout) for layout in LAYOUTS},
}


def main(kind: str, name: str, folder: Path, run_id: str = "") -> int:
    """Do the work in this process; the exit code is 0 only where it is done or was cancelled, and the folder gone."""

    def work(writer: JobWriter) -> None:
        writer.follow(WORK[kind](find_dataset(name), run_id))

    return run_and_remove(folder, work)


if __name__ == "__main__":
    from core.data.pictures.child import wait_briefly

    wait_briefly()
    step_aside()
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]))
