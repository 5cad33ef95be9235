"""The shortcut meter on planted cases: what a trivial property explains is caught, what it does not is at chance."""

import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig
from core.data.imports.pipeline import import_pictures
from core.data.quality.shortcuts import Score, Shortcuts, measure_shortcuts
from tests.pictures import encoded, finish

pytestmark = pytest.mark.usefixtures("home")

EACH = 60
DATA = DataConfig(dataset="planted", test_fraction=0.5, val_fraction=0.0)


def planted(draw, classes=("a", "b"), each=EACH):
    """A dataset with each class's pictures as draw(class number, random) gives them: uint8 (H, W, 3)."""
    random = np.random.default_rng(0)
    entries = [
        (f"{name}/{i:03}.png", name, None, encoded(Image.fromarray(draw(k, random).astype(np.uint8))))
        for k, name in enumerate(classes)
        for i in range(each)
    ]
    return finish(import_pictures("planted", iter(entries), "zip", False))


def measured(dataset, **changes):
    found = measure_shortcuts(dataset, DATA.model_copy(update=changes))
    return found, {score.name: score for score in found.scores}


def covers(score, share):
    low, high = score.interval
    return low <= share <= high


def test_classes_that_differ_in_brightness_alone_are_caught():
    dataset = planted(lambda k, random: np.repeat(random.normal(90 + 60 * k, 25, (24, 24, 1)).clip(0, 255), 3, axis=2))
    found, scores = measured(dataset)
    assert scores["brightness"].accuracy > 0.95 and scores["brightness"].n == EACH
    assert found.verdict(scores["brightness"]) == "explains" and found.worst() is not None
    assert found.verdict(scores["size"]) == "nothing" and found.one_size == (24, 24)


def test_a_middle_class_is_found_by_brightness_from_both_ends():
    dataset = planted(lambda k, random: random.normal((60, 190, 125)[k], 8, (20, 20, 3)).clip(0, 255), ("a", "b", "c"))
    assert measured(dataset)[1]["brightness"].accuracy > 0.95


def test_shuffled_labels_stay_at_chance():
    def any_picture(k, random):  # bright and dark, of all colours and sizes, whatever the class
        colour, side = random.integers(30, 226, 3), random.integers(20, 40)
        return np.clip(colour + random.normal(0, 20, (side, side, 3)), 0, 255)

    found, scores = measured(planted(any_picture, each=120))
    assert all(covers(score, 0.5) for score in scores.values()), scores
    assert found.worst() is None


def test_same_colours_and_other_shapes_are_at_chance():
    def bars(k, random):  # as many light and dark pixels, lying or standing
        offset, lit = random.integers(0, 8), np.full((32, 32), 60)
        lit[(np.arange(32) + offset) % 8 < 4] = 180
        return np.repeat((lit.T if k else lit)[:, :, None], 3, axis=2)

    found, scores = measured(planted(bars))
    assert all(covers(score, 0.5) for score in scores.values()), scores
    assert found.worst() is None


def test_classes_that_differ_in_size_alone_are_caught():
    dataset = planted(lambda k, random: random.integers(0, 256, (30 + 9 * k + random.integers(0, 4), 32, 3)))
    found, scores = measured(dataset)
    assert found.worst() == scores["size"] and scores["size"].accuracy > 0.95
    assert found.verdict(scores["brightness"]) != "explains" and found.one_size is None


def test_an_uneven_set_shows_the_majority_and_the_mean_class():
    random = np.random.default_rng(0)
    entries = [
        (f"{name}/{i:03}.png", name, None, encoded(Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8))))
        for name, count in (("many", 160), ("few", 20))
        for i in range(count)
    ]
    found, scores = measured(finish(import_pictures("planted", iter(entries), "zip", False)))
    assert (found.majority.right, found.majority.n) == (80, 90) and found.majority.balanced == 0.5
    assert found.uneven and found.worst() is None  # 89 % of all test pictures is no shortcut
    assert scores["size"].balanced == 0.5


def test_the_split_is_that_of_a_run_and_the_same_question_has_the_same_answer():
    dataset = planted(lambda k, random: random.integers(0, 256, (20, 20, 3)))
    first, again = measured(dataset)[0], measured(dataset)[0]
    assert first == again and (first.learnt_from, first.of_test) == (EACH, EACH)
    assert measured(dataset, test_fraction=0.25)[0].of_test == EACH // 2


def test_progress_ends_at_its_total():
    reports = []
    measure_shortcuts(
        planted(lambda k, random: random.integers(0, 256, (20, 20, 3)), each=8), DATA, lambda *at: reports.append(at)
    )
    assert reports[0] == (0, 7) and reports[-1] == (7, 7) and reports == sorted(reports)


def scored(right):
    even = Score("majority", ((50, 50), (0, 50)))
    return Shortcuts((Score("colour", ((right, 100),)),), even, 0.5, 100, 100, 100, None)


@pytest.mark.parametrize(
    "right, network, verdict",
    [
        (52, None, "nothing"),  # 42 to 62 %
        (65, None, "helps"),  # 55 to 74 %: surely above 50, surely not half of the way
        (86, None, "explains"),  # 78 to 92 %: more than 75 %
        (73, (74, 100), "explains"),  # 64 to 81 %: more than 60 %, and 23 of the network's 24 points
        (73, (95, 100), "helps"),  # 23 of 45 points
        (65, (66, 100), "helps"),  # 55 %: not surely ten points above the majority
        (86, (40, 100), "explains"),  # a network that has learnt nothing yet changes nothing
    ],
)
def test_the_rule_of_the_warning(right, network, verdict):
    found = scored(right)
    assert found.verdict(found.scores[0], network) == verdict


@pytest.mark.parametrize(
    "few, verdict",
    [
        ((10, 10), "explains"),  # 95 + 72 %: at least 84 % of the mean class
        ((7, 10), "helps"),  # 95 + 40 %: at least 67 %, not surely 75
        ((1, 10), "nothing"),  # 95 + 2 %: 49 %
    ],
)
def test_in_an_uneven_set_the_mean_of_the_classes_counts(few, verdict):
    majority = Score("majority", ((80, 80), (0, 10)))
    found = Shortcuts((Score("colour", ((80, 80), few)),), majority, 0.5, 90, 90, 90, None)
    assert found.verdict(found.scores[0]) == verdict
