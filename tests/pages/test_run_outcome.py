"""What the page says of a run and the one before it: by a test of the same pictures, not by overlapping intervals."""

from types import SimpleNamespace

import numpy as np

from core.config import RunConfig
from core.evaluation import Evaluation
from pages.parts.shell.formatting import percent, percent_of, share
from pages.parts.train.run_outcome import aligned, verdict


def run(seconds):
    return SimpleNamespace(
        fingerprint="f", config=RunConfig(), state=SimpleNamespace(seconds=seconds, whole_seconds=seconds)
    )


def answers(correct, indices=None):
    """Two classes; the picture of each row is answered rightly or not."""
    correct = np.asarray(correct, bool)
    labels = np.zeros(len(correct), np.int64)
    probabilities = np.where(correct[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
    rows = np.arange(len(correct)) if indices is None else np.asarray(indices)
    return Evaluation("test", "evaluation", ("a", "b"), rows, labels, probabilities, seconds=1.0)


def pair(only_before, only_now, both, neither=0):
    before = [True] * only_before + [False] * only_now + [True] * both + [False] * neither
    now = [False] * only_before + [True] * only_now + [True] * both + [False] * neither
    return answers(before), answers(now)


def test_57_against_23_discordant_answers_are_more_than_chance_though_the_intervals_overlap():
    before, now = pair(57, 23, 880, 120)
    assert before.interval[0] < now.interval[1]  # they overlap
    said = verdict(run(10), run(10), now, before, True)
    assert said.startswith("-3.1 points, more than chance explains: 23 pictures are right only now, 57 were right only")
    assert "p = 0.00018" in said


def test_one_picture_is_counted_as_one():
    before, now = pair(1, 1, 80, 10)
    assert "1 picture is right only now, 1 was right only before" in verdict(run(1), run(1), now, before, True)


def test_a_few_discordant_answers_are_within_what_chance_explains():
    before, now = pair(4, 6, 80, 10)
    assert "+2.0 points, within what chance explains: 6 pictures" in verdict(run(1), run(1), now, before, True)


def test_answers_are_compared_picture_by_picture_whatever_their_order():
    before = answers([True, False, True], [5, 7, 9])
    now = answers([True, True, False], [9, 5, 7])
    first, second = aligned(before, now)
    assert first.tolist() == [True, False, True] and second.tolist() == [True, False, True]


def test_equal_answers_say_so():
    before, now = pair(0, 0, 8, 2)
    assert "every picture is answered alike" in verdict(run(1), run(1), now, before, False)


def test_one_of_80_is_one_number_everywhere():
    assert percent(1 / 80) == "1.3" and share(1 / 80) == "1.3 %" and percent_of(1, 80) == "1.3 % of 80"
    assert [percent(value) for value in (0.0, 0.4, 2 / 3, 1.0, 0.9995, 0.0005)] == [
        "0.0",
        "40.0",
        "66.7",
        "100.0",
        "100.0",
        "0.1",
    ]
