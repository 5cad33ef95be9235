"""The rules about two runs: which is better, whether their test part can tell, and what that costs. No torch."""

from collections.abc import Callable

from core.experiments.run_comparison import why_not_comparable
from core.findings.finding import RunFacts, RunFinding, of, points
from core.findings.rules import RULES
from core.significance import PairedAnswers, compare_paired, mcnemar_least_n

FASTER = 1.5  # times


def told_apart(a: RunFacts, b: RunFacts) -> RunFinding | None:
    """One is better than the other, on the same test pictures."""
    found = _paired(a, b)
    if found is None or not found.differs:
        return None
    better, worse = (b, a) if found.difference > 0 else (a, b)
    sign = 1 if found.difference > 0 else -1
    low, high = sorted(sign * end for end in found.interval)
    return RunFinding(
        "told_apart",
        f"{better.run.title} is better than {worse.run.title} on the same {found.n:,} test pictures: "
        f"{100 * abs(found.difference):.1f} points ({points((low, high))}; exact McNemar test, p = "
        f"{found.p_value:.2g}).",
        {"better": better.run.id, "worse": worse.run.id, **_figures(found)},
        weight=95,
    )


def test_part_too_small(a: RunFacts, b: RunFacts) -> RunFinding | None:
    """The same test pictures, and no difference that they could tell from chance."""
    found = _paired(a, b)
    if found is None or found.differs:
        return None
    least = mcnemar_least_n(found.only_a, found.only_b, found.n)
    needed = f" About {least:,} would be needed for a difference of this size." if least else ""
    return RunFinding(
        "test_part_too_small",
        f"{found.n:,} test pictures do not tell these two apart: {of(a.right, found.n)} against {of(b.right, found.n)} "
        f"right, {found.only_a:,} only the first one and {found.only_b:,} only the second one (exact McNemar test, "
        f"p = {found.p_value:.2g}).{needed}",
        {"needed": least or None, **_figures(found)},
        weight=95,
    )


def other_test_pictures(a: RunFacts, b: RunFacts) -> RunFinding | None:
    """Different test pictures: two accuracies, and no ranking."""
    why = why_not_comparable(a.run, a.test, b.run, b.test)
    if not why:
        return None
    one, other = of(a.right, a.test.n), of(b.right, b.test.n)
    if a.run.config.data.dataset == b.run.config.data.dataset:
        sentence = (
            f"Their test parts are not the same pictures, so {one} and {other} right are not compared one by one."
        )
    else:
        sentence = (
            f"These two were tested on different pictures: {one} and {other} right are two tasks, not a ranking. "
            f"Guessing would get {100 * a.test.chance:.0f} and {100 * b.test.chance:.0f} %."
        )
    figures = {"n": [a.test.n, b.test.n], "accuracy": [a.test.accuracy, b.test.accuracy]}
    return RunFinding("other_test_pictures", sentence, figures, weight=30)


def faster(a: RunFacts, b: RunFacts) -> RunFinding | None:
    """No difference that can be told, and one of them was much faster."""
    found, seconds = _paired(a, b), (a.run.state.whole_seconds, b.run.state.whole_seconds)
    if found is None or found.differs or not min(seconds) or max(seconds) < FASTER * min(seconds):
        return None
    quick, slow = (a, b) if seconds[0] < seconds[1] else (b, a)
    return RunFinding(
        "faster",
        f"{quick.run.title} took {min(seconds):,.0f} s of training, {slow.run.title} {max(seconds):,.0f} s: "
        f"{max(seconds) / min(seconds):.1f} times as long for an accuracy that cannot be told apart.",
        {"run": quick.run.id, "seconds": list(seconds)},
        weight=68,
    )


PairRule = Callable[[RunFacts, RunFacts], RunFinding | None]
PAIR_RULES: tuple[PairRule, ...] = (told_apart, test_part_too_small, other_test_pictures, faster)
MOST = 7  # sentences


def findings(facts: RunFacts, other: RunFacts | None = None, most: int = MOST) -> list[RunFinding]:
    """What the numbers of a run say, or of two, the most important first; at most so many."""
    runs = [facts] + ([other] if other is not None else [])
    alone = [[found for rule in RULES if (found := rule(one)) is not None] for one in runs]
    ranked = [sorted(found, key=lambda one: -one.weight) for found in alone]
    both = [found for rule in PAIR_RULES if (found := rule(facts, other)) is not None] if other is not None else []
    first = [found for of_run in ranked for found in of_run[:1]]
    rest = sorted((found for of_run in ranked for found in of_run[1:]), key=lambda one: -one.weight)
    chosen = _without_repetition(both + first + rest, {one.run.id: one.run.config.data.dataset for one in runs})
    return sorted(chosen[:most], key=lambda one: -one.weight)


def _without_repetition(found: list[RunFinding], datasets: dict[str, str]) -> list[RunFinding]:
    """Of the sentences of one rule about one dataset the first: the other run's hardly says more."""
    kept: dict[tuple[str, str], RunFinding] = {}
    for one in found:
        kept.setdefault((one.rule, datasets.get(one.run, "")), one)
    return list(kept.values())


def _paired(a: RunFacts, b: RunFacts) -> PairedAnswers | None:
    """None where they were tested on different pictures."""
    if why_not_comparable(a.run, a.test, b.run, b.test):
        return None
    return compare_paired(a.test.correct[a.test.indices.argsort()], b.test.correct[b.test.indices.argsort()])


def _figures(found: PairedAnswers) -> dict[str, object]:
    return {
        "n": found.n,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "p_value": found.p_value,
        "difference": found.difference,
        "interval": found.interval,
    }
