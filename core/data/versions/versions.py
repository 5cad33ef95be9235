"""Versions: a dataset with pictures left out, relabelled or added. The dataset that it was made from stays as it was.

A version is a dataset of its own, with a name of its own ("artworks v2"), so that a run keeps the one that it saw.
It has its own index, names and import log, refers to the originals of earlier versions, and stores what it adds.
"""

import hashlib
import io
import secrets
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.config import DataConfig
from core.data.datasets.dataset import (
    Change,
    Dataset,
    delete_dataset,
    disk_troubles,
    list_datasets,
    made_from,
    read_dataset,
)
from core.data.datasets.names import Names
from core.data.datasets.sizes import keep_sizes
from core.data.duplicates.duplicates import read_duplicates, store_duplicates
from core.data.imports.class_mapping import check_classes
from core.data.imports.staging import DuplicateTracker, hashed_picture, name_line
from core.data.sources.names import class_order, clean_name
from core.data.splits import PARTS, split_indices
from core.data.storage import root_lock, staging
from core.disk import read_json, sync_folder, write_atomic, write_json
from core.errors import UserMistake
from core.people import must_be_own, owner_document
from core.progress import Progress
from core.settings import datasets_root, load_limits

UNCHANGED = "nothing was changed"
# marks of notes on an import that may not hold for a version, or are written for it again
OUTDATED_NOTES = (
    "identical picture(s) are in more than one",
    "a val folder and no test",
    "The same pictures are here as",
)


@dataclass(frozen=True)
class Edit:
    """A new label for one picture, or that it is left out."""

    label: int | None  # index into the dataset's classes; None: it is left out
    why: str = "by hand"


# ----------------------------------------------------------------------------------------- reading versions


def versions_of(dataset: Dataset, every: Iterable[Dataset]) -> list[Dataset]:
    """All versions of these pictures, ordered by number."""
    return sorted((one for one in every if one.family == dataset.family), key=lambda one: one.version)


def newest_version(dataset: Dataset, every: Iterable[Dataset]) -> Dataset:
    """The newest version that was not undone."""
    return max(
        (one for one in versions_of(dataset, every) if not one.undone), key=lambda one: one.version, default=dataset
    )


def newest_versions(every: Sequence[Dataset]) -> list[Dataset]:
    """Each set of pictures once, in its newest version, in the order given."""
    return [one for one in every if newest_version(one, every).id == one.id]


def earlier_versions(dataset: Dataset) -> Iterator[Dataset]:
    """The version that it was made from, and so on back to the first."""
    while dataset.parent:
        dataset = read_dataset(dataset.parent)
        yield dataset


def rows_in(earlier: Dataset, dataset: Dataset) -> np.ndarray:
    """int64 (used,): the row in `earlier` of each picture of `dataset`; -1 for a picture that is not in it."""
    return _rows(earlier.places[:, 0], dataset.places[:, 0])


