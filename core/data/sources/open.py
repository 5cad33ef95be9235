"""open_source: a path as the source that it is, a folder or a zip."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from core.data.sources.folder import FolderSource
from core.data.sources.layout import Reading
from core.data.sources.listing import Arrange, Source
from core.data.sources.table import Labels, arrange_labelled, read_table
from core.data.sources.zip import ZipSource
from core.errors import UserMistake
from core.settings import Limits
from core.typed import typed_path


@contextmanager
def open_source(
    path: Path,
    limits: Limits,
    encoding: str | None = None,
    reading: Reading = "auto",
    labels: Labels | None = None,
) -> Iterator["Source"]:
    """The zip or folder at `path`, listed. UserMistake for anything else and for a malicious or broken zip.

    encoding: the code page of names in a zip that are not UTF-8, one of ENCODINGS; None reads them as cp437.
    reading: which folders are the classes, as for arrange(). labels: the table that says the classes instead.
    """
    typed_path(path.absolute())
    if path.is_dir():
        yield FolderSource(path, limits, reading, _arrange_by(labels, path, encoding))
    elif not path.exists():
        raise UserMistake(f"there is no file or folder {str(path)!r}; nothing was imported")
    else:
        try:
            file = path.open("rb")
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise UserMistake(f"the file could not be opened ({why}); nothing was imported") from error
        with file:
            yield ZipSource(file, limits, encoding, reading, _arrange_by(labels, path, encoding))


def _arrange_by(labels: Labels | None, path: Path, encoding: str | None) -> Arrange | None:
    return None if labels is None else partial(arrange_labelled, labels, read_table(labels, path, encoding))
