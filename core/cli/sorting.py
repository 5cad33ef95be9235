"""Sorter: copies of pictures, in a folder for each answer and one for those that are none of the classes."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePath

from core.data.versions.export import free_path, safe_folder, safe_name
from core.disk import draft_path
from core.errors import UserMistake

NONE = "none of these"
MOST_ALIKE = 10_000  # files of one name in a folder


class Sorter:
    """Copies pictures below `folder`. Nothing there is ever overwritten or removed.

    Names are data: a class or file that is called like a path, or as no system allows, gets a safe name.
    """

    def __init__(self, folder: Path, classes: Iterable[str]) -> None:
        taken: dict[str, int] = {}
        self.folder = folder
        self.folders = {name: free_path(safe_folder(name), taken) for name in classes}
        self.none = free_path(NONE, taken)

    def put(self, answer: str | None, file: str, content: bytes) -> Path:
        """Copy a picture into the folder of its answer (None: of none of these); where it lies now.

        One of that name with the same content is left as it is; with other content a number is put behind the name.
        UserMistake where the disk refuses.
        """
        folder = self.folder / (self.none if answer is None else self.folders[answer])
        name, taken = safe_name(PurePath(file.replace("\\", "/")).name), dict[str, int]()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for _ in range(MOST_ALIKE):
                target = folder / free_path(name, taken)
                if _place(target, content) or _holds(target, content):
                    return target
        except OSError as error:
            raise UserMistake(
                f"{str(folder)!r} cannot be written: {error.strerror}. Free some space, or name another "
                "folder with --sort-into; what was copied before is kept."
            ) from error
        raise UserMistake(f"{str(folder)!r} has {MOST_ALIKE:,} files called {name!r}; name another folder.")


def _place(target: Path, content: bytes) -> bool:
    """Write a new file in one step; False where there is one of that name already."""
    draft = draft_path(target)
    try:
        draft.write_bytes(content)
        try:
            os.link(draft, target)  # unlike a rename it replaces nothing
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with target.open("xb") as file:
                file.write(content)
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    return True


def _holds(target: Path, content: bytes) -> bool:
    return target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content
