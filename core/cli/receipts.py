"""receipt, verify: a run as a signed document, and whether such a document holds."""

from pathlib import Path
from typing import Annotated

import typer

from core.cli.options import AsJson, RunName, check_path
from core.cli.output import print_json, show_until_found, shown
from core.runs.run import read_run

NAMED = 10  # differences that are printed; --json has all


def receipt(
    run_name: RunName,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.json", callback=check_path, help="Where the receipt is written.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write a signed receipt of a run: data, split, settings, seeds, environment, rows, numbers and checksums."""
    from core.receipts.receipt import make_receipt, write_receipt

    run = read_run(run_name)
    document = make_receipt(run)
    write_receipt(document, out)
    key = document["signature"]["key"]
    if as_json:
        print_json({"run": run.id, "file": str(out), "key": key})
    else:
        print(f"{run.id}  {shown(run.title)}: written to {shown(out)}, signed with the key {key}")


def verify(
    path: Annotated[Path, typer.Argument(metavar="FILE.json", callback=check_path, help="A receipt.")],
    again: Annotated[bool, typer.Option("--run", help="Train again; compare rows, numbers and weights.")] = False,
    key: Annotated[
        str, typer.Option("--key", metavar="KEY", help="The public key of another store whose receipts you accept.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check a receipt: its signature, and the files of its run where that is here; with --run train it again.

    Exit code 0 where everything is equal, 1 where something differs or the receipt is forged, 2 where it is none.
    """
    from core.receipts.verify import train_again, verify_receipt

    found = verify_receipt(path, key)
    if again and found.verdict != "forged":
        found = show_until_found(train_again(found))
    if as_json:
        print_json(found.to_json())
    else:
        print(f"{found.verdict}: {shown(found.reason)}")
        for line in found.differences[1 : 1 + NAMED]:
            print(f"also: {shown(line)}")
        if len(found.differences) > 1 + NAMED:
            print(f"... and {len(found.differences) - 1 - NAMED:,} more; --json lists them all")
    if found.verdict != "equal":
        raise typer.Exit(1)
