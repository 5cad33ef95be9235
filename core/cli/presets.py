"""presets list, forget: named settings to start from."""

from typing import Annotated

import typer

from core.cli.options import AsJson
from core.cli.output import print_json, print_table, shown, warn_of_damage
from core.fields import config_document
from core.presets import all_presets, scan_presets

presets_app = typer.Typer(no_args_is_help=True, help="Named settings to start from.")


@presets_app.command("forget")
def presets_forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A preset of your own.")], as_json: AsJson = False
) -> None:
    """Remove a preset of your own."""
    from core.presets import forget_preset

    forget_preset(name)
    print_json({"forgotten": name}) if as_json else print(f"The preset {shown(name)} was removed.")


@presets_app.command("list")
def presets_list(as_json: AsJson = False) -> None:
    """The presets and what they set."""
    warn_of_damage(scan_presets()[1])
    if as_json:
        print_json([{"name": name, "config": config_document(config)} for name, config in all_presets().items()])
        return
    head = ["name", "epochs", "batch", "optimizer", "rate", "schedule", "augmentation"]
    print_table(
        head,
        [
            [
                shown(name),
                config.train.epochs,
                config.train.batch_size,
                config.train.optimizer,
                config.train.learning_rate,
                config.train.schedule,
                "+".join(config.train.augment) or "none",
            ]
            for name, config in all_presets().items()
        ],
    )
