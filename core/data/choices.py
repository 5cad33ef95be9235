"""Choices: what a person decides about the classes of a source before its pictures come in."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.data.sources import Listing, class_name, notes_on_likeness, shortened, sort_entries
from core.data.splits import NO_PART
from core.errors import UserMistake
from core.settings import Limits


class Choices(BaseModel):
    """Classes are named as they were found; with nothing chosen everything comes in as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: str | None = Field(None, description="code page of names in a zip that does not say it, e.g. cp932")
    rename: dict[str, str] = Field({}, description="class as found -> its name; two of one name become one class")
    leave_out: tuple[str, ...] = Field((), description="classes whose pictures stay out")

    def class_of(self, found: str) -> str | None:
        """What a class is called from now on; None: it is left out."""
        return None if found in self.leave_out else self.rename.get(found, found)

    def apply(self, listing: Listing) -> Listing:
        """The listing as chosen: what is left out is refused by name, so that every file is accounted for.

        Raises UserMistake for a class that is not there and for a name that cannot be seen."""
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
        told_before = notes_on_likeness(dict.fromkeys(entry.class_name for entry in listing.entries))
        notes = [note for note in listing.notes if note not in told_before]
        notes += notes_on_likeness(dict.fromkeys(entry.class_name for entry in entries))
        return replace(listing, entries=sort_entries(entries), refused=refused, notes=notes)

    def _check(self, found: set[str]) -> None:
        for name in (*self.rename, *self.leave_out):
            if name not in found:
                known = ", ".join(sorted(found)[:20])
                raise UserMistake(f"unknown class {name!r}; found: {known}; nothing was imported")


def choose(rename: Mapping[str, str], leave_out: Any = (), encoding: str | None = None) -> Choices:
    """Choices from what was typed: names are cleaned, and a class that keeps its name is not renamed."""
    names = {found: class_name(name.strip()) for found, name in rename.items()}
    changed = {found: name for found, name in names.items() if found != name}
    return Choices(encoding=encoding, rename=changed, leave_out=tuple(leave_out))


def check_classes(counts: Mapping[str, Mapping[int, int]], limits: Limits, kept: str = "nothing was imported") -> None:
    """counts: class -> part (-1 none, 0 train, 1 val, 2 test) -> usable pictures. UserMistake where no network could
    be trained on them; kept: what it says of everything else."""
    if len(counts) < limits.classes_min:
        found = f"only one class, {next(iter(counts))!r}" if counts else "no folder with pictures"
        raise UserMistake(f"found {found}; expected at least {limits.classes_min}, one folder for each; {kept}")
    if len(counts) > limits.classes_max:
        raise UserMistake(f"found {len(counts):,} classes; the limit is {limits.classes_max}; {kept}")
    for name, parts in counts.items():
        if (usable := sum(parts.values())) < limits.pictures_per_class_min:
            raise UserMistake(
                f"class {name!r} has {usable or 'no'} usable picture(s); at least "
                f"{limits.pictures_per_class_min} are needed; add pictures or remove the folder; {kept}"
            )
    for name, parts in counts.items():
        if not parts.get(0, 0) and not parts.get(NO_PART, 0):
            raise UserMistake(
                f"class {name!r} has no picture to learn from: all its pictures are in the test or val folder; {kept}"
            )
