"""runs list, show, stop, resume, clone, rename, star, note, hide, answer-with, delete, restore, empty-trash."""

from pathlib import Path
from typing import Annotated, Any

import typer

from core.cli.options import AsJson, Queued, RunName, Settings, check_finite
from core.cli.output import number, percent, print_json, print_table, shown, warn_of_damage
from core.cli.predict import evaluation_document
from core.cli.train import create_run, submit_run, train_here
from core.errors import UserMistake
from core.evaluation import Evaluation
from core.fields import config_document, parse_settings
from core.runs.actions import ask_to_stop
from core.runs.naming import name_runs
from core.runs.run import Run, read_run, run_ids, scan_runs
from core.runs.teachers import teacher_sentence
from core.settings import runs_root
from core.typed import typed_path

runs_app = typer.Typer(
    help="See what was trained and what is training; stop, resume, tidy.", invoke_without_command=True
)


@runs_app.callback()
def runs(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        runs_list(as_json=as_json)
    elif as_json:
        raise UserMistake(f"write --json behind {context.invoked_subcommand}, not before it")


@runs_app.command("list")
def runs_list(
    hidden: Annotated[bool, typer.Option("--all", help="Hidden runs as well.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="The runs in the trash instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """The runs, newest first; * has a star."""
    from core.runs.actions import scan_deleted

    runs, damage = scan_deleted() if deleted else scan_runs([runs_root() / run_id for run_id in run_ids()])
    found = [run for run in runs if hidden or deleted or not run.marks.hidden]
    warn_of_damage(damage)
    if as_json:
        print_json([run_document(run) for run in found])
    elif not found and not deleted:
        print("No run yet. Start one with: python -m core train --data NAME")
    else:
        names = name_runs(found)
        head = ["run", "status", "dataset", "preset", "epoch", "test", "created", "name"]
        print_table(
            head,
            [
                [
                    run.id,
                    run.state.status,
                    run.config.data.dataset,
                    run.config.preset,
                    f"{run.state.epoch}/{run.config.train.epochs}",
                    _accuracy_text(run),
                    run.created[:19].replace("T", " "),
                    "* " * run.marks.star + names[run.id],
                ]
                for run in found
            ],
        )


@runs_app.command("add")
def runs_add(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="An export that holds model.safetensors and model.json.")
    ],
    as_json: AsJson = False,
) -> None:
    """Take in a network that was exported, from its safetensors: a finished run that answers as it did."""
    from core.export.take_in import take_in

    run = take_in(typed_path(folder))
    if as_json:
        print_json(run_document(run))
    else:
        print(f"{run.id}  {shown(run.title)}: {len(run.classes):,} classes. python -m core predict {run.id} PICTURE")


@runs_app.command("show")
def runs_show(run_name: RunName, as_json: AsJson = False) -> None:
    """Settings, progress and what a run reached."""
    run = read_run(run_name)
    epochs = run.epochs()
    if as_json:
        document = run_document(run) | {
            "config": config_document(run.config),
            "classes": list(run.classes),
            "fingerprint": run.fingerprint,
            "state": run.state.model_dump(mode="json"),
            "epochs_done": [row.model_dump(mode="json") for row in epochs],
            "evaluations": [evaluation_document(run, evaluation) for evaluation in stored_evaluations(run)],
        }
        print_json(document | ({"teacher": run.teacher.model_dump(mode="json")} if run.teacher else {}))
        return
    print(f"{run.id}  {shown(run.title)}")
    print(f"{run.state.status}  {shown(run.state.message)}".rstrip())
    if run.state.retry:
        print(shown(run.state.retry))
    for line in run.marks.note.splitlines():
        print(f"note: {shown(line)}")
    print(f"epoch {run.state.epoch}/{run.config.train.epochs}, {run.state.seconds:,.1f} s of training{_where(run)}")
    if taught := teacher_sentence(run):
        print(shown(taught))
    for row in epochs[-1:]:
        val = "" if row.val_accuracy is None else f", validation {row.val_accuracy:.2%}"
        print(f"last epoch: loss {number(row.train_loss)}, training pictures {row.train_accuracy:.2%}{val}")
    for evaluation in stored_evaluations(run):
        text = f"{percent(evaluation.accuracy)} of {evaluation.n:,}{_of_best(run, evaluation)}"
        print(f"{evaluation.part} ({evaluation.measure}): {text}")


def _where(run: Run) -> str:
    """On which machine of a cluster."""
    return f" on {shown(run.state.machine)}" if run.state.machine else ""


def _of_best(run: Run, evaluation: Evaluation) -> str:
    return f", {run.describe_model('best')}" if evaluation.model == "best" else ""


@runs_app.command("stop")
def runs_stop(run_name: RunName, as_json: AsJson = False) -> None:
    """Ask a run to stop and keep its model; a waiting one is cancelled."""
    run = read_run(run_name)
    message = ask_to_stop(run)
    if as_json:
        print_json({"run": run.id, "status": read_run(run.id).state.status, "message": message})
    else:
        print(message)


@runs_app.command("resume")
def runs_resume(
    run_name: RunName,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Of the whole run: more than it had.")] = None,
    queue: Queued = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped, killed or failed; with --epochs also with one that is done."""
    from core.data.store.store import read_fingerprint
    from core.runs.actions import resume_run

    run = read_run(run_name)
    run = resume_run(run, *read_fingerprint(run.config.data), epochs=epochs, queue=queue)
    submit_run(run, as_json) if queue else train_here(run, as_json)


@runs_app.command("clone")
def runs_clone(
    run_name: RunName,
    settings: Settings = None,
    queue: Queued = False,
    as_json: AsJson = False,
) -> None:
    """Train anew with the settings of a run, some of them changed; the run stays as it is."""
    from core.runs.actions import clone_config
    from core.runs.backbones import settle_backbone

    changes = parse_settings(settings or [])
    run = create_run(settle_backbone(clone_config(read_run(run_name), changes), changes))
    submit_run(run, as_json) if queue else train_here(run, as_json)


@runs_app.command("rename")
def runs_rename(
    run_name: RunName,
    title: Annotated[str, typer.Argument(help='Its new title; "" brings the first one back.')],
    as_json: AsJson = False,
) -> None:
    """Give a run a title."""
    from core.runs.actions import rename_run

    run = rename_run(read_run(run_name), title)
    _print_marks(run, f"Run {run.id} is now called {shown(run.title)}.", as_json)


@runs_app.command("star")
def runs_star(
    run_name: RunName,
    off: Annotated[bool, typer.Option("--off", help="Take the star away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a run a star."""
    from core.runs.actions import star_run

    run = star_run(read_run(run_name), not off)
    _print_marks(run, f"Run {run.id} has {'no star any more' if off else 'a star'}.", as_json)


@runs_app.command("note")
def runs_note(
    run_name: RunName,
    note: Annotated[str, typer.Argument(help='Takes the place of the note before; "" removes it.')],
    as_json: AsJson = False,
) -> None:
    """Keep a note with a run."""
    from core.runs.actions import note_run

    run = note_run(read_run(run_name), note)
    _print_marks(run, f"The note of run {run.id} was {'kept' if run.marks.note else 'removed'}.", as_json)


@runs_app.command("hide")
def runs_hide(
    run_name: RunName,
    off: Annotated[bool, typer.Option("--off", help="Show it again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Leave a run out of this list; runs list --all has it all the same."""
    from core.runs.actions import hide_run

    run = hide_run(read_run(run_name), not off)
    _print_marks(run, f"Run {run.id} is {'shown again' if off else 'hidden'}.", as_json)


@runs_app.command("delete")
def runs_delete(run_name: RunName, as_json: AsJson = False) -> None:
    """Move a run to the trash; a waiting one is cancelled. Restore brings it back."""
    from core.runs.actions import delete_run

    run = delete_run(read_run(run_name))
    if as_json:
        print_json({"run": run.id, "deleted": True})
    else:
        print(f"Run {run.id} is in the trash. To bring it back: python -m core runs restore {run.id}")


@runs_app.command("restore")
def runs_restore(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help='Id of a deleted run, or "latest".')],
    as_json: AsJson = False,
) -> None:
    """Bring a deleted run back as it was."""
    from core.runs.actions import restore_run

    run = restore_run(run_name)
    if as_json:
        print_json({"run": run.id, "status": run.state.status})
    else:
        print(f"Run {run.id} is back: {shown(run.title)}, {run.state.status}.")


@runs_app.command("answer-with")
def runs_answer_with(
    name: RunName,
    model: Annotated[str, typer.Argument(metavar="last|best", help="best: on the validation part.")],
    as_json: AsJson = False,
) -> None:
    """Choose which model of a finished run answers for it: in every number, in Try-It and in exports."""
    from core.cli.output import show_steps
    from core.cli.predict import model_of
    from core.inference.evaluating import answer_with

    run = read_run(name)
    show_steps(answer_with(run, model_of(run, model)))
    run = read_run(run.id)
    if as_json:
        print_json(run_document(run))
    else:
        print(f"Run {run.id} answers with its {run.describe_model()}.")


@runs_app.command("empty-trash")
def runs_empty_trash(
    days: Annotated[
        float | None,
        typer.Option("--days", min=0, callback=check_finite, help="Only what was deleted so many days ago."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete the runs in the trash for good."""
    from core.runs.actions import empty_trash, trash_bytes

    before = trash_bytes()
    emptied = empty_trash(days)
    freed = max(0, before - trash_bytes())
    if as_json:
        print_json({"emptied": emptied, "bytes": freed})
    else:
        print(f"{emptied} run{'s' * (emptied != 1)} deleted for good; {freed / 2**20:,.1f} MB are free again.")


def _print_marks(run: Run, message: str, as_json: bool) -> None:
    if as_json:
        print_json({"run": run.id, **run.marks.model_dump(mode="json"), "title": run.title})
    else:
        print(message)


def run_document(run: Run) -> dict[str, Any]:
    """A run as one entry of runs list."""
    return {
        "run": run.id,
        "title": run.title,
        "status": run.state.status,
        "message": run.state.message,
        "model": run.used_model,
        "dataset": run.config.data.dataset,
        "preset": run.config.preset,
        "created": run.created,
        "epoch": run.state.epoch,
        "epochs": run.config.train.epochs,
        "seconds": run.state.seconds,
        "accuracy": test_accuracy(run),
        "attempt": run.state.attempt,
        "machine": run.state.machine,
        "star": run.marks.star,
        "note": run.marks.note,
        "hidden": run.marks.hidden,
    }


def test_accuracy(run: Run) -> float | None:
    """The fraction of its test pictures that the network gets right; None before it has answered."""
    from core.experiments.dataset_runs import stored_score

    right, n = stored_score(run)
    return right / n if n else None


def _accuracy_text(run: Run) -> str:
    accuracy = test_accuracy(run)
    return "" if accuracy is None else percent(accuracy)


def stored_evaluations(run: Run) -> list[Evaluation]:
    """Its evaluations of every part and measure, as far as they are stored."""
    from core.evaluation import MEASURES

    found = [run.evaluation(part, measure) for part in ("train", "val", "test") for measure in MEASURES]
    return [evaluation for evaluation in found if evaluation is not None]
