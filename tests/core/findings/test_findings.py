"""Findings: each rule has a planted case in which it must speak, and one in which it must be silent."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.config import RunConfig, change_config
from core.data.quality.shortcuts import Score, Shortcuts
from core.evaluation import Evaluation
from core.findings import pairs, rules
from core.findings.finding import RunFacts, read_facts
from core.findings.pairs import MOST, PAIR_RULES, findings
from core.findings.rules import RULES
from core.rows import EpochRow
from core.runs.run import Run
from core.runs.state import RunState


def answers(counts, part="test", confidence=0.9) -> Evaluation:
    """counts: (classes, classes), row true, column predicted; each answer is `confidence` sure."""
    counts = np.asarray(counts)
    k = len(counts)
    labels, predicted = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices((k, k)))
    probabilities = np.full((len(labels), k), (1 - confidence) / (k - 1), np.float32)
    probabilities[np.arange(len(labels)), predicted] = confidence
    names = tuple("abcdefgh"[:k])
    return Evaluation(part, "evaluation", names, np.arange(len(labels)), labels, probabilities)


def spread(right: int, wrong: int, classes: int = 4) -> np.ndarray:
    """Of each class so many right, and so many taken for each other class."""
    return np.full((classes, classes), wrong) + (right - wrong) * np.eye(classes, dtype=int)


def run(seconds=60.0, **changes) -> Run:
    config = change_config(RunConfig(), {name.replace("__", "."): value for name, value in changes.items()})
    state = RunState(status="done", seconds=seconds)
    return Run(f"r{seconds:011.0f}", Path("nowhere"), config, "", "f" * 64, ("a", "b"), state)


def epochs(*losses: float) -> tuple[EpochRow, ...]:
    return tuple(
        EpochRow(
            epoch=place + 1,
            step=place,
            train_loss=loss,
            train_accuracy=0.5,
            train_per_class=(),
            val_loss=loss,
            val_accuracy=0.5,
            learning_rate=0.1,
            seconds=1.0,
            images_per_second=1.0,
        )
        for place, loss in enumerate(losses)
    )


def shortcuts(right: int) -> Shortcuts:
    """Colour alone gets so many of 400 right, the largest class 100."""
    return Shortcuts((Score("colour", ((right, 400),)),), Score("majority", ((100, 400),)), 0.25, 900, 900, 400, None)


GOOD = RunFacts(run(), answers(spread(90, 3)), answers(spread(270, 8), "train"), answers(spread(20, 1), "val"))
UNEVEN = [[300, 0], [40, 10]]  # of 350: the large class right, of the small one a fifth

SPEAKS = {
    "guessing": replace(GOOD, test=answers(spread(26, 24))),
    "accuracy": GOOD,
    "leak": replace(GOOD, leaked=np.arange(396) < 40),
    "overfits": replace(GOOD, train=answers(spread(100, 0), "train"), test=answers(spread(60, 13))),
    "shortcut": replace(GOOD, shortcuts=shortcuts(350)),
    "last_worse": replace(GOOD, epochs=epochs(1.0, 0.5, 0.7, 0.9)),
    "uneven": replace(GOOD, test=answers(UNEVEN)),
    "small_test": replace(GOOD, test=answers(spread(2, 0, 3))),
    "confused": replace(GOOD, test=answers(spread(90, 1) + 12 * np.fliplr(np.diag([1, 0, 0, 1])))),
    "still_learning": replace(GOOD, epochs=epochs(1.0, 0.9, 0.8, 0.7)),
    "more_data": replace(GOOD, train=answers(spread(100, 0), "train"), test=answers(spread(60, 13))),
    "weak_class": replace(GOOD, test=answers(spread(90, 3) + np.array([[-60, 20, 20, 20], *np.zeros((3, 4), int)]))),
    "calibration": replace(GOOD, test=answers(spread(60, 13), confidence=0.99)),
    "no_gap": GOOD,
    "time": GOOD,
}
SILENT = {
    "guessing": GOOD,
    "accuracy": SPEAKS["guessing"],
    "leak": replace(GOOD, leaked=np.arange(396) < 3),
    "overfits": GOOD,
    "shortcut": replace(GOOD, shortcuts=shortcuts(120)),
    "last_worse": replace(GOOD, epochs=epochs(1.0, 0.8, 0.5, 0.51)),
    "uneven": GOOD,
    "small_test": GOOD,
    "confused": GOOD,
    "still_learning": replace(GOOD, epochs=epochs(1.0, 0.8, 0.71, 0.7)),
    "more_data": GOOD,
    "weak_class": GOOD,
    "calibration": GOOD,
    "no_gap": SPEAKS["overfits"],
    "time": replace(GOOD, run=run(seconds=0.0)),
}


def test_every_rule_has_both_cases():
    names = {rule.__name__ for rule in RULES}
    assert SPEAKS.keys() == names == SILENT.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_it_speaks_where_its_case_was_planted(rule):
    found = rule(SPEAKS[rule.__name__])
    assert found is not None and found.rule == rule.__name__ and found.run == found.figures["run"]
    assert found.figures and found.sentence.endswith(".") and any(letter.isdigit() for letter in found.sentence)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_it_is_silent_where_it_was_not(rule):
    assert rule(SILENT[rule.__name__]) is None


def test_more_pictures_would_not_help_a_network_that_does_not_learn_those_it_has():
    found = rules.more_data(replace(GOOD, train=answers(spread(800, 70), "train"), test=answers(spread(800, 71))))
    assert found is not None and found.figures["helps"] is False and "hardly help" in found.sentence
    assert rules.more_data(SPEAKS["more_data"]).figures["helps"] is True


def test_the_two_classes_that_are_confused_are_named_with_both_directions():
    found = rules.confused(SPEAKS["confused"])
    assert found.figures["classes"] == ["a", "d"] and found.figures["count"] == 26
    assert "a as d 13 times, d as a 13 times" in found.sentence
    assert rules.confused(replace(GOOD, test=answers([[50, 50], [50, 50]]))) is None  # of two classes there is one pair


def test_the_remedy_is_one_that_the_run_has_not_had():
    facts = SPEAKS["overfits"]
    assert rules.overfits(facts).suggestion.changes == {"train.augment": ("flip", "shift_crop")}
    had = replace(facts, run=run(train__augment="flip", train__weight_decay=0.001))
    assert rules.overfits(had).suggestion.page == "data"


def test_a_run_that_answers_with_its_best_model_is_not_told_that_the_last_is_worse(tmp_path):
    (tmp_path / "model-best.safetensors").touch()
    stopped = replace(run(), folder=tmp_path, state=RunState(status="done", model="best"))
    assert rules.last_worse(replace(SPEAKS["last_worse"], run=stopped)) is None


PAIRS = {  # rule -> (speaks, silent)
    "told_apart": ((GOOD, replace(GOOD, run=run(70.0), test=None)), (GOOD, replace(GOOD, run=run(70.0)))),
    "test_part_too_small": ((GOOD, replace(GOOD, run=run(70.0))), (GOOD, replace(GOOD, run=run(70.0), test=None))),
    "other_test_pictures": (
        (GOOD, replace(GOOD, run=replace(run(70.0), fingerprint="e" * 64))),
        (GOOD, replace(GOOD, run=run(70.0))),
    ),
    "faster": ((GOOD, replace(GOOD, run=run(200.0))), (GOOD, replace(GOOD, run=run(70.0)))),
}


def worse(facts: RunFacts) -> RunFacts:
    """The same pictures, 40 of the right answers wrong."""
    probabilities = facts.test.probabilities.copy()
    flipped = np.flatnonzero(facts.test.correct)[:40]
    probabilities[flipped] = np.roll(probabilities[flipped], 1, axis=1)
    return replace(facts, test=replace(facts.test, probabilities=probabilities))


def cases(rule: str, which: int) -> tuple[RunFacts, RunFacts]:
    one, other = PAIRS[rule][which]
    return one, other if other.test is not None else worse(replace(other, test=one.test))


@pytest.mark.parametrize("rule", PAIR_RULES, ids=lambda rule: rule.__name__)
def test_a_rule_about_two_runs_speaks_and_is_silent(rule):
    found = rule(*cases(rule.__name__, 0))
    assert found is not None and found.rule == rule.__name__ and found.figures
    assert rule(*cases(rule.__name__, 1)) is None


def test_of_two_runs_the_better_one_is_named_whichever_stands_first():
    better, worst = cases("told_apart", 0)
    for order in ((better, worst), (worst, better)):
        found = pairs.told_apart(*order)
        assert found.figures["better"] == better.run.id and "10.1 points (95 % interval" in found.sentence
        low, high = sorted(abs(end) for end in found.figures["interval"])
        assert f"{100 * low:.1f} to {100 * high:.1f}" in found.sentence


def test_a_run_gets_three_to_seven_sentences_the_most_important_first():
    for facts in (GOOD, *SPEAKS.values()):
        found = findings(facts)
        assert 3 <= len(found) <= MOST
        assert [one.weight for one in found] == sorted((one.weight for one in found), reverse=True)
    two = [one.rule for one in findings(GOOD, replace(SPEAKS["overfits"], run=run(61.0)))]
    assert 3 <= len(two) <= MOST and len(set(two)) == len(two)  # about one dataset a rule speaks once


def test_answers_that_are_damaged_silence_only_the_rules_that_need_them(trained_home, tiny_run):
    (tiny_run.folder / "evaluation-train.npz").write_bytes(b"broken")
    facts = read_facts(tiny_run)
    assert facts.train is None and findings(facts) and rules.overfits(facts) is None


def test_the_facts_of_a_run_are_read_from_its_folder(trained_home, tiny_run):
    facts = read_facts(tiny_run)
    assert facts.test.n == 12 and facts.train is not None and len(facts.epochs) == 3
    assert {"accuracy", "time"} & {one.rule for one in findings(facts)}
