"""runs export-tensorboard, export-mlflow, command: runs for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from core.cli.options import AsJson, RunName, check_path
from core.cli.output import print_json, shown
from core.errors import UserMistake
from core.runs.run import read_run

elsewhere_app = typer.Typer()
RunNames = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")]
To = Annotated[
    Path, typer.Option("--to", metavar="FOLDER", callback=check_path, help="Where a folder for each run is made.")
]


@elsewhere_app.command("export-tensorboard")
def runs_export_tensorboard(
    run_names: RunNames,
    to: To,
    follow: Annotated[
        bool, typer.Option("--follow", help="Of one run that waits or trains: write on until it has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write runs as TensorBoard's event files: losses, accuracies, learning rate, settings."""
    from core.export.tensorboard import export_tensorboard, follow_tensorboard

    runs = [read_run(name) for name in dict.fromkeys(run_names)]
    if follow and len(runs) != 1:
        raise UserMistake("--follow writes along with one run; name one")
    if follow:
        if not as_json:
            print(f"written to {shown(to)} as it trains; to see it: tensorboard --logdir {shown(to)}", flush=True)
        for _ in follow_tensorboard(runs[0], to):
            pass
        folders = [to / runs[0].id]
    else:
        folders = export_tensorboard(runs, to)
    if as_json:
        print_json({"folders": [str(folder) for folder in folders]})
    elif not follow:
        print(f"written to {shown(to)}; to see it: tensorboard --logdir {shown(to)}")


@elsewhere_app.command("export-mlflow")
def runs_export_mlflow(run_names: RunNames, to: To, as_json: AsJson = False) -> None:
    """Write runs into a tracking folder of MLflow: settings as parameters, rows and results as metrics."""
    from core.export.mlflow import export_mlflow

    folders = export_mlflow([read_run(name) for name in dict.fromkeys(run_names)], to)
    if as_json:
        print_json({"folders": [str(folder) for folder in folders]})
    else:
        print(
            f"written to {shown(to)}; to see it: mlflow migrate-filestore --source {shown(to)} --target "
            "sqlite:///mlflow.db, then mlflow ui --backend-store-uri sqlite:///mlflow.db"
        )


@elsewhere_app.command("command")
def runs_command(run_name: RunName) -> None:
    """The settings of a run as the command that trains with them again."""
    from core.runs.command import train_command

    print(train_command(read_run(run_name).config))
