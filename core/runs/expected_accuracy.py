"""expected_accuracy: which test accuracy a run at work will end with, as earlier runs with its settings let expect.

Nothing is extrapolated from its own curve: under a falling learning rate the last epochs gain what none before tells.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from core.fields import same_but_for_the_seed
from core.intervals import wilson
from core.presets import MEASURED, PRESETS
from core.runs.run import Run

LEVEL = 0.95
BEHIND = 3.0  # standard errors on the validation part below earlier runs, from which on they promise nothing
_CIFAR10_TEST = 10_000


@dataclass(frozen=True)
class ExpectedAccuracy:
    """What the test part is expected to say at the end."""

    mean: float  # fraction of the test part
    low: float  # 95 % prediction interval for one more run; of a single earlier run, Wilson's of its accuracy
    high: float
    n: int  # pictures of the test part
    runs: int  # earlier ones with these settings; 0: a preset as it was measured for the documentation
    behind: tuple[int, float, float] | None = None  # (epoch, own, theirs on the validation part) where it has fallen

    @property
    def sentence(self) -> str:
        """Without a full stop."""
        known = f"{self.runs} earlier runs" if self.runs > 1 else "one earlier run"
        if self.behind:
            epoch, own, theirs = self.behind
            return (
                f"Behind {known} with these settings: {100 * own:.1f} % of the validation part after epoch {epoch}, "
                f"where {100 * theirs:.1f} % had been reached"
            )
        end = f"Ends at about {100 * self.mean:.1f} % of {self.n:,} test pictures"
        if not self.runs:
            return f"{end}, as was measured for this preset"
        return f"{end}; {100 * self.low:.1f} to {100 * self.high:.1f} %, by {known} with these settings"


def expected_accuracy(run: Run, others: Sequence[Run]) -> ExpectedAccuracy | None:
    """For a run that trains; others: all runs that there are, in any order. None where no run with these settings on
    these pictures has ended, and the preset was not measured for them."""
    alike = [other for other in others if other.id != run.id and _is_alike(other, run)]
    scores = [other.state.score for other in alike if other.state.score and other.state.score[1]]
    if not scores:
        return _measured(run)
    accuracies, n = [right / count for right, count in scores], scores[0][1]
    mean = statistics.fmean(accuracies)
    if len(scores) == 1:
        low, high = wilson(*scores[0])
    else:
        half = _quantile(len(scores) - 1) * statistics.stdev(accuracies) * math.sqrt(1 + 1 / len(scores))
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    return ExpectedAccuracy(mean, low, high, n, len(scores), _fallen_back(run, alike))


def _is_alike(other: Run, run: Run) -> bool:
    """Whether it has ended with the same settings, the seed apart, on the same pictures."""
    if other.state.status != "done" or other.fingerprint != run.fingerprint:
        return False
    return same_but_for_the_seed(other.config, run.config)


def _measured(run: Run) -> ExpectedAccuracy | None:
    """Of a built-in preset as it is, on CIFAR-10 as it is."""
    config = run.config
    built_in, percent = PRESETS.get(config.preset), MEASURED.get(config.preset)
    if built_in is None or percent is None or config.data.dataset != "cifar10" or len(run.classes) != 10:
        return None
    data = built_in.data.model_copy(update={"dataset": "cifar10", "seed": config.data.seed})
    if not same_but_for_the_seed(built_in.model_copy(update={"data": data}), config):
        return None
    low, high = wilson(round(percent / 100 * _CIFAR10_TEST), _CIFAR10_TEST)
    return ExpectedAccuracy(percent / 100, low, high, _CIFAR10_TEST, 0)


def _fallen_back(run: Run, alike: Sequence[Run]) -> tuple[int, float, float] | None:
    """(epoch, own, theirs) where the newest validation accuracy is lower than chance lets expect by theirs."""
    newest = next((row for row in reversed(run.epochs()) if row.val_accuracy is not None), None)
    if newest is None or newest.val_accuracy is None:
        return None
    theirs = [
        row.val_accuracy
        for other in alike
        for row in other.epochs()
        if row.epoch == newest.epoch and row.val_accuracy is not None
    ]
    n = _validation_pictures(alike)
    if not theirs or not n:
        return None
    mean = statistics.fmean(theirs)
    error = math.sqrt(max(mean * (1 - mean), 1 / n) / n * (1 + 1 / len(theirs)))
    seeds = statistics.stdev(theirs) * math.sqrt(1 + 1 / len(theirs)) if len(theirs) > 1 else error
    fallen = mean - newest.val_accuracy > BEHIND * math.hypot(error, seeds)
    return (newest.epoch, newest.val_accuracy, mean) if fallen else None


def _validation_pictures(alike: Sequence[Run]) -> int:
    for other in alike:
        if (evaluation := other.evaluation("val")) is not None:
            return evaluation.n
    return 0


def _quantile(degrees: int) -> float:
    """Of Student's t, two-sided."""
    from scipy.special import stdtrit  # scipy, which no page needs to open

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
