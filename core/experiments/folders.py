"""SpecFolders: the folders of experiments or of sweeps, written as a whole and found by a part of the id. No torch."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from core.disk import DRAFT, write_json
from core.errors import UserMistake
from core.runs.run import match_id
from core.settings import atelier_home
from core.typed import visible

_ID_DIGITS = 12
Item = TypeVar("Item")


@dataclass(frozen=True)
class SpecFolders:
    """Those of one kind: a folder for each, with its plan.json."""

    noun: str  # "experiment": as the command line and the folder of all of them are called

    @property
    def root(self) -> Path:
        return atelier_home() / f"{self.noun}s"

    def folders(self) -> list[Path]:
        """Oldest first, readable or not."""
        try:
            names = [path.name for path in self.root.iterdir()]
        except FileNotFoundError:
            return []
        return [self.root / name for name in sorted(names) if len(name) == _ID_DIGITS and name.isalnum()]

    def scan(self, read: Callable[[Path], Item]) -> tuple[list[Item], list[str]]:
        """What `read` gives of each folder, newest first, and its UserMistake for each that is damaged."""
        found, damage = [], []
        for folder in reversed(self.folders()):
            try:
                found.append(read(folder))
            except UserMistake as mistake:
                if folder.exists():  # else it was deleted in the meantime
                    damage.append(str(mistake))
        return found, damage

    def oldest_at_work(self) -> Path | None:
        """The folder of the oldest one that still has something to do; None where there is none."""
        return next(
            (one for one in self.folders() if not (one / "done").exists() and not (one / "stop").exists()), None
        )

    def write(self, plan: BaseModel) -> Path:
        """A new folder with this plan: there as a whole, or not at all."""
        self.root.mkdir(parents=True, exist_ok=True)
        folder = self.root / self._new_id()
        draft = self.root / f".{folder.name}{DRAFT}"
        draft.mkdir()
        try:
            write_json(draft / "plan.json", plan.model_dump(mode="json"))
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return folder

    def find(self, part: str) -> Path:
        """The folder with that id, a unique beginning or ending of it, or "latest"; else UserMistake."""
        part = visible(part)
        ids = [folder.name for folder in self.folders()]
        found = ids[-1:] if part == "latest" else match_id(part, ids)
        if len(found) != 1:
            count = f"{len(found)} {self.noun}s match" if found else f"No such {self.noun}:"
            raise UserMistake(f"{count} {part[:40]!r}. The {self.noun}s there are: python -m core {self.noun} list")
        return self.root / found[0]

    def _new_id(self) -> str:
        """Twelve hexadecimal digits of the time in tenths of a millisecond: they sort by time."""
        while True:
            new = f"{time.time_ns() // 100_000:012x}"[-_ID_DIGITS:]
            if not (self.root / new).exists():
                return new
            time.sleep(0.001)
