"""sweep run, list, show, stop, resume, keep, delete: a search for good settings."""

import math
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from core.cli.options import AsJson, DataOption, Queued, Settings, SweepName, check_finite
from core.cli.output import Bar, minutes, percent, print_json, print_table, shown, warn_of_damage
from core.errors import UserMistake
from core.fields import parse_settings
from core.submit import choose_config

if TYPE_CHECKING:
    from core.experiments.sweeps.sweep import Sweep

sweep_app = typer.Typer(no_args_is_help=True, help="Search for good settings within ranges; the best become a preset.")


@sweep_app.command("run")
def sweep_run(
    data: DataOption,
    fields: Annotated[
        list[str],
        typer.Option(
            "--field", metavar="FIELD[=RANGE]", help='E.g. train.learning_rate=0.01..0.5, "model.pool=max|average".'
        ),
    ],
    budget: Annotated[
        float, typer.Option("--budget", metavar="MINUTES", callback=check_finite, help="Of training in all.")
    ] = 30.0,
    trials: Annotated[int, typer.Option("--trials", help="At most so many.")] = 100,
    preset_name: Annotated[str, typer.Option("--preset", help="What stays the same comes from here.")] = "quick",
    settings: Settings = None,
    queue: Queued = False,
    as_json: AsJson = False,
) -> None:
    """Try settings, judged by the validation part, and give up early on what falls behind. Ctrl-C stops it."""
    from core.experiments.sweeps.actions import create_sweep
    from core.experiments.sweeps.ranges import range_for
    from core.experiments.sweeps.spec import plan_sweep
    from core.runs.queue import ensure_supervisor

    base = choose_config(preset_name, data, parse_settings(settings or []))
    pairs = [field.partition("=") for field in fields]
    ranges = [range_for(field.strip(), narrowed.strip()) for field, _, narrowed in pairs]
    sweep = create_sweep(plan_sweep(base, ranges, 60 * budget, trials))
    ensure_supervisor()
    if queue:
        print_json({"sweep": sweep.id}) if as_json else print(sweep.id)
    else:
        _follow_sweep(sweep, as_json)


@sweep_app.command("list")
def sweep_list(as_json: AsJson = False) -> None:
    """The sweeps, newest first."""
    from core.experiments.sweeps.trials import list_documents

    found, damage = list_documents()
    warn_of_damage(damage)
    if as_json:
        print_json(found)
    elif not found:
        print("No sweep yet. Start one with: python -m core sweep run --data NAME --field train.learning_rate")
    else:
        rows = [[one["sweep"], one["status"], len(one["trials"]), one["title"]] for one in found]
        print_table(["sweep", "status", "trials", "title"], rows)


@sweep_app.command("show")
def sweep_show(name: SweepName, as_json: AsJson = False) -> None:
    """The trials of a sweep, and the best of them."""
    from core.experiments.sweeps.sweep import read_sweep

    _print_sweep(read_sweep(name), as_json)


@sweep_app.command("stop")
def sweep_stop(name: SweepName, as_json: AsJson = False) -> None:
    """Stop a sweep; what it has found is kept."""
    from core.experiments.sweeps.actions import stop_sweep
    from core.experiments.sweeps.sweep import read_sweep

    sweep = read_sweep(name)
    message = stop_sweep(sweep)
    print_json({"sweep": sweep.id, "message": message}) if as_json else print(message)


@sweep_app.command("resume")
def sweep_resume(
    name: SweepName,
    budget: Annotated[
        float, typer.Option("--more", metavar="MINUTES", min=0, callback=check_finite, help="More time than it had.")
    ] = 0.0,
    queue: Queued = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a sweep."""
    from core.experiments.sweeps.actions import resume_sweep
    from core.experiments.sweeps.sweep import read_sweep
    from core.runs.queue import ensure_supervisor

    sweep = resume_sweep(read_sweep(name), 60 * budget)
    ensure_supervisor()
    if queue:
        print_json({"sweep": sweep.id}) if as_json else print(sweep.id)
    else:
        _follow_sweep(sweep, as_json)


@sweep_app.command("keep")
def sweep_keep(
    name: SweepName,
    preset_name: Annotated[str, typer.Argument(metavar="PRESET", help="Name of the new preset.")],
    as_json: AsJson = False,
) -> None:
    """Make the best settings of a sweep a preset of your own."""
    from core.experiments.sweeps.sweep import read_sweep
    from core.experiments.sweeps.trials import best_of, config_of, list_trials
    from core.presets import keep_preset

    sweep = read_sweep(name)
    best = best_of(list_trials(sweep))
    if best is None:
        raise UserMistake(f"no trial of sweep {sweep.id} has come to its end yet, so there is nothing to keep")
    keep_preset(preset_name, config_of(sweep, best))
    if as_json:
        print_json({"preset": preset_name, "trial": best.number, "accuracy": best.accuracy})
    else:
        print(f"Kept. To train with it: python -m core train --data NAME --preset {shown(preset_name)}")


@sweep_app.command("delete")
def sweep_delete(name: SweepName, as_json: AsJson = False) -> None:
    """Remove a sweep that has ended; its runs stay, hidden from the list."""
    from core.experiments.sweeps.actions import delete_sweep
    from core.experiments.sweeps.sweep import read_sweep

    sweep = read_sweep(name)
    delete_sweep(sweep)
    print_json({"sweep": sweep.id, "deleted": True}) if as_json else print(f"Sweep {sweep.id} was deleted.")


def _follow_sweep(sweep: "Sweep", as_json: bool) -> None:
    """Wait for its end, then print its trials; Ctrl-C stops it."""
    from core.experiments.sweeps.actions import stop_sweep
    from core.experiments.sweeps.sweep import open_sweep
    from core.experiments.sweeps.trials import list_trials, sum_seconds
    from core.runs.queue import ensure_supervisor

    if not as_json:
        print(sweep.id, flush=True)
    try:
        with Bar() as bar:
            while not sweep.ended:
                ensure_supervisor()
                trials = list_trials(sweep)
                seconds, budget = sum_seconds(trials), sweep.plan.budget_seconds
                message = f"{len(trials)} trials {minutes(max(0.0, budget - seconds))}"
                bar.show("sweep", round(seconds), round(budget), message)
                time.sleep(0.5)
                sweep = open_sweep(sweep.folder)
    except KeyboardInterrupt:
        print(f"{stop_sweep(sweep)} To go on: python -m core sweep resume {sweep.id}", file=sys.stderr)
        raise
    _print_sweep(sweep, as_json)


def _print_sweep(sweep: "Sweep", as_json: bool) -> None:
    from core.experiments.sweeps.trials import sweep_document

    document = sweep_document(sweep)
    if as_json:
        print_json(document)
        return
    print(f"{sweep.id}  {shown(document['title'])}  {document['status']} {shown(document['message'])}".rstrip())
    if document["at_once"]:
        print(document["at_once"])
    fields = list(document["ranges"])
    rows = [
        [one["number"], one["status"], percent(math.nan if one["accuracy"] is None else one["accuracy"])]
        + [one["values"].get(field, "") for field in fields]
        for one in document["trials"]
    ]
    print_table(["trial", "status", "validation", *fields], rows)
    if document["best"] is not None:
        print(f"best: trial {document['best']}. To keep it: python -m core sweep keep {sweep.id} NAME")
