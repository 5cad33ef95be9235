"""Versions: a dataset with pictures left out, relabelled or added. What it was made from stays as it was.

A version is a dataset of its own, under a name of its own ("artworks v2"), so that a run keeps the one that it learnt
from. It has an index, names and a ledger, and refers to the originals that are there; it holds only those that it adds.
"""

import hashlib
import io
import secrets
import shutil
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.config import DataConfig
from core.data.choices import Choices, check_classes
from core.data.copies import keep_copies, read_copies
from core.data.dataset import (
    Change,
    Clock,
    Dataset,
    Names,
    Progress,
    Refused,
    delete_dataset,
    disk_troubles,
    list_datasets,
    made_from,
    read_all,
    read_dataset,
)
from core.data.draft import Draft, Twins, hashed_picture, name_line
from core.data.images import root_lock, staging
from core.data.preprocess import Preprocess
from core.data.sizes import keep_sizes
from core.data.sources import class_order, clean_name, open_source
from core.data.splits import PARTS, split_indices
from core.disk import read_json, sync_folder, write_atomic, write_json
from core.errors import UserMistake
from core.settings import datasets_root, load_limits

UNCHANGED = "nothing was changed"
# parts of notes about what an import found that are not true of a version, or are told of it anew
TOLD_ANEW = ("identical picture(s) are in more than one", "a val folder and no test", "The same pictures are here as")


@dataclass(frozen=True)
class Decision:
    """What shall become of one picture."""

    label: int | None  # index into the dataset's classes; None: it is left out
    why: str = "by hand"


# ---------------------------------------------------------------------------------------------- what is there


def versions_of(dataset: Dataset, every: Iterable[Dataset]) -> list[Dataset]:
    """All versions of these pictures, the first one first."""
    return sorted((one for one in every if one.family == dataset.family), key=lambda one: one.version)


def newest_version(dataset: Dataset, every: Iterable[Dataset]) -> Dataset:
    """The one to go on with: the newest that was not undone."""
    return max(
        (one for one in versions_of(dataset, every) if not one.undone), key=lambda one: one.version, default=dataset
    )


def newest_versions(every: Sequence[Dataset]) -> list[Dataset]:
    """Each set of pictures once, in its newest version, in the order given."""
    return [one for one in every if newest_version(one, every).id == one.id]


def earlier_versions(dataset: Dataset) -> Iterator[Dataset]:
    """What it was made from, what that was made from, and so on to the first."""
    while dataset.parent:
        dataset = read_dataset(dataset.parent)
        yield dataset


def rows_in(earlier: Dataset, dataset: Dataset) -> np.ndarray:
    """int64 (used,): the row in another version of each picture of `dataset`; -1 where that has not got it."""
    return _rows(earlier.places[:, 0], dataset.places[:, 0])


