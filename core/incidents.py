"""Faults of the program: the traceback goes into the log under a number, and the person gets the number."""

import secrets
import traceback
from datetime import UTC, datetime
from pathlib import Path

from core.disk import append_line
from core.settings import atelier_home


def incidents_path() -> Path:
    return atelier_home() / "log" / "incidents.jsonl"


def report_incident(error: BaseException) -> str:
    """Append the traceback to the log and return the number that leads to it, e.g. "7F3A09"."""
    number = secrets.token_hex(3).upper()
    told = "".join(traceback.format_exception(error))
    incidents_path().parent.mkdir(parents=True, exist_ok=True)
    append_line(incidents_path(), {"incident": number, "when": datetime.now(UTC).isoformat(), "traceback": told})
    return number
