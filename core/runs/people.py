"""Who asked for a run, and people's words made plain text."""

import unicodedata

from pydantic import BaseModel, ConfigDict, field_validator

NAME_CHARACTERS = 40


class Asker(BaseModel):
    """Who asked for a run: for the sentence about who is in front, and so that nobody fills the line alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    session: str  # drawn by the program for one browser session; says nothing about the person
    name: str = ""  # what the person calls herself, if she likes: escape it on a page

    @field_validator("name")
    @classmethod
    def _on_one_line(cls, name: str) -> str:
        return " ".join(plain(name).split())[:NAME_CHARACTERS].rstrip()


def plain(text: str) -> str:
    """Without control characters and marks that turn the writing direction around."""
    return "".join(" " if _is_invisible(character) else character for character in unicodedata.normalize("NFC", text))


def _is_invisible(character: str) -> bool:
    joins_emoji = character == "\u200d"
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not joins_emoji
