"""bench training, parallel-runs, import, duplicates, features, and reproduce: Atelier against named baselines."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import AsJson, DataName, PresetOption, Settings
from core.cli.output import Bar, print_json, print_table, show_until_found, shown
from core.cli.predict import evaluation_document
from core.cli.runs import run_document, stored_evaluations
from core.fields import parse_settings
from core.runs.run import Run

if TYPE_CHECKING:
    from core.experiments.audits.leakage import Leakage
    from core.experiments.benchmarks.training import Bench
    from core.experiments.reproduce import Reproduction

bench_app = typer.Typer(no_args_is_help=True, help="Measure Atelier against the paper's loop on this machine.")


@bench_app.command("training")
def bench_training_command(
    quick: Annotated[bool, typer.Option("--quick", help="One seed instead of three: a rough answer soon.")] = False,
    as_json: AsJson = False,
) -> None:
    """Seconds of the paper's loop and of ours for the same work, and the ratio."""
    from core.experiments.benchmarks.training import Bench, bench_training

    with Bar() as bar:
        for step in bench_training(rounds=1 if quick else 3):
            if isinstance(step, Bench):
                bench = step
            else:
                bar.show("bench", step.done, step.total, step.message)
    if as_json:
        print_json(bench.to_json())
        return
    _print_rows(bench)
    if bench.accuracy:
        low, high = bench.accuracy.interval
        print(
            f"accuracy at equal settings on {bench.accuracy.n:,} test pictures: ours - baseline = "
            f"{bench.accuracy.difference:+.2%} (95 % interval {low:+.2%} to {high:+.2%})"
        )
    if bench.limit:
        for name, share in bench.limit.shares.items():
            print(f"{name}: {share:.1%} of the physical limit ({bench.limit.reachable / 1e9:,.0f} Gflop/s)")


def _print_rows(bench: "Bench") -> None:
    print(shown(bench.machine))
    head = ["what", "baseline s", "ours s", "ratio"]
    print_table(head, [[row.name, row.baseline_seconds, row.seconds, row.ratio] for row in bench.rows])
    for row in bench.rows:
        if row.note:
            print(f"{row.name}: {row.note}")


@bench_app.command("parallel-runs")
def bench_parallel_runs_command(
    name: DataName,
    preset_name: PresetOption = "quick",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=20, help="How often both ways take turns.")] = 2,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Runs an hour, one after the other on all cores and as many at once as there are cores, one thread each."""
    from core.experiments.benchmarks.parallel_runs import ParallelRuns, bench_parallel_runs
    from core.submit import choose_config

    with Bar() as bar:
        for step in bench_parallel_runs(choose_config(preset_name, name, parse_settings(settings or [])), rounds):
            if isinstance(step, ParallelRuns):
                found = step
            else:
                bar.show("bench", step.done, step.total, step.message)
    document = found.to_json()
    if as_json:
        print_json(document)
        return
    turns = zip(found.one_after_the_other, found.at_once, found.others, strict=True)
    head = [f"{found.runs} runs one after the other, s", f"{found.runs} at once, s", "taken by other programs"]
    print_table(head, [[alone, together, f"{others:.0%}"] for alone, together, others in turns])
    print(
        f"{found.ratio:.2f} times as many runs an hour at once: {document['runs_an_hour_at_once']:,.0f} instead of "
        f"{document['runs_an_hour']:,.0f}, on {found.cores} cores"
    )
    print(found.known.sentence)


@bench_app.command("import")
def bench_import_command(
    artworks: Annotated[str, typer.Argument(metavar="[NAME]", help="The dataset that comes in again.")] = "artworks",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=50, help="How often baseline and ours take turns.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Seconds of an import, child processes and log included, and of ImageFolder with PIL reading the same files."""
    from core.experiments.benchmarks.imports import bench_import
    from core.experiments.benchmarks.training import Bench

    with Bar() as bar:
        for step in bench_import(artworks, rounds):
            if isinstance(step, Bench):
                bench = step
            else:
                bar.show("bench", step.done, step.total, step.message)
    if as_json:
        print_json(bench.to_json())
    else:
        _print_rows(bench)


