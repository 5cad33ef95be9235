"""explain, bench explanations: which places of a picture speak for a class, and which method can be trusted."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from core.cli.bench import bench_app
from core.cli.options import AsJson, RunName
from core.cli.output import print_json, print_table, show_until_found, shown
from core.data.sources.picture_files import read_picture
from core.disk import write_atomic
from core.display_names import display_name
from core.errors import UserMistake
from core.experiments.audits.explanations import audit_document, default_method
from core.runs.run import read_run

if TYPE_CHECKING:
    from core.inference.attribution import Method


def explain(
    run_name: RunName,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A picture file.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="The heat map over the picture.")],
    method: Annotated[
        str | None,
        typer.Option("--method", help="grad_cam, integrated_gradients or occlusion; else the one that measures best."),
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="The class to explain; else the one that is answered.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Which places of a picture speak for a class, as a heat map over the picture at its own resolution."""
    from core.inference.attribution import Explainer
    from core.inference.predictor import load_predictor

    run = read_run(run_name)
    predictor = load_predictor(run)
    target = _class_index(class_name, predictor.classes)
    content = read_picture(picture)
    if isinstance(content, str):
        raise UserMistake(f"{str(picture)!r} {content}.")
    (answer,) = predictor.predict([(str(picture), content)])
    if answer.received is None:
        raise UserMistake(f"{str(picture)!r} {answer.error}.")
    explainer = Explainer(predictor.model, predictor.preprocess)
    chosen = _known_method(method or default_method(run))
    target = predictor.classes.index(answer.classes[0][0]) if target is None else target
    found = explainer.attribute(answer.received, chosen, target)
    _save_picture(out, content, found.map, predictor.preprocess)
    _print_explanation(found, predictor.classes[target], dict(answer.classes), out, as_json)


def _class_index(name: str | None, classes: tuple[str, ...]) -> int | None:
    if name is not None and name not in classes:
        raise UserMistake(f"The network knows no class {name!r}; it knows {', '.join(classes)}")
    return None if name is None else classes.index(name)


def _known_method(name: str) -> "Method":
    from core.inference.attribution import Method

    if name not in get_args(Method):
        raise UserMistake(f"There is no method {name!r}; there are {', '.join(get_args(Method))}")
    return name  # type: ignore[return-value]  # one of its names


def _save_picture(out: Path, content: bytes, heat: Any, preprocess: Any) -> None:
    from core.data.pictures.viewer import read_original
    from core.inference.heat_map import draw_heat_map

    png = io.BytesIO()
    draw_heat_map(read_original(content), heat, preprocess).save(png, "PNG")
    try:
        write_atomic(out, png.getvalue())
    except OSError as error:
        raise UserMistake(f"{str(out)!r} cannot be written: {error.strerror}. Name another file with --out.") from error


def _print_explanation(found: Any, name: str, probabilities: dict[str, float], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "method": found.method,
                "class": name,
                "probability": probabilities[name],
                "layer": found.layer,
                "resolution": found.resolution,
                "map": [[round(value, 4) for value in row] for row in found.map.tolist()],
            }
        )
        return
    method = display_name("attribution", found.method)
    height, width = found.resolution
    layer = f" of {found.layer}" if found.layer else ""
    print(f"{shown(name)} ({probabilities[name]:.1%}), {method}{layer}, {height} x {width} cells")
    print(f"written to {shown(out)}")


@bench_app.command("explanations")
def bench_explanations_command(
    run_name: RunName,
    pictures: Annotated[
        int, typer.Option("--pictures", min=2, max=10_000, help="At most so many of the validation part.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Deletion and insertion curves of every explanation method against a random order: which one can be trusted?"""
    from core.experiments.audits.deletion_curves import measure_explanations

    audit = show_until_found(measure_explanations(read_run(run_name), pictures))
    document = audit_document(audit)
    if as_json:
        print_json(document)
        return
    head = ["method", "deletion", "insertion", "gain", "gain over random", "95 % interval"]
    print_table(head, [_row(row) for row in document["methods"]])
    print(audit.verdict)


def _row(row: dict[str, Any]) -> list[Any]:
    over = row.get("gain_over_random")
    ending = [f"{over['mean']:+.3f}", f"{over['low']:+.3f} to {over['high']:+.3f}"] if over else ["", ""]
    return [
        display_name("attribution", row["method"]),
        *(row[name]["mean"] for name in ("deletion", "insertion", "gain")),
        *ending,
    ]
