"""Faults of the program: the traceback goes to a log, a short number to the screen."""

import secrets
import traceback
from datetime import UTC, datetime

from core.disk import append_line
from core.settings import atelier_home


def report_incident(error: BaseException) -> str:
    """Append the traceback to incidents.jsonl in atelier_home()/log and return the number that leads to it."""
    number = secrets.token_hex(3).upper()
    log = atelier_home() / "log" / "incidents.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    told = "".join(traceback.format_exception(error))
    append_line(log, {"incident": number, "when": datetime.now(UTC).isoformat(), "traceback": told})
    return number
