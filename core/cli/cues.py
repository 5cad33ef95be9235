"""cues: what a network goes by, measured on copies of its test part from which one cue was taken."""

from dataclasses import asdict
from typing import Annotated

import typer

from core.cli.options import AsJson, RunName
from core.cli.output import percent, print_json, print_table, show_steps, show_until_found
from core.runs.run import read_run


def cues(
    run_name: RunName,
    pictures: Annotated[
        int | None,
        typer.Option("--pictures", min=10, help="At most so many test pictures; else up to 2,000 of 64 pixels."),
    ] = None,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="Train a network on copies without each cue: is it missed, or merely strange?"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a network goes by: its accuracy on copies of the test part without colour, layout, detail, border ..."""
    from core.experiments.audits.cue_controls import measure_controls, read_controls
    from core.experiments.audits.cues import measure_cues_of

    run = read_run(run_name)
    report = show_until_found(measure_cues_of(run, pictures))
    if controls:
        show_steps(measure_controls(run))
    found = read_controls(run, report)
    if as_json:
        document = report.to_json()
        for one in document["cues"]:
            one["control"] = asdict(found[one["cue"]]) if one["cue"] in found else None
        print_json(document)
        return
    rows = [
        [
            one.cue,
            percent(one.accuracy),
            f"{100 * one.drop:+z.2f}",
            f"{100 * one.interval[0]:+z.2f} to {100 * one.interval[1]:+z.2f}",
            f"{report.lost(one):.0%}",
        ]
        for one in report.cues
    ]
    print(f"{percent(report.accuracy)} of {report.n:,} test pictures right; guessing would get {percent(report.floor)}")
    print_table(["taken", "accuracy", "drop, points", "95 % interval", "of what it has over guessing"], rows)
    print(report.verdict)
    for one in report.cues:
        if one.cue in found:
            print(f"{one.cue}: {found[one.cue].sentence(one)}")
