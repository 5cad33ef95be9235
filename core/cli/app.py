"""The command line of Atelier: every command, and how a mistake or a fault ends it.

python -m core --help
python -m core data add sample-artworks
python -m core train --data sample-artworks --preset quick
python -m core predict latest picture.jpg --json

Results on stdout (one JSON document with --json), progress on stderr. Exit code 0, 1 (it failed or was broken off; a
fault of the program has an incident number) or 2 (the user's mistake, one sentence on stderr).
"""

import sys
from pathlib import Path

import typer
from typer.exceptions import TyperException

from core.cli.bench import bench_app, reproduce
from core.cli.cluster import cluster_app
from core.cli.compare import compare, findings
from core.cli.cues import cues
from core.cli.data import data_app
from core.cli.data_quality import quality_app
from core.cli.data_versions import versions_app
from core.cli.experiments import experiment_app
from core.cli.explain import explain
from core.cli.export import export
from core.cli.folds import cross_validate, curve
from core.cli.intruders import bench_intruders
from core.cli.notebook import notebook_app
from core.cli.notices import notices_app
from core.cli.output import print_any_name, shown
from core.cli.predict import evaluate, predict
from core.cli.presets import presets_app
from core.cli.receipts import receipt, verify
from core.cli.replay import replay
from core.cli.reports import report
from core.cli.runs import runs_app
from core.cli.runs_elsewhere import elsewhere_app
from core.cli.scripts import script
from core.cli.serve import serve
from core.cli.sweeps import sweep_app
from core.cli.train import estimate, find_rate, train
from core.cli.weights import weights_app
from core.data.pictures.child import wait_briefly
from core.disk import disk_trouble
from core.errors import UserMistake
from core.incidents import incidents_path, report_incident
from core.settings import atelier_home, make_home

BROKEN_OFF = 130  # what typer makes of KeyboardInterrupt

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=(__doc__ or "").split("\n")[0]
)
for command in (train, estimate, find_rate, evaluate, predict, explain, replay, export, serve, reproduce):
    app.command()(command)
app.command()(compare)
app.command()(findings)
bench_app.command("intruders")(bench_intruders)
app.command()(cues)
app.command()(cross_validate)
app.command()(curve)
app.command()(receipt)
app.command()(script)
app.command()(report)
app.command()(verify)
for group in (versions_app, quality_app):
    data_app.add_typer(group)
runs_app.add_typer(elsewhere_app)
for name, group in {
    "data": data_app,
    "runs": runs_app,
    "experiment": experiment_app,
    "sweep": sweep_app,
    "weights": weights_app,
    "presets": presets_app,
    "notebook": notebook_app,
    "notices": notices_app,
    "bench": bench_app,
    "cluster": cluster_app,
}.items():
    app.add_typer(group, name=name)


@app.callback()
def before_every_command() -> None:
    make_home()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    print_any_name()
    wait_briefly()
    try:
        code = app(args=arguments, prog_name="python -m core", standalone_mode=False)
    except SystemExit as leaving:  # nobody reads on: the pipe that takes our output was closed
        return leaving.code if isinstance(leaving.code, int) else 1
    except TyperException as mistake:
        return _print_sentence(_usage(mistake), 2)
    except UserMistake as mistake:
        return _print_sentence(shown(mistake), 2)
    except OSError as error:
        trouble = home_trouble(error)
        return _print_sentence(trouble, 2) if trouble else _print_fault(error)
    except Exception as fault:
        return _print_fault(fault)
    if code == BROKEN_OFF:
        return _print_sentence("Broken off by Ctrl-C; what was finished before is kept.", 1)
    return code if isinstance(code, int) else 0


def _print_sentence(sentence: str, code: int) -> int:
    if sentence:
        print(sentence, file=sys.stderr)
    return code


def _print_fault(fault: Exception) -> int:
    where = f"Incident {report_incident(fault)} in {incidents_path()} has the details."
    return _print_sentence(f"Something went wrong ({type(fault).__name__}). {where}", 1)


def _usage(mistake: TyperException) -> str:
    """One sentence; nothing where the help was shown instead."""
    sentence = shown(mistake.format_message()).rstrip(".")
    context = getattr(mistake, "ctx", None)
    return f"{sentence}. See {context.command_path} --help" if sentence and context else sentence


def home_trouble(error: OSError) -> str | None:
    """What is wrong where Atelier keeps its files, in one sentence; None where that is not it."""
    home = atelier_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        return f"Atelier cannot keep its files in {shown(home)}: {why.strerror}; name another folder in ATELIER_HOME"
    ours = error.filename is None or Path(str(error.filename)).is_relative_to(home)
    trouble = (
        disk_trouble(error, home, "What was finished before is kept. Free some space and try again.") if ours else None
    )
    return str(trouble) if trouble else None
