"""Documents on disk: checked where they are read; and what a list says of those that it leaves out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.disk import read_json
from core.errors import UserMistake

NAMED = 3  # damaged things that a warning describes one by one

Model = TypeVar("Model", bound=BaseModel)


class Unreadable(UserMistake):
    """A file that is not what its name says. Its text stands after the words "it is damaged: " or "its "."""


def read_document(path: Path, model: type[Model], newest: int = 1) -> Model:
    """The JSON document at `path`, checked. Unreadable where it is damaged or of a schema version above `newest`.

    FileNotFoundError where it is not there.
    """
    try:
        return check_document(read_json(path), model, path.name, newest)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"{path.name} is cut short or overwritten") from error


def check_document(document: Any, model: type[Model], name: str, newest: int = 1) -> Model:
    """The document as a `model`; Unreadable where it has another form. name: of its file."""
    if not isinstance(document, dict):
        raise Unreadable(f"{name} holds no document")
    if is_newer(document.get("schema_version"), newest):
        version = document["schema_version"]
        raise Unreadable(f"{name} is of a newer version of Atelier (schema {version}; this one knows {newest})")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        fields = sorted({".".join(map(str, one["loc"][:1])) for one in error.errors(include_url=False)})
        raise Unreadable(f"{name} is wrong in {', '.join(fields[:3])}") from error


def is_newer(version: Any, newest: int) -> bool:
    """Whether a schema version is above `newest`; a wrong one is not."""
    return isinstance(version, int) and not isinstance(version, bool) and version > newest


def damage_warning(damage: Sequence[str]) -> str:
    """One line about what a list leaves out, "" where that is nothing. damage: a sentence for each."""
    if not damage:
        return ""
    more = f" And {len(damage) - NAMED:,} more." if len(damage) > NAMED else ""
    return f"Left out, because it cannot be read: {' '.join(damage[:NAMED])}{more} Everything else is listed."
