"""The one exception that is shown to a person as it stands, and what it says of wrong fields."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserMistake(ValueError):
    """Bad input, told in one sentence: what was found, what was kept, what to do.

    The command line prints it on stderr and exits with 2; a page shows it in a box. Every other exception
    is a fault of the program: exit code 1, and the page shows an incident number instead of a traceback.
    """


def wrong_fields(error: ValidationError) -> str:
    """Each wrong field, its value and what is allowed, in one line: "train.epochs = 0: input should be ..."."""
    problems = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        why = problem["msg"].removeprefix("Value error, ")
        problems.append(f"{field} = {reprlib.repr(problem['input'])}: {why[:1].lower()}{why[1:]}")
    return "; ".join(problems)
