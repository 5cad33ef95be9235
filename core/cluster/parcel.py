"""What a run needs on a machine that has nothing of this home: its own files, its dataset without originals, its store.

Whatever has a content hash for a name is kept on the machine and brought once; the rest comes with each run.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from core.data.datasets.dataset import find_dataset
from core.data.storage import store_folder
from core.data.store.store import store_fingerprint
from core.data.versions.versions import earlier_versions
from core.disk import read_json, write_json
from core.errors import UserMistake
from core.runs.run import Run
from core.settings import atelier_home, weights_root

PIECE_BYTES = 32 * 2**20  # of a large file, at a time
# what the next attempt reads; who works in the folder, and the wish to stop, are each machine's own
RUN_FILES = ("config.json", "state.json", "rows.jsonl", "manifest.json", "environment.json", "marks.json")
RUN_PATTERNS = ("model*.json", "model*.safetensors", "checkpoint/*.json", "checkpoint/*.safetensors")
DATASET_FILES = ("dataset.json", "index.npy", "names.jsonl", "duplicates.npz")


@dataclass(frozen=True)
class Part:
    """One file of a parcel, by its path below atelier_home()."""

    path: str
    size: int
    kept: bool  # on the machine, for every later run


def pack(run: Run) -> list[Part]:
    """The files of a run and of all that it learns from. Its store has been made before."""
    dataset = find_dataset(run.config.data.dataset)
    store = store_folder(store_fingerprint(dataset, run.config.data))
    files = [(store / name, True) for name in ("store.json", "images.npy")]
    for one in (dataset, *earlier_versions(dataset)):
        files += [(one.folder / name, False) for name in DATASET_FILES]
    files += [(path, True) for path in _backbone_files(run)]
    files += [(run.folder / name, False) for name in RUN_FILES]
    files += [(path, False) for pattern in RUN_PATTERNS for path in run.folder.glob(pattern)]
    home = atelier_home()
    return [
        Part(path.relative_to(home).as_posix(), path.stat().st_size, kept) for path, kept in files if path.is_file()
    ]


def _backbone_files(run: Run) -> list[Path]:
    """The pretrained weights that a run without a checkpoint begins with; its own files hold them afterwards."""
    name = run.config.model.backbone if run.config.model.name in ("pretrained", "transfer") else ""
    return [path for path in weights_root().glob(f"{name}*") if path.is_file()] if name else []


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

    def __init__(self, run_id: str, threads: int) -> None:
        self.run_id, self.threads = run_id, threads
        shutil.rmtree(self.folder, ignore_errors=True)  # what an earlier attempt here has left

    @property
    def folder(self) -> Path:
        return atelier_home() / "runs" / self.run_id

    def missing(self, parts: list[Part]) -> list[Part]:
        """Those that have to be brought: all but what is kept here already."""
        return [part for part in parts if not (part.kept and self._has(part))]

    def write(self, part: Part, content: Iterator[bytes]) -> None:
        """Write one file: there as a whole, or not at all; two runs may bring the same one at once."""
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
        finally:
            draft.unlink(missing_ok=True)

    def settle(self, parts: list[Part]) -> None:
        """Once all is here: the originals stay at home, and the run takes its share of the processors."""
        for part in parts:
            folder = self._place(part).parent
            if part.path.endswith("/dataset.json"):
                (folder / "pictures.pack").touch()  # nothing reads it: the store is here
        path = self.folder / "config.json"
        document = read_json(path)
        write_json(path, document | {"threads": document.get("threads") or self.threads})

    def _has(self, part: Part) -> bool:
        try:
            return self._place(part).stat().st_size == part.size
        except OSError:
            return False

    def _place(self, part: Part) -> Path:
        place = (atelier_home() / part.path).resolve()
        if not place.is_relative_to(atelier_home().resolve()):
            raise UserMistake(f"A file of run {self.run_id} would lie outside of the home of this machine.")
        return place


def forget(run_id: str) -> None:
    """Remove what a run has left on a machine; datasets, stores and weights stay for the next one."""
    shutil.rmtree(atelier_home() / "runs" / run_id, ignore_errors=True)