def _rows(there: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    order = np.argsort(there, kind="stable")
    at = np.searchsorted(there[order], wanted).clip(max=len(there) - 1)
    rows = order[at]
    return np.where(there[rows] == wanted, rows, -1).astype(np.int64)


def drawn_before(dataset: Dataset, data: DataConfig, groups: np.ndarray | None = None) -> np.ndarray | None:
    """int8 (used,): the part into which the split of the previous version draws each picture; -1 for a new one, and 0,
    training, for one that was taught.

    None where everything is drawn again: in the first version, and where the given parts are others.
    groups: int64 (used,), as for split_indices; the previous version is split by them too, and not by duplicates found
    in it, so that the split of a run stays the same whatever is searched later.
    """
    if not dataset.parent or data.split != "stratified":
        return None
    parent = read_dataset(dataset.parent)
    if _given(parent) != _given(dataset):
        return None
    rows = rows_in(parent, dataset)
    if groups is not None:
        groups = _groups_in(parent, rows, groups)
    parts = split_indices(parent.labels, parent.given_parts, data, groups, drawn_before(parent, data, groups))
    place = np.full(parent.used + 1, -1, np.int8)  # row -1: pictures that the parent does not have
    for at, part in enumerate(PARTS):
        place[parts[part]] = at
    found = place[rows]
    if dataset.taught:  # what it was shown in Try-It is learnt: never a test of what was learnt
        found[rows < 0] = 0
    return found


def _groups_in(parent: Dataset, rows: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """int64 (parent.used,): groups of the pictures at these rows of the parent; all others are alone."""
    there = np.flatnonzero(rows >= 0)
    lowest = np.full(groups.max(initial=0) + 1, parent.used, np.int64)
    np.minimum.at(lowest, groups[there], rows[there])
    found = np.arange(parent.used, dtype=np.int64)
    found[rows[there]] = lowest[groups[there]]
    return found


def _given(dataset: Dataset) -> set[int]:
    return set(np.unique(dataset.given_parts).tolist()) & {1, 2}


def describe_changes(changes: Mapping[str, int]) -> str:
    """E.g. "12 pictures relabelled, 3 left out"; changes: "relabelled", "left out", "added" -> pictures."""
    phrases: list[str] = []
    for change, count in changes.items():
        if count:
            phrases.append(f"{count:,} {'' if phrases else 'picture ' if count == 1 else 'pictures '}{change}")
    return ", ".join(phrases)


def own_changes(dataset: Dataset) -> dict[str, int]:
    """Changes of this version to the one that it was made from: "relabelled", "left out", "added" -> pictures."""
    mine = [change for change in dataset.changes if change.version == dataset.version]
    out = sum(change.now is None for change in mine)
    return {"relabelled": len(mine) - out, "left out": out, "added": dataset.added}


def describe_version(dataset: Dataset) -> str:
    """What a version changed, in words; one that changed nothing itself has taken earlier changes back."""
    return describe_changes(own_changes(dataset)) or ("earlier changes taken back" if dataset.parent else "as imported")


def own_reasons(dataset: Dataset) -> dict[str, int]:
    """Reason of a change in this version -> pictures, the most frequent first."""
    reasons = Counter(change.why for change in dataset.changes if change.version == dataset.version)
    return dict(reasons.most_common())


def find_picture(dataset: Dataset, wanted: str) -> int:
    """The row of the picture of that name, or of the only one whose path ends with it.

    UserMistake where none or several do.
    """
    name = clean_name(wanted).replace("\\", "/")
    rows = dataset.names.containing(name).tolist() if name else []
    exact = [row for row in rows if dataset.names[row] == name]
    found = exact or [row for row in rows if dataset.names[row].endswith("/" + name)]
    if not found:
        raise UserMistake(f"{dataset.name!r} has no picture called {wanted!r}; {UNCHANGED}")
    if len(found) > 1:
        example = f"; e.g. {dataset.names[found[0]]!r}" if not exact else ""
        raise UserMistake(
            f"{len(found):,} pictures of {dataset.name!r} are called {wanted!r}{example}; give more of the name, or "
            f"pick it on the Data page; {UNCHANGED}"
        )
    return found[0]


# ------------------------------------------------------------------------------------------ making a version


def make_version(dataset: Dataset, edits: Mapping[int, Edit]) -> Iterator[Progress]:
    """Make a new version of `dataset` with edits, row -> Edit; the last Progress has the new version.

    Closing the generator leaves nothing behind. UserMistake where nothing would change or nothing could be trained.
    """
    labels = dataset.labels.copy()
    changes = {change.place: change for change in dataset.changes}
    places, changed = dataset.places[:, 0], 0
    for row, edit in sorted(edits.items()):
        assert 0 <= row < dataset.used, (row, dataset.used)
        if edit.label == labels[row]:
            continue
        changed += 1
        place, here = int(places[row]), dataset.classes[labels[row]]
        was = changes[place].was if place in changes else here
        now = None if edit.label is None else dataset.classes[edit.label]
        labels[row] = -1 if edit.label is None else edit.label
        changes[place] = Change(place, dataset.names[row], was, now, edit.why, 0)
        if now == was:
            del changes[place]  # it has its first label again
    if not changed:
        raise UserMistake(f"every picture has the label that was asked for already; {UNCHANGED}")
    with disk_troubles(), staging(datasets_root()) as folder:
        yield Progress("saving", 0, dataset.used, None)
        kept = np.flatnonzero(labels >= 0)
        pictures = VersionPictures(list(dataset.names), dataset.records.copy(), list(dataset.classes))
        pictures.index["label"] = labels
        made = yield from write_version(folder, dataset, pictures.at(kept), {"changes": list(changes.values())})
    yield Progress("done", made.used, made.used, 0.0, made)


@dataclass(frozen=True)
class VersionPictures:
    """The pictures of a new version, in any order."""

    names: list[str]
    index: np.ndarray  # RECORD (N,), labels into classes
    classes: list[str]

    @classmethod
    def read(cls, folder: Path, classes: list[str]) -> "VersionPictures":
        index = np.load(folder / "index.npy", allow_pickle=False)
        return cls(list(Names(folder / "names.jsonl", len(index))), index, classes)

    def at(self, rows: np.ndarray) -> "VersionPictures":
        return VersionPictures([self.names[row] for row in rows], self.index[rows], self.classes)

    def with_others(self, others: "VersionPictures") -> "VersionPictures":
        classes = [*self.classes, *(name for name in others.classes if name not in self.classes)]
        index = others.index.copy()
        index["label"] = np.array([classes.index(name) for name in others.classes], np.int32)[index["label"]]
        return VersionPictures([*self.names, *others.names], np.concatenate([self.index, index]), classes)

    def in_order(self) -> "VersionPictures":
        """Sorted like a dataset: by part, class and name; classes without pictures are dropped."""
        left = sorted((self.classes[label] for label in np.unique(self.index["label"])), key=class_order)
        rank = {name: label for label, name in enumerate(left)}
        labels = np.array([rank.get(name, -1) for name in self.classes], np.int32)[self.index["label"]]
        keys = zip(self.index["part"].tolist(), labels.tolist(), self.names, range(len(self.names)), strict=True)
        rows = np.array([row for *_, row in sorted(keys)], np.int64)
        index = self.index[rows].copy()
        index["label"] = labels[rows]
        return VersionPictures([self.names[row] for row in rows], index, left)

    def counts(self) -> dict[str, Counter[int]]:
        """Class -> part -> pictures."""
        counts: dict[str, Counter[int]] = {name: Counter() for name in self.classes}
        for label, part in zip(self.index["label"].tolist(), self.index["part"].tolist(), strict=True):
            counts[self.classes[label]][part] += 1
        return counts

    def content_hash(self) -> str:
        """The content hash that an import of these pictures would have."""
        digest = hashlib.sha256()
        columns = (self.index[field].tolist() for field in ("label", "part", "sha256"))
        for name, label, part, sha256 in zip(self.names, *columns, strict=True):
            digest.update(hashed_picture(name, self.classes[label], part, sha256))
        return digest.hexdigest()


def write_version(
    folder: Path, parent: Dataset, pictures: VersionPictures, fields: dict[str, Any]
) -> Generator[Progress, None, Dataset]:
    """Write the version into the staging `folder` and move it to its place; fields: changed ones of dataset.json.
    UserMistake where nothing could be trained, or another version has exactly these pictures."""
    pictures = pictures.in_order()
    check_classes(pictures.counts(), load_limits(), UNCHANGED)
    content_hash = pictures.content_hash()
    yield Progress("saving", len(pictures.names), len(pictures.names), None)
    _write_pictures(folder, parent, pictures, content_hash)
    with root_lock():
        every = list_datasets()
        _must_be_new(parent, content_hash, every)
        document = _document(parent, pictures, content_hash, next_name(parent, every), fields)
        own = [document["id"]] if (folder / "pictures.pack").exists() else []
        document["packs"] = [pack.parent.name for pack in parent.packs] + own
        write_json(folder / "dataset.json", document)
        folder.replace(datasets_root() / document["id"])
        sync_folder(datasets_root())
    made = read_dataset(document["id"])
    assert made.given == made.used + len(made.refused) + len(made.excluded), (made.given, made.used)
    return made


def _write_pictures(folder: Path, parent: Dataset, pictures: VersionPictures, content_hash: str) -> None:
    """Write index and names, and what is known of the parent's pictures: sizes and duplicates."""
    buffer = io.BytesIO()
    np.save(buffer, pictures.index)
    write_atomic(folder / "index.npy", buffer.getvalue())
    write_atomic(folder / "names.jsonl", b"".join(map(name_line, pictures.names)))
    rows = _rows(parent.places[:, 0], pictures.index["offset"])
    keep_sizes(folder, parent, rows, content_hash)
    if (rows >= 0).all() and (found := read_duplicates(parent)) is not None:
        store_duplicates(folder, found, rows, content_hash)


def _must_be_new(parent: Dataset, content_hash: str, every: Sequence[Dataset]) -> None:
    """UserMistake where the parent is gone, or another of its versions has exactly these pictures."""
    if parent.id not in {one.id for one in every}:
        raise UserMistake(f"{parent.name!r} was deleted in the meantime; {UNCHANGED}")
    for one in versions_of(parent, every):
        if one.content_hash == content_hash:
            undone = ", which was undone and can be brought back" if one.undone else ""
            raise UserMistake(f"these are exactly the pictures of {one.name!r}{undone}; {UNCHANGED}")


def _document(
    parent: Dataset, pictures: VersionPictures, content_hash: str, numbered: tuple[int, str], fields: dict[str, Any]
) -> dict[str, Any]:
    """dataset.json of a version, without its packs; numbered: its number and name."""
    number, name = numbered
    duplicates = DuplicateTracker()
    duplicates.add(pictures.index)
    notes = [note for note in parent.notes if not any(mark in note for mark in OUTDATED_NOTES)]
    changes = fields.get("changes", parent.changes)
    return {
        "schema_version": 1,
        "id": secrets.token_hex(8),
        "name": name,
        "classes": pictures.classes,
        "source": parent.source,
        "drawn": fields.get("drawn", parent.drawn),
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "given": fields.get("given", parent.given),
        "used": len(pictures.names),
        "refused": [{"name": one.name, "reason": one.reason} for one in fields.get("refused", parent.refused)],
        "ignored": fields.get("ignored", parent.ignored),
        "content_hash": content_hash,
        "notes": notes + duplicates.notes(),
        "version": number,
        "parent": parent.id,
        "first": parent.family,
        "changes": [astuple(replace(change, version=change.version or number)) for change in changes],
        "added": fields.get("added", 0),
        "taught": fields.get("taught", False),
        "owner": owner_document(),
    }


def next_name(parent: Dataset, every: Sequence[Dataset]) -> tuple[int, str]:
    """(number, name) of a new version; a name that another dataset has is skipped."""
    family, names = versions_of(parent, every) or [parent], {one.name for one in every}
    number = family[-1].version + 1
    while f"{family[0].name} v{number}" in names:
        number += 1
    return number, f"{family[0].name} v{number}"


# ------------------------------------------------------------------------------------------ undoing a version


def undo_version(dataset: Dataset, keep: bool) -> None:
    """Delete a version or, with `keep`, only hide it, for the runs that were trained on it.

    UserMistake for the first version and for one that another version was made from.
    """
    if not dataset.parent:
        raise UserMistake(f"{dataset.name!r} is what was imported, there is nothing to undo; it can only be deleted")
    later = made_from(dataset, list_datasets())
    if names := ", ".join(repr(one.name) for one in later if not one.undone):
        raise UserMistake(f"{names} was made from {dataset.name!r}; undo that first; {UNCHANGED}")
    if keep or later:
        _mark(dataset, undone=True)
    else:
        delete_dataset(dataset.name)


def restore_version(dataset: Dataset) -> None:
    """Show a hidden version again."""
    _mark(dataset, undone=False)


def _mark(dataset: Dataset, undone: bool) -> None:
    must_be_own(dataset.owner, repr(dataset.name))
    with root_lock():
        path = dataset.folder / "dataset.json"
        if not path.exists():
            raise UserMistake(f"{dataset.name!r} was deleted in the meantime")
        write_json(path, read_json(path) | {"undone": undone})