def _rows(there: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    order = np.argsort(there, kind="stable")
    at = np.searchsorted(there[order], wanted).clip(max=len(there) - 1)
    rows = order[at]
    return np.where(there[rows] == wanted, rows, -1).astype(np.int64)


def drawn_before(dataset: Dataset, data: DataConfig, groups: np.ndarray | None = None) -> np.ndarray | None:
    """int8 (used,): the part into which a split has drawn each picture of the version before, -1 where none.

    groups: int64 (used,), as for split_indices. It is they that count there too, and not what is known of copies among
    the pictures of that version: so a run is split alike for ever, whatever somebody looks for later.
    None where everything is drawn anew: in the first version, and with other given parts than there were.
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
    place = np.full(parent.used + 1, -1, np.int8)  # the last one is for what the parent does not have
    for at, part in enumerate(PARTS):
        place[parts[part]] = at
    return place[rows]


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


def told_of_changes(changes: Mapping[str, int]) -> str:
    """E.g. "12 pictures relabelled, 3 left out"; changes: "relabelled", "left out", "added" -> pictures."""
    told: list[str] = []
    for what, count in changes.items():
        if count:
            told.append(f"{count:,} {'' if told else 'picture ' if count == 1 else 'pictures '}{what}")
    return ", ".join(told)


def own_changes(dataset: Dataset) -> dict[str, int]:
    """What this version changed of the one that it was made from: "relabelled", "left out", "added" -> pictures."""
    mine = [change for change in dataset.changes if change.version == dataset.version]
    out = sum(change.now is None for change in mine)
    return {"relabelled": len(mine) - out, "left out": out, "added": dataset.added}


def told_of_version(dataset: Dataset) -> str:
    """What it changed, in words, also where that is nothing: it takes back what a version before it changed."""
    return told_of_changes(own_changes(dataset)) or ("earlier changes taken back" if dataset.parent else "as imported")


def own_reasons(dataset: Dataset) -> dict[str, int]:
    """Why -> pictures, the most frequent first."""
    reasons = Counter(change.why for change in dataset.changes if change.version == dataset.version)
    return dict(reasons.most_common())


def find_picture(dataset: Dataset, wanted: str) -> int:
    """The row of the picture of that name, or of the only one whose name ends with it.

    UserMistake where none has it, or several have.
    """
    name = clean_name(wanted).replace("\\", "/")
    rows = dataset.names.containing(name).tolist() if name else []
    exact = [row for row in rows if dataset.names[row] == name]
    found = exact or [row for row in rows if dataset.names[row].endswith("/" + name)]
    if not found:
        raise UserMistake(f"{dataset.name!r} has no picture called {wanted!r}; {UNCHANGED}")
    if len(found) > 1:
        told = f"; e.g. {dataset.names[found[0]]!r}" if not exact else ""
        raise UserMistake(
            f"{len(found):,} pictures of {dataset.name!r} are called {wanted!r}{told}; give more of the name, or pick "
            f"it on the Data page; {UNCHANGED}"
        )
    return found[0]


# --------------------------------------------------------------------------------------------- a new version


def make_version(dataset: Dataset, decisions: Mapping[int, Decision]) -> Iterator[Progress]:
    """A new version of `dataset`, with what was decided about some of its rows. The last Progress carries it.

    Closing the generator leaves nothing behind. UserMistake where nothing would change or nothing could be learnt.
    """
    labels = dataset.labels.copy()
    changes = {change.place: change for change in dataset.changes}
    places, changed = dataset.places[:, 0], 0
    for row, decision in sorted(decisions.items()):
        assert 0 <= row < dataset.used, (row, dataset.used)
        if decision.label == labels[row]:
            continue
        changed += 1
        place, here = int(places[row]), dataset.classes[labels[row]]
        was = changes[place].was if place in changes else here
        now = None if decision.label is None else dataset.classes[decision.label]
        labels[row] = -1 if decision.label is None else decision.label
        changes[place] = Change(place, dataset.names[row], was, now, decision.why, 0)
        if now == was:
            del changes[place]  # it is again what it came as
    if not changed:
        raise UserMistake(f"every picture is as it was decided already; {UNCHANGED}")
    with disk_troubles(), staging(datasets_root()) as folder:
        yield Progress("saving", 0, dataset.used, None)
        kept = np.flatnonzero(labels >= 0)
        pictures = _Pictures(list(dataset.names), dataset.records.copy(), list(dataset.classes))
        pictures.index["label"] = labels
        made = yield from _write(folder, dataset, pictures.at(kept), {"changes": list(changes.values())})
    yield Progress("done", made.used, made.used, 0.0, made)


def extend_dataset(dataset: Dataset, path: Path, choices: Choices | None = None) -> Iterator[Progress]:
    """A new version with the pictures of a zip or a folder as well, which lies as import_dataset wants it.

    Classes of a name that is there go into it. Pictures without a part of their own join training where `dataset`
    brings parts. A picture that is there already (same bytes, same class) is refused. As make_version.
    """
    limits, choices = load_limits(), choices or Choices()
    yield Progress("listing", 0, 0, None)
    with open_source(path, limits, choices.encoding) as opened, disk_troubles(), staging(datasets_root()) as folder:
        listing, clock = choices.apply(opened.listing), Clock()
        total = len(listing.entries)
        draft = Draft(folder / "new", Preprocess(), limits)
        draft.folder.mkdir()
        with closing(draft.read(read_all(opened, listing))) as reading:  # type: ignore[type-var]
            for outcomes in reading:
                draft.keep(outcomes)
                if clock.ticks():
                    yield Progress("reading", draft.answered, total, clock.seconds_left(draft.answered, total))
        if not draft.used:
            among = draft.given + len(listing.refused)
            raise UserMistake(f"no picture that can be used is among the {among:,} file(s); {UNCHANGED}")
        for _ in draft.write():
            if clock.ticks():
                yield Progress("saving", draft.answered, total, None)
        new = _Pictures.read(draft.folder, draft.classes)
        if (dataset.given_parts >= 0).any():
            new.index["part"] = np.maximum(new.index["part"], 0)
        twins = _known_already(dataset, new)
        refused = [*listing.refused, *draft.refused]
        refused += [(new.names[row], f"is in {dataset.name!r} already") for row in np.flatnonzero(twins)]
        fresh = new.at(np.flatnonzero(~twins))
        if not len(fresh.names):
            raise UserMistake(f"all {len(new.names):,} pictures are in {dataset.name!r} already; {UNCHANGED}")
        fresh.index["offset"] += sum(pack.stat().st_size for pack in dataset.packs)
        (draft.folder / "pictures.pack").replace(folder / "pictures.pack")
        shutil.rmtree(draft.folder)  # the rest is in `fresh`
        old = _Pictures(list(dataset.names), dataset.records.copy(), list(dataset.classes))
        made = yield from _write(
            folder,
            dataset,
            old.with_others(fresh),
            {
                "added": len(fresh.names),
                "given": dataset.given + draft.given + len(listing.refused),
                "refused": [*dataset.refused, *(Refused(name, why) for name, why in refused)],
                "ignored": dataset.ignored + listing.ignored,
                "drawn": False,
            },
        )
    yield Progress("done", made.used, made.used, 0.0, made)


@dataclass(frozen=True)
class _Pictures:
    """What is to be in a version, in any order."""

    names: list[str]
    index: np.ndarray  # RECORD (N,), labels into classes
    classes: list[str]

    @classmethod
    def read(cls, folder: Path, classes: list[str]) -> "_Pictures":
        index = np.load(folder / "index.npy", allow_pickle=False)
        return cls(list(Names(folder / "names.jsonl", len(index))), index, classes)

    def at(self, rows: np.ndarray) -> "_Pictures":
        return _Pictures([self.names[row] for row in rows], self.index[rows], self.classes)

    def with_others(self, others: "_Pictures") -> "_Pictures":
        classes = [*self.classes, *(name for name in others.classes if name not in self.classes)]
        index = others.index.copy()
        index["label"] = np.array([classes.index(name) for name in others.classes], np.int32)[index["label"]]
        return _Pictures([*self.names, *others.names], np.concatenate([self.index, index]), classes)

    def in_order(self) -> "_Pictures":
        """As a dataset is sorted: by part, class and name; classes that nothing is left of are gone."""
        left = sorted((self.classes[label] for label in np.unique(self.index["label"])), key=class_order)
        rank = {name: label for label, name in enumerate(left)}
        labels = np.array([rank.get(name, -1) for name in self.classes], np.int32)[self.index["label"]]
        keys = zip(self.index["part"].tolist(), labels.tolist(), self.names, range(len(self.names)), strict=True)
        rows = np.array([row for *_, row in sorted(keys)], np.int64)
        index = self.index[rows].copy()
        index["label"] = labels[rows]
        return _Pictures([self.names[row] for row in rows], index, left)

    def content_hash(self) -> str:
        """As an import of these very pictures would have it."""
        digest = hashlib.sha256()
        columns = (self.index[field].tolist() for field in ("label", "part", "sha256"))
        for name, label, part, sha256 in zip(self.names, *columns, strict=True):
            digest.update(hashed_picture(name, self.classes[label], part, sha256))
        return digest.hexdigest()


def _known_already(dataset: Dataset, new: _Pictures) -> np.ndarray:
    """bool: which pictures of `new` have bytes and class of one that is there."""
    label = {name: number for number, name in enumerate(dataset.classes)}
    there = set(zip(dataset.records["sha256"].tolist(), dataset.labels.tolist(), strict=True))
    labels = [label.get(new.classes[number], -1) for number in new.index["label"]]
    return np.array([pair in there for pair in zip(new.index["sha256"].tolist(), labels, strict=True)], bool)


def _write(
    folder: Path, parent: Dataset, pictures: _Pictures, told: dict[str, Any]
) -> Generator[Progress, None, Dataset]:
    """Write everything into the staging `folder` and move it to its place; told: what differs in dataset.json."""
    pictures, limits = pictures.in_order(), load_limits()
    counts: dict[str, Counter[int]] = {name: Counter() for name in pictures.classes}
    for label, part in zip(pictures.index["label"].tolist(), pictures.index["part"].tolist(), strict=True):
        counts[pictures.classes[label]][part] += 1
    check_classes(counts, limits, UNCHANGED)
    content_hash = pictures.content_hash()
    yield Progress("saving", len(pictures.names), len(pictures.names), None)
    buffer = io.BytesIO()
    np.save(buffer, pictures.index)
    write_atomic(folder / "index.npy", buffer.getvalue())
    write_atomic(folder / "names.jsonl", b"".join(map(name_line, pictures.names)))
    rows = _rows(parent.places[:, 0], pictures.index["offset"])
    keep_sizes(folder, parent, rows, content_hash)
    if (rows >= 0).all() and (found := read_copies(parent)) is not None:
        keep_copies(folder, found, rows, content_hash)
    twins = Twins()
    twins.add(pictures.index)
    with root_lock():
        every = list_datasets()
        if parent.id not in {one.id for one in every}:
            raise UserMistake(f"{parent.name!r} was deleted in the meantime; {UNCHANGED}")
        for one in versions_of(parent, every):
            if one.content_hash == content_hash:
                undone = ", which was undone and can be brought back" if one.undone else ""
                raise UserMistake(f"these are exactly the pictures of {one.name!r}{undone}; {UNCHANGED}")
        number, name = next_name(parent, every)
        changes = told.get("changes", parent.changes)
        document: dict[str, Any] = {
            "schema_version": 1,
            "id": secrets.token_hex(8),
            "name": name,
            "classes": pictures.classes,
            "source": parent.source,
            "drawn": told.get("drawn", parent.drawn),
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "given": told.get("given", parent.given),
            "used": len(pictures.names),
            "refused": [{"name": one.name, "reason": one.reason} for one in told.get("refused", parent.refused)],
            "ignored": told.get("ignored", parent.ignored),
            "content_hash": content_hash,
            "notes": [note for note in parent.notes if not any(mark in note for mark in TOLD_ANEW)] + twins.notes(),
            "version": number,
            "parent": parent.id,
            "first": parent.family,
            "changes": [astuple(replace(change, version=change.version or number)) for change in changes],
            "added": told.get("added", 0),
        }
        own = [str(document["id"])] if (folder / "pictures.pack").exists() else []
        document["packs"] = [pack.parent.name for pack in parent.packs] + own
        write_json(folder / "dataset.json", document)
        folder.replace(datasets_root() / document["id"])
        sync_folder(datasets_root())
    made = read_dataset(document["id"])
    assert made.given == made.used + len(made.refused) + len(made.excluded), (made.given, made.used)
    return made


def next_name(parent: Dataset, every: Sequence[Dataset]) -> tuple[int, str]:
    """The number and the name of a new version; a name that somebody gave to other pictures is passed over."""
    family, names = versions_of(parent, every) or [parent], {one.name for one in every}
    number = family[-1].version + 1
    while f"{family[0].name} v{number}" in names:
        number += 1
    return number, f"{family[0].name} v{number}"


# ------------------------------------------------------------------------------------------------------ back


def undo_version(dataset: Dataset, keep: bool) -> None:
    """Go back behind a version: it is deleted or, with `keep`, put aside for the runs that learnt from it.

    UserMistake for the first version and for one that another one was made from.
    """
    if not dataset.parent:
        raise UserMistake(f"{dataset.name!r} is what was imported, there is nothing to undo; it can only be deleted")
    later = made_from(dataset, list_datasets())
    if told := ", ".join(repr(one.name) for one in later if not one.undone):
        raise UserMistake(f"{told} was made from {dataset.name!r}; undo that first; {UNCHANGED}")
    if keep or later:
        _mark(dataset, undone=True)
    else:
        delete_dataset(dataset.name)


def restore_version(dataset: Dataset) -> None:
    """Bring back a version that was undone and is still there."""
    _mark(dataset, undone=False)


def _mark(dataset: Dataset, undone: bool) -> None:
    with root_lock():
        path = dataset.folder / "dataset.json"
        if not path.exists():
            raise UserMistake(f"{dataset.name!r} was deleted in the meantime")
        write_json(path, read_json(path) | {"undone": undone})
