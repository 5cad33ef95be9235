"""Requester: who asked for a run; and names that people gave made plain text."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from core.people import Person, new_owner

NAME_CHARACTERS = 40


class Requester(BaseModel):
    """Who asked for a run: shown to those who wait behind it, and counted so that nobody fills the queue alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    session: str  # drawn at random for one browser session; says nothing about the person
    name: str = ""  # as the person chose to be called, or "": escape it on a page
    person: str = ""  # Person.id of whose it is; "" for the owner of the store, and where nobody signs in

    @field_validator("name")
    @classmethod
    def _on_one_line(cls, name: str) -> str:
        return _one_line(name)


def owner_of(requester: Requester | None) -> Person | None:
    """Whose a thing is that this one asked for; None: the owner of the store."""
    return Person(id=requester.person, name=requester.name) if requester and requester.person else None


def requester_now(requester: Requester | None = None) -> Requester | None:
    """The requester with who asks now, where a server knows: nobody asks in another one's name."""
    return requester_for(new_owner(), requester)


def requester_for(owner: Person | None, requester: Requester | None = None) -> Requester | None:
    """The requester, or one that only says whose it is, with `owner` where there is one."""
    if owner is None:
        return requester
    named = requester or Requester(session="")
    return named.model_copy(update={"person": owner.id, "name": _one_line(owner.name)})


def requester_in(document: Mapping[str, Any]) -> Requester | None:
    """Who asked, by config.json of a run or job.json of an import; None where nobody is named. ValueError where it is
    damaged."""
    stored = document.get("requester") or document.get("asker")  # as version 0.1.0 called it
    return Requester.model_validate(stored) if stored else None


def requester_document(requester: Requester | None) -> dict[str, Any] | None:
    return requester.model_dump(mode="json") if requester else None


def _one_line(name: str) -> str:
    return " ".join(plain(name).split())[:NAME_CHARACTERS].rstrip()


def plain(text: str) -> str:
    """The text without control characters and marks that reverse the writing direction."""
    return "".join(" " if _is_invisible(character) else character for character in unicodedata.normalize("NFC", text))


def _is_invisible(character: str) -> bool:
    joins_emoji = character == "\u200d"
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not joins_emoji
