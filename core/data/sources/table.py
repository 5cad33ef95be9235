"""Labels from a table: a CSV with a file and its class in each row, whatever its header, separator and code page."""

import csv
import io
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from core.data.sources.layout import Parts, is_no_picture, is_table, is_usual_part, listed, part_name, without_wrappers
from core.data.sources.listing import Entry, Found, Listing, is_junk, sort_entries, too_deep
from core.data.sources.names import class_name, clean_name, notes_on_similar_names, shortened
from core.data.sources.zip import ENCODINGS
from core.data.splits import NO_PART, PARTS
from core.errors import UserMistake
from core.settings import Limits

TABLE_BYTES = 64 * 2**20
MOST_TABLES = 20  # inside a source, that are offered
NOTHING = "nothing was imported"
SEPARATORS = (",", ";", "\t", "|")
SAMPLED = 2_000  # rows by which separator and columns are found
CLASS_WORDS = (
    *("label", "labels", "class", "classes", "class_name", "classname", "category", "target", "y", "style", "genre"),
    *("species", "breed", "tag", "type", "kind", "klasse", "classe", "clase", "kategorie", "etikett", "名前", "ラベル"),
)


class Labels(BaseModel):
    """Which table, and which of its columns name the file and the class; "" where they are to be found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="the table: a file, or one inside the zip or folder")
    called: str = Field("", description="what a person calls the table; else the name of its file")
    file_column: str = ""
    class_column: str = ""


@dataclass(frozen=True)
class Table:
    """A table as text. `rows` have as many cells as `columns`; without a header the columns are called 1, 2, 3 ..."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    encoding: str
    is_one_hot: bool = False  # then the last column, which is ours, names the one of the others that has a 1


def read_table(labels: Labels, source: Path, encoding: str | None = None) -> Table:
    """The table, a file of its own or inside the zip or folder `source`; encoding: where it is not UTF-8, one of
    ENCODINGS. UserMistake where it cannot be read as a table."""
    name = labels.called or Path(labels.path).name
    content = _read(labels.path, source)
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UserMistake(f"{name!r} is a spreadsheet, not a CSV; save it as CSV (UTF-8) and name that; {NOTHING}")
    text, used = _decoded(content, name, encoding)
    lines = text.splitlines()
    given = lines[0][4:5] if lines and lines[0].casefold().startswith("sep=") else ""  # a line that Excel writes
    body = "\n".join(lines[1:]) if given else text
    rows = _rows(body, given or _separator(body), name)
    if not rows:
        raise UserMistake(f"the table {name!r} is empty; {NOTHING}")
    width = max(map(len, rows[:SAMPLED]))
    if width < 2:
        raise UserMistake(
            f"the table {name!r} has one column only; it needs one with the files and one with their classes, "
            f"separated by a comma, a semicolon, a tab or a bar; {NOTHING}"
        )
    rows = [[cell.strip() for cell in row[:width]] + [""] * (width - len(row)) for row in rows]
    columns = tuple(clean_name(cell) for cell in rows[0])
    return Table(name, columns, rows[1:], used)


def tables_in(source: Path) -> list[str]:
    """The names of the tables inside a zip or folder, at most MOST_TABLES; those that lie highest first."""
    try:
        if source.is_dir():
            found = (file.relative_to(source).as_posix() for file in source.rglob("*") if is_table(file.name))
            names = list(islice(found, 10 * MOST_TABLES))
        else:
            with zipfile.ZipFile(source) as archive:
                names = [name for name in archive.namelist() if is_table(name.rpartition("/")[2])]
    except (OSError, ValueError, zipfile.BadZipFile):
        return []
    usable = [name for name in names if not is_junk(tuple(name.split("/")))]
    return sorted(usable, key=lambda name: (name.count("/"), name))[:MOST_TABLES]


def arrange_labelled(labels: Labels, table: Table, files: list[Found], limits: Limits) -> Listing:
    """The files that the table names, with its classes; every other one is refused. A file of the table may be written
    with or without its folders and its ending; train, val and test folders are kept as parts.

    UserMistake for a column that is not there or cannot be told, and where no row fits a file."""
    listing = Listing(depth=limits.path_depth + 1)
    kept = [found for found in files if not is_junk(found[0])]
    listing.ignored = len(files) - len(kept)
    kept, wrapper = without_wrappers(kept)
    listing.wrapper = clean_name("/".join(wrapper))
    index = _Index(path for path, _, _ in kept if not is_no_picture(path[-1]))
    table, column = _file_column(labels, table, index)
    if not labels.class_column:
        table = _without_one_hot(table, column)
    class_column = _class_column(labels, table, column)
    classes, notes = _classes_of(table, column, class_column, index)
    has_parts = _has_parts(classes)
    for path, key, reason in kept:
        found = classes.get(path)
        why = reason or (too_deep(path, limits) if found else _not_in(path, table))
        if why is None and found is not None:
            named, problem = found
            why = problem
        if why is not None or found is None:
            listing.refused.append((shortened("/".join(path)), str(why)))
            continue
        part = _part_of(path) if has_parts else NO_PART
        listing.entries.append(Entry(clean_name("/".join(path)), named, part, key))
    listing.notes = [*notes, *notes_on_similar_names(dict.fromkeys(entry.class_name for entry in listing.entries))]
    listing.table = (
        f"the column {table.columns[class_column]!r} of the table {table.name!r}, "
        f"by the files in its column {table.columns[column]!r}"
    )
    listing.entries = sort_entries(listing.entries)
    return listing


