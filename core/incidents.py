"""Faults of the program: the traceback goes into the log under a number, and the person gets the number."""

import secrets
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from core.disk import append_line, rotate
from core.settings import Limits, atelier_home


def incidents_path() -> Path:
    return atelier_home() / "log" / "incidents.jsonl"


def report_incident(error: BaseException) -> str:
    """Append the traceback to the log and return the number that leads to it, e.g. "7F3A09".

    Where the log cannot be written, the traceback goes to standard error.
    """
    number = secrets.token_hex(3).upper()
    text = "".join(traceback.format_exception(error))
    try:
        incidents_path().parent.mkdir(parents=True, exist_ok=True)
        rotate(incidents_path(), Limits().log_bytes)  # not load_limits: limits.json may be what went wrong
        append_line(incidents_path(), {"incident": number, "when": datetime.now(UTC).isoformat(), "traceback": text})
    except OSError as trouble:
        with suppress(OSError):
            print(f"incident {number} ({incidents_path()} cannot be written: {trouble})\n{text}", file=sys.stderr)
    return number
