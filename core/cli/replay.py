"""replay: a part of a run asked again from its files, by Try-It's way."""

from typing import Annotated

import typer

from core.cli.options import AsJson, ModelOfRun, RunName
from core.cli.output import percent, print_json, show_until_found, shown
from core.cli.predict import model_of
from core.runs.run import read_run

NAMED = 20  # pictures with another answer that are printed


def replay(
    run_name: RunName,
    part: Annotated[str, typer.Option("--part", help="train, val or test.")] = "test",
    model: ModelOfRun = None,
    as_json: AsJson = False,
) -> None:
    """Ask every picture of a part again from its file, as Try-It would: are the answers those of Results?

    Exit code 1 where an answer is another one.
    """
    from core.inference.replay import replay_part

    run = read_run(run_name)
    found = show_until_found(replay_part(run, part, model_of(run, model)))
    low, high = found.interval
    if as_json:
        print_json(
            {
                "run": run.id,
                "part": part,
                "n": found.n,
                "equal": found.equal,
                "accuracy": found.accuracy,
                "interval": [low, high],
                "accuracy_of_results": found.expected,
                "largest_difference": found.largest_difference,
                "different": list(found.different),
            }
        )
    else:
        print(f"{run.id}  {shown(run.title)}  {part}, from file to answer")
        difference = f"probabilities differ by at most {found.largest_difference:.1g}"
        print(f"{found.equal:,} of {found.n:,} answers are those of Results ({difference})")
        right = f"{percent(found.accuracy)} of {found.n:,} pictures right (95 % interval {low:.2%} to {high:.2%})"
        print(f"{right}; Results: {percent(found.expected)}")
        for name in found.different[:NAMED]:
            print(f"another answer: {shown(name)}")
    if found.equal < found.n:
        raise typer.Exit(1)
