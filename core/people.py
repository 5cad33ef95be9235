"""Person: who asks for something, whether it is theirs to change, and what a document keeps of whose it is.

The command line and the supervisor act as the owner of the store: whoever can use its files. A server says who it is.
"""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from core.errors import UserMistake


class Person(BaseModel):
    """Somebody who can be told apart from others, and keeps the same id on any day."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = ""  # "": the owner of the store
    name: str = ""  # as it was given: escape it on a page
    is_teacher: bool = Field(False, exclude=True)  # may change what is others'; never stored


OWNER = Person(is_teacher=True)
NOBODY = Person(id="nobody", name="nobody")  # a server that does not know who asks
_who: list[Callable[[], Person]] = []  # the server's, at most one


def ask_who(source: Callable[[], Person] | None) -> None:
    """From now on `source` says in this process who asks; None: the owner of the store again."""
    _who[:] = [source] if source else []


def acting() -> Person:
    """Who asks for what happens now."""
    return _who[0]() if _who else OWNER


def new_owner() -> Person | None:
    """Whose a thing is that is made now, as documents keep it; None: the owner of the store."""
    person = acting()
    return person if person.id else None


def owner_document() -> dict[str, str] | None:
    """new_owner() as JSON."""
    owner = new_owner()
    return owner.model_dump(mode="json") if owner else None


def may_change(owner: Person | None) -> bool:
    """Whether who asks may change what is `owner`'s."""
    person = acting()
    return person.is_teacher or (owner is not None and owner.id == person.id != NOBODY.id)


def must_be_own(owner: Person | None, what: str) -> None:
    """UserMistake where who asks may not change `what`, the beginning of a sentence, because it is somebody else's."""
    if not may_change(owner):
        whose = (owner.name or "somebody else") if owner else "the owner of this server"
        raise UserMistake(f"{what} belongs to {whose}. Only {whose} or a teacher may change it; nothing was changed.")


def must_be_teacher(deed: str) -> None:
    """UserMistake where who asks is no teacher. `deed`: e.g. "empty the trash"."""
    if not acting().is_teacher:
        raise UserMistake(f"Only a teacher may {deed}; nothing was changed.")
