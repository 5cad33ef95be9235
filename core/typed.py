"""What people type or paste: names without invisible characters, and paths that may be no paths at all."""

import os
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from core.errors import UserMistake

_JOINERS = "\u200c\u200d"  # of letters (Persian) and emoji


def visible(name: str) -> str:
    """The name without characters that nobody sees, such as U+2060 of a copied text; joiners of letters stay."""
    kept = (letter for letter in name if letter in _JOINERS or unicodedata.category(letter) not in ("Cf", "Cc"))
    return unicodedata.normalize("NFC", "".join(kept)).strip()


def unquoted(text: str) -> str:
    """A pasted path without the quotes that Windows copies with it, and without file:// in front."""
    text = text.strip()
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    if text.casefold().startswith("file://"):
        return url2pathname(urlsplit(text).path)
    return text


def typed_path(given: str | os.PathLike[str]) -> Path:
    """The path that was typed, with ~ for a person's own folder and links followed; nothing need be there.

    UserMistake for what can be no path here: a NUL, a name that is too long, an unknown ~user, links in a circle.
    """
    try:
        path = Path(given).expanduser().resolve()
        os.stat(path)  # noqa: PTH116 - Path.exists() hides a NUL
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return path
    except (OSError, RuntimeError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserMistake(f"{_shortened(str(given))} is no path on this machine: {why.rstrip('.').lower()}") from error
    return path


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:50]}…{text[-29:]}")
