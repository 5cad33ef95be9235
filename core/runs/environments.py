"""environment.json: the environments in which a run was trained, where each differs from the one before."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.disk import write_json
from core.environment import Environment

FILE = "environment.json"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    attempts: tuple[Environment, ...] = ()


def read_environments(folder: Path) -> tuple[Environment, ...]:
    """In the order in which they trained the run; none of a run of before there was the file, or where it is
    damaged."""
    try:
        return _Document.model_validate_json((folder / FILE).read_bytes()).attempts
    except (OSError, ValidationError):
        return ()


def add_environment(folder: Path, environment: Environment) -> None:
    """For the worker that begins to train the run."""
    known = read_environments(folder)
    if known[-1:] != (environment,):
        attempts = [one.model_dump(mode="json") for one in (*known, environment)]
        write_json(folder / FILE, {"schema_version": 1, "attempts": attempts})
