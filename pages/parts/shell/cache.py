"""What pages read again and again, read once: datasets, stores, thumbnails, runs. Keys hold the files' own stamps."""

import io
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

import numpy as np
import streamlit as st
from PIL import Image, ImageOps

from core.config import DataConfig
from core.data.datasets.dataset import Dataset, scan_datasets
from core.data.duplicates.duplicates import duplicates_path
from core.data.imports.samples import SAMPLES
from core.data.pictures.picture import Refusal
from core.data.pictures.preprocess import Preprocess
from core.data.pictures.viewer import show_picture, show_received
from core.data.store.store import TensorStore, load_store, split_dataset
from core.disk import allow_more_files
from core.errors import UserMistake
from core.experiments.ablation.experiment import scan_specs
from core.experiments.sweeps.sweep import scan_sweeps
from core.jobs.import_job import ImportJob, list_jobs
from core.notebook.notebook import Notebook, notebook_path
from core.notebook.scoring import Score, score_guesses
from core.people import ask_who
from core.presets import scan_presets
from core.runs.history import MetricHistory, MetricHistoryReader
from core.runs.index import RunIndex
from core.runs.run import Run
from core.settings import atelier_home, datasets_root, home_trouble, make_home, runs_root, trash_root
from pages.parts.shell.sign_in import person
from pages.parts.shell.upload_limit import limit_uploads

Stamps = tuple[tuple[str, int], ...]  # (file below a folder, when it was last written in nanoseconds)
DATASET_FILES = ("dataset.json", "index.npy", "names.jsonl", "pictures.pack")


def datasets() -> list[Dataset]:
    """Every dataset in the store."""
    return _datasets(str(atelier_home()), _dataset_stamps())[0]


