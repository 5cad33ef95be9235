"""Notices: when a run has ended, a webhook (Slack, Discord, plain JSON) and mail are told, by a process of its own.

python -m core.runs.notices RUN_FOLDER

Off unless notices.json in the home says otherwise. A secret in it is never shown and never logged.
"""

import html
import json
import os
import smtplib
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from core.disk import append_line, rotate
from core.documents import Unreadable, read_document
from core.errors import UserMistake
from core.runs.run import Run, open_run
from core.runs.state import now
from core.settings import atelier_home
from core.typed import visible

TIMEOUT = 10.0  # seconds for one attempt
RETRY_AFTER = 5.0  # seconds until the second and last attempt
MOST_LOGGED = 2**20  # bytes
MOST_LETTERS = 300  # of a title or a message in a notice
ROOT = Path(__file__).resolve().parents[2]
Ended = Literal["done", "stopped", "failed", "lost"]
EXAMPLE = {
    "when": ["done", "failed", "lost"],
    "webhooks": [{"kind": "slack", "url": "https://hooks.slack.com/services/..."}],
    "mail": {
        "host": "smtp.example.org",
        "user": "me",
        "password": "...",
        "sender": "me@example.org",
        "to": ["me@example.org"],
    },
}


class Webhook(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["slack", "discord", "json"] = "json"
    url: SecretStr

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address begins with https:// or http://")
        return url


class Mail(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str
    to: tuple[str, ...] = Field(min_length=1, max_length=20)


class Notices(BaseModel):
    """notices.json: written by a person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: tuple[Ended, ...] = ("done", "stopped", "failed", "lost")
    hidden: bool = False  # also of hidden runs, such as those of an experiment
    webhooks: tuple[Webhook, ...] = Field((), max_length=10)
    mail: Mail | None = None


def notices_path() -> Path:
    return atelier_home() / "notices.json"


def log_path() -> Path:
    return atelier_home() / "log" / "notices.jsonl"


def read_notices() -> Notices | None:
    """What notices.json says; None where there is none. UserMistake where it is wrong, without any value of it."""
    try:
        return read_document(notices_path(), Notices)
    except FileNotFoundError:
        return None
    except Unreadable as error:
        raise UserMistake(f"notices.json cannot be used: {error}; python -m core notices shows an example") from None


def announce(folder: Path) -> None:
    """Have a process of its own tell that the run has ended; nothing where nobody asked for it. Never raises, and
    nothing is waited for."""
    with suppress(OSError, UserMistake):
        if not notices_path().exists():
            return
        subprocess.Popen(
            [sys.executable, "-m", "core.runs.notices", str(folder)],
            cwd=ROOT,
            env=os.environ | {"ATELIER_HOME": str(atelier_home())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def send_all(notices: Notices, document: dict[str, Any], retry_after: float = RETRY_AFTER) -> list[str]:
    """Tell every place, each tried twice; what went wrong, a sentence a place, and no secret in it."""
    return [f"{name}: {why}" for name, send in _places(notices) if (why := _try_twice(send, document, retry_after))]


def notice_document(run: Run) -> dict[str, Any]:
    """What a notice says of a run; the JSON that a plain webhook gets."""
    test = run.evaluation("test")
    return {
        "run": run.id,
        "title": _short(run.title),
        "status": run.state.status,
        "message": _short(run.state.message),
        "dataset": _short(run.config.data.dataset),
        "accuracy": test.accuracy if test and test.n else None,
        "interval": list(test.interval) if test and test.n else None,
        "test_pictures": test.n if test else None,
        "seconds": run.state.whole_seconds,
        "ended": run.state.updated,
    }


def in_words(document: dict[str, Any]) -> str:
    text = f"{document['title']}: {document['status']}"
    if document["accuracy"] is not None:
        low, high = document["interval"]
        text += (
            f", {document['accuracy']:.1%} of {document['test_pictures']:,} test pictures right "
            f"(95 % interval {low:.1%} to {high:.1%})"
        )
    text += f", after {document['seconds']:,.0f} s."
    return f"{text} {document['message']}".strip()


def payload(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """What is posted: to Slack and Discord one text in which no name is markup or calls anybody."""
    if kind == "slack":
        return {"text": html.escape(in_words(document), quote=False), "mrkdwn": False}
    if kind == "discord":
        text = "".join(f"\\{letter}" if letter in "\\*_~`|>#[]()<:@" else letter for letter in in_words(document))
        return {"content": text[:2000], "allowed_mentions": {"parse": []}}
    return document


def _places(notices: Notices) -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    for number, webhook in enumerate(notices.webhooks, start=1):
        yield f"webhook {number} ({webhook.kind})", partial(_post, webhook)
    if notices.mail:
        yield "mail", partial(_mail, notices.mail)


def _try_twice(send: Callable[[dict[str, Any]], None], document: dict[str, Any], retry_after: float) -> str:
    """Nothing where it was sent; else the kind of the last failure, never its text, which may hold a password."""
    why = ""
    for attempt in range(2):
        try:
            send(document)
            return ""
        except Exception as error:  # whatever a server, a name service or a certificate has wrong
            code = getattr(error, "code", None) or getattr(error, "smtp_code", None) or ""
            why = f"{type(error).__name__} {code}".strip()
        if not attempt:
            time.sleep(retry_after)
    return f"not sent, tried twice ({why})"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that leads elsewhere is a failure: what is told is for the place that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(webhook: Webhook, document: dict[str, Any]) -> None:
    body = json.dumps(payload(webhook.kind, document), allow_nan=False).encode()
    request = urllib.request.Request(
        webhook.url.get_secret_value(), body, {"Content-Type": "application/json", "User-Agent": "Atelier"}
    )
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
        pass


def _mail(mail: Mail, document: dict[str, Any]) -> None:
    message = EmailMessage()
    message["Subject"] = f"Atelier: {document['title']}: {document['status']}"[:200]
    message["From"], message["To"] = mail.sender, ", ".join(mail.to)
    message.set_content(f"{in_words(document)}\n\nRun {document['run']} on {document['dataset']}.\n")
    context = ssl.create_default_context()
    if mail.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=TIMEOUT, context=context)
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT)
    with server:
        if mail.security == "starttls":
            server.starttls(context=context)
        if mail.user:
            server.login(mail.user, mail.password.get_secret_value())
        server.send_message(message)


def _short(text: str) -> str:
    """One line without invisible letters."""
    line = " ".join(visible(text.replace("\n", " ")).split())
    return line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 1] + "…"


def _log(run_id: str, failures: list[str]) -> None:
    with suppress(OSError):
        log_path().parent.mkdir(parents=True, exist_ok=True)
        rotate(log_path(), MOST_LOGGED)
        append_line(log_path(), {"at": now(), "run": run_id, "failures": failures})


def main(folder: Path) -> int:
    try:
        notices, run = read_notices(), open_run(folder)
    except UserMistake as mistake:
        _log(folder.name, [str(mistake)])
        return 1
    if notices is None or run.state.status not in notices.when or (run.marks.hidden and not notices.hidden):
        return 0
    failures = send_all(notices, notice_document(run))
    _log(run.id, failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
