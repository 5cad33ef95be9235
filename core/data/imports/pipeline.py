"""Import pipeline: pictures of a zip, a folder or the program itself, read once, staged, then moved into place."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from core.data.datasets.dataset import Dataset, disk_troubles, list_datasets, open_dataset
from core.data.imports.class_mapping import ClassMapping, check_classes
from core.data.imports.staging import Given, ImportStaging
from core.data.pictures.picture import Refusal
from core.data.pictures.preprocess import Preprocess
from core.data.sources.listing import Entry, Listing, Source
from core.data.sources.names import clean_name
from core.data.sources.open import open_source
from core.data.splits import NO_PART, PARTS
from core.data.storage import fingerprint_of, place_store, root_lock, staging
from core.disk import sync_folder, write_json
from core.errors import UserMistake
from core.people import owner_document
from core.progress import Clock, Progress
from core.settings import Limits, datasets_root, load_limits


def import_dataset(
    name: str, path: Path, source: str | None = None, mapping: ClassMapping | None = None, twice: bool = True
) -> Iterator[Progress]:
    """Import a zip or a folder with a folder for each class, with or without train/ and test/ (or val/) above them; or
    with the classes of a table, where `mapping` names one.

    mapping: classes to rename, merge or leave out; scan_source() of core/data/imports/preview.py previews it.

    Yields Progress about five times a second; the last one has the dataset. The default store (32 pixels, crop) is made
    on the way, so that every picture is read once. Closing the generator cancels and leaves nothing behind. Pictures
    that are there under this name are not imported again; under another name only with `twice`. Raises UserMistake.
    """
    limits, mapping = load_limits(), mapping or ClassMapping()
    yield Progress("listing", 0, 0, None)
    with open_source(path, limits, mapping.encoding, mapping.reading, mapping.labels) as opened:
        listing = mapping.apply(opened.listing)
        given = len(listing.entries) + len(listing.refused)
        _refuse_other_content(name, given)
        if not twice and (there := same_pictures(listing, opened.length)) not in ("", clean_name(name).strip()):
            raise UserMistake(f"these pictures are here already, as {there!r}; nothing was imported; --twice does it")
        yield from _intake(
            name, read_all(opened, listing), listing, source or ("folder" if path.is_dir() else "zip"), False, limits
        )


def import_pictures(
    name: str,
    entries: Iterable[tuple[str, str, int | str | None, bytes]],
    source: str,
    drawn: bool,
    total: int = 0,
) -> Iterator[Progress]:
    """Import pictures from memory, as import_dataset does: (name, class, part, bytes), in any order.

    part: None, "train", "val", "test" or their numbers 0, 1, 2. `total` is used for the progress only.
    """
    yield from _intake(name, _with_part_numbers(entries), Listing(), source, drawn, load_limits(), total)


def read_all(source: Source, listing: Listing) -> Iterator[Given]:
    """Every file of the listing, with its bytes or the reason why it is refused."""
    for entry in listing.entries:
        try:
            yield entry.name, entry.class_name, entry.part, source.read(entry)
        except Refusal as refusal:
            yield entry.name, entry.class_name, entry.part, refusal


def _with_part_numbers(entries: Iterable[tuple[str, str, int | str | None, bytes]]) -> Iterator[Given]:
    for name, class_name, part, content in entries:
        number = NO_PART if part is None else PARTS.index(part) if isinstance(part, str) else part
        yield clean_name(name), clean_name(class_name), number, content


def same_pictures(listing: Listing, length_of: Callable[[Entry], int]) -> str:
    """Name of a dataset of as many files, whose pictures have name, class, part and length of these; "" for none."""
    there: set[tuple[str, str, int, int]] = set()
    for dataset in list_datasets():
        if dataset.given != len(listing.entries) + len(listing.refused) or dataset.parent:
            continue
        there = there or {(e.name, e.class_name, e.part, length_of(e)) for e in listing.entries}
        names = (dataset.classes[label] for label in dataset.labels.tolist())
        parts, lengths = dataset.given_parts.tolist(), dataset.records["length"].tolist()
        if all(picture in there for picture in zip(dataset.names, names, parts, lengths, strict=True)):
            return dataset.name
    return ""


def _refuse_other_content(name: str, given: int) -> None:
    """UserMistake where a dataset of that name was imported from another number of files: found before the work."""
    for dataset in list_datasets():
        if dataset.name == clean_name(name).strip() and dataset.given != given:
            raise _taken(dataset)


def _taken(dataset: Dataset) -> UserMistake:
    return UserMistake(
        f"a dataset named {dataset.name!r} with other pictures is already here ({dataset.used:,} pictures); "
        "it was kept; choose another name, or delete it first"
    )


def _dataset_name(name: str) -> str:
    cleaned = clean_name(name).strip()
    if not cleaned.replace("\ufffd", "").strip():
        raise UserMistake("a dataset needs a visible name; nothing was imported")
    if len(cleaned) > 80:
        raise UserMistake(f"a dataset's name may have at most 80 characters; {name[:20]!r}... has {len(cleaned)}")
    return cleaned


def _intake(
    name: str,
    pictures: Iterator[Given],
    listing: Listing,
    source: str,
    drawn: bool,
    limits: Limits,
    total: int = 0,
) -> Iterator[Progress]:
    name = _dataset_name(name)
    total = total or len(listing.entries)
    clock = Clock()
    with disk_troubles(), staging(datasets_root()) as folder:
        staged = ImportStaging(folder, Preprocess(), limits)
        yield Progress("reading", 0, total, None)
        for outcomes in staged.read(pictures):
            staged.keep(outcomes)
            if clock.ticks():
                yield Progress("reading", staged.answered, total, clock.seconds_left(staged.answered, total))
        yield Progress("saving", staged.answered, total, None)
        refused = chain(listing.refused, staged.refusals())
        check_classes(staged.counts(), limits, refused=refused, tables=listing.tables, table=listing.table)
        for _ in staged.write():
            if clock.ticks():
                yield Progress("saving", staged.answered, total, None)
        dataset = _place(staged, name, listing, source, drawn)
    yield Progress("done", staged.answered, staged.answered, 0.0, dataset)


def _place(staged: ImportStaging, name: str, listing: Listing, source: str, drawn: bool) -> Dataset:
    """Move the staged import to its place; a dataset with that name and content stays."""
    refused = [*listing.refused, *staged.refused]
    notes = [*listing.notes, *staged.notes]
    document = {
        "schema_version": 1,
        "id": secrets.token_hex(8),
        "name": name,
        "classes": staged.classes,
        "source": source,
        "drawn": drawn,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "given": staged.given + len(listing.refused),
        "used": staged.used,
        "refused": [{"name": refused_name, "reason": why} for refused_name, why in refused],
        "ignored": listing.ignored,
        "content_hash": staged.content_hash,
        "notes": notes,
        "owner": owner_document(),
    }
    with root_lock():
        for dataset in list_datasets():
            if dataset.name == name:
                if dataset.content_hash != staged.content_hash:
                    raise _taken(dataset)
                return dataset
            if dataset.content_hash == staged.content_hash:
                document["notes"] = [*notes, f"The same pictures are here as {dataset.name!r} too."]
        fingerprint = fingerprint_of(staged.content_hash, staged.preprocess)
        place_store(staged.folder / "store", fingerprint, staged.content_hash, staged.preprocess, [])
        write_json(staged.folder / "dataset.json", document)
        target = datasets_root() / str(document["id"])
        staged.folder.replace(target)
        sync_folder(target.parent)
    return open_dataset(target / "dataset.json")
