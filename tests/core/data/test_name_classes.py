"""Classes in the names of files: cat.0.jpg beside dog.0.jpg, and where names are only those of cameras."""

import pytest

from core.data.imports.pipeline import import_dataset
from core.data.imports.preview import scan_source
from core.data.sources.listing import arrange
from core.errors import UserMistake
from core.settings import Limits
from tests.pictures import finish, png


def listing(*names, reading="auto"):
    return arrange([(tuple(name.split("/")), key, None) for key, name in enumerate(names)], Limits(), reading)


def numbered(*patterns, count=5):
    return [pattern.format(number) for pattern in patterns for number in range(count)]


def classes(found):
    return {entry.class_name for entry in found.entries}


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (("cat.{}.jpg", "dog.{}.jpg"), {"cat", "dog"}),
        (("data/cat.{}.jpg", "data/dog.{}.jpg"), {"cat", "dog"}),
        (("oil painting ({}).jpg", "pen_sketch-{}.png"), {"oil painting", "pen_sketch"}),
        (("images/great_pyrenees_{}.jpg", "images/Abyssinian_{}.jpg"), {"great_pyrenees", "Abyssinian"}),
    ],
)
def test_numbered_names_side_by_side_say_the_classes(patterns, wanted):
    found = listing(*numbered(*patterns), "README.md")
    assert classes(found) == wanted and len(found.entries) == 10
    assert "are read from the names of the files" in found.guess and found.notes == [found.guess]
    assert all(entry.name.count("/") <= 1 for entry in found.entries)  # named as they were given


@pytest.mark.parametrize("test", ["test1/{}.jpg", "eval/IMG_{}.jpg", "holdout/sample_{}.jpg", "test/image ({}).jpg"])
def test_pictures_of_a_competition_are_split_as_given_and_unnamed_ones_are_refused(test):
    found = listing(*numbered("train/cat.{}.jpg", "train/dog.{}.jpg", test))
    assert classes(found) == {"cat", "dog"} and {entry.part for entry in found.entries} == {0}
    assert found.refused[0] == (test.format(0), "says no class in its name") and len(found.refused) == 5


def test_pictures_of_a_test_folder_count_where_their_names_say_a_class():
    found = listing(*numbered("train/cat.{}.jpg", "train/dog.{}.jpg", "test/cat.{}.jpg"))
    assert {(entry.class_name, entry.part) for entry in found.entries} == {("cat", 0), ("dog", 0), ("cat", 2)}


@pytest.mark.parametrize("stray", ["README.md", "images/README.md", "images/logo.png", "images/cover1.jpg"])
def test_a_stray_file_is_refused_alone(stray):
    files = numbered("images/cat.{}.jpg", "images/dog.{}.jpg", count=10)
    found = listing(*files, stray)
    assert classes(found) == {"cat", "dog"} and len(found.entries) == 20
    assert [name for name, _ in found.refused] == [stray]


@pytest.mark.parametrize(
    "names",
    [
        numbered("IMG_{}.jpg", "DSC_{}.jpg"),
        numbered("{}.jpg"),
        numbered("a{}.jpg", "b{}.jpg"),
        numbered("cat.{}.jpg"),
        numbered("IMG-20200101-WA{}.jpg", "IMG-20200105-WA{}.jpg"),
        numbered("DJI_{}.jpg", "CIMG{}.jpg"),
        numbered("holiday_frame_{}.png", "party_frame_{}.png"),
        numbered("training_{}.jpg", "testing_{}.jpg"),
        [*numbered("cat.{}.jpg", "dog.{}.jpg"), *(f"{letter}.jpg" for letter in "abcdef")],
    ],
)
def test_names_of_cameras_and_mere_numbers_are_no_classes(names):
    with pytest.raises(UserMistake, match="no folder for each class"):
        listing(*names)


def test_a_folder_with_a_name_of_its_own_is_a_class_whatever_its_pictures_are_called():
    assert classes(listing(*numbered("cartoon/simpsons_{}.jpg", "cartoon/batman_{}.jpg"))) == {"cartoon"}


def test_folders_of_classes_count_more_than_names():
    assert classes(listing(*numbered("red/cat.{}.jpg", "blue/dog.{}.jpg"))) == {"red", "blue"}


def test_one_option_takes_the_folders_all_the_same():
    with pytest.raises(UserMistake, match="no folder for each class"):
        listing(*numbered("cat.{}.jpg", "dog.{}.jpg"), reading="outer")


def test_what_the_preview_shows_is_what_comes_in(tmp_path, home):
    (tmp_path / "pets").mkdir()
    for number, name in enumerate(numbered("cat.{}.png", "dog.{}.png")):
        (tmp_path / "pets" / name).write_bytes(png(number))
    preview = scan_source(tmp_path / "pets").preview()
    assert preview.layout == "Found 2 classes in the names of the files."
    dataset = finish(import_dataset("pets", tmp_path / "pets"))
    assert (
        dataset.class_counts == {"cat": 5, "dog": 5} == {name: sum(n.values()) for name, n in preview.classes.items()}
    )
    assert sorted(dataset.names) == sorted(numbered("cat.{}.png", "dog.{}.png"))
