"""open_loose: the pictures of a zip or a folder in whatever folders they lie, to be classified and not to be learnt."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.data.sources.folder import FolderSource
from core.data.sources.listing import Source, arrange_loose
from core.data.sources.zip import ZipSource
from core.errors import UserMistake
from core.settings import Limits

IMPORTED = "; nothing was imported"  # how the sentences of an import end


class LooseFolder(FolderSource):
    """A folder of files, none of which stands for a class."""

    arranged = staticmethod(arrange_loose)


class LooseZip(ZipSource):
    """A zip, as untrusted as any, whose folders stand for nothing."""

    arranged = staticmethod(arrange_loose)


@contextmanager
def open_loose(path: Path, limits: Limits) -> Iterator[Source]:
    """The zip or folder at `path`; its listing has every file but those of the system, sorted by name.

    UserMistake for a path without either, and for a malicious or broken zip.
    """
    try:
        if path.is_dir():
            yield LooseFolder(path, limits)
            return
        with path.open("rb") as file:
            yield LooseZip(file, limits)
    except OSError as error:
        raise UserMistake(f"The file could not be opened: {(error.strerror or str(error)).lower()}") from error
    except UserMistake as mistake:
        raise UserMistake(str(mistake).replace(IMPORTED, "")) from mistake
