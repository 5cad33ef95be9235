"""Dataset: an imported set of pictures; how one is listed, found, opened and deleted."""

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from core.data.datasets.document import DatasetDocument, check_files, read_index
from core.data.datasets.names import Names
from core.data.pictures.decode_pool import CHUNK_PICTURES, Task
from core.data.pictures.packs import Packs
from core.data.sources.names import clean_name
from core.data.storage import STAGING, remove_stores, root_lock
from core.disk import disk_trouble, sync_folder
from core.documents import Unreadable, read_document
from core.errors import UserMistake
from core.people import Person, must_be_own
from core.settings import atelier_home, datasets_root
from core.typed import visible


@dataclass(frozen=True)
class Refused:
    name: str
    reason: str  # in words that stand after the name: "is empty"


@dataclass(frozen=True)
class Change:
    """What a version changed about one picture, and why."""

    place: int  # byte offset of its original in the packs: identifies it in all versions
    name: str
    was: str  # the class that it came with
    now: str | None  # the class from then on; None: it is left out
    why: str  # e.g. "by hand", "label issue", "duplicate"
    version: int  # in which it last changed


@dataclass(frozen=True)
class Dataset:
    """A version of a set of pictures on the disk: given = used + refused + excluded, system files not counted.

    The import is the first version; a later version refers to the originals of the one that it was made from.
    """

    id: str
    name: str
    classes: tuple[str, ...]
    source: str  # "cifar10" | "zip" | "folder" | "samples"
    drawn: bool  # drawn by this program
    created: str  # ISO 8601, UTC
    given: int
    used: int
    refused: tuple[Refused, ...]
    ignored: int  # system files such as .DS_Store, not counted in given
    content_hash: str
    notes: tuple[str, ...]
    folder: Path
    version: int = 1
    parent: str = ""  # id of the version that it was made from
    first: str = ""  # id of the first version, "" where this is it
    packs: tuple[Path, ...] = ()  # the originals: pictures.pack of the first version and of each that added some
    changes: tuple[Change, ...] = ()  # every difference from the import, one a picture
    added: int = 0  # pictures that this version added
    taught: bool = False  # those are what somebody has taught a network in Try-It: they all train
    undone: bool = False  # hidden, and kept for the runs that were trained on it
    owner: Person | None = None  # whose it is; None: the owner of the store

    @property
    def family(self) -> str:
        """The id of the first version, which all versions of these pictures share."""
        return self.first or self.id

    @property
    def excluded(self) -> list[Change]:
        """The readable pictures that this version leaves out."""
        return [change for change in self.changes if change.now is None]

    @cached_property
    def labels(self) -> np.ndarray:
        """int64 (used,): index into classes."""
        return self.records["label"].astype(np.int64)

    @cached_property
    def given_parts(self) -> np.ndarray:
        """int8 (used,): the part in the source: -1 none, 0 train, 1 val, 2 test."""
        return self.records["part"].astype(np.int8)

    @cached_property
    def names(self) -> "Names":
        """The name of each picture as it was given; read from the disk on first access."""
        return Names(self.folder / "names.jsonl", self.used)

    @property
    def class_counts(self) -> dict[str, int]:
        """Used pictures of each class, all parts together."""
        return dict(zip(self.classes, np.bincount(self.labels, minlength=len(self.classes)).tolist(), strict=True))

    def original(self, i: int) -> bytes:
        """The file of picture `i` as it was given. Raises UserMistake where the disk has changed it."""
        with self.open_packs() as pack:
            return self._read_original(pack, i)

    def originals(self) -> Iterator[bytes]:
        """The file of each picture in turn, one held at a time. Raises as original()."""
        with self.open_packs() as pack:
            for i in range(self.used):
                yield self._read_original(pack, i)

    def _read_original(self, pack: Packs, i: int) -> bytes:
        record = self.records[i]
        pack.seek(int(record["offset"]))
        content = pack.read(int(record["length"]))
        if hashlib.sha256(content).digest() != record["sha256"].tobytes():
            raise UserMistake(f"{self.names[i]!r} of {self.name!r} is damaged on the disk; import the pictures again")
        return content

    def open_packs(self) -> Packs:
        """The packs with the originals, to be read at `places`. UserMistake where they are gone."""
        try:
            return Packs(self.packs)
        except FileNotFoundError as error:
            raise UserMistake(_damaged(self.folder, self.name, "its originals are gone")) from error

    def tasks(self, rows: np.ndarray | None = None) -> Iterator[list[Task]]:
        """Every picture, or those at `rows`, in chunks for decode()."""
        rows = np.arange(self.used) if rows is None else rows
        for first in range(0, len(rows), CHUNK_PICTURES):
            chosen = rows[first : first + CHUNK_PICTURES]
            piece = self.records[chosen]
            places = zip(chosen.tolist(), piece["offset"].tolist(), piece["length"].tolist(), strict=True)
            yield [Task(row, offset, length) for row, offset, length in places]

    @property
    def digests(self) -> np.ndarray:
        """uint8 (used, 32): the SHA-256 of each original."""
        return np.frombuffer(self.records["sha256"].tobytes(), np.uint8).reshape(-1, 32)

    @property
    def places(self) -> np.ndarray:
        """int64 (used, 2): byte offset of each original in the packs, and its length in bytes."""
        return np.stack([self.records["offset"], self.records["length"]], axis=1)

    @cached_property
    def records(self) -> np.ndarray:
        """index.npy, memory-mapped: RECORD (used,) of document.py. UserMistake where it is damaged."""
        try:
            return read_index(self.folder, self.used, len(self.classes))
        except Unreadable as error:
            raise UserMistake(_damaged(self.folder, self.name, error)) from error


