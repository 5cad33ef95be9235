"""data exclude, relabel, extend, versions, undo, restore: a dataset is changed by making a new version of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import (
    AsJson,
    ClassFolders,
    DataName,
    Encoding,
    LeftOut,
    Merged,
    Pictures,
    Renamed,
    Why,
    check_path,
    class_mapping_of,
)
from core.cli.output import counted, print_json, print_table, show_steps, shown
from core.errors import UserMistake
from core.runs.run import Run, list_runs

if TYPE_CHECKING:
    from core.data.datasets.dataset import Dataset

versions_app = typer.Typer()  # its commands stand among those of data


@versions_app.command("exclude")
def data_exclude(name: DataName, pictures: Pictures, why: Why = "by hand", as_json: AsJson = False) -> None:
    """Leave pictures out: a new version of the dataset. What was imported stays as it is."""
    from core.data.datasets.dataset import find_dataset
    from core.data.versions.versions import Edit, find_picture, make_version

    dataset = find_dataset(name)
    edits = {find_picture(dataset, picture): Edit(None, why) for picture in pictures}
    _print_version(show_steps(make_version(dataset, edits)), as_json)


@versions_app.command("relabel")
def data_relabel(
    name: DataName,
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE=CLASS...", help="A picture and its right class.")],
    why: Why = "by hand",
    as_json: AsJson = False,
) -> None:
    """Give pictures another class: a new version of the dataset. What was imported stays as it is."""
    from core.data.datasets.dataset import find_dataset
    from core.data.versions.versions import Edit, find_picture, make_version

    dataset = find_dataset(name)
    edits = {}
    for pair in pictures:
        picture, label = _picture_and_class(pair, dataset)
        edits[find_picture(dataset, picture)] = Edit(dataset.classes.index(label), why)
    _print_version(show_steps(make_version(dataset, edits)), as_json)


def _picture_and_class(pair: str, dataset: "Dataset") -> tuple[str, str]:
    """PICTURE=CLASS in its two parts; UserMistake where it is not of that form or the class is unknown."""
    splits = [(pair[:place], pair[place + 1 :]) for place, letter in enumerate(pair) if letter == "=" and place]
    if not splits:
        raise UserMistake(f"{pair!r} should read PICTURE=CLASS; nothing was changed")
    # a class may be called "=x", and a picture "a=b.png": the first "=" that leaves a known class counts
    picture, label = next((split for split in splits if split[1] in dataset.classes), splits[-1])
    if label not in dataset.classes:
        known = ", ".join(dataset.classes[:20])
        raise UserMistake(f"unknown class {label!r}; {dataset.name!r} has: {known}; nothing was changed")
    return picture, label


@versions_app.command("extend")
def data_extend(
    name: DataName,
    source: Annotated[
        Path,
        typer.Argument(metavar="ZIP_OR_FOLDER", callback=check_path, help="A folder for each class, also new ones."),
    ],
    rename: Renamed = None,
    merge: Merged = None,
    leave_out: LeftOut = None,
    encoding: Encoding = None,
    class_folders: ClassFolders = "auto",
    as_json: AsJson = False,
) -> None:
    """Add pictures to a dataset: a new version of it. Those that are there already are refused."""
    from core.data.datasets.dataset import find_dataset
    from core.data.versions.extending import extend_dataset

    mapping = class_mapping_of(source, rename, merge, leave_out, encoding, class_folders)
    _print_version(show_steps(extend_dataset(find_dataset(name), source, mapping)), as_json)


@versions_app.command("versions")
def data_versions(name: DataName, as_json: AsJson = False) -> None:
    """Every version of a dataset: what it changed, why, and which runs were trained on it."""
    from core.data.datasets.dataset import find_dataset, list_datasets
    from core.data.versions.versions import newest_version, versions_of

    every = list_datasets()
    versions = versions_of(find_dataset(name), every)
    newest, runs = newest_version(versions[0], every), list_runs()
    documents = [_version_document(one, runs) | {"newest": one.id == newest.id} for one in versions]
    if as_json:
        print_json(documents)
        return
    rows = [
        [
            one["name"],
            one["used"],
            one["told"],
            one["runs"],
            "newest" if one["newest"] else "undone" if one["undone"] else "",
        ]
        for one in documents
    ]
    print_table(["name", "pictures", "changed", "runs", ""], rows)


@versions_app.command("undo")
def data_undo(name: DataName, as_json: AsJson = False) -> None:
    """Go back behind a version: it is deleted, or put aside for runs that were trained on it (see restore)."""
    from core.data.datasets.dataset import find_dataset
    from core.data.versions.versions import undo_version
    from core.runs.dataset_use import kept_when_undone

    dataset = find_dataset(name)
    kept = kept_when_undone(dataset.name, list_runs())
    undo_version(dataset, keep=kept)
    if as_json:
        print_json({"undone": dataset.name, "kept": kept})
    else:
        print(f"{shown(dataset.name)} was {'put aside for the runs that were trained on it' if kept else 'deleted'}.")


@versions_app.command("restore")
def data_restore(name: DataName, as_json: AsJson = False) -> None:
    """Bring back a version that was put aside."""
    from core.data.datasets.dataset import find_dataset
    from core.data.versions.versions import restore_version

    restore_version(find_dataset(name))
    _print_version(find_dataset(name), as_json)


def _print_version(dataset: "Dataset", as_json: bool) -> None:
    document = _version_document(dataset, list_runs())
    if as_json:
        print_json(document)
        return
    size = f"{counted(dataset.used, 'picture')} in {counted(len(dataset.classes), 'class', 'classes')}"
    print(f"{shown(dataset.name)}: {document['told']}; {size}")
    print(f'Train on it with: python -m core train --data "{shown(dataset.name)}"')


def _version_document(dataset: "Dataset", runs: list[Run]) -> dict[str, Any]:
    from core.data.versions.versions import describe_version, own_changes, own_reasons

    return {
        "name": dataset.name,
        "version": dataset.version,
        "created": dataset.created,
        "used": dataset.used,
        "changes": own_changes(dataset),
        "told": describe_version(dataset),
        "why": own_reasons(dataset),
        "undone": dataset.undone,
        "runs": sum(run.config.data.dataset == dataset.name for run in runs),
    }