def _read(given: str, source: Path) -> bytes:
    """The bytes of the table; of a file, else of one inside the source."""
    path = Path(given)
    try:
        if not path.is_file() and source.is_dir():
            path = source / given
        if path.is_file():
            if path.stat().st_size > TABLE_BYTES:
                raise _too_large(path.name)
            return path.read_bytes()
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                inside = [info for info in archive.infolist() if f"/{_key(info.filename)}".endswith(f"/{_key(given)}")]
                if len(inside) == 1:
                    with archive.open(inside[0]) as file:
                        content = file.read(TABLE_BYTES + 1)
                    if len(content) > TABLE_BYTES:
                        raise _too_large(given)
                    return content
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        if isinstance(error, UserMistake):
            raise
        raise UserMistake(f"the table {shortened(given)!r} cannot be read; {NOTHING}") from error
    raise UserMistake(f"there is no table {shortened(given)!r}, neither here nor in {str(source)!r}; {NOTHING}")


def _too_large(name: str) -> UserMistake:
    return UserMistake(f"the table {name!r} has more than {TABLE_BYTES // 2**20} MB; {NOTHING}")


def _decoded(content: bytes, name: str, encoding: str | None) -> tuple[str, str]:
    if encoding is not None and encoding not in ENCODINGS:
        raise UserMistake(f"unknown encoding {encoding!r}; known: {', '.join(ENCODINGS)}; {NOTHING}")
    known = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    for tried in (known, encoding or "cp1252"):
        try:
            text = content.decode(tried)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, tried
    raise UserMistake(
        f"the table {name!r} is not text in UTF-8{f' or {encoding}' if encoding else ''}; save it as CSV in UTF-8, or "
        f"name its code page with --encoding: {', '.join(ENCODINGS)}; {NOTHING}"
    )


def _separator(text: str) -> str:
    """The one by which most of the first rows have the same number of columns, more than one."""
    sample = "\n".join(text.splitlines()[:SAMPLED])

    def agreement(separator: str) -> tuple[int, int]:
        try:
            widths = Counter(len(row) for row in csv.reader(io.StringIO(sample), delimiter=separator) if row)
        except csv.Error:
            return 0, 0
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return (count, width) if width > 1 else (0, 0)

    return max(SEPARATORS, key=agreement)


def _rows(text: str, separator: str, name: str) -> list[list[str]]:
    try:
        return [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(map(str.strip, row))
        ]
    except csv.Error as error:
        raise UserMistake(f"the table {name!r} cannot be read as CSV ({error}); {NOTHING}") from error


class _Index:
    """Files by what a table may call them: their last folders and their name, with or without the ending."""

    def __init__(self, paths: Iterable[Parts]) -> None:
        self.paths = list(paths)
        self.by_name: dict[str, list[Parts]] = {}
        self.by_stem: dict[str, list[Parts]] = {}
        for path in self.paths:
            self.by_name.setdefault(_key(path[-1]), []).append(path)
            self.by_stem.setdefault(_key(path[-1]).rpartition(".")[0], []).append(path)

    def has(self, cell: str) -> bool:
        """Whether a file is called that, with its ending."""
        return _key(cell).rpartition("/")[2] in self.by_name

    def find(self, cell: str) -> list[Parts]:
        """The files that a cell of the table can mean."""
        parts = [part for part in _key(cell).split("/") if part not in ("", ".")]
        if not parts:
            return []
        found = self.by_name.get(parts[-1]) or self.by_stem.get(parts[-1]) or []
        if len(found) > 1:  # the folders decide; those that the table has above the source's do not count
            above = parts[:-1]
            exact = [path for path in found if _ends_alike([_key(part) for part in path[:-1]], above)]
            found = exact or found
        return found


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).replace("\\", "/").casefold()


def _ends_alike(folders: list[str], above: list[str]) -> bool:
    shorter = min(len(folders), len(above))
    return shorter > 0 and folders[-shorter:] == above[-shorter:]


def _file_column(labels: Labels, table: Table, index: _Index) -> tuple[Table, int]:
    """The table, with its first row as a row where that is no header, and the column of the files."""
    if labels.file_column:
        column = _named(labels.file_column, table)
    else:
        sample = table.rows[:SAMPLED]
        fits = [len({path for row in sample for path in index.find(row[at])}) for at in range(len(table.columns))]
        column = max(range(len(fits)), key=fits.__getitem__)
        if not table.rows or not fits[column]:
            column = next((at for at, name in enumerate(table.columns) if index.has(name)), column)
    if index.has(table.columns[column]):  # a row like every other one
        numbers = tuple(str(at + 1) for at in range(len(table.columns)))
        table = Table(table.name, numbers, [list(table.columns), *table.rows], table.encoding)
    if not any(index.find(row[column]) for row in table.rows):
        examples = listed(row[column] for row in table.rows[:2])
        there = listed("/".join(map(clean_name, path)) for path in index.paths[:2])
        raise UserMistake(
            f"no row of the table {table.name!r} names a file that is there: its column {table.columns[column]!r} has "
            f"{examples}, the files are called {there}; name the column with --file-column, one of "
            f"{listed(table.columns)}; {NOTHING}"
        )
    return table, column


