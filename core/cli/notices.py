"""notices: who is told when a run has ended, and a test of it."""

import json

import typer

from core.cli.output import shown
from core.errors import UserMistake

notices_app = typer.Typer(help="Tell a webhook or a mailbox when a run has ended.", invoke_without_command=True)


@notices_app.callback()
def notices(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        notices_show()


@notices_app.command("show")
def notices_show() -> None:
    """Who is told; no address of a webhook and no password is printed."""
    from core.runs.notices import EXAMPLE, notices_path, read_notices

    found = read_notices()
    if found is None:
        print(f"Nobody is told. Write {shown(notices_path())}, readable by you alone, such as:")
        print(json.dumps(EXAMPLE, indent=1))
        return
    print(f"told of: {', '.join(found.when)}{'; hidden runs too' if found.hidden else ''}")
    for webhook in found.webhooks:
        print(f"webhook: {webhook.kind}")
    if found.mail:
        print(f"mail: {shown(', '.join(found.mail.to))} by {shown(found.mail.host)}:{found.mail.port}")


@notices_app.command("test")
def notices_test() -> None:
    """Send a notice about no run to everybody who is named; exit code 1 where one did not get it."""
    from core.runs.notices import read_notices, send_all
    from core.runs.state import now

    found = read_notices()
    if found is None:
        raise UserMistake("nobody is told: there is no notices.json; python -m core notices shows an example")
    nothing = {"accuracy": None, "interval": None, "test_pictures": None, "seconds": 0.0, "ended": now()}
    document = {"run": "test", "title": "A test", "status": "done", "message": "", "dataset": "none"} | nothing
    failures = send_all(found, document, retry_after=1.0)
    for failure in failures:
        print(shown(failure))
    if failures:
        raise typer.Exit(1)
    print("Everybody was told.")