@bench_app.command("duplicates")
@bench_app.command("copies", hidden=True)  # as version 0.1.0 called it
def bench_duplicates_command(
    name: DataName,
    seeds: Annotated[int, typer.Option("--seeds", min=2, max=50, help="Splits and trainings, with and without.")] = 5,
    preset_name: PresetOption = "quick",
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """How much leakage raises the test accuracy: trained with duplicates kept in one part, and with a split that
    ignores them."""
    from core.experiments.audits.leakage import measure_leakage

    leakage = show_until_found(measure_leakage(name, seeds, preset_name, parse_settings(settings or [])))
    if as_json:
        print_json(leakage.to_json())
    else:
        _print_leakage(leakage)


def _print_leakage(leakage: "Leakage") -> None:
    accuracy = leakage.accuracy
    low, high = accuracy.interval
    head = ["seed", "together", "ignored", "test duplicates", "right on duplicates", "right on others"]
    columns = zip(accuracy.baseline, accuracy.ours, leakage.leaked, leakage.on_leaked, leakage.on_others, strict=True)
    print_table(head, [[seed, *row] for seed, row in enumerate(columns)])
    print(
        f"leakage changes the accuracy by {accuracy.difference:+.2%} of {accuracy.n:,} test pictures "
        f"(95 % interval {low:+.2%} to {high:+.2%})"
    )


@bench_app.command("features")
def bench_features_command(
    name: DataName,
    backbone: Annotated[str, typer.Option("--backbone", help="The pretrained network.")] = "googlenet",
    trunk: Annotated[str, typer.Option("--trunk", hidden=True)] = "",  # --backbone in version 0.1.0
    pictures: Annotated[int, typer.Option("--pictures", min=16, help="How many of the dataset's.")] = 300,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="That both ways are compared over.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What it saves to compute the features of a frozen backbone once instead of in every epoch."""
    from dataclasses import asdict

    from core.data.datasets.dataset import find_dataset
    from core.engine.hardware import choose_hardware
    from core.experiments.benchmarks.frozen_features import bench_features

    found = bench_features(find_dataset(name), trunk or backbone, pictures, epochs, choose_hardware())
    if as_json:
        document = asdict(found) | {"trunk": found.backbone}  # as version 0.1.0 called it
        print_json(document | {"ratio": found.ratio, "later_ratio": found.later_ratio})
        return
    print(f"{found.backbone}, {found.pictures:,} pictures of 224 px, {found.epochs} epochs of a new last layer")
    print(f"the backbone in every epoch: {found.epoch_seconds:,.1f} s each")
    print(f"features once: {found.once_seconds:,.1f} s, then all epochs together {found.head_seconds:,.2f} s")
    print(f"{found.ratio:,.0f} times faster; {found.later_ratio:,.0f} times for every later run")


@bench_app.command("transfer")
def bench_transfer_command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Datasets: each is also the other's source.")],
    backbones: Annotated[
        list[str] | None, typer.Option("--backbone", help="Pretrained networks whose weights are here; given again.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=20, help="Runs of each way.")] = 3,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="WORDS", help="Ways with these words.")] = None,
    fine_tune: Annotated[
        bool, typer.Option("--fine-tune", help="Pretrained networks also with every layer; hours on a CPU.")
    ] = False,
    trained: Annotated[bool, typer.Option("--trained", help="Train nothing: what is there already.")] = False,
) -> None:
    """Same net, two worlds (Markdown): from scratch, on the other world's network, and on pretrained ones."""
    from core.experiments.benchmarks.training import Step
    from core.experiments.benchmarks.transfer import bench_transfer, collect, to_markdown, ways
    from core.rows import TickRow

    every = ways(names, backbones or [], fine_tune)
    chosen = [way for way in every if not only or any(words in f"{way.dataset}: {way.title}" for words in only)]
    title = ""
    if not trained:
        with Bar() as bar:
            for step in bench_transfer(chosen, seeds):
                if isinstance(step, Step):
                    title = f"{step.done + 1} of {step.total}, {step.message}"
                elif isinstance(step, TickRow):
                    bar.show(title, step.step, step.steps, f"epoch {step.epoch}")
    print(to_markdown(collect(every, seeds)), end="")


def reproduce(
    datasets: Annotated[list[str] | None, typer.Option("--data", metavar="NAME", help="May be given twice.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=20, help="Runs of quick and of better.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Train every preset on CIFAR-10 and artworks, and print the table with the paper's numbers (Markdown)."""
    from core.experiments.reproduce import collect, to_markdown
    from core.experiments.reproduce import reproduce as steps
    from core.rows import TickRow

    names, title = tuple(datasets or ("cifar10", "artworks")), ""
    with Bar() as bar:
        for row in steps(names, seeds):
            if isinstance(row, Run):
                title = row.title
            elif isinstance(row, TickRow):
                bar.show(title, row.step, row.steps, f"epoch {row.epoch}")
    found = collect(names, seeds)
    if as_json:
        print_json([_reproduction_document(reproduction) for reproduction in found])
    else:
        print(to_markdown(found), end="")


def _reproduction_document(reproduction: "Reproduction") -> dict[str, Any]:
    return {
        "preset": reproduction.preset,
        "dataset": reproduction.dataset,
        "runs": [run_document(run) for run in reproduction.runs],
        "evaluations": [
            evaluation_document(run, evaluation) for run in reproduction.runs for evaluation in stored_evaluations(run)
        ],
    }
