"""What a run needs on a machine that has nothing of this home: its own files, its dataset without originals, its store.

Whatever has a content hash for a name is kept on the machine and brought once; the rest comes with each run.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import Timeout

from core.config import RunConfig
from core.data.datasets.dataset import find_dataset
from core.data.storage import store_folder
from core.data.store.store import store_fingerprint
from core.data.versions.versions import earlier_versions
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.locks import process_lock
from core.runs.run import Run, open_run
from core.runs.teachers import teacher_run
from core.settings import atelier_home, runs_root, weights_root

PIECE_BYTES = 32 * 2**20  # of a large file, at a time
# what the next attempt reads; who works in the folder, and the wish to stop, are each machine's own
RUN_FILES = ("config.json", "state.json", "rows.jsonl", "manifest.json", "environment.json", "marks.json")
MODEL_PATTERNS = ("model*.json", "model*.safetensors")
RUN_PATTERNS = (*MODEL_PATTERNS, "checkpoint/*.json", "checkpoint/*.safetensors")
DATASET_FILES = ("dataset.json", "index.npy", "names.jsonl", "duplicates.npz")


@dataclass(frozen=True)
class Part:
    """One file of a parcel, by its path below atelier_home()."""

    path: str
    size: int
    kept: bool  # on the machine, for every later run


def pack(run: Run) -> list[Part]:
    """The files of a run and of all that it learns from. Its store has been made before."""
    files = [run.folder / name for name in RUN_FILES]
    files += [path for pattern in RUN_PATTERNS for path in run.folder.glob(pattern)]
    return [*pack_data(run.config), *_parts([*_teacher_files(run), *((path, False) for path in files)])]


def pack_data(config: RunConfig) -> list[Part]:
    """The files of all that a training with these settings learns from. Its store has been made before."""
    dataset = find_dataset(config.data.dataset)
    store = store_folder(store_fingerprint(dataset, config.data))
    files = [(store / name, True) for name in ("store.json", "images.npy")]
    for one in (dataset, *earlier_versions(dataset)):
        files += [(one.folder / name, False) for name in DATASET_FILES]
    return _parts([*files, *((path, True) for path in _backbone_files(config))])


def _parts(files: Iterable[tuple[Path, bool]]) -> list[Part]:
    """Those of (path, whether it is kept there) that are files."""
    home = atelier_home()
    return [
        Part(path.relative_to(home).as_posix(), path.stat().st_size, kept) for path, kept in files if path.is_file()
    ]


def _backbone_files(config: RunConfig) -> list[Path]:
    """The pretrained weights that a run without a checkpoint begins with; its own files hold them afterwards."""
    name = config.model.backbone if config.model.name in ("pretrained", "transfer") else ""
    return [path for path in weights_root().glob(f"{name}*") if path.is_file()] if name else []


def _teacher_files(run: Run) -> list[tuple[Path, bool]]:
    """The run whose answers this one learns from: its settings and models, and its store, where that is another one."""
    folder = runs_root() / teacher_run(run.config)
    if not run.config.train.teacher or not folder.is_dir():
        return []  # then its answers may be kept on the machine; if not, the run says what is missing
    files = [(folder / name, False) for name in RUN_FILES]
    files += [(path, False) for pattern in MODEL_PATTERNS for path in folder.glob(pattern)]
    theirs = open_run(folder).fingerprint
    names = ("store.json", "images.npy") if theirs != run.fingerprint else ()
    return files + [(store_folder(theirs) / name, True) for name in names]


def pieces(part: Part) -> Iterator[bytes]:
    """The content of a part, in pieces; what is no store is small, and may be written anew at any moment."""
    path = atelier_home() / part.path
    if not part.kept:
        yield path.read_bytes()
        return
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


class Unpacking:
    """A parcel as it arrives on a machine, in its own atelier_home()."""

    def __init__(self) -> None:
        atelier_home().mkdir(parents=True, exist_ok=True)
        self._turn = process_lock(atelier_home() / "parcels.lock", thread_local=False)
        self._expected: set[Part] = set()  # that are kept here, and on their way

    def missing(self, parts: list[Part]) -> list[Part] | None:
        """Those that have to be brought: all but what is kept here already. None while another process receives what
        is kept, so that nothing of it is brought twice."""
        self._turn.release(force=True)  # of a sender that did not come to its end
        self._expected = {part for part in parts if part.kept and not self._has(part)}
        if self._expected:
            try:
                self._turn.acquire(timeout=0)
            except Timeout:
                return None
            self._expected = {one for one in self._expected if not self._has(one)}
            self._settle_turn()
        return [part for part in parts if not part.kept or part in self._expected]

    def _settle_turn(self) -> None:
        if not self._expected:
            self._turn.release(force=True)

    def write(self, part: Part, content: Iterator[bytes]) -> None:
        """Write one file: there as a whole, or not at all; two trainings may bring the same one at once."""
        target = self._place(part)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{uuid4().hex}.draft")
        try:
            with draft.open("wb") as file:
                for piece in content:
                    file.write(piece)
            if part.kept and draft.stat().st_size != part.size:
                raise OSError(f"{part.path} arrived with {draft.stat().st_size:,} of {part.size:,} bytes")
            draft.replace(target)
            self._expected.discard(part)
            self._settle_turn()
        finally:
            draft.unlink(missing_ok=True)

    def settle(self, parts: list[Part]) -> None:
        """Once all is here: the originals stay at home."""
        for part in parts:
            if part.path.endswith("/dataset.json"):
                (self._place(part).parent / "pictures.pack").touch()  # nothing reads it: the store is here

    def _has(self, part: Part) -> bool:
        try:
            return self._place(part).stat().st_size == part.size
        except OSError:
            return False

    def _place(self, part: Part) -> Path:
        place = (atelier_home() / part.path).resolve()
        if not place.is_relative_to(atelier_home().resolve()):
            raise UserMistake("A file of this training would lie outside of the home of this machine.")
        return place


def take_share(folder: Path, threads: int) -> None:
    """Let the run in `folder`, which has arrived whole, take its share of the processors."""
    path = folder / "config.json"
    document = read_json(path)
    write_json(path, document | {"threads": document.get("threads") or threads})


def forget(run_id: str) -> None:
    """Remove what a run has left on a machine; datasets, stores and weights stay for the next one."""
    shutil.rmtree(atelier_home() / "runs" / run_id, ignore_errors=True)
