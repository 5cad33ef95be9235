"""data plan, add, list, show, import-log, export, delete: pictures come in, are listed and go out."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import (
    AsJson,
    ClassColumn,
    ClassFolders,
    DataName,
    Encoding,
    FileColumn,
    LabelTable,
    LeftOut,
    Merged,
    Renamed,
    check_path,
    class_mapping_of,
    labels_of,
)
from core.cli.output import counted, print_json, print_table, show_steps, shown, warn_of_damage
from core.config import DataConfig
from core.errors import UserMistake
from core.runs.run import list_runs

if TYPE_CHECKING:
    from core.data.datasets.dataset import Dataset
    from core.data.imports.class_mapping import ClassMapping
    from core.data.imports.preview import ImportPreview
    from core.progress import Progress

FILES_SHOWN = 40  # of the import log; --csv has them all
REFUSED_SHOWN = 20

data_app = typer.Typer(no_args_is_help=True, help="Bring pictures in, see what is there.")


@data_app.command("plan")
def data_plan(
    source: Annotated[
        Path,
        typer.Argument(metavar="ZIP_OR_FOLDER", callback=check_path, help="What --from of data add would be given."),
    ],
    rename: Renamed = None,
    merge: Merged = None,
    leave_out: LeftOut = None,
    encoding: Encoding = None,
    class_folders: ClassFolders = "auto",
    table: LabelTable = None,
    file_column: FileColumn = "",
    class_column: ClassColumn = "",
    as_json: AsJson = False,
) -> None:
    """What an import would bring: classes, counts, what would be skipped and why. Nothing is imported."""
    from core.data.imports.preview import scan_source

    labels = labels_of(table, file_column, class_column)
    mapping = class_mapping_of(source, rename, merge, leave_out, encoding, class_folders, labels)
    plan = scan_source(source, encoding, mapping.reading, labels=labels).preview(mapping)
    if as_json:
        print_json(_plan_document(plan))
        return
    print(shown(plan.layout))
    print_table(["class", "pictures"], [[name, count] for name, count in plan.counts.items()])
    pictures = f"{counted(plan.pictures, 'picture')} ({plan.bytes / 1e6:,.1f} MB)"
    print(f"{plan.given:,} given = {pictures} + {plan.skipped:,} skipped")
    for skip in plan.skips:
        print(f"skipped {skip.count:,}: {shown(skip.reason)} ({', '.join(map(shown, skip.names))})")
    if plan.ignored:
        print(f"{plan.ignored:,} system files are ignored")
    for note in plan.remarks:
        print(shown(note))
    if plan.guess:
        print("This is a guess; --class-folders outer or --class-folders inner decides otherwise.")
    if plan.trouble:
        raise UserMistake(f"it cannot be imported like this: {plan.trouble}")


@data_app.command("add")
def data_add(
    name: DataName,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="ZIP_OR_FOLDER", callback=check_path, help="A zip or folder with a folder per class."
        ),
    ] = None,
    rename: Renamed = None,
    merge: Merged = None,
    leave_out: LeftOut = None,
    encoding: Encoding = None,
    class_folders: ClassFolders = "auto",
    table: LabelTable = None,
    file_column: FileColumn = "",
    class_column: ClassColumn = "",
    twice: Annotated[bool, typer.Option("--twice", help="Also where the same pictures are here already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import pictures. cifar10 is downloaded and the samples are drawn where --from is not given."""
    labels = labels_of(table, file_column, class_column)
    mapping = class_mapping_of(source, rename, merge, leave_out, encoding, class_folders, labels)
    _print_dataset(show_steps(_import_steps(name, source, mapping, twice)), as_json)


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """The datasets that are here."""
    from core.data.datasets.dataset import scan_datasets

    datasets, damage = scan_datasets()
    warn_of_damage(damage)
    if as_json:
        print_json([_dataset_document(dataset) for dataset in datasets])
    elif not datasets and not damage:
        print("No pictures yet. Start with: python -m core data add sample-artworks")
    else:
        head = ["name", "source", "classes", "used", "refused"]
        print_table(head, [[d.name, d.source, len(d.classes), d.used, len(d.refused)] for d in datasets])


@data_app.command("show")
def data_show(name: DataName, as_json: AsJson = False) -> None:
    """Counts, parts and refused pictures of a dataset."""
    from core.data.datasets.dataset import find_dataset

    _print_dataset(find_dataset(name), as_json)


