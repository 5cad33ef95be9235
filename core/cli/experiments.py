"""experiment run, list, show, document, stop, resume, delete: what each component is worth."""

import math
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.cli.options import AsJson, ExperimentName, Queued, Settings, check_finite
from core.cli.output import Bar, counted, minutes, print_json, print_table, shown, warn_of_damage
from core.config import change_config
from core.errors import UserMistake
from core.fields import parse_settings
from core.runs.run import read_run
from core.submit import choose_config

if TYPE_CHECKING:
    from core.experiments.ablation.effects import Report
    from core.experiments.ablation.experiment import Experiment
    from core.experiments.ablation.spec import ExperimentSpec

experiment_app = typer.Typer(no_args_is_help=True, help="What each part is worth: a base with and without it.")


@experiment_app.command("components")
def experiment_components(as_json: AsJson = False) -> None:
    """What an experiment can switch."""
    from core.experiments.ablation.components import COMPONENTS

    rows = [[one.key, one.title, one.group, one.description] for one in COMPONENTS.values()]
    if as_json:
        print_json([dict(zip(("key", "title", "group", "said"), row, strict=True)) for row in rows])
    else:
        print_table(["key", "what", "group", ""], rows)


@experiment_app.command("run")
def experiment_run(
    switch: Annotated[
        list[str] | None, typer.Option("--switch", metavar="KEY", help="A component; see experiment components.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--change", metavar="SETTINGS", help='A comparison of your own: "model.kernel=5 model.padding=same".'
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="NAME", help="Name of the dataset.")] = None,
    run_name: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="A run whose settings are the base.")
    ] = None,
    preset_name: Annotated[str, typer.Option("--preset", help="Settings that are the base.")] = "quick",
    settings: Settings = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of the base and of each variant.")] = 3,
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget", metavar="MINUTES", callback=check_finite, help="Seeds that do not fit in are left out."
        ),
    ] = None,
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="Of each component only as many seeds as decide it; at most --seeds."),
    ] = False,
    guesses: Annotated[
        list[str] | None,
        typer.Option(
            "--guess", metavar="TEXT", help='What you expect of a component, kept and scored: "flip: +2 points".'
        ),
    ] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Print what it would be, and start nothing.")] = False,
    queue: Queued = False,
    as_json: AsJson = False,
) -> None:
    """Train a base with and without components, and report what each of them is worth. Ctrl-C stops it."""
    from core.experiments.ablation.actions import create_experiment
    from core.experiments.ablation.components import find_components, own_component
    from core.experiments.ablation.spec import plan_experiment
    from core.notebook.notebook import check_experiment_guess, write_experiment_guess
    from core.runs.queue import ensure_supervisor

    if (data is None) == (run_name is None):
        raise UserMistake("name the pictures with --data NAME, or a run whose settings are the base with --run RUN")
    changes = parse_settings(settings or [])
    if run_name is not None:
        base = change_config(read_run(run_name).config, changes)
    else:
        assert data is not None
        base = choose_config(preset_name, data, changes)
    chosen = find_components(switch or [])
    chosen += [own_component(parse_settings(words.split()), number) for number, words in enumerate(change or [], 1)]
    plan = plan_experiment(base, chosen, seeds, None if budget is None else 60 * budget, until_decided)
    for text in guesses or []:
        check_experiment_guess(text, plan.variants)
    if only_plan:
        _print_plan(plan, as_json)
        return
    experiment = create_experiment(plan)
    for text in guesses or []:
        write_experiment_guess(experiment, text)
    ensure_supervisor()
    if queue:
        _print_begun(experiment, as_json)
    else:
        _follow(experiment, as_json)


@experiment_app.command("list")
def experiment_list(as_json: AsJson = False) -> None:
    """The experiments, newest first."""
    from core.experiments.ablation.experiment import scan_experiments

    found, damage = scan_experiments()
    warn_of_damage(damage)
    if as_json:
        print_json([_experiment_document(experiment) for experiment in found])
    elif not found:
        print("No experiment yet. Start one with: python -m core experiment run --data NAME --switch batch_norm")
    else:
        documents = [_experiment_document(experiment) for experiment in found]
        head = ["experiment", "status", "done", "total", "created", "title"]
        print_table(head, [[document[name] for name in head] for document in documents])


@experiment_app.command("show")
def experiment_show(
    name: ExperimentName,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a table for a document.")] = False,
    as_json: AsJson = False,
) -> None:
    """What an experiment has found so far."""
    from core.experiments.ablation.effects import report
    from core.experiments.ablation.experiment import read_experiment
    from core.experiments.ablation.markdown import to_markdown

    found = report(read_experiment(name))
    if as_json:
        print_json(found.to_json())
    elif markdown:
        print(to_markdown(found), end="")
    else:
        _print_report(found)


@experiment_app.command("document")
def experiment_document(
    names: Annotated[list[str], typer.Argument(metavar="EXPERIMENT...", help="Ids, e.g. of one for each dataset.")],
) -> None:
    """Experiments with the same components compared in one Markdown document."""
    from core.experiments.ablation.effects import report
    from core.experiments.ablation.experiment import read_experiment
    from core.experiments.ablation.markdown import to_document

    reports = [report(read_experiment(name)) for name in names]
    command = f"python -m core experiment document {' '.join(one.experiment.id for one in reports)}"
    print(to_document(reports, command), end="")


