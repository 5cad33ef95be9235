"""The tables and documents of experiments as Markdown; every number comes from their files."""

from collections.abc import Sequence

from core.experiments.ablation.effects import Effect, Report

_INTRODUCTION = """# What each part is worth

A base is trained with and without each component: the same split, the same seeds, the pictures in the same order.
Everything below was written by

    {command}

Differences are with the component minus without it, in points of test accuracy, with 95 % intervals paired over seeds
and pictures; **bold** where the interval leaves out zero, else it is within the noise. How the intervals are made, and
why they are rather too wide than too narrow: `core/experiments/ablation/spread.py`. A learning rate goes with
the optimizer and with the batch size; all else is as in the base, so a part that would need other settings with it
is not shown at its best. Base and variant were timed in turns A B B A, warm-up and evaluation left out.
"""


def to_document(reports: Sequence[Report], command: str) -> str:
    """Experiments with the same components, e.g. on several datasets: compared in a table, then one by one."""
    titles = {effect.key: effect.title for report in reports for effect in report.effects}
    found: dict[str, dict[str, Effect]] = {}  # dataset -> component -> what it does there, of any of the experiments
    for report in reports:
        found.setdefault(report.experiment.plan.dataset, {}).update({effect.key: effect for effect in report.effects})
    lines = [
        _INTRODUCTION.format(command=command),
        _row("component", *(f"{name}: points" for name in found), *(f"{name}: time per epoch" for name in found)),
        "|---" * (1 + 2 * len(found)) + "|",
    ]
    for key, title in titles.items():
        effects = [of_dataset.get(key) for of_dataset in found.values()]
        lines.append(_row(title, *(map(_points, effects)), *(map(_time_share, effects))))
    for report in reports:
        lines += ["", f"## {report.experiment.plan.dataset}", "", to_markdown(report).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _points(effect: Effect | None) -> str:
    if effect is None or effect.accuracy is None:
        return "-"
    one = effect.accuracy.times(100)
    value = f"{one.value:+z.2f}" if one.is_noise else f"**{one.value:+z.2f}**"
    return f"{value} ({one.low:+z.2f} to {one.high:+z.2f})"


def _time_share(effect: Effect | None) -> str:
    """Per cent of the arm without the component."""
    without = None if effect is None else effect.without_and_with(effect.base_seconds, effect.variant_seconds)[0]
    if effect is None or effect.seconds is None or not without:
        return "-"
    one = effect.seconds.times(100 / without)
    value = f"{one.value:+z.0f} %" if one.is_noise else f"**{one.value:+z.0f} %**"
    return f"{value} ({one.low:+z.0f} to {one.high:+z.0f})"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_markdown(report: Report) -> str:
    """The table of an experiment and its remarks."""
    lines = [
        *_heading(report),
        "| component | changed in the base | seeds | test accuracy without and with it, % "
        "| difference, points (95 % interval) | seconds per epoch without and with it "
        "| difference (95 % interval) | parameters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(*_cells(effect)) for effect in report.effects]
    lines += ["", *(f"- {effect.sentence}{_in_brackets(effect.remarks)}" for effect in report.effects)]
    lines += ["", *report.remarks] if report.remarks else []
    return "\n".join(lines) + "\n"


def _heading(report: Report) -> list[str]:
    plan = report.experiment.plan
    base = ", ".join(f"{100 * share:.2f}" for share in report.base_accuracy)
    pictures = max((effect.pictures for effect in report.effects), default=0)
    machines = sorted({line["machine"] for line in report.experiment.timings.values() if line.get("machine")})
    return [
        f"Base `{plan.base.config.preset}` on `{plan.dataset}`, seeds {', '.join(map(str, plan.seeds))}: {base} % of "
        f"{pictures:,} test pictures.{' Timed on ' + ', '.join(machines) + '.' if machines else ''}",
        "",
    ]


def _cells(effect: Effect) -> list[str]:
    accuracy, seconds = effect.accuracy, effect.seconds
    return [
        effect.title,
        f"`{effect.changed}`" if effect.changed else "other seeds",
        str(effect.seeds),
        _pair(effect.without_and_with(effect.base_accuracy, effect.variant_accuracy), 100, 2),
        f"{100 * accuracy.value:+z.2f} ({100 * accuracy.low:+z.2f} to {100 * accuracy.high:+z.2f})"
        if accuracy
        else "-",
        _pair(effect.without_and_with(effect.base_seconds, effect.variant_seconds), 1, 3),
        f"{seconds.value:+z.3f} ({seconds.low:+z.3f} to {seconds.high:+z.3f})" if seconds else "-",
        _pair(effect.without_and_with(effect.base_parameters, effect.parameters), 1, 0),
    ]


def _pair(values: tuple[float | None, float | None], factor: float, digits: int) -> str:
    """Both numbers, e.g. "61.20, 63.05"; "-" where one of them is not known."""
    known = [f"{factor * value:,.{digits}f}" for value in values if value is not None]
    return ", ".join(known) if len(known) == 2 else "-"


def _in_brackets(remarks: Sequence[str]) -> str:
    return f" ({'; '.join(remarks)})" if remarks else ""