def damage() -> list[str]:
    """A sentence about each dataset, run, preset, sweep and experiment that cannot be read, so that no list has it."""
    damaged = [*_datasets(str(atelier_home()), _dataset_stamps())[1], *_run_index(str(runs_root())).damage()]
    return damaged + _other_damage(str(atelier_home()), int(time.time() // 10))


def dataset_named(name: str) -> Dataset | None:
    return next((dataset for dataset in datasets() if dataset.name == name), None)


def store(data: DataConfig) -> TensorStore:
    """The opened (memory-mapped) store; a size or fit that was not there is built first, which takes a while."""
    return _store(str(atelier_home()), _dataset_stamps(), data.model_dump_json())


def parts_of(dataset: Dataset, data: DataConfig) -> dict[str, np.ndarray]:
    """The rows of "train", "val" and "test" as `data` splits them, read only; duplicates count once they are found."""
    return _parts(dataset.id, data.model_dump_json(), stamp_of(duplicates_path(dataset)), dataset)


def scores_of(notebook: Notebook) -> list[Score]:
    """Of each of its guesses; counted anew when the notebook or a run has changed, and every half minute."""
    states = tuple((run.id, run.state.updated) for run in runs(hidden=True))
    return _scores(str(notebook_path()), stamp_of(notebook_path()), states, notebook)


def stamp_of(path: Path) -> int:
    """When a file was last written, in nanoseconds; 0 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def runs(hidden: bool = False, seconds: float = 0.0) -> list[Run]:
    """Every run, newest first, those that people hid only if asked for; a dead one is known within half a second.

    A fragment that runs again soon may get what was read up to `seconds` ago.
    """
    listed = _run_index(str(runs_root())).runs(seconds)
    return listed if hidden else [run for run in listed if not run.marks.hidden]


def score_of(run: Run) -> tuple[int, int]:
    """(right, n) on the test part of a run that has ended; (0, 0) where it was not tested."""
    if not run.state.is_finished:
        return 0, 0
    return run.state.score or _stored_score(run)


def accuracy_of_run(run: Run) -> float:
    """The share of its score, 0 where it has none: to sort by."""
    right, n = score_of(run)
    return right / n if n else 0.0


def live_runs(seconds: float = 0.0) -> list[Run]:
    """Runs that train or wait, also hidden ones, the one at work first."""
    at_work = [run for run in runs(True, seconds) if run.state.is_live]
    return sorted(at_work, key=lambda run: (run.state.status == "queued", run.created))


def history(run: Run) -> MetricHistory:
    """The rows of a run as columns; only what was appended since the last call is read."""
    return _history_reader(str(run.folder)).read()


def deleted_runs() -> list[Run]:
    """The runs in the trash, newest first."""
    return _run_index(str(trash_root())).runs()


def storage_warning() -> str:
    """What is wrong with the folder in which everything is kept; "" where nothing is."""
    return _storage_warning(str(atelier_home()), int(time.time() // 30))


def live_imports() -> list[ImportJob]:
    """Datasets that are being added right now."""
    return [job for job in list_jobs() if job.is_live]


def thumbnail(dataset: Dataset, index: int, size: int = 160) -> bytes:
    """The original picture `index`, cut to a square of `size` pixels: JPEG, or a crisp PNG where it is tiny."""
    try:
        return _thumbnail(str(dataset.folder), dataset.content_hash, index, size, dataset)
    except Refusal:  # it was read when it came in: the machine has no memory left, or is too busy
        return grey()


def whole_picture(dataset: Dataset, index: int, longest: int = 640) -> bytes:
    """The original picture `index` uncut, its longest side at most `longest` pixels: JPEG, or a crisp PNG."""
    try:
        return _whole(str(dataset.folder), dataset.content_hash, index, longest, dataset)
    except Refusal:  # as in thumbnail()
        return grey()


def received_picture(dataset: Dataset, index: int, image_size: int, fit: str, side: int = 512) -> bytes:
    """What the network receives of picture `index`, its pixels enlarged without smoothing to about `side`: PNG."""
    return _received(str(dataset.folder), dataset.content_hash, index, image_size, fit, side, dataset)


@st.cache_data(max_entries=4, show_spinner=False)
def drawn_pictures(name: str, most: int, size: int = 160) -> list[bytes]:
    """A few pictures of a sample, drawn now, the classes in turn: JPEG."""
    sample = SAMPLES[name]
    styles = list(sample.counts)
    pictures = [sample.draw(styles[place % len(styles)], Random(f"{name} {place}")) for place in range(most)]
    return [_encode(ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC), "JPEG") for picture in pictures]


def uncut(content: bytes, longest: int) -> bytes:
    """A picture file, its longest side at most `longest` pixels: JPEG, or a crisp PNG where it is tiny. Raises
    Refusal."""
    picture = show_picture(content, longest)
    if max(picture.size) * 2 <= longest:
        return _encode(_enlarged(picture, longest), "PNG")
    picture.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    return _encode(picture, "JPEG")


def received_pixels(dataset: Dataset, indices: Iterable[int], preprocess: Preprocess) -> np.ndarray:
    """uint8 (N, 3, S, S): the pictures as a network receives them."""
    shown = (np.asarray(show_received(dataset.original(index), preprocess)) for index in indices)
    return np.stack([pixels.transpose(2, 0, 1) for pixels in shown])


def grey() -> bytes:
    """PNG: in the place of a picture that cannot be shown."""
    return pixels_to_png(np.full((3, 1, 1), 128, np.uint8))


def pixels_to_png(pixels: np.ndarray, side: int = 256) -> bytes:
    """uint8 (3, S, S) as a PNG whose pixels are enlarged without smoothing to at least `side`."""
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return _encode(_enlarged(picture, side), "PNG")


def _dataset_stamps() -> Stamps:
    """Of each dataset: its folder's, and those of the files without which it is not listed."""
    root, stamps = datasets_root(), []
    for path in (path for pattern in ("*/", *(f"*/{name}" for name in DATASET_FILES)) for path in root.glob(pattern)):
        if not path.relative_to(root).parts[0].startswith("."):
            stamps.append((str(path.relative_to(root)), stamp_of(path)))
    return tuple(sorted(stamps))


@st.cache_resource(show_spinner=False)
def prepare_server() -> None:
    """Once a server, when its first page is opened."""
    allow_more_files()
    make_home()
    limit_uploads()
    ask_who(person)


@st.cache_data(max_entries=4, show_spinner=False)
def _storage_warning(home: str, clock: int) -> str:
    return home_trouble()


@st.cache_resource(max_entries=4, show_spinner=False)
def _datasets(home: str, stamps: Stamps) -> tuple[list[Dataset], list[str]]:
    return scan_datasets()


@st.cache_data(max_entries=10, show_spinner=False, ttl=30)
def _scores(path: str, stamp: int, states: tuple[tuple[str, str], ...], _notebook: Notebook) -> list[Score]:
    return score_guesses(_notebook.guesses)


@st.cache_data(max_entries=4, show_spinner=False)
def _other_damage(home: str, clock: int) -> list[str]:
    return [*scan_presets()[1], *scan_sweeps()[1], *scan_specs()[1]]


@st.cache_resource(max_entries=6, show_spinner=False)
def _store(home: str, stamps: Stamps, data: str) -> TensorStore:
    return load_store(DataConfig.model_validate_json(data))


@st.cache_resource(max_entries=8, show_spinner=False)
def _parts(identity: str, data: str, duplicates: int, _dataset: Dataset) -> dict[str, np.ndarray]:
    return split_dataset(_dataset, DataConfig.model_validate_json(data))


@st.cache_resource(max_entries=8, show_spinner=False)
def _run_index(root: str) -> RunIndex:
    return RunIndex(Path(root))


@st.cache_resource(max_entries=100, show_spinner=False)
def _history_reader(folder: str) -> MetricHistoryReader:
    return MetricHistoryReader(Path(folder))


@st.cache_resource(max_entries=4, show_spinner=False)
def _stored_scores(root: str) -> dict[tuple[str, str], tuple[int, int]]:
    """(run id, time of its end) -> its score. A plain dict: asking Streamlit's cache a thousand times takes 0.3 s."""
    return {}


def _stored_score(run: Run) -> tuple[int, int]:
    """Counted from the stored predictions, for a run that is older than the score in its state."""
    known, key = _stored_scores(str(runs_root())), (run.id, run.state.updated)
    if key not in known:
        try:
            test = run.evaluation("test")
        except UserMistake:
            test = None
        known[key] = (int(test.correct.sum()), test.n) if test else (0, 0)
    return known[key]


@st.cache_data(max_entries=5000, show_spinner=False)
def _thumbnail(folder: str, content_hash: str, index: int, size: int, _dataset: Dataset) -> bytes:
    picture = show_picture(_dataset.original(index), size)
    if max(picture.size) * 2 <= size:
        return _encode(_enlarged(ImageOps.fit(picture, (min(picture.size),) * 2), size), "PNG")
    return _encode(ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC), "JPEG")


@st.cache_data(max_entries=200, show_spinner=False)
def _whole(folder: str, content_hash: str, index: int, longest: int, _dataset: Dataset) -> bytes:
    return uncut(_dataset.original(index), longest)


@st.cache_data(max_entries=500, show_spinner=False)
def _received(
    folder: str, content_hash: str, index: int, image_size: int, fit: str, side: int, _dataset: Dataset
) -> bytes:
    preprocess = Preprocess.model_validate({"image_size": image_size, "fit": fit})
    return pixels_to_png(received_pixels(_dataset, (index,), preprocess)[0], side)


def _enlarged(picture: Image.Image, side: int) -> Image.Image:
    """Each pixel becomes a block of whole pixels, so that edges stay sharp."""
    factor = max(1, side // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _encode(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return buffer.getvalue()