@data_app.command("delete")
def data_delete(
    name: DataName,
    versions: Annotated[bool, typer.Option("--versions", help="Also the versions that were made from it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a dataset and the stores made of it; finished runs keep their models."""
    from core.data.datasets.dataset import delete_dataset, find_dataset, list_datasets, made_from
    from core.runs.dataset_use import refuse_if_needed

    dataset = find_dataset(name)
    gone = [dataset.name, *(other.name for other in made_from(dataset, list_datasets()) if versions)]
    runs = list_runs()
    for one in gone:
        refuse_if_needed(one, runs)
    delete_dataset(dataset.name, versions)
    if as_json:
        print_json({"deleted": dataset.name} | ({"versions": gone[1:]} if versions else {}))
    else:
        print(f"{shown(', '.join(gone))} {'was' if len(gone) == 1 else 'were'} deleted.")


@data_app.command("import-log")
@data_app.command("ledger", hidden=True)  # as version 0.1.0 called it
def data_import_log(
    name: DataName,
    as_csv: Annotated[bool, typer.Option("--csv", help="Every file as CSV, also those that are used.")] = False,
    as_json: AsJson = False,
) -> None:
    """What has become of every file that was given: used, refused or excluded, and why."""
    from dataclasses import asdict

    from core.data.datasets.dataset import find_dataset
    from core.data.versions.import_log import counts_of, log_csv, log_lines

    dataset = find_dataset(name)
    counts = counts_of(dataset)
    if as_csv:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        for piece in log_csv(log_lines(dataset)):
            print(piece, end="")
        return
    if as_json:
        print_json({"name": dataset.name, **counts, "files": [asdict(line) for line in log_lines(dataset)]})
        return
    print("{given:,} given = {used:,} used + {refused:,} refused + {excluded:,} excluded".format(**counts))
    lines = [line for line in log_lines(dataset) if line.why]
    rows = [[line.name, line.state, line.class_name, line.why] for line in lines[:FILES_SHOWN]]
    print_table(["file", "state", "class", "why"], rows)
    if len(lines) > FILES_SHOWN:
        print(f"... and {len(lines) - FILES_SHOWN:,} more; --csv lists every file")


@data_app.command("export")
def data_export(
    name: DataName,
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.zip", callback=check_path, help="Where the zip is written; not over another file."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", callback=check_path, help="A new folder instead of a zip.")
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="folders|imagefolder|huggingface|table",
            help="A folder for each class; train, val and test for torchvision's ImageFolder; the same with "
            "metadata.csv for Hugging Face; one folder and labels.csv.",
        ),
    ] = "folders",
    run_name: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Whose split it is; else the one that quick would draw.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the pictures that a dataset uses as a zip or a folder, the files as they were given."""
    from core.data.datasets.dataset import find_dataset
    from core.data.store.store import split_dataset
    from core.data.versions.export import LAYOUTS, SPLIT_LAYOUTS, class_folders, export_dataset
    from core.presets import PRESETS
    from core.runs.run import read_run

    if layout not in LAYOUTS:
        raise UserMistake(f"unknown --format {layout!r}; known: {', '.join(LAYOUTS)}")
    if (target is None) == (to is None):
        raise UserMistake("name where it shall be written: FILE.zip, or --to FOLDER")
    target = target or to
    assert target is not None
    if to is None and target.suffix.casefold() != ".zip":
        raise UserMistake(f"{str(target)!r} does not end in .zip; for a folder write --to {target}")
    if to is not None and target.suffix.casefold() == ".zip":
        raise UserMistake(f"--to names a folder; for a zip leave it out: data export {name} {target}")
    dataset = find_dataset(name)
    data = read_run(run_name).config.data if run_name else PRESETS["quick"].data
    if run_name and data.dataset != dataset.name:
        raise UserMistake(f"run {run_name} learnt from {data.dataset!r}, not from {dataset.name!r}")
    data = data.model_copy(update={"dataset": dataset.name})
    parts = split_dataset(dataset, data) if layout in SPLIT_LAYOUTS else None
    show_steps(export_dataset(dataset, target, layout, parts))
    size, folders = _bytes_of(target), class_folders(dataset)
    if as_json:
        document = {"file": str(target), "bytes": size, "pictures": dataset.used, "format": layout}
        document["parts"] = {part: len(rows) for part, rows in parts.items()} if parts else None
        print_json(document | {"folders": dict(zip(dataset.classes, folders, strict=True))})
        return
    pictures = f"{counted(dataset.used, 'picture')} in {counted(len(folders), 'class', 'classes')}"
    print(f"{shown(target)}: {pictures}, {size / 1e6:,.1f} MB")
    if parts:
        print(", ".join(f"{part} {len(rows):,}" for part, rows in parts.items()))
    for label, folder in zip(dataset.classes, folders, strict=True):
        if label != folder and layout in ("folders", "imagefolder"):
            print(f"class {shown(label)} is in the folder {shown(folder)}, a name that every system takes")


def _import_steps(name: str, source: Path | None, mapping: "ClassMapping", twice: bool) -> "Iterator[Progress]":
    from core.data.imports.cifar10 import import_cifar10
    from core.data.imports.class_mapping import ClassMapping
    from core.data.imports.pipeline import import_dataset
    from core.data.imports.samples import SAMPLES, import_sample

    if source is not None and not source.exists():
        raise UserMistake(f"{str(source)!r} is not there; nothing was imported")
    if mapping != ClassMapping() and (source is None or name == "cifar10"):
        raise UserMistake(
            "classes can be renamed, merged, left out and read from a table only with --from ZIP_OR_FOLDER, "
            "and another name"
        )
    if name == "cifar10":
        return import_cifar10(source)
    if source is not None:
        return import_dataset(name, source, mapping=mapping, twice=twice)
    if name in SAMPLES:
        return import_sample(name)
    raise UserMistake(f"{name!r} needs --from ZIP_OR_FOLDER; without it there are: {', '.join(['cifar10', *SAMPLES])}")


def _plan_document(plan: "ImportPreview") -> dict[str, Any]:
    return {
        "layout": plan.layout,
        "source": plan.source,
        "wrapper": plan.wrapper,
        "parts": list(plan.parts),
        "classes": plan.counts,
        "found": plan.sizes,
        "given": plan.given,
        "pictures": plan.pictures,
        "bytes": plan.bytes,
        "skipped": [{"reason": skip.reason, "count": skip.count, "names": list(skip.names)} for skip in plan.skips],
        "ignored": plan.ignored,
        "looked_into": plan.scanned,
        "copies": plan.duplicates,
        "conflicts": plan.conflicts,
        "notes": list(plan.remarks),
        "decoded": plan.decoded,
        "guess": plan.guess or None,
        "table": plan.table or None,
        "same_as": plan.same_as or None,
        "trouble": plan.trouble or None,
    }


def _bytes_of(target: Path) -> int:
    files = target.rglob("*") if target.is_dir() else [target]
    return sum(file.stat().st_size for file in files if file.is_file())


def _print_dataset(dataset: "Dataset", as_json: bool) -> None:
    from core.data.quality.readiness import check_readiness
    from core.data.store.store import count_parts, store_fingerprint

    data = DataConfig(dataset=dataset.name)
    counts = count_parts(dataset, data)
    readiness = check_readiness(dataset, data, _scores(dataset))
    if as_json:
        document = _dataset_document(dataset) | {"parts": counts, "fingerprint": store_fingerprint(dataset, data)}
        print_json(document | {"readiness": [finding.to_json() for finding in readiness]})
        return
    _print_counts(dataset, counts)
    for note in dataset.notes:
        print(shown(note))
    for refused in dataset.refused[:REFUSED_SHOWN]:
        print(f"refused: {shown(refused.name)} {shown(refused.reason)}")
    if len(dataset.refused) > REFUSED_SHOWN:
        print(f"... and {len(dataset.refused) - REFUSED_SHOWN:,} more; --json lists them all")
    for finding in readiness:
        print(f"{finding.level}: {shown(finding.message)}")


def _print_counts(dataset: "Dataset", counts: dict[str, int]) -> None:
    excluded = f" + {len(dataset.excluded):,} excluded" if dataset.excluded else ""
    used = f"{dataset.given:,} given = {dataset.used:,} used + {len(dataset.refused):,} refused{excluded}"
    print(f"{shown(dataset.name)}: {used}")
    if dataset.drawn:
        print("These pictures were drawn by the program.")
    print_table(["class", "pictures"], [[name, count] for name, count in dataset.class_counts.items()])
    print("parts: " + ", ".join(f"{part} {count:,}" for part, count in counts.items()))


def _scores(dataset: "Dataset") -> list[tuple[int, int, str]]:
    """(right, n, id) of every run on these pictures."""
    from core.experiments.dataset_runs import runs_on, stored_score

    return [(*stored_score(run), run.id) for run in runs_on(dataset, list_runs())]


def _dataset_document(dataset: "Dataset") -> dict[str, Any]:
    return {
        "name": dataset.name,
        "classes": dataset.class_counts,
        "given": dataset.given,
        "used": dataset.used,
        "refused": [{"name": refused.name, "reason": refused.reason} for refused in dataset.refused],
        "ignored": dataset.ignored,
        "source": dataset.source,
        "drawn": dataset.drawn,
        "created": dataset.created,
        "version": dataset.version,
        "excluded": len(dataset.excluded),
        "undone": dataset.undone,
        "notes": list(dataset.notes),
    }
