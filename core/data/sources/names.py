"""Names of files and classes: cleaned, shortened, sorted and compared."""

import re
import unicodedata
from collections.abc import Iterable

from core.errors import UserMistake


def clean_name(name: str) -> str:
    """A name that can be stored and shown: NFC, with U+FFFD for invisible characters and those that direct text."""
    name = unicodedata.normalize("NFC", name)
    return UNSHOWABLE.sub("\ufffd", name)


# control characters, lone surrogates (a name that was not UTF-8), and marks that change the direction of text
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def class_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key of classes: ignores case, 9 before 10; the name itself decides between equals."""
    pieces = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), "") if p.isdecimal() and p.isascii() else (1, 0, p) for p in pieces if p], name


def shortened(name: str) -> str:
    """A name as the import log keeps it: cleaned, at most 120 characters."""
    name = clean_name(name)
    return name if len(name) <= 120 else name[:80] + "…" + name[-39:]


def class_name(folder: str) -> str:
    """The name of the class of a folder. UserMistake where it has no visible character."""
    name = clean_name(folder)
    if not name.replace("\ufffd", "").replace("\u200d", "").replace("\u200c", "").strip():
        raise UserMistake("a class folder has no visible name; rename it; nothing was imported")
    return name


def notes_on_similar_names(names: Iterable[str]) -> list[str]:
    """A sentence for each set of classes whose names differ only in case or in blanks around them."""
    similar: dict[str, list[str]] = {}
    for name in names:
        similar.setdefault(name.casefold().strip(), []).append(name)
    return [
        f"{', '.join(map(repr, sorted(same)))} differ only in case or blanks; they were kept as {len(same)} classes."
        for same in similar.values()
        if len(same) > 1
    ]
