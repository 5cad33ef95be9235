"""script: a run as one PyTorch file."""

from pathlib import Path
from typing import Annotated

import typer

from core.cli.options import RunName, check_path
from core.cli.output import show_steps, shown
from core.runs.run import read_run


def script(
    run_name: RunName,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE.py|FILE.ipynb", callback=check_path, help="Where it is written."),
    ],
) -> None:
    """Write a run out as one PyTorch file that gives the same accuracy, or as a notebook: python FILE.py DATA_FOLDER.

    DATA_FOLDER is the unpacked zip of data export. Needs torch, torchvision, numpy and pillow only.
    """
    from core.scripts.writing import write_script

    run = read_run(run_name)
    show_steps(write_script(run, out))
    print(f"{run.id}  {shown(run.title)}: written to {shown(out)}")
