"""What an experiment has found: for each component the difference that it makes, with an interval and a sentence.

Accuracy. Over seeds and pictures, with what the components of the experiment know together about the spread of seeds
(spread.py); beside it the interval for these very networks, over pictures alone.

Seconds. Base and variant take turns A B B A, so that a drift of the machine falls on both. Of the differences of the
blocks the Hodges-Lehmann estimate is given (the median of the means of all pairs: a third of the blocks may have been
disturbed) with the interval of Wilcoxon's signed ranks (Hollander, Wolfe and Chicken 2014, section 3.2).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.ablation.components import Variant
from core.experiments.ablation.experiment import DECIDED, Cell, Experiment
from core.experiments.ablation.spread import (
    LEVEL,
    MOST_DF,
    NO_PRIOR,
    Difference,
    Prior,
    Spread,
    fit_prior,
    for_these_networks,
    interval,
    is_decided,
    level_at,
    measure_spread,
)
from core.fields import config_document
from core.probes.probes import CROWDED
from core.runs.run import Run

CONFIDENCE = 0.95
_WITHOUT_RUN = {"": "waiting", DECIDED: "skipped"}  # why a cell has no run -> its status in JSON
_JSON_NAMES = {"changed": "told", "variant_accuracy": "setting_accuracy", "variant_seconds": "setting_seconds"}


@dataclass(frozen=True)
class Effect:
    """What one component does. Differences are with it minus without it, whichever of the two the base is."""

    key: str
    title: str
    changed: str  # in the base, e.g. "train.augment: none -> flip"
    sign: int
    seeds: int  # pairs of finished runs
    pictures: int  # test pictures of each pair
    base_accuracy: float | None  # mean over those seeds; None without a pair
    variant_accuracy: float | None
    accuracy: Difference | None  # fractions; of an experiment that looks after each seed, the interval of that look
    these_networks: Difference | None  # the same for these very networks: over pictures alone
    base_seconds: float | None  # an epoch of training; None where it was not measured
    variant_seconds: float | None
    seconds: Difference | None
    parameters: int | None
    base_parameters: int | None
    others: float | None  # share of the processors that other programs took while times were measured
    sentence: str
    remarks: tuple[str, ...] = ()
    failed: int = 0  # runs of its pairs that did not come to their end, such as diverged ones
    decided_after: int | None = None  # seeds, where the experiment went on until it was decided and it was

    @property
    def is_undecided(self) -> bool:
        """Whether the pairs that are left were selected by not failing: they say nothing of the component."""
        return self.failed > 0 and self.accuracy is not None

    def without_and_with(self, base: float | None, variant: float | None) -> tuple[float | None, float | None]:
        """(without the component, with it)."""
        return (base, variant) if self.sign > 0 else (variant, base)


@dataclass(frozen=True)
class Report:
    """Everything that an experiment has found so far."""

    experiment: Experiment
    effects: tuple[Effect, ...]
    base_accuracy: tuple[float, ...]  # of each seed of the base that is done
    remarks: tuple[str, ...]
    prior: Prior = NO_PRIOR  # what its components say together about the spread of seeds

    def to_json(self) -> dict[str, Any]:
        experiment, plan = self.experiment, self.experiment.plan
        done, total = experiment.progress
        return {
            "experiment": experiment.id,
            "title": experiment.title,
            "status": experiment.status,
            "dataset": plan.dataset,
            "preset": plan.base.config.preset,
            "config": config_document(plan.base.config),
            "seeds": list(plan.seeds),
            "budget_minutes": plan.budget_seconds / 60 if plan.budget_seconds else None,
            "spent_seconds": experiment.spent,
            "done": done,
            "total": total,
            "seconds_left": None if experiment.ended else experiment.seconds_left,
            "runs_at_once": experiment.runs_at_once,
            "base_accuracy": list(self.base_accuracy),
            "prior": {"df": self.prior.df, "seeds_sd": math.sqrt(self.prior.variance)},
            "components": [_effect_document(effect) for effect in self.effects],
            "runs": [_cell_document(cell) for cell in experiment.cells],
            "remarks": list(self.remarks),
        }


def compare_answers(base: np.ndarray, variant: np.ndarray) -> Difference:
    """Accuracy of `variant` minus that of `base`, by these answers alone. bool (S, N) each: whether picture i was right
    with seed s."""
    return interval(measure_spread(base, variant))


def compare_times(base: Sequence[Sequence[float]], variant: Sequence[Sequence[float]]) -> Difference:
    """Seconds of `variant` minus those of `base`: (blocks, 2) each, the two turns of a block A B B A."""
    ours, theirs = np.asarray(base, dtype=np.float64), np.asarray(variant, dtype=np.float64)
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
    pairs = [_pairs_of(experiment, variant, base) for variant in experiment.plan.variants]
    prior = fit_prior([pair.spread for pair in pairs if pair.spread is not None])
    effects = tuple(_effect(experiment, pair, prior) for pair in pairs)
    accuracy = tuple(answers.accuracy for answers in base.values())
    return Report(experiment, effects, accuracy, tuple(_remarks(experiment, effects, prior)), prior)


def decided_variants(experiment: Experiment) -> list[str]:
    """Keys of the variants whose difference is sure by now, in an experiment that goes on until it is decided."""
    return [effect.key for effect in report(experiment).effects if effect.decided_after is not None]


@dataclass(frozen=True)
class _Pairs:
    """The pairs of runs of a variant that are done."""

    variant: Variant
    base: np.ndarray  # bool (S, N): right or not
    own: np.ndarray
    remarks: tuple[str, ...]
    spread: Spread | None  # None without a pair


def _pairs_of(experiment: Experiment, variant: Variant, base: dict[int, Evaluation]) -> _Pairs:
    own = _answers_of(experiment, variant)
    seeds = [seed for seed in base if seed in own]
    ours, theirs, remarks = _paired([base[seed] for seed in seeds], [own[seed] for seed in seeds])
    return _Pairs(variant, ours, theirs, tuple(remarks), measure_spread(ours, theirs) if ours.size else None)


def _answers_of(experiment: Experiment, variant: Variant) -> dict[int, Evaluation]:
    """Seed -> answers on the test part, of the runs of this variant that are done."""
    found = {}
    for cell in experiment.cells_of(variant):
        answers = _test_answers(cell.run) if cell.is_done else None
        if answers is not None:
            found[cell.seed] = answers
    return found


def _test_answers(run: Run | None) -> Evaluation | None:
    try:
        return run.evaluation("test") if run is not None else None
    except UserMistake:
        return None  # damaged: as good as not there


def _effect(experiment: Experiment, pairs: _Pairs, prior: Prior) -> Effect:
    variant, ours, theirs, spread = pairs.variant, pairs.base, pairs.own, pairs.spread
    remarks = list(pairs.remarks)
    accuracy = these = decided_after = None
    if spread is not None:
        most = len(experiment.plan.seeds)
        in_turns = experiment.plan.until_decided
        level = level_at(spread.seeds, most) if in_turns else LEVEL
        accuracy = interval(spread, prior, level).times(variant.sign)
        these = for_these_networks(spread).times(variant.sign)
        if in_turns and is_decided(spread, prior, most):
            decided_after = spread.seeds
    if spread is not None and spread.seeds == 1:
        remarks.append("with one seed the interval says nothing about chance in training")
    without_it = _never_ended(experiment, variant)
    if not without_it:  # else the sentence says it
        remarks += _missing(experiment, variant)
    failed = _count_failed(experiment, variant)
    line = experiment.timings.get(variant.key, {})
    seconds = base_seconds = variant_seconds = None
    if line.get("base"):
        pictures = line["pictures"]
        seconds = compare_times(line["base"], line["other"]).times(variant.sign * pictures)
        base_seconds, variant_seconds = (float(np.mean(line[arm]) * pictures) for arm in ("base", "other"))
    elif line.get("why"):
        remarks.append(str(line["why"]))
    return Effect(
        key=variant.key,
        title=variant.title,
        changed=variant.changed,
        sign=variant.sign,
        seeds=spread.seeds if spread is not None else 0,
        pictures=int(ours.shape[1]) if ours.size else 0,
        base_accuracy=float(ours.mean()) if ours.size else None,
        variant_accuracy=float(theirs.mean()) if theirs.size else None,
        accuracy=accuracy,
        these_networks=these,
        base_seconds=base_seconds,
        variant_seconds=variant_seconds,
        seconds=seconds,
        parameters=line.get("parameters"),
        base_parameters=line.get("base_parameters"),
        others=line.get("others"),
        sentence=without_it
        or describe_effect(
            variant, accuracy, seconds, base_seconds if variant.sign > 0 else variant_seconds, failed, decided_after
        ),
        remarks=tuple(remarks),
        failed=failed,
        decided_after=decided_after,
    )


def _count_failed(experiment: Experiment, variant: Variant) -> int:
    """Runs of either arm that ended without a finished model."""
    cells = [*experiment.cells_of(experiment.plan.base), *experiment.cells_of(variant)]
    return sum(cell.run is not None and cell.run.state.status == "failed" for cell in cells)


def _paired(base: list[Evaluation], own: list[Evaluation]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """bool (S, N) each: right answers on the test pictures that all of the runs have in common."""
    if not base:
        return np.zeros((0, 0), bool), np.zeros((0, 0), bool), []
    common = base[0].indices
    for answers in (*base, *own):
        common = np.intersect1d(common, answers.indices)
    left_out = max(len(answers.indices) for answers in (*base, *own)) - len(common)
    remarks = [f"{left_out:,} test pictures are not in all of its runs and were left out"] if left_out else []
    ours, theirs = (np.stack([_right(answers, common) for answers in arm]) for arm in (base, own))
    return ours, theirs, remarks


def _right(answers: Evaluation, rows: np.ndarray) -> np.ndarray:
    """bool (N,): right or not, for the pictures with these (sorted) store rows."""
    order = np.argsort(answers.indices)
    return answers.correct[order[np.searchsorted(answers.indices, rows, sorter=order)]]


def _never_ended(experiment: Experiment, variant: Variant) -> str:
    """The sentence for a variant whose runs have all failed, which is an answer too; "" for any other."""
    cells = experiment.cells_of(variant)
    if not all(cell.run is not None and cell.run.state.status == "failed" for cell in cells):
        return ""
    arm = "with" if variant.sign > 0 else "without"
    why = cells[0].run.state.message if cells[0].run else ""
    return f"{variant.title}: {arm} it none of {len(cells)} runs came to its end. {why}"


def _missing(experiment: Experiment, variant: Variant) -> list[str]:
    """Which of its runs are missing for good, and why."""
    remarks: list[str] = []
    for cell in experiment.cells_of(variant):
        if cell.is_done or not cell.is_settled(experiment.resumed) or cell.why == DECIDED:
            continue
        why = cell.why or (f"{cell.run.state.status}: {cell.run.state.message}" if cell.run else "")
        remarks.append(f"the run with seed {cell.seed} is missing ({why.rstrip('.')})")
    return remarks


def _remarks(experiment: Experiment, effects: Sequence[Effect], prior: Prior) -> list[str]:
    """What concerns the whole: what was cut, what is still missing, what the machine did, how far to trust it."""
    remarks = list(experiment.plan.notes)
    cut = experiment.cut
    if cut and experiment.plan.budget_seconds is not None:
        seeds = sorted({cell.seed for cell in cut})
        which = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        remarks.append(
            f"The budget of {experiment.plan.budget_seconds / 60:g} min does not suffice for {len(cut)} of "
            f"{len(experiment.cells)} runs ({which}), which are left out."
        )
    remarks += [f"Base: {sentence}." for sentence in _missing(experiment, experiment.plan.base)]
    if experiment.timing_given_up:
        remarks.append("Times could not be measured: the process that measured them was ended.")
    busy = [effect.others for effect in effects if effect.others is not None and effect.others > CROWDED]
    if busy:
        remarks.append(
            f"Other programs took up to {max(busy):.0%} of the processors while times were measured. The turns cancel "
            "what that changes slowly; on a quiet machine everything is faster."
        )
    if prior.df:
        remarks.append(
            f"The spread of seeds is pooled over its components: together they are worth "
            f"{min(prior.df, MOST_DF):.0f} more degrees of freedom at {100 * math.sqrt(prior.variance):.2f} points."
        )
    if experiment.plan.until_decided:
        remarks.append(
            f"It looks after each seed, at most {len(experiment.plan.seeds)}. The intervals allow for that: they are "
            "wider at the first looks, and all looks together call at most 5 % of no differences one."
        )
    sure = [effect for effect in effects if effect.accuracy is not None]
    if len(sure) > 1:
        remarks.append(
            f"Of {len(sure)} comparisons with 95 % intervals {0.05 * len(sure):.1f} are expected to show a difference "
            "that is not there."
        )
    return remarks


def describe_effect(
    variant: Variant,
    accuracy: Difference | None,
    seconds: Difference | None,
    without: float | None,
    failed: int = 0,
    decided_after: int | None = None,
) -> str:
    """One sentence.

    without: seconds of an epoch of the arm that lacks the component; failed: runs of its pairs that failed;
    decided_after: seeds, where the experiment went on until it was decided.
    """
    about_time = _describe_seconds(seconds, without)
    if accuracy is None:
        return f"{variant.title}: no pair of runs has finished yet{'; ' + about_time if about_time else ''}."
    span = f"95 % interval {100 * accuracy.low:+z.1f} to {100 * accuracy.high:+z.1f}"
    if failed:
        runs = "1 run" if failed == 1 else f"{failed} runs"
        text = (
            f"{variant.title}: undecided, because {runs} of its pairs failed; the pairs that are left differ by "
            f"{100 * accuracy.value:+z.1f} points ({span})"
        )
    elif accuracy.is_noise:
        text = f"{variant.title}: within the noise, {100 * accuracy.value:+z.1f} points of test accuracy ({span})"
    else:
        verb = "raises" if accuracy.value > 0 else "lowers"
        text = f"{variant.title} {verb} the test accuracy by {abs(100 * accuracy.value):.1f} points ({span})"
        text += f", decided after {decided_after} seeds" if decided_after else ""
    return f"{text}{'; ' + about_time if about_time else ''}."


def _describe_seconds(seconds: Difference | None, without: float | None) -> str:
    if seconds is None or not without:
        return ""
    share = f"{100 * abs(seconds.value) / without:.0f} %"
    if seconds.is_noise:
        return "its time per epoch is within the noise"
    return f"an epoch takes {share} {'longer' if seconds.value > 0 else 'less'}"


def _effect_document(effect: Effect) -> dict[str, Any]:
    """Under the names that the fields have always had in JSON."""
    return {_JSON_NAMES.get(name, name): value for name, value in asdict(effect).items()}


def _cell_document(cell: Cell) -> dict[str, Any]:
    run = cell.run
    return {
        "setting": cell.variant.key,
        "seed": cell.seed,
        "run": run.id if run else None,
        "status": run.state.status if run else _WITHOUT_RUN.get(cell.why, "failed"),
        "message": run.state.message if run else cell.why,
    }
