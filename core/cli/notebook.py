"""notebook: notes by day, and guesses beside what came of them."""

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import AsJson
from core.cli.output import counted, print_json, print_table, shown
from core.errors import UserMistake
from core.runs.run import Run, read_run

if TYPE_CHECKING:
    from core.notebook.notebook import Guess
    from core.notebook.scoring import Score

notebook_app = typer.Typer(
    help="Write a guess before a run or an experiment, have it scored afterwards; notes by day.",
    invoke_without_command=True,
)
GuessOption = Annotated[
    str,
    typer.Option(
        "--guess", metavar="TEXT", help='What you expect, kept in the notebook and scored: "+2 points, slower".'
    ),
]


@notebook_app.callback()
def notebook(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        notebook_show(as_json)
    elif as_json:
        raise UserMistake(f"write --json behind {context.invoked_subcommand}, not before it")


@notebook_app.command("show")
def notebook_show(as_json: AsJson = False) -> None:
    """The notes by day, and the guesses beside what came of them."""
    from core.notebook.notebook import Note, read_notebook
    from core.notebook.scoring import score_guesses, summarize

    found = read_notebook()
    scores = score_guesses(found.guesses)
    if as_json:
        notes = [{"at": entry.at, "text": entry.text} for entry in found.entries if isinstance(entry, Note)]
        print_json({"notes": notes, "guesses": [_document(one) for one in scores], "damaged": found.damaged})
        return
    notes_only = [entry for entry in found.entries if isinstance(entry, Note)]
    for day, entries in groupby(notes_only, key=lambda entry: entry.at[:10]):
        print(day)
        for entry in entries:
            print("\n".join(f"  {shown(line)}" for line in entry.text.splitlines()))
    if scores:
        rows = [[one.guess.at[:10], one.guess.text, one.subject, one.outcome, one.verdict] for one in scores]
        print_table(["day", "guess", "about", "outcome", "verdict"], rows)
        print(summarize(scores))
    if not found.entries:
        print('The notebook is empty. A guess: python -m core train --data NAME --guess "+2 points, slower"')
    if found.damaged:
        print(f"{counted(found.damaged, 'line')} of the notebook cannot be read; they were left as they are.")


@notebook_app.command("note")
def notebook_note(text: Annotated[str, typer.Argument(help="What is to be kept.")]) -> None:
    """Write something down, under today's date."""
    from core.notebook.notebook import write_note

    write_note(text)
    print("It is in the notebook.")


@notebook_app.command("guess")
def notebook_guess(
    name: Annotated[str, typer.Argument(metavar="RUN|EXPERIMENT", help="One that has not ended.")],
    text: Annotated[str, typer.Argument(help='What you expect: "+2 points, slower", "dropout: worse", "70 %".')],
    against: Annotated[
        str | None, typer.Option("--against", metavar="RUN", help="Else the newest finished run on its dataset.")
    ] = None,
) -> None:
    """Write a guess about a run or an experiment that waits or is at work."""
    from core.experiments.ablation.experiment import read_experiment
    from core.notebook.notebook import write_experiment_guess

    try:
        run = read_run(name)
    except UserMistake as mistake:
        try:
            experiment = read_experiment(name)
        except UserMistake:
            raise mistake from None
        print(f"Kept: {shown(write_experiment_guess(experiment, text).text)}")
        return
    print(f"Kept: {shown(guess_about(run, text, against).text)}")


def guess_about(run: Run, text: str, against: str | None = None) -> "Guess":
    from core.notebook.notebook import write_run_guess

    return write_run_guess(run, text, read_run(against) if against else None)


def _document(score: "Score") -> dict[str, Any]:
    return {
        **score.guess.model_dump(mode="json", exclude={"kind"}),
        "subject": score.subject,
        "outcome": score.outcome,
        "difference": score.difference,
        "interval": score.interval,
        "right_direction": score.is_right,
        "inside_interval": score.is_inside,
        "right_time": score.is_time_right,
        "verdict": score.verdict,
    }
