"""Class mapping: which classes of a source are renamed, merged or left out when its pictures are imported."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from core.data.sources.layout import Reading
from core.data.sources.listing import Listing, about_tables, sort_entries, why_refused
from core.data.sources.names import class_name, notes_on_similar_names, shortened
from core.data.sources.table import Labels
from core.data.splits import NO_PART
from core.errors import UserMistake
from core.settings import Limits


class ClassMapping(BaseModel):
    """Keys are the classes as found in the source; the empty mapping imports everything unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: str | None = Field(None, description="code page of names in a zip that does not declare it, e.g. cp932")
    reading: Reading = Field("auto", description="the classes: outer folders, those inside them, or found by shape")
    labels: Labels | None = Field(None, description="a table that says the classes, in place of folders")
    rename: dict[str, str] = Field({}, description="class as found -> its name; two of one name become one class")
    leave_out: tuple[str, ...] = Field((), description="classes that are not imported")

    def class_of(self, found: str) -> str | None:
        """The new name of a class as found; None where it is left out."""
        return None if found in self.leave_out else self.rename.get(found, found)

    def apply(self, listing: Listing) -> Listing:
        """The listing with this mapping applied; files that are left out are refused, so that every file is listed.

        UserMistake for an unknown class, for a name without a visible character, and where nothing is left.
        """
        self._check({entry.class_name for entry in listing.entries})
        if not self.rename and not self.leave_out:
            return listing
        names = {found: class_name(name) for found, name in self.rename.items()}
        entries, refused = [], list(listing.refused)
        for entry in listing.entries:
            if entry.class_name in self.leave_out:
                refused.append((shortened(entry.name), f"was left out, as all of its class {entry.class_name!r}"))
            else:
                entries.append(replace(entry, class_name=names.get(entry.class_name, entry.class_name)))
        if not entries:
            raise UserMistake("every class was left out; keep at least two; nothing was imported")
        outdated = notes_on_similar_names(dict.fromkeys(entry.class_name for entry in listing.entries))
        notes = [note for note in listing.notes if note not in outdated]
        notes += notes_on_similar_names(dict.fromkeys(entry.class_name for entry in entries))
        return replace(listing, entries=sort_entries(entries), refused=refused, notes=notes)

    def _check(self, found: set[str]) -> None:
        for name in (*self.rename, *self.leave_out):
            if name not in found:
                known = ", ".join(sorted(found)[:20])
                raise UserMistake(f"unknown class {name!r}; found: {known}; nothing was imported")


def make_class_mapping(
    rename: Mapping[str, str],
    leave_out: Iterable[str] = (),
    encoding: str | None = None,
    reading: Reading = "auto",
    labels: Labels | None = None,
) -> ClassMapping:
    """The mapping of names that were typed: they are cleaned, and a class that keeps its name is not renamed."""
    names = {found: class_name(name.strip()) for found, name in rename.items()}
    changed = {found: name for found, name in names.items() if found != name}
    return ClassMapping(encoding=encoding, reading=reading, labels=labels, rename=changed, leave_out=tuple(leave_out))


def check_classes(
    counts: Mapping[str, Mapping[int, int]],
    limits: Limits,
    kept: str = "nothing was imported",
    refused: Iterable[tuple[str, str]] = (),
    tables: Sequence[str] = (),
    table: str = "",
) -> None:
    """UserMistake where no network could be trained on these classes.

    counts: class -> part (-1 none, 0 train, 1 val, 2 test) -> usable pictures; kept: the end of the sentence.
    refused: (name, reason) of every file that is not used, of which the commonest reasons are given; tables: files
    that may hold the labels; table: where the classes are from, if it is no folder.
    """
    if len(counts) < limits.classes_min:
        found = (
            f"only one class, {next(iter(counts))!r}"
            if counts
            else "no picture with a class"
            if table
            else "no folder with pictures"
        )
        raise UserMistake(
            f"found {found}; expected at least {limits.classes_min}{'' if table else ', one folder for each'}"
            f"{about_tables(tables)}{_reasons(refused)}; {kept}"
        )
    if len(counts) > limits.classes_max:
        raise UserMistake(f"found {len(counts):,} classes; the limit is {limits.classes_max}; {kept}")
    for name, parts in counts.items():
        if (usable := sum(parts.values())) < limits.pictures_per_class_min:
            raise UserMistake(
                f"class {name!r} has {usable or 'no'} usable picture(s); at least "
                f"{limits.pictures_per_class_min} are needed; add pictures or remove the folder"
                f"{_reasons(refused, name)}; {kept}"
            )
    for name, parts in counts.items():
        if not parts.get(0, 0) and not parts.get(NO_PART, 0):
            raise UserMistake(
                f"class {name!r} has no picture to learn from: all its pictures are in the test or val folder; {kept}"
            )


def _reasons(refused: Iterable[tuple[str, str]], name: str = "") -> str:
    """Why files were refused, of the class `name` where it has any; what was left out on purpose is not repeated."""
    given = [(file, reason) for file, reason in refused if not reason.startswith("was left out")]
    own = [(file, reason) for file, reason in given if name in file.split("/")]
    return why_refused(own or given)