def list_datasets() -> list[Dataset]:
    """Every readable dataset, oldest first."""
    return scan_datasets()[0]


def scan_datasets() -> tuple[list[Dataset], list[str]]:
    """Every readable dataset, oldest first, and a sentence about each that is damaged. UserMistake where the folder of
    all of them cannot be read."""
    found, damage = [], []
    for folder in _folders():
        try:
            found.append(open_dataset(folder / "dataset.json"))
        except UserMistake as mistake:
            if folder.exists():  # else it was deleted in the meantime
                damage.append(str(mistake))
    return sorted(found, key=lambda dataset: (dataset.created, dataset.id)), damage


def _folders() -> list[Path]:
    root = datasets_root()
    try:
        return sorted(path for path in root.iterdir() if re.fullmatch("[0-9a-f]{16}", path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserMistake(
            f"The datasets in {root} cannot be read ({error.strerror}). Give Atelier the right to."
        ) from error


def find_dataset(name: str) -> Dataset:
    """The dataset of that name; an unknown one raises UserMistake with the known ones.

    Invisible characters are forgiven, as far as no other dataset's name differs in them alone.
    """
    wanted = clean_name(name).strip()
    every, damage = scan_datasets()
    for dataset in every:
        if dataset.name == wanted:
            return dataset
    alike = [dataset for dataset in every if visible(dataset.name) == visible(name)]
    if len(alike) == 1:
        return alike[0]
    known = f"known: {', '.join(dataset.name for dataset in every)}" if every else "nothing has been imported yet"
    if damage and not every:
        known = "none can be read"
    raise UserMistake(" ".join([f"unknown dataset {name!r}; {known}", *damage[:1]]))


def made_from(dataset: Dataset, every: Iterable[Dataset]) -> list[Dataset]:
    """The versions that need this one: made from it, or from a version that was; in order of their number."""
    ids = {dataset.id}
    later = sorted((other for other in every if other.family == dataset.family), key=lambda other: other.version)
    for other in later:
        if other.parent in ids:
            ids.add(other.id)
    return [other for other in later if other.id in ids and other.id != dataset.id]


def delete_dataset(name: str, versions: bool = False) -> None:
    """Remove a dataset, the stores made of it and its exported zip; stores that another dataset shares stay.

    versions: also the versions that were made from it. Without that they are a reason to refuse (UserMistake), because
    their originals lie in it.
    """
    gone, hashes = [], set[str]()
    with root_lock():
        dataset = find_dataset(name)
        later = made_from(dataset, list_datasets())
        if later and not versions:
            names = ", ".join(repr(other.name) for other in later)
            raise UserMistake(f"{dataset.name!r} was not deleted: {names} was made from it; delete that too, or first")
        for one in (dataset, *later):
            must_be_own(one.owner, repr(one.name))
        for one in [*reversed(later), dataset]:  # cut short, no version is left without what it was made from
            gone.append(datasets_root() / f"{STAGING}{secrets.token_hex(8)}")
            one.folder.replace(gone[-1])  # hidden in one step, however long removing takes
            hashes.add(one.content_hash)
        sync_folder(datasets_root())
    for away in gone:
        shutil.rmtree(away, ignore_errors=True)
    hashes -= {other.content_hash for other in list_datasets()}
    remove_stores(hashes.__contains__)
    for one in (dataset, *later):
        for packed in export_path(one).parent.glob(f"{one.id}*.zip"):
            with suppress(OSError):
                packed.unlink()


def export_path(dataset: Dataset, layout: str = "folders") -> Path:
    """Where a page writes the exported zip of a dataset. layout: one of LAYOUTS of core/data/versions/export.py."""
    return atelier_home() / "exports" / f"{dataset.id}{'' if layout == 'folders' else f'-{layout}'}.zip"


def read_dataset(identity: str) -> Dataset:
    """The dataset of that id. Raises UserMistake where it is gone or damaged."""
    folder = datasets_root() / identity
    if not folder.exists():
        raise UserMistake("the version that these pictures were made from is gone; import them again")
    return open_dataset(folder / "dataset.json")


def open_dataset(path: Path) -> Dataset:
    """The dataset of a dataset.json. UserMistake where it, or a file beside it, is damaged or of a newer version."""
    folder, name = path.parent, ""
    try:
        document = read_document(path, DatasetDocument)
        name = document.name
        dataset = _from_document(document, folder)
        if dataset.id != folder.name:
            raise Unreadable("dataset.json is of another dataset")
        check_files(folder, dataset.used, dataset.packs)
        return dataset
    except FileNotFoundError as error:
        raise UserMistake(_damaged(folder, name, "dataset.json is missing")) from error
    except Unreadable as error:
        raise UserMistake(_damaged(folder, name, error)) from error


def _from_document(document: DatasetDocument, folder: Path) -> Dataset:
    fields = document.model_dump(exclude={"refused", "changes", "packs", "owner"})
    return Dataset(
        **fields,
        refused=tuple(Refused(one.name, one.reason) for one in document.refused),
        changes=tuple(Change(*entry) for entry in document.changes),
        packs=tuple(folder.parent / owner / "pictures.pack" for owner in document.packs or (document.id,)),
        folder=folder,
        owner=document.owner,
    )


def _damaged(folder: Path, name: str, reason: object) -> str:
    known = f"Dataset {name!r}" if name else "A dataset"
    return f"{known} in datasets/{folder.name} cannot be used: {reason}. Import its pictures again."


@contextmanager
def disk_troubles() -> Iterator[None]:
    """Turn the OSError of a full or read-only disk into a UserMistake."""
    try:
        yield
    except OSError as error:
        mistake = disk_trouble(error, atelier_home(), "Nothing was kept. Free some space and try again.")
        if mistake is None:
            raise
        raise mistake from error
