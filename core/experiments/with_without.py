"""What an experiment has found: for each component the difference that it makes, with an interval and a sentence.

Accuracy. For seed s and picture i let d(s, i) be 1 where only the side with the component is right, -1 where only the
other one is, else 0. Chance enters twice: another seed would give other networks, another test part other pictures.
Seeds and pictures are crossed random effects (Clark 1973; Westfall, Kenny and Judd 2014), so the mean of d varies by
the spread of the seeds' means over S and by the spread of the pictures' means over N. With few seeds the first is known
badly: each spread is multiplied by its own quantile of t, with S - 1 and N - 1 degrees of freedom, and the two are
added as squares, which follows Cochran and Cox (1957, section 4.14) and is never too narrow by much. Both spreads hold
what is left of single answers, so the interval is a little too wide rather than too narrow: tests/test_with_without.py
counts how often it holds the truth.

Seconds. Base and setting take turns A B B A, so that a drift of the machine falls on both. Of the differences of the
blocks the Hodges-Lehmann estimate is told (the median of the means of all pairs: a third of the blocks may have been
disturbed) with the interval of Wilcoxon's signed ranks (Hollander, Wolfe and Chicken 2014, section 3.2).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.components import Setting
from core.experiments.experiment import Cell, Experiment
from core.runs.probes import CROWDED
from core.runs.run import Run

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether no difference at all lies inside the interval."""
        return self.low <= 0.0 <= self.high

    def times(self, factor: float) -> "Difference":
        ends = sorted((self.low * factor, self.high * factor))
        return Difference(self.value * factor, *ends)


@dataclass(frozen=True)
class Effect:
    """What one component does. Differences are with it minus without it, whichever of the two the base is."""

    key: str
    title: str
    told: str  # what was changed in the base
    sign: int
    seeds: int  # pairs of finished runs
    pictures: int  # test pictures of each pair
    base_accuracy: float | None  # mean over those seeds; None without a pair
    setting_accuracy: float | None
    accuracy: Difference | None  # fractions
    base_seconds: float | None  # an epoch of training; None where it was not measured
    setting_seconds: float | None
    seconds: Difference | None
    parameters: int | None
    base_parameters: int | None
    others: float | None  # share of the processors that other programs took while times were measured
    sentence: str
    remarks: tuple[str, ...] = ()

    def sides(self, base: float | None, setting: float | None) -> tuple[float | None, float | None]:
        """(without the component, with it)."""
        return (base, setting) if self.sign > 0 else (setting, base)


@dataclass(frozen=True)
class Report:
    """Everything that an experiment has found so far."""

    experiment: Experiment
    effects: tuple[Effect, ...]
    base_accuracy: tuple[float, ...]  # of each seed of the base that is done
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        experiment, plan = self.experiment, self.experiment.plan
        done, whole = experiment.progress
        return {
            "experiment": experiment.id,
            "title": experiment.title,
            "status": experiment.status,
            "dataset": plan.dataset,
            "preset": plan.base.config.preset,
            "config": plan.base.config.model_dump(mode="json"),
            "seeds": list(plan.seeds),
            "budget_minutes": plan.budget_seconds / 60 if plan.budget_seconds else None,
            "spent_seconds": experiment.spent,
            "done": done,
            "total": whole,
            "seconds_left": None if experiment.ended else experiment.seconds_left,
            "base_accuracy": list(self.base_accuracy),
            "components": [asdict(effect) for effect in self.effects],
            "runs": [_cell_document(cell) for cell in experiment.cells],
            "remarks": list(self.remarks),
        }


def compare_answers(base: np.ndarray, setting: np.ndarray) -> Difference:
    """Accuracy of `setting` minus that of `base`. bool (S, N) each: whether picture i was right with seed s.

    With one seed only the pictures are drawn anew, in thought: the interval then says nothing about other seeds.
    """
    from scipy import stats  # here, because pages open this file

    assert base.shape == setting.shape and base.size, (base.shape, setting.shape)
    d = setting.astype(np.float64) - base.astype(np.float64)
    squares = 0.0
    for means in (d.mean(axis=1), d.mean(axis=0)):
        if len(means) > 1:
            quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(means) - 1)
            squares += float(quantile**2 * means.var(ddof=1) / len(means))
    half, mean = math.sqrt(squares), float(d.mean())
    return Difference(mean, mean - half, mean + half)


