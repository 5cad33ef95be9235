"""Versions with more pictures: those of a zip or folder, or those that somebody has taught a network in Try-It."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from core.data.datasets.dataset import Dataset, Refused, disk_troubles
from core.data.imports.class_mapping import ClassMapping
from core.data.imports.pipeline import read_all
from core.data.imports.staging import Given, ImportStaging
from core.data.pictures.preprocess import Preprocess
from core.data.sources.listing import Entry, Listing, why_refused
from core.data.sources.names import clean_name
from core.data.sources.open import open_source
from core.data.storage import staging
from core.data.versions.versions import UNCHANGED, VersionPictures, write_version
from core.errors import UserMistake
from core.progress import Clock, Progress
from core.settings import datasets_root, load_limits

TRAINING = 0  # the number of the part


def extend_dataset(dataset: Dataset, path: Path, mapping: ClassMapping | None = None) -> Iterator[Progress]:
    """Make a new version that adds the pictures of a zip or a folder, laid out as for import_dataset.

    Classes of the same name are merged. Where `dataset` has given parts, pictures without one join training. A picture
    that is there already (same bytes, same class) is refused. Yields and raises as make_version.
    """
    limits, mapping = load_limits(), mapping or ClassMapping()
    yield Progress("listing", 0, 0, None)
    with (
        open_source(path, limits, mapping.encoding, mapping.reading, mapping.labels) as opened,
        disk_troubles(),
        staging(datasets_root()) as folder,
    ):
        listing = mapping.apply(opened.listing)
        yield from _add(folder, dataset, read_all(opened, listing), listing)


def _add(
    folder: Path, dataset: Dataset, given: Iterator[Given], listing: Listing, taught: bool = False
) -> Iterator[Progress]:
    """Write the version with the pictures `given` into the staging `folder`, and move it to its place."""
    limits, clock, total = load_limits(), Clock(), len(listing.entries)
    staged = ImportStaging(folder / "new", Preprocess(), limits)
    staged.folder.mkdir()
    with closing(staged.read(given)) as reading:  # type: ignore[type-var]
        for outcomes in reading:
            staged.keep(outcomes)
            if clock.ticks():
                yield Progress("reading", staged.answered, total, clock.seconds_left(staged.answered, total))
    if not staged.used:
        among = staged.given + len(listing.refused)
        why = why_refused([*listing.refused, *staged.refusals()])
        raise UserMistake(f"no picture that can be used is among the {among:,} file(s){why}; {UNCHANGED}")
    for _ in staged.write():
        if clock.ticks():
            yield Progress("saving", staged.answered, total, None)
    new = VersionPictures.read(staged.folder, staged.classes)
    if (dataset.given_parts >= 0).any():
        new.index["part"] = np.maximum(new.index["part"], 0)
    known = _known_already(dataset, new)
    refused = [*listing.refused, *staged.refused]
    refused += [(new.names[row], f"is in {dataset.name!r} already") for row in np.flatnonzero(known)]
    fresh = new.at(np.flatnonzero(~known))
    if not len(fresh.names):
        what = f"all {len(new.names):,} pictures are" if len(new.names) > 1 else "this picture is"
        raise UserMistake(f"{what} in {dataset.name!r} already; {UNCHANGED}")
    fresh.index["offset"] += sum(pack.stat().st_size for pack in dataset.packs)
    (staged.folder / "pictures.pack").replace(folder / "pictures.pack")
    shutil.rmtree(staged.folder)  # the rest is in `fresh`
    old = VersionPictures(list(dataset.names), dataset.records.copy(), list(dataset.classes))
    made = yield from write_version(
        folder,
        dataset,
        old.with_others(fresh),
        {
            "added": len(fresh.names),
            "given": dataset.given + staged.given + len(listing.refused),
            "refused": [*dataset.refused, *(Refused(name, why) for name, why in refused)],
            "ignored": dataset.ignored + listing.ignored,
            "drawn": False,
            "taught": taught,
        },
    )
    yield Progress("done", made.used, made.used, 0.0, made)


def teach_pictures(dataset: Dataset, pictures: Iterable[tuple[str, str, bytes]]) -> Iterator[Progress]:
    """Make a new version that adds (name, class, bytes), all of them to the training part, whatever the split.

    A class that is not there yet needs as many pictures as an import asks for. Whoever calls keeps copies of test
    pictures away (find_copies). Yields and raises as make_version.
    """
    listing, contents = Listing(), []
    for key, (name, class_name, content) in enumerate(pictures):
        listing.entries.append(Entry(clean_name(name), clean_name(class_name), TRAINING, key))
        contents.append(content)
    given = ((entry.name, entry.class_name, entry.part, contents[entry.key]) for entry in listing.entries)
    with disk_troubles(), staging(datasets_root()) as folder:
        yield from _add(folder, dataset, given, listing, taught=True)


def _known_already(dataset: Dataset, new: VersionPictures) -> np.ndarray:
    """bool (N,): which pictures of `new` have the bytes and the class of one in `dataset`."""
    label = {name: number for number, name in enumerate(dataset.classes)}
    there = set(zip(dataset.records["sha256"].tolist(), dataset.labels.tolist(), strict=True))
    labels = [label.get(new.classes[number], -1) for number in new.index["label"]]
    return np.array([pair in there for pair in zip(new.index["sha256"].tolist(), labels, strict=True)], bool)
