"""export, bench exports: a finished run as files that work without Atelier, and whether they answer alike."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.cli.bench import bench_app
from core.cli.options import AsJson, ModelOfRun, RunName
from core.cli.output import print_json, print_table, show_steps, show_until_found, shown
from core.cli.predict import model_of
from core.errors import UserMistake
from core.export.export import FORMATS, export_run
from core.runs.run import read_run
from core.typed import typed_path


def export(
    run_name: RunName,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="FOLDER", help="A new or empty folder, or an earlier export, which is replaced."),
    ],
    formats: Annotated[
        list[str] | None, typer.Option("--format", metavar="NAME", help=f"{', '.join(FORMATS)}; again for several.")
    ] = None,
    model: ModelOfRun = None,
    as_json: AsJson = False,
) -> None:
    """The network of a run as files that work without Atelier: ONNX, safetensors, torch.export, a web page; with a
    model card, the classes and scripts."""
    run = read_run(run_name)
    target = typed_path(to.absolute())
    if not target.name:
        raise UserMistake("Name a folder of its own for the export, e.g. --to exported")
    show_steps(export_run(run, target, formats or FORMATS, model_of(run, model)))
    files = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
    if as_json:
        print_json({"run": run.id, "folder": str(target), "files": files})
        return
    for name, size in files.items():
        print(f"{size:>13,} bytes  {name}")
    print(f"written to {shown(target)}")


@bench_app.command("exports")
def bench_exports(
    run_name: RunName,
    pictures: Annotated[int | None, typer.Option("--pictures", min=1, help="At most so many test pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Does each exported format answer as the program does? Its scripts are asked about the test pictures, as files."""
    from core.export.agreement import measure_agreement

    found = show_until_found(measure_agreement(read_run(run_name), pictures))
    if as_json:
        print_json([asdict(one) for one in found])
        return
    head = ["format", "pictures", "same class", "largest difference of a probability", "of a logit"]
    print_table(
        head,
        [
            [one.format, one.n, one.same, f"{one.probability:.1e}", "-" if one.logit is None else f"{one.logit:.1e}"]
            for one in found
        ],
    )
