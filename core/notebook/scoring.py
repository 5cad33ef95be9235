"""Scores of guesses: what was expected beside what came of it, with the interval of the difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.ablation.effects import report
from core.experiments.ablation.experiment import read_experiment
from core.experiments.run_comparison import why_not_comparable
from core.intervals import difference_of_shares
from core.notebook.guess import Direction, Pace
from core.notebook.notebook import Guess
from core.runs.naming import with_names
from core.runs.run import Run, read_run
from core.significance import compare_paired

NEAR = 0.1  # of a time: two trainings of the same length differ by that much on a machine with other work


@dataclass(frozen=True)
class Score:
    """One guess and its outcome. Differences in points; None where it is not known, or where nothing was guessed."""

    guess: Guess
    subject: str  # title of the run or experiment, and of the component; as people named it
    outcome: str  # what came of it, in a phrase
    difference: float | None = None
    interval: tuple[float, float] | None = None
    is_right: bool | None = None  # the direction of the accuracy; None also where chance alone explains the outcome
    is_inside: bool | None = None  # the guessed number lies in the interval of the outcome
    is_time_right: bool | None = None
    is_open: bool = False  # the run or the experiment has not ended

    @property
    def came_true(self) -> bool | None:
        """Whether it was right in what it says first: the direction, else the accuracy, else the time; None where
        there is no outcome, or where chance alone explains it."""
        if self.guess.direction:
            return self.is_right
        return self.is_inside if self.guess.accuracy is not None else self.is_time_right

    @property
    def verdict(self) -> str:
        """In words, for a table."""
        parts = []
        if self.is_right is not None:
            parts.append("right direction" if self.is_right else "wrong direction")
        elif self.guess.direction and self.difference is not None:
            parts.append("direction open: chance explains the difference")
        if self.is_inside is not None:
            parts.append("inside the interval" if self.is_inside else "outside the interval")
        if self.is_time_right is not None:
            parts.append("time right" if self.is_time_right else "time wrong")
        return "; ".join(parts) or "no outcome yet"


def score_guesses(guesses: Sequence[Guess]) -> list[Score]:
    """In the order given; one whose run or experiment is gone has no outcome."""
    return [score_guess(guess) for guess in guesses]


def score_guess(guess: Guess) -> Score:
    try:
        return _score_experiment(guess) if guess.is_experiment else _score_run(guess)
    except UserMistake:
        what = "experiment" if guess.is_experiment else "run"
        return Score(guess, f"{what} {guess.about}", f"the {what}, or the one that it is compared with, is gone")


def summarize(scores: Sequence[Score]) -> str:
    """How many guesses had the right direction, and how many numbers lay inside the interval."""
    asked = {
        "directions right": [score.is_right for score in scores],
        "numbers inside the interval": [score.is_inside for score in scores],
        "times right": [score.is_time_right for score in scores],
    }
    known = {what: [one for one in found if one is not None] for what, found in asked.items()}
    parts = [f"{sum(found)} of {len(found)} {what}" for what, found in known.items() if found]
    return ", ".join(parts)


def count_guesses(scores: Sequence[Score]) -> str:
    """In a phrase: "3 open, 2 of 5 right"; those that chance decided, and those whose run is gone, are neither."""
    decided = [score.came_true for score in scores if score.came_true is not None]
    waiting = sum(score.is_open for score in scores)
    parts = [f"{waiting:,} open"] if waiting else []
    parts += [f"{sum(decided):,} of {len(decided):,} right"] if decided else []
    return ", ".join(parts) or f"{len(scores):,}, none of them decided"


def _score_run(guess: Guess) -> Score:
    (run,) = with_names([read_run(guess.about)])
    test = run.evaluation("test")
    if not run.state.ended:
        return Score(guess, run.title, "not known yet", is_open=True)
    if test is None or not test.n:
        return Score(guess, run.title, f"the run has no accuracy ({run.state.status})")
    if guess.accuracy is not None:
        low, high = test.interval
        text = f"{test.accuracy:.1%} [{low:.1%} to {high:.1%}]"
        return Score(guess, run.title, text, is_inside=low <= guess.accuracy <= high)
    before, run = with_names([read_run(guess.against), read_run(run.id)])
    earlier = before.evaluation("test")
    if earlier is None or not earlier.n:
        return Score(guess, run.title, f"{before.title} has no accuracy")
    difference, (low, high) = _difference(before, earlier, run, test)
    seconds, was = run.state.whole_seconds, before.state.whole_seconds
    pace = _pace(seconds, was)
    text = f"{difference:+.1f} points [{low:+.1f} to {high:+.1f}], {seconds:,.1f} s against {was:,.1f} s"
    return Score(
        guess,
        f"{run.title}, against {before.title}",
        text,
        difference,
        (low, high),
        _is_right(guess.direction, low, high),
        _is_inside(guess.points, low, high),
        None if not guess.pace else guess.pace == pace,
    )


def _difference(before: Run, earlier: Evaluation, run: Run, test: Evaluation) -> tuple[float, tuple[float, float]]:
    """In points: pair by pair where both answered the same test pictures, else of two samples."""
    if not why_not_comparable(before, earlier, run, test):
        one, other = (found.correct[np.argsort(found.indices)] for found in (earlier, test))
        pairs = compare_paired(one, other)
        low, high = pairs.interval
    else:
        low, high = difference_of_shares(int(earlier.correct.sum()), earlier.n, int(test.correct.sum()), test.n)
    return 100 * (test.accuracy - earlier.accuracy), (100 * low, 100 * high)


def _score_experiment(guess: Guess) -> Score:
    experiment = read_experiment(guess.about)
    effect = next((one for one in report(experiment).effects if one.key == guess.component), None)
    if effect is None:
        return Score(guess, experiment.title, "the experiment has no such component")
    subject = f"{effect.title}, {experiment.title}"
    if not experiment.ended:
        return Score(guess, subject, "not known yet", is_open=True)
    if effect.accuracy is None:
        return Score(guess, subject, "the experiment could not measure it")
    found = effect.accuracy.times(100)
    text = f"{found.value:+.1f} points [{found.low:+.1f} to {found.high:+.1f}]"
    right_pace = None
    if effect.seconds is not None:
        text += f", {effect.seconds.value:+.2f} s an epoch [{effect.seconds.low:+.2f} to {effect.seconds.high:+.2f}]"
        measured: Pace = "same" if effect.seconds.is_noise else "slower" if effect.seconds.value > 0 else "faster"
        right_pace = guess.pace == measured if guess.pace else None
    return Score(
        guess,
        subject,
        text,
        found.value,
        (found.low, found.high),
        _is_right(guess.direction, found.low, found.high),
        _is_inside(guess.points, found.low, found.high),
        right_pace,
    )


def _is_right(direction: Direction, low: float, high: float) -> bool | None:
    """None where nothing was guessed, and where an interval around zero leaves the direction open."""
    if not direction:
        return None
    if low <= 0 <= high:
        return True if direction == "same" else None
    return direction == ("better" if low > 0 else "worse")


def _is_inside(points: float | None, low: float, high: float) -> bool | None:
    return None if points is None else low <= points <= high


def _pace(seconds: float, before: float) -> Pace:
    if abs(seconds - before) <= NEAR * max(seconds, before):
        return "same"
    return "slower" if seconds > before else "faster"