def _without_one_hot(table: Table, file_column: int) -> Table:
    """A table with a column of 0 and 1 for each class, as challenges of doctors have it, as one with their names; any
    other table as it is. A row without a 1, or with two, has no class."""
    others = [at for at in range(len(table.columns)) if at != file_column]
    if len(others) < 2 or any(table.columns[at].casefold() in CLASS_WORDS for at in others):
        return table
    marks = {"0": False, "0.0": False, "": False, "1": True, "1.0": True, "false": False, "true": True}
    if not all(row[at].casefold() in marks for row in table.rows for at in others):
        return table
    chosen = [[table.columns[at] for at in others if marks[row[at].casefold()]] for row in table.rows]
    if sum(len(one) == 1 for one in chosen) * 2 < len(table.rows):
        return table
    rows = [[*row, one[0] if len(one) == 1 else ""] for row, one in zip(table.rows, chosen, strict=True)]
    classes = [name for name in table.columns if name != table.columns[file_column]]
    return Table(table.name, (*table.columns, f"{classes[0]} … {classes[-1]}"), rows, table.encoding, is_one_hot=True)


def _class_column(labels: Labels, table: Table, file_column: int) -> int:
    if labels.class_column:
        return _named(labels.class_column, table)
    others = [at for at in range(len(table.columns)) if at != file_column]
    if len(others) == 1:
        return others[0]
    if table.is_one_hot:
        return others[-1]
    named = [at for at in others if table.columns[at].casefold() in CLASS_WORDS]
    if len(named) == 1:
        return named[0]
    raise UserMistake(
        f"which column of the table {table.name!r} is the class? Name it with --class-column; it has "
        f"{listed(table.columns[at] for at in others)} beside the files; {NOTHING}"
    )


def _named(name: str, table: Table) -> int:
    """The column of that name, or of that number; case and blanks do not count where one fits."""
    if name in table.columns:
        return table.columns.index(name)
    same = [at for at, column in enumerate(table.columns) if _key(column).strip() == _key(name).strip()]
    if len(same) == 1:
        return same[0]
    if name.isdecimal() and 1 <= int(name) <= len(table.columns):
        return int(name) - 1
    raise UserMistake(
        f"the table {table.name!r} has no column {name!r}; it has {listed(table.columns)}, which may also be given by "
        f"number; {NOTHING}"
    )


def _classes_of(
    table: Table, file_column: int, class_column: int, index: _Index
) -> tuple[dict[Parts, tuple[str, str | None]], list[str]]:
    """File -> (class, why it cannot be used or None), and sentences on rows that fit no file or several."""
    classes: dict[Parts, tuple[str, str | None]] = {}
    missing: list[str] = []
    several: list[str] = []
    for row in table.rows:
        cell, label = row[file_column], row[class_column]
        found = index.find(cell)
        if len(found) != 1:
            (several if found else missing).append(shortened(cell))
            continue
        (path,) = found
        named = _visible_class(label)
        before = classes.get(path)
        if not named:
            classes[path] = "", "has no class in the table"
        elif before is None or before == (named, None):
            classes[path] = named, None
        else:
            classes[path] = "", f"has two classes in the table, {shortened(before[0])!r} and {shortened(named)!r}"
    notes = []
    if missing:
        notes.append(f"{len(missing):,} row(s) of the table name files that are not there: {listed(missing)}.")
    if several:
        notes.append(
            f"{len(several):,} row(s) of the table fit several files, whose folders would have to be written with the "
            f"names: {listed(several)}."
        )
    if table.encoding not in ("utf-8-sig", "utf-16"):
        notes.append(f"The table is not in UTF-8; it was read as {ENCODINGS[table.encoding]} (--encoding decides).")
    return classes, notes


def _visible_class(label: str) -> str:
    try:
        return class_name(label)
    except UserMistake:
        return ""


def _not_in(path: Parts, table: Table) -> str:
    if path[-1] == table.name:
        return "is the table of the classes"
    return f"is not in the table {table.name!r}"


def _part_of(path: Parts) -> int:
    """The part that one of the folders is named after."""
    for folder in path[:-1]:
        if is_usual_part(folder) and (named := part_name(folder)):
            return named.number
    return NO_PART


def _has_parts(classes: Iterable[Parts]) -> bool:
    """Whether the folders of the named files are parts of a training."""
    numbers = {_part_of(path) for path in classes}
    return PARTS.index("train") in numbers and len(numbers - {NO_PART}) > 1
