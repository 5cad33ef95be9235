"""Readiness in plain words: what blocks, what warns, what is fine."""

import numpy as np
import pytest

from core.config import DataConfig
from core.data.imports.pipeline import import_pictures
from core.data.quality import readiness
from core.data.quality.readiness import check_classes, check_readiness
from core.data.store.store import find_duplicates_of
from tests.pictures import finish, png

pytestmark = pytest.mark.usefixtures("home")

DATA = DataConfig(dataset="pets", image_size=32, test_fraction=0.5, val_fraction=0.0)


def pets(side=40, extra=(), **counts):
    entries = [(f"{name}/{i:03}.png", name, None, png(1000 * k + i, side, side)) for k, (name, n) in
               enumerate(counts.items()) for i in range(n)]  # fmt: skip
    return finish(import_pictures("pets", iter([*entries, *extra]), "zip", False))


def texts(findings, level):
    return " ".join(finding.message for finding in findings if finding.level == level)


def test_enough_even_pictures_are_fine():
    found = check_readiness(pets(cat=48, dog=48), DATA)
    assert {finding.level for finding in found} == {"warns", "fine"}
    assert "equally many pictures" in texts(found, "fine") and "the smallest has 24" in texts(found, "fine")
    assert texts(found, "warns").startswith(
        "With 48 pictures to test on, an accuracy will be known to about ± 11 points"
    )


def test_a_class_that_cannot_be_learnt_blocks_and_stands_alone():
    dataset = pets(cat=4, dog=4)
    (finding,) = check_classes(dataset, {"train": [4, 0], "val": [0, 0], "test": [0, 4]})
    assert finding.level == "blocks" and finding.fields
    assert finding.message.startswith("Class 'dog' has 4 pictures, none of them to learn from. Change the shares")


def test_a_split_without_a_test_blocks():
    (finding,) = check_classes(pets(cat=4, dog=4), {"train": [4, 4], "val": [0, 0], "test": [0, 0]})
    assert finding.message == "The split leaves no picture to test on. Change the shares, or add pictures."


def test_an_uneven_set_says_that_accuracy_misleads_and_what_the_majority_gets():
    found = check_readiness(pets(cat=60, dog=6), DATA)
    assert "'cat' has 10 times as many" in texts(
        found, "warns"
    ) and "the accuracy of all pictures will mislead" in texts(found, "warns")
    assert "right about 91 % of the 33 test pictures" in texts(found, "warns")  # 30 of 33


def test_weighted_classes_do_not_complain_about_balance():
    counts = {"train": [200, 20], "val": [0, 0], "test": [20, 20]}
    assert "mislead" not in texts(check_classes(pets(cat=4, dog=4), counts, weighted=True), "warns")


def test_small_pictures_and_refused_files_are_told():
    bad = [("broken.png", "cat", None, b"nothing of a picture")]
    found = check_readiness(pets(20, bad, cat=10, dog=10), DATA)
    assert "20 of 20 pictures are smaller than the 32 × 32 pixels" in texts(found, "warns")
    assert "1 of 21 files that were given was refused, such as 'broken.png'" in texts(found, "warns")


def test_duplicates_are_told_once_they_are_known():
    same = png(7, 40, 40)
    extra = [("cat/x.png", "cat", None, same), ("dog/x.png", "dog", None, same)]
    dataset = pets(40, extra, cat=10, dog=10)
    assert "duplicates" not in texts(check_readiness(dataset, DATA), "warns")
    list(find_duplicates_of(dataset))
    # picture 7 of the cats is the same again: three pictures, two pairs with a dog or one through the first
    assert "in two classes: no network can be right on both" in texts(check_readiness(dataset, DATA), "warns")


def test_the_outlook_is_what_was_reached_here_before_anything_else():
    found = check_readiness(pets(cat=30, dog=30), DATA, reached=[(20, 30, "one"), (27, 30, "two"), (0, 0, "three")])
    assert "The best of 2 networks trained on these pictures reached 90.0 % of 30 test pictures" in texts(found, "fine")
    assert "of its own split (run two, 95 % interval" in texts(found, "fine")


def test_without_a_run_the_outlook_is_what_two_other_tasks_gave():
    few, many = (texts([readiness._expect(np.full(2, n), [])], "fine") for n in (40, 5000))
    assert "about 82 % with the preset quick" in few and "94 %; chance is 50 %" in few  # 0.639 and 0.884 of 50 points
    assert "yours have 40: expect less" in few and "expect less" not in many
