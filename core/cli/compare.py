"""compare, findings: whether runs differ, and what the numbers of one or two of them mean."""

from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.options import AsJson
from core.cli.output import Bar, percent, print_json, print_table, shown
from core.cli.predict import evaluate_now
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.runs.naming import with_names
from core.runs.run import Run, read_run

if TYPE_CHECKING:
    from core.data.quality.shortcuts import Shortcuts
    from core.experiments.run_comparison import RunComparison

RunNames = Annotated[
    list[str], typer.Argument(metavar="RUN...", help='Ids of runs, unique starts or ends of them, or "latest".')
]


def compare(run_names: RunNames, as_json: AsJson = False) -> None:
    """Which of these runs can be told apart on their test part: every pair by the exact McNemar test, all in tiers.

    Exit code 2 where their test parts hold different pictures.
    """
    from core.experiments.run_comparison import compare_runs

    runs = with_names([read_run(name) for name in run_names])
    if len(runs) < 2:
        raise UserMistake("compare needs two or more different runs")
    found = compare_runs(runs, [answers_on_test(run) for run in runs])
    print_json(found.to_json()) if as_json else _print_comparison(found)


def answers_on_test(run: Run) -> Evaluation:
    """The stored predictions for the test part, of the model that predicts for the run; else computed now."""
    stored = run.evaluation("test")
    return stored if stored is not None else evaluate_now(run, "test", "evaluation", run.used_model)


def _print_comparison(found: "RunComparison") -> None:
    rows = [
        [tier, run.id, percent(one.accuracy), f"{one.interval[0]:.2%} to {one.interval[1]:.2%}", one.n, run.title]
        for tier, run, one in sorted(
            zip(found.tiers, found.runs, found.evaluations, strict=True), key=lambda row: (row[0], -row[2].accuracy)
        )
    ]
    print_table(["tier", "run", "right", "95 % interval", "of", "title"], rows)
    for pair in found.pairs:
        a, b, answers = found.runs[pair.a].id, found.runs[pair.b].id, pair.answers
        low, high = answers.interval
        verdict = "differ" if pair.differs else "cannot be told apart"
        print(
            f"{a} and {b} {verdict}: {answers.only_a:,} pictures only the first one gets right, {answers.only_b:,} "
            f"only the second one, p = {answers.p_value:.3g} (exact McNemar); second minus first "
            f"{100 * answers.difference:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f})"
        )
    print(shown(found.correction))
    if len(found.runs) > 2:
        print("Runs of one tier cannot be ranked; every run of a tier is told apart from every run of the other tiers.")


def findings(run_names: RunNames, as_json: AsJson = False) -> None:
    """What the numbers of a run mean, or of two, in three to seven sentences, the most important first."""
    from core.findings.finding import read_facts
    from core.findings.pairs import findings as find

    runs = [read_run(name) for name in run_names]
    if len(runs) > 2 or len({run.id for run in runs}) < len(runs):
        raise UserMistake("findings takes one run, or two different ones")
    for run in runs:
        answers_on_test(run)  # which a run that was stopped may still lack
    facts = [read_facts(run, _shortcuts_of(run)) for run in with_names([read_run(run.id) for run in runs])]
    found = find(facts[0], facts[1] if len(facts) > 1 else None)
    if as_json:
        print_json([one.to_json() for one in found])
        return
    for one in found:
        about = f"{one.run}: " if one.run and len(runs) > 1 else ""
        print(f"- {about}{shown(one.sentence)}" + (f" Try: {one.suggestion.label}." if one.suggestion else ""))


def _shortcuts_of(run: Run) -> "Shortcuts | None":
    """What colour, brightness and size alone score on the split of the run; None where its pictures are gone."""
    from core.data.quality.shortcuts import measure_shortcuts
    from core.findings.finding import dataset_of

    dataset = dataset_of(run)
    if dataset is None:
        return None
    with Bar() as bar:
        return measure_shortcuts(
            dataset, run.config.data, lambda done, total: bar.show("measuring shortcuts", done, total)
        )
