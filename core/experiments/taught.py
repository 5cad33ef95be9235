"""compare_taught: does a network that was taught more pictures know better, on the test pictures of both?"""

from dataclasses import dataclass

import numpy as np

from core.errors import UserMistake
from core.inference.own_pictures import dataset_of
from core.runs.run import Run
from core.significance import PairedAnswers, compare_paired


@dataclass(frozen=True)
class TaughtComparison:
    """Two runs on versions of the same pictures, on the test pictures of both."""

    right_before: int
    right_after: int
    paired: PairedAnswers

    @property
    def summary(self) -> str:
        """One sentence, with the number of pictures and the interval of the difference."""
        n, (low, high) = self.paired.n, self.paired.interval
        numbers = (
            f"On the {n:,} test pictures that both were asked it gets {self.right_after / n:.1%} right, "
            f"{self.right_before / n:.1%} before ({100 * self.paired.difference:+.1f} points, 95 % interval "
            f"{100 * low:+.1f} to {100 * high:+.1f})"
        )
        if not self.paired.differs:
            return f"{numbers}: no difference that can be told from chance (McNemar, p = {self.paired.p_value:.2f})."
        word = "better" if self.paired.difference > 0 else "worse"
        return f"{numbers}: {word} (McNemar, p = {self.paired.p_value:.2g})."


def compare_taught(before: Run, after: Run) -> TaughtComparison:
    """UserMistake where a run was not tested, its dataset is gone, or they share no test picture."""
    old, new = _answers(before), _answers(after)
    shared = sorted(old.keys() & new.keys())
    if not shared:
        raise UserMistake("The two runs were not asked about the same test pictures, so they cannot be compared.")
    right_old, right_new = (np.array([answers[place] for place in shared]) for answers in (old, new))
    return TaughtComparison(int(right_old.sum()), int(right_new.sum()), compare_paired(right_old, right_new))


def _answers(run: Run) -> dict[int, bool]:
    """Place of each test picture in the originals, which is the same in every version -> whether it was right."""
    evaluation = run.evaluation("test")
    if evaluation is None:
        raise UserMistake(f"Run {run.id} has no answers on its test part.")
    dataset, rows = dataset_of(run)
    places = dataset.places[rows[evaluation.indices], 0].tolist()
    return dict(zip(places, evaluation.correct.tolist(), strict=True))
