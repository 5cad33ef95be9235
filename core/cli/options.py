"""Options and arguments that several commands share, each defined once."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import UserMistake
from core.typed import typed_path

if TYPE_CHECKING:
    from core.data.imports.class_mapping import ClassMapping
    from core.data.sources.table import Labels

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Queued = Annotated[bool, typer.Option("--queue", help="Put it in the queue and come back at once.")]

DataName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the dataset.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help='Id of a run, a unique start or end of it, or "latest".')]
ModelOfRun = Annotated[
    str | None,
    typer.Option("--model", help="best or last; without it the best one where early stopping ended the run."),
]
ExperimentName = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help='Id of an experiment, a unique start or end of it, or "latest".')
]
SweepName = Annotated[
    str, typer.Argument(metavar="SWEEP", help='Id of a sweep, a unique start or end of it, or "latest".')
]
BackboneName = Annotated[str, typer.Argument(metavar="NAME", help="As torchvision calls it, e.g. googlenet.")]

DataOption = Annotated[str, typer.Option("--data", metavar="NAME", help="Name of the dataset.")]
PresetOption = Annotated[str, typer.Option("--preset", help="Settings to start from.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting, e.g. train.epochs=2.")
]

Renamed = Annotated[
    list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help='Call a class another name, e.g. "red=rot".')
]
Merged = Annotated[list[str] | None, typer.Option("--merge", metavar="A+B=C", help="Make one class of several.")]
LeftOut = Annotated[list[str] | None, typer.Option("--leave-out", metavar="CLASS", help="Leave a class out.")]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", help="Code page of garbled names in a zip or a table, e.g. cp932 (Japanese)."),
]
LabelTable = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="FILE.csv", help="A table with a file and its class in each row; also one inside."
    ),
]
FileColumn = Annotated[
    str, typer.Option("--file-column", metavar="F", help="The column of --labels with the files; found by itself.")
]
ClassColumn = Annotated[
    str,
    typer.Option("--class-column", metavar="C", help="The column of --labels with the classes, if it is not plain."),
]
ClassFolders = Annotated[
    str,
    typer.Option(
        metavar="auto|outer|inner",
        help="Which folders are the classes: found by name and shape, the outer ones, or those inside them.",
    ),
]
Pictures = Annotated[
    list[str], typer.Argument(metavar="PICTURE...", help="Names as the import log has them, or unique ends of them.")
]
Why = Annotated[str, typer.Option("--why", help="The reason, for the import log.")]


def labels_of(table: str | None, file_column: str, class_column: str) -> "Labels | None":
    """What --labels and its columns name."""
    from core.data.sources.table import Labels

    if table is None and (file_column or class_column):
        raise UserMistake("--file-column and --class-column are columns of a table; name that with --labels FILE.csv")
    return None if table is None else Labels(path=table, file_column=file_column, class_column=class_column)


def check_path(given: Path | None) -> Path | None:
    """The path; UserMistake for one that can be none, such as a name that is too long."""
    if given is not None:
        typed_path(given.absolute())
    return given


def check_finite(given: float | None) -> float | None:
    """The number; UserMistake for nan and infinity, which typer takes for numbers."""
    if given is not None and not math.isfinite(given):
        raise UserMistake(f"{given} is no number that can be counted to; give a finite one")
    return given


def class_mapping_of(
    source: Path | None,
    rename: list[str] | None,
    merge: list[str] | None,
    leave_out: list[str] | None,
    encoding: str | None,
    class_folders: str = "auto",
    labels: "Labels | None" = None,
) -> "ClassMapping":
    """What --rename OLD=NEW, --merge A+B=C and the other options make of the classes that are found in `source`.

    Names may hold "=" and "+" themselves: the first "=" counts that has known classes on its left.
    """
    from core.data.imports.class_mapping import make_class_mapping
    from core.data.sources.layout import READINGS

    if class_folders not in READINGS:
        raise UserMistake(f"unknown --class-folders {class_folders!r}; known: {', '.join(READINGS)}")
    known = _classes_in(source, encoding, class_folders, labels) if _is_ambiguous(rename, merge) else frozenset()
    names: dict[str, str] = {}
    for option, form, given in (("--rename", "OLD=NEW", rename), ("--merge", "A+B=C", merge)):
        for pair in given or []:
            found, new = _split_pair(pair, option == "--merge", known)
            if not all(found) or not new.strip():
                raise UserMistake(f"{option} {pair!r} should read {form}")
            names |= dict.fromkeys(found, new)
    return make_class_mapping(names, leave_out or (), encoding, READINGS[class_folders], labels)


def _is_ambiguous(rename: list[str] | None, merge: list[str] | None) -> bool:
    return any(pair.count("=") > 1 for pair in (*(rename or ()), *(merge or ()))) or any(
        pair.count("+") > 1 for pair in merge or ()
    )


def _classes_in(
    source: Path | None, encoding: str | None, class_folders: str, labels: "Labels | None"
) -> frozenset[str]:
    from core.data.sources.layout import READINGS
    from core.data.sources.open import open_source
    from core.settings import load_limits

    if source is None:
        return frozenset()
    with open_source(source, load_limits(), encoding, READINGS[class_folders], labels) as opened:
        return frozenset(entry.class_name for entry in opened.listing.entries)


def _split_pair(pair: str, is_merge: bool, known: frozenset[str]) -> tuple[list[str], str]:
    """The classes before an "=" and the name behind it: the first "=" with known classes before it, else the first."""
    for place, letter in enumerate(pair):
        if letter == "=":
            old = pair[:place]
            classes = _known_classes(old, known) if is_merge else [old] * (old in known)
            if classes:
                return classes, pair[place + 1 :]
    old, _, new = pair.partition("=")
    return old.split("+") if is_merge else [old], new


def _known_classes(text: str, known: frozenset[str]) -> list[str]:
    """A+B+C as known classes, which may hold "+" themselves; [] where they are not all known."""
    if text in known:
        return [text]
    for place, letter in enumerate(text):
        if letter == "+" and text[:place] in known and (rest := _known_classes(text[place + 1 :], known)):
            return [text[:place], *rest]
    return []