@experiment_app.command("stop")
def experiment_stop(name: ExperimentName, as_json: AsJson = False) -> None:
    """Stop an experiment; the run at work keeps what it has learnt."""
    from core.experiments.ablation.actions import stop_experiment
    from core.experiments.ablation.experiment import read_experiment

    experiment = read_experiment(name)
    message = stop_experiment(experiment)
    if as_json:
        print_json({"experiment": experiment.id, "status": read_experiment(experiment.id).status, "message": message})
    else:
        print(message)


@experiment_app.command("resume")
def experiment_resume(name: ExperimentName, queue: Queued = False, as_json: AsJson = False) -> None:
    """Go on with an experiment that was stopped, and try again what has failed in it."""
    from core.experiments.ablation.actions import resume_experiment
    from core.experiments.ablation.experiment import read_experiment
    from core.runs.queue import ensure_supervisor

    experiment = resume_experiment(read_experiment(name))
    ensure_supervisor()
    if queue:
        _print_begun(experiment, as_json)
    else:
        _follow(experiment, as_json)


@experiment_app.command("delete")
def experiment_delete(name: ExperimentName, as_json: AsJson = False) -> None:
    """Remove an experiment that has ended; its runs stay, hidden from the list."""
    from core.experiments.ablation.actions import delete_experiment
    from core.experiments.ablation.experiment import read_experiment

    experiment = read_experiment(name)
    delete_experiment(experiment)
    if as_json:
        print_json({"experiment": experiment.id, "deleted": True})
    else:
        print(f"Experiment {experiment.id} was deleted; its runs stay: python -m core runs list --all")


def _follow(experiment: "Experiment", as_json: bool) -> None:
    """Wait for its end, then print what it has found; Ctrl-C stops it."""
    from core.experiments.ablation.actions import stop_experiment
    from core.experiments.ablation.effects import report
    from core.experiments.ablation.experiment import open_experiment
    from core.runs.queue import ensure_supervisor

    if not as_json:
        print(experiment.id, flush=True)
    try:
        with Bar() as bar:
            while not experiment.ended:
                ensure_supervisor()
                done, total = experiment.progress
                message = experiment.at_work or "waits for its turn"
                bar.show("experiment", done, total, f"{message}  {minutes(experiment.seconds_left)}")
                time.sleep(0.3)
                experiment = open_experiment(experiment.folder)
    except KeyboardInterrupt:
        print(
            f"{stop_experiment(experiment)} To go on: python -m core experiment resume {experiment.id}", file=sys.stderr
        )
        raise
    found = report(experiment)
    if as_json:
        print_json(found.to_json())
    else:
        _print_report(found)


def _print_begun(experiment: "Experiment", as_json: bool) -> None:
    if as_json:
        print_json(_experiment_document(experiment))
    else:
        print(experiment.id)
        print(f"How it goes: python -m core experiment show {experiment.id}", file=sys.stderr)


def _print_plan(plan: "ExperimentSpec", as_json: bool) -> None:
    from core.experiments.ablation.spec import estimate_seconds

    seconds = estimate_seconds(plan)
    runs = len(plan.arms) * len(plan.seeds)
    if as_json:
        print_json(_plan_document(plan) | {"runs": runs, "estimated_seconds": seconds})
        return
    print_table(["component", "changed in the base"], [[one.title, one.changed] for one in plan.variants])
    about = (
        "not known yet; python -m core estimate measures it" if seconds is None else f"about {seconds / 60:,.1f} min"
    )
    print(f"{counted(runs, 'run')} of {counted(plan.base.config.train.epochs, 'epoch')}: {about}")
    for note in plan.notes:
        print(note)


def _plan_document(plan: "ExperimentSpec") -> dict[str, Any]:
    """Under the names that the fields have always had in JSON."""
    document = plan.model_dump(mode="json")
    variants = [document["base"], *document.pop("variants")]
    for variant in variants:
        variant |= {"told": variant.pop("changed"), "apart": variant.pop("seed_offset")}
    return document | {"settings": variants[1:]}


def _experiment_document(experiment: "Experiment") -> dict[str, Any]:
    done, total = experiment.progress
    return {
        "experiment": experiment.id,
        "status": experiment.status,
        "title": experiment.title,
        "dataset": experiment.plan.dataset,
        "created": experiment.plan.created[:19].replace("T", " "),
        "done": done,
        "total": total,
        "seconds_left": None if experiment.ended else experiment.seconds_left,
    }


def _print_report(found: "Report") -> None:
    document = found.to_json()
    print(f"{document['experiment']}  {shown(document['title'])}")
    print(f"{document['status']}, {document['done']} of {document['total']} measurements and runs")
    if found.experiment.at_once is not None:
        print(found.experiment.at_once.sentence)
    head = ["component", "seeds", "points", "low", "high", "s/epoch", "low", "high", "parameters"]
    rows = []
    for effect in found.effects:
        accuracy, seconds = effect.accuracy, effect.seconds
        points = [100 * one for one in (accuracy.value, accuracy.low, accuracy.high)] if accuracy else [math.nan] * 3
        times = [seconds.value, seconds.low, seconds.high] if seconds else [math.nan] * 3
        parameters = math.nan if effect.parameters is None else effect.parameters
        rows.append([effect.title, effect.seeds, *points, *times, parameters])
    print_table(head, rows)
    for effect in found.effects:
        print(shown(" ".join([effect.sentence, *(f"({remark})" for remark in effect.remarks)])))
    for remark in found.remarks:
        print(shown(remark))
