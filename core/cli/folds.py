"""cross-validate, curve: how good settings are on pictures of a kind, and what more pictures would be worth."""

from typing import Annotated

import typer

from core.cli.options import AsJson, DataOption, PresetOption, Settings
from core.cli.output import percent, print_json, print_table, show_until_found
from core.config import RunConfig
from core.fields import parse_settings
from core.submit import choose_config


def cross_validate(
    data: DataOption,
    preset_name: PresetOption = "quick",
    folds: Annotated[int, typer.Option("--folds", help="Parts; as many networks are trained.")] = 5,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """The accuracy that settings reach, asked of every picture by a network that has not learnt from it.

    Duplicates stay in one fold, classes keep their shares. Broken off, it goes on where it was.
    """
    from core.experiments.audits import folds as audit

    config = choose_config(preset_name, data, parse_settings(settings or []))
    found = show_until_found(audit.cross_validate(config, folds))
    if as_json:
        print_json(found.to_json())
        return
    print_table(
        ["fold", "right", "of", "accuracy"],
        [[number, right, n, percent(right / n)] for number, (right, n) in enumerate(found.folds, 1)],
    )
    low, high = found.interval
    print(
        f"{percent(found.accuracy)} of {found.n:,} pictures (95 % interval {low:.2%} to {high:.2%}, corrected for "
        "training sets that overlap: Nadeau and Bengio 2003)"
    )
    _print_at_once(config)


def curve(
    data: DataOption,
    preset_name: PresetOption = "quick",
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=20, help="Networks of each size.")] = 3,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """The test accuracy after learning from 5 to 100 % of the training part, and what more pictures would be worth.

    Broken off, it goes on where it was.
    """
    from core.experiments.audits.data_curve import measure_curve, of_preset

    asked = of_preset(data, preset_name, parse_settings(settings or []))
    found = show_until_found(measure_curve(asked, seeds=seeds))
    if as_json:
        print_json(found.to_json())
        return
    rows = [
        [point.pictures, percent(point.accuracy), f"{low:.2%} to {high:.2%}", point.n]
        for point, (low, high) in zip(found.points, found.intervals, strict=True)
    ]
    print_table(["training pictures", "accuracy", "95 % interval", "test pictures"], rows)
    following = found.next
    low, high = following.interval
    print(
        f"Another {following.pictures:,} pictures are worth about {100 * following.gain:.1f} points (95 % interval "
        f"{100 * low:+.1f} to {100 * high:+.1f})."
    )
    _print_at_once(asked.config)


def _print_at_once(config: RunConfig) -> None:
    """How many networks trained at once, where that was asked: short trainings are not worth the question."""
    from core.probes.at_once import read_at_once

    known = read_at_once(config)
    if known is not None:
        print(known.sentence)