def compare_times(base: Sequence[Sequence[float]], setting: Sequence[Sequence[float]]) -> Difference:
    """Seconds of `setting` minus those of `base`: (blocks, 2) each, the two turns of a block A B B A."""
    ours, theirs = np.asarray(base, dtype=np.float64), np.asarray(setting, dtype=np.float64)
    assert ours.shape == theirs.shape and len(ours), (ours.shape, theirs.shape)
    d = theirs.mean(axis=1) - ours.mean(axis=1)
    first, second = np.triu_indices(len(d))
    means = np.sort((d[first] + d[second]) / 2)  # the Walsh averages
    cut = _signed_rank_cut(len(d))
    return Difference(float(np.median(means)), float(means[cut]), float(means[-1 - cut]))


def _signed_rank_cut(n: int) -> int:
    """How many Walsh averages lie outside the interval at each end: the most for which that has at most 2.5 %. Of fewer
    than 6 blocks none may, and even then 95 % are not reached."""
    ways = np.zeros(n * (n + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]
    below = np.cumsum(ways) / 2.0**n  # P(W <= w)
    return max(0, int(np.searchsorted(below, (1 - CONFIDENCE) / 2, side="right")) - 1)


def report(experiment: Experiment) -> Report:
    """What the finished runs and measurements of an experiment say; it may still be at work. No torch."""
    base = _answers_of(experiment, experiment.plan.base)
    effects = tuple(_effect(experiment, setting, base) for setting in experiment.plan.settings)
    accuracy = tuple(answers.accuracy for answers in base.values())
    return Report(experiment, effects, accuracy, tuple(_remarks(experiment, effects)))


def _answers_of(experiment: Experiment, setting: Setting) -> dict[int, Evaluation]:
    found = {}
    for cell in experiment.of(setting):
        answers = _test_answers(cell.run) if cell.is_done else None
        if answers is not None:
            found[cell.seed] = answers
    return found


def _test_answers(run: Run | None) -> Evaluation | None:
    try:
        return run.evaluation("test") if run is not None else None
    except UserMistake:
        return None  # damaged: as good as not there


def _effect(experiment: Experiment, setting: Setting, base: dict[int, Evaluation]) -> Effect:
    own = _answers_of(experiment, setting)
    seeds = [seed for seed in base if seed in own]
    ours, theirs, remarks = _paired([base[seed] for seed in seeds], [own[seed] for seed in seeds])
    accuracy = compare_answers(ours, theirs).times(setting.sign) if ours.size else None
    if len(seeds) == 1:
        remarks.append("with one seed the interval says nothing about chance in training")
    without_it = _never_ended(experiment, setting)
    if not without_it:  # else the sentence says it
        remarks += _missing(experiment, setting)
    line = experiment.timings.get(setting.key, {})
    seconds = base_seconds = setting_seconds = None
    if line.get("base"):
        pictures = line["pictures"]
        seconds = compare_times(line["base"], line["other"]).times(setting.sign * pictures)
        base_seconds, setting_seconds = (float(np.mean(line[side]) * pictures) for side in ("base", "other"))
    elif line.get("why"):
        remarks.append(str(line["why"]))
    return Effect(
        key=setting.key,
        title=setting.title,
        told=setting.told,
        sign=setting.sign,
        seeds=len(seeds),
        pictures=int(ours.shape[1]) if ours.size else 0,
        base_accuracy=float(ours.mean()) if ours.size else None,
        setting_accuracy=float(theirs.mean()) if theirs.size else None,
        accuracy=accuracy,
        base_seconds=base_seconds,
        setting_seconds=setting_seconds,
        seconds=seconds,
        parameters=line.get("parameters"),
        base_parameters=line.get("base_parameters"),
        others=line.get("others"),
        sentence=without_it or tell(setting, accuracy, seconds, base_seconds if setting.sign > 0 else setting_seconds),
        remarks=tuple(remarks),
    )


def _paired(base: list[Evaluation], own: list[Evaluation]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """bool (S, N) each: right answers on the test pictures that all of the runs have in common."""
    if not base:
        return np.zeros((0, 0), bool), np.zeros((0, 0), bool), []
    common = base[0].indices
    for answers in (*base, *own):
        common = np.intersect1d(common, answers.indices)
    left_out = max(len(answers.indices) for answers in (*base, *own)) - len(common)
    remarks = [f"{left_out:,} test pictures are not in all of its runs and were left out"] if left_out else []
    ours, theirs = (np.stack([_right(answers, common) for answers in side]) for side in (base, own))
    return ours, theirs, remarks


def _right(answers: Evaluation, rows: np.ndarray) -> np.ndarray:
    """bool (N,): right or not, for the pictures with these (sorted) store rows."""
    order = np.argsort(answers.indices)
    return answers.correct[order[np.searchsorted(answers.indices, rows, sorter=order)]]


def _never_ended(experiment: Experiment, setting: Setting) -> str:
    """The sentence for a setting whose runs have all failed, which is an answer too; "" for any other."""
    cells = experiment.of(setting)
    if not all(cell.run is not None and cell.run.state.status == "failed" for cell in cells):
        return ""
    side = "with" if setting.sign > 0 else "without"
    why = cells[0].run.state.message if cells[0].run else ""
    return f"{setting.title}: {side} it none of {len(cells)} runs came to its end. {why}"


def _missing(experiment: Experiment, setting: Setting) -> list[str]:
    told: list[str] = []
    for cell in experiment.of(setting):
        if cell.is_done or not cell.is_settled(experiment.resumed):
            continue
        why = cell.why or (f"{cell.run.state.status}: {cell.run.state.message}" if cell.run else "")
        told.append(f"the run with seed {cell.seed} is missing ({why.rstrip('.')})")
    return told


def _remarks(experiment: Experiment, effects: Sequence[Effect]) -> list[str]:
    """What concerns the whole: what was cut, what is still missing, what the machine did, how far to trust it."""
    told = list(experiment.plan.notes)
    cut = experiment.cut
    if cut and experiment.plan.budget_seconds is not None:
        seeds = sorted({cell.seed for cell in cut})
        which = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        told.append(
            f"The budget of {experiment.plan.budget_seconds / 60:g} min does not suffice for {len(cut)} of "
            f"{len(experiment.cells)} runs ({which}), which are left out."
        )
    told += [f"Base: {sentence}." for sentence in _missing(experiment, experiment.plan.base)]
    if experiment.timing_given_up:
        told.append("Times could not be measured: the process that measured them was ended.")
    busy = [effect.others for effect in effects if effect.others is not None and effect.others > CROWDED]
    if busy:
        told.append(
            f"Other programs took up to {max(busy):.0%} of the processors while times were measured. The turns cancel "
            "what that changes slowly; on a quiet machine everything is faster."
        )
    sure = [effect for effect in effects if effect.accuracy is not None]
    if len(sure) > 1:
        told.append(
            f"Of {len(sure)} comparisons with 95 % intervals {0.05 * len(sure):.1f} are expected to show a difference "
            "that is not there."
        )
    return told


# ------------------------------------------------------------------------------------------------------ in words


def tell(setting: Setting, accuracy: Difference | None, seconds: Difference | None, without: float | None) -> str:
    """One sentence; `without`: seconds of an epoch of the side that lacks the component."""
    about_time = _tell_seconds(seconds, without)
    if accuracy is None:
        return f"{setting.title}: no pair of runs has finished yet{'; ' + about_time if about_time else ''}."
    interval = f"95 % interval {100 * accuracy.low:+z.1f} to {100 * accuracy.high:+z.1f}"
    if accuracy.is_noise:
        told = f"{setting.title}: within the noise, {100 * accuracy.value:+z.1f} points of test accuracy ({interval})"
    else:
        verb = "raises" if accuracy.value > 0 else "lowers"
        told = f"{setting.title} {verb} the test accuracy by {abs(100 * accuracy.value):.1f} points ({interval})"
    return f"{told}{'; ' + about_time if about_time else ''}."


def _tell_seconds(seconds: Difference | None, without: float | None) -> str:
    if seconds is None or not without:
        return ""
    share = f"{100 * abs(seconds.value) / without:.0f} %"
    if seconds.is_noise:
        return "its time per epoch is within the noise"
    return f"an epoch takes {share} {'longer' if seconds.value > 0 else 'less'}"


_INTRODUCTION = """# What each part is worth

A base is trained with and without each component: the same split, the same seeds, the pictures in the same order.
Everything below was written by

    {command}

Differences are with the component minus without it, in points of test accuracy, with 95 % intervals paired over seeds
and pictures; **bold** where the interval leaves out zero, else it is within the noise. How the intervals are made, and
why they are rather too wide than too narrow, is told in `core/experiments/with_without.py`. A learning rate goes with
the optimizer and with the batch size; all else is as in the base, so a part that would need other settings beside it
is not shown at its best. Base and setting were timed in turns A B B A, warm-up and evaluation left out.
"""


def to_document(reports: Sequence[Report], command: str) -> str:
    """Experiments with the same components, e.g. on several datasets: beside each other, then one by one. Markdown."""
    titles = {effect.key: effect.title for told in reports for effect in told.effects}
    found: dict[str, dict[str, Effect]] = {}  # dataset -> component -> what it does there, of any of the experiments
    for told in reports:
        found.setdefault(told.experiment.plan.dataset, {}).update({effect.key: effect for effect in told.effects})
    lines = [
        _INTRODUCTION.format(command=command),
        _row("component", *(f"{name}: points" for name in found), *(f"{name}: time per epoch" for name in found)),
        "|---" * (1 + 2 * len(found)) + "|",
    ]
    for key, title in titles.items():
        effects = [of_dataset.get(key) for of_dataset in found.values()]
        lines.append(_row(title, *(map(_points, effects)), *(map(_time_share, effects))))
    for told in reports:
        lines += ["", f"## {told.experiment.plan.dataset}", "", to_markdown(told).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _points(effect: Effect | None) -> str:
    if effect is None or effect.accuracy is None:
        return "-"
    one = effect.accuracy.times(100)
    value = f"{one.value:+z.2f}" if one.is_noise else f"**{one.value:+z.2f}**"
    return f"{value} ({one.low:+z.2f} to {one.high:+z.2f})"


def _time_share(effect: Effect | None) -> str:
    """Per cent of the side without the component."""
    without = None if effect is None else effect.sides(effect.base_seconds, effect.setting_seconds)[0]
    if effect is None or effect.seconds is None or not without:
        return "-"
    one = effect.seconds.times(100 / without)
    value = f"{one.value:+z.0f} %" if one.is_noise else f"**{one.value:+z.0f} %**"
    return f"{value} ({one.low:+z.0f} to {one.high:+z.0f})"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_markdown(told: Report) -> str:
    """The table of an experiment and its remarks; every number comes from its files."""
    plan = told.experiment.plan
    lines = [
        "| component | changed in the base | seeds | test accuracy without and with it, % "
        "| difference, points (95 % interval) | seconds per epoch without and with it "
        "| difference (95 % interval) | parameters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for effect in told.effects:
        accuracy, seconds = effect.accuracy, effect.seconds
        cells = [
            effect.title,
            f"`{effect.told}`" if effect.told else "other seeds",
            str(effect.seeds),
            _sides(effect.sides(effect.base_accuracy, effect.setting_accuracy), 100, 2),
            f"{100 * accuracy.value:+z.2f} ({100 * accuracy.low:+z.2f} to {100 * accuracy.high:+z.2f})"
            if accuracy
            else "-",
            _sides(effect.sides(effect.base_seconds, effect.setting_seconds), 1, 3),
            f"{seconds.value:+z.3f} ({seconds.low:+z.3f} to {seconds.high:+z.3f})" if seconds else "-",
            _sides(effect.sides(effect.base_parameters, effect.parameters), 1, 0),
        ]
        lines.append(_row(*cells))
    lines += ["", *(f"- {effect.sentence}{_in_brackets(effect.remarks)}" for effect in told.effects)]
    lines += ["", *told.remarks] if told.remarks else []
    base = ", ".join(f"{100 * share:.2f}" for share in told.base_accuracy)
    pictures = max((effect.pictures for effect in told.effects), default=0)
    machines = sorted({line["machine"] for line in told.experiment.timings.values() if line.get("machine")})
    head = [
        f"Base `{plan.base.config.preset}` on `{plan.dataset}`, seeds {', '.join(map(str, plan.seeds))}: {base} % of "
        f"{pictures:,} test pictures.{' Timed on ' + ', '.join(machines) + '.' if machines else ''}",
        "",
    ]
    return "\n".join([*head, *lines]) + "\n"


def _sides(sides: tuple[float | None, float | None], factor: float, digits: int) -> str:
    there = [f"{factor * side:,.{digits}f}" for side in sides if side is not None]
    return ", ".join(there) if len(there) == 2 else "-"


def _in_brackets(remarks: Sequence[str]) -> str:
    return f" ({'; '.join(remarks)})" if remarks else ""


def _cell_document(cell: Cell) -> dict[str, Any]:
    run = cell.run
    return {
        "setting": cell.setting.key,
        "seed": cell.seed,
        "run": run.id if run else None,
        "status": run.state.status if run else ("failed" if cell.why else "waiting"),
        "message": run.state.message if run else cell.why,
    }
