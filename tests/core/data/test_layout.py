"""Layouts: what people's folders are called, and what is a class, a part or a wrapper in them."""

import pytest

from core.data.sources.layout import PartName, part_name
from core.data.sources.listing import arrange
from core.errors import UserMistake
from core.settings import Limits

PARTS = ["train", "val", "test"]


def found(*names, reading="auto", folders=()):
    """The listing of files of these names."""
    files = [(tuple(name.split("/")), key, None) for key, name in enumerate(names)]
    return arrange(files, Limits(), reading, [tuple(folder.split("/")) for folder in folders])


def classes_of(listing):
    return sorted({entry.class_name for entry in listing.entries})


def parts_of(listing):
    return [PARTS[part] for part in sorted({entry.part for entry in listing.entries} - {-1})]


def pictures(*folders, count=3):
    return [f"{folder}/{i}.png" for folder in folders for i in range(count)]


def below(*parts, classes=("cat", "dog")):
    return pictures(*(f"{part}/{name}" for part in parts for name in classes))


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        *(("train", 0), ("Training_Set", 0), ("trainset", 0), ("train2017", 0), ("01_train", 0), ("train-images", 0)),
        *(("valid", 1), ("val_data", 1), ("dev", 1), ("Validation Set", 1), ("validate", 1)),
        *(("testing", 2), ("test_set", 2), ("eval", 2), ("TEST", 2), ("evaluation", 2), ("testdata", 2)),
    ],
)
def test_usual_names_of_parts_are_known(folder, part):
    assert part_name(folder) == PartName(part, "")


@pytest.mark.parametrize(
    "folder", ["cat", "trainer", "testament", "_train", "contest", "protest", "devil", "train_val"]
)
def test_other_words_are_no_parts(folder):
    assert part_name(folder) is None


def test_a_part_with_other_words_keeps_them():
    assert part_name("seg_train") == PartName(0, "seg") and part_name("Cat Test") == PartName(2, "Cat")
    assert part_name("asl_train_alphabet") == PartName(0, "asl_alphabet")


@pytest.mark.parametrize(
    ("tops", "parts"),
    [
        (("training_set", "test_set"), ["train", "test"]),
        (("train", "valid", "test"), ["train", "val", "test"]),
        (("train_data", "val_data"), ["train", "val"]),
        (("train", "dev", "eval"), ["train", "val", "test"]),
        (("Training", "Testing"), ["train", "test"]),
        (("set/training_set/training_set", "set/test_set/test_set"), ["train", "test"]),
        (("train/train", "test/test"), ["train", "test"]),
        (("seg_train", "seg_test"), ["train", "test"]),
        (("seg_train/seg_train", "seg_test/seg_test"), ["train", "test"]),
        (("set/pets_training", "set/pets_validation"), ["train", "val"]),
    ],
)
def test_part_folders_of_many_names_are_parts_and_no_classes(tops, parts):
    listing = found(*below(*tops))
    assert (classes_of(listing), parts_of(listing)) == (["cat", "dog"], parts)
    assert all(entry.part >= 0 for entry in listing.entries)


def test_a_folder_of_unsorted_pictures_beside_the_parts_is_refused():
    files = below("seg_train/seg_train", "seg_test/seg_test") + pictures("seg_pred/seg_pred")
    listing = found(*files)
    assert classes_of(listing) == ["cat", "dog"] and len(listing.refused) == 3
    assert listing.guess == "'seg_train' and 'seg_test' are read as parts by their names: train and test."
    test_is_flat = [*below("asl_train/asl_train"), "asl_test/asl_test/a.png", "asl_test/asl_test/b.png"]
    assert classes_of(found(*test_is_flat)) == ["cat", "dog"] and parts_of(found(*test_is_flat)) == ["train"]


def test_parts_inside_the_classes_are_parts():
    listing = found(*below("cat", "dog", classes=("train", "test")), "cat/cover.png")
    assert classes_of(listing) == ["cat", "dog"] and parts_of(listing) == ["train", "test"]
    assert "'train' and 'test' inside the classes are read as parts" in listing.guess
    assert [entry.part for entry in listing.entries if entry.name == "cat/cover.png"] == [-1]


@pytest.mark.parametrize("named", ["{0}_{1}", "{1}-{0}"])
def test_parts_in_the_names_of_flat_folders_are_parts(named):
    tops = [named.format(name, part) for name in ("cat", "dog") for part in ("train", "test")]
    listing = found(*pictures(*tops))
    assert classes_of(listing) == ["cat", "dog"] and parts_of(listing) == ["train", "test"] and listing.guess
    forced = found(*pictures(*tops), reading="outer")
    assert classes_of(forced) == sorted(tops) and parts_of(forced) == [] and not forced.guess


@pytest.mark.parametrize(
    "tops", [("train", "plane"), ("steam train", "test tube"), ("test_a", "test_b"), ("training shoes", "boots")]
)
def test_classes_that_have_a_part_s_word_in_their_names_stay_classes(tops):
    listing = found(*pictures(*tops))
    assert classes_of(listing) == sorted(tops) and parts_of(listing) == []


def test_flat_part_folders_beside_others_become_classes_with_a_word():
    listing = found(*pictures("train", "test", "labels"))
    assert classes_of(listing) == ["labels", "test", "train"] and "are read as classes" in listing.notes[0]
    with pytest.raises(UserMistake, match="no folder for each class inside"):
        found(*pictures("training_set", "test_set"))


def test_the_same_folders_in_each_are_a_guess_that_one_option_decides():
    files = below("old", "new")
    listing = found(*files)
    assert classes_of(listing) == ["new", "old"] and parts_of(listing) == []
    assert "all hold the same folders ('cat' and 'dog')" in listing.guess and listing.guess in listing.notes
    inner = found(*files, reading="inner")
    assert classes_of(inner) == ["cat", "dog"] and parts_of(inner) == [] and not inner.notes
    assert found(*below("cat", classes=("a", "b")), *below("dog", classes=("c", "d"))).guess == ""


@pytest.mark.parametrize(
    "parts", [("Trainingsdaten", "Testdaten"), ("entraînement", "test"), ("train", "holdout"), ("treino", "teste")]
)
def test_parts_are_known_by_their_names_in_other_languages_too(parts):
    listing = found(*below(*parts))
    assert classes_of(listing) == ["cat", "dog"] and parts_of(listing) == ["train", "test"] and not listing.guess


def test_a_folder_between_part_and_classes_is_no_class():
    listing = found(*below("train/images", "test/images"))
    assert classes_of(listing) == ["cat", "dog"] and parts_of(listing) == ["train", "test"]
    assert classes_of(found(*below("train/images", "test/img"))) == ["images", "img"]  # not the same in each


@pytest.mark.parametrize("tops", [("fold1", "fold2", "fold3"), ("patient_07", "patient_12"), ("train", "extra")])
def test_numbered_folders_with_the_same_inside_hold_the_classes_and_the_guess_is_told(tops):
    listing = found(*below(*tops))
    assert classes_of(listing) == ["cat", "dog"] and "the inner ones are the classes" in listing.guess
    assert classes_of(found(*below(*tops), reading="outer")) == sorted(tops)


def test_archives_inside_are_to_be_unpacked():
    with pytest.raises(UserMistake, match=r"holds archives, such as 'cat\.zip'.*unpack them first"):
        found("cat.zip", "dog.zip", "README.md")


def test_part_folders_are_classes_where_that_is_asked_for():
    listing = found(*below("train", "test"), reading="outer")
    assert classes_of(listing) == ["test", "train"] and parts_of(listing) == []


# --- wrappers


@pytest.mark.parametrize("loose", ["README.md", "notes.txt", "labels.csv", "LICENSE", "fetch.sh", "cover.jpg"])
@pytest.mark.parametrize("tops", [("cat", "dog"), ("train/cat", "train/dog", "test/cat", "test/dog")])
def test_a_loose_file_in_a_wrapper_keeps_nothing_out(loose, tops):
    listing = found(f"pics-main/{loose}", *(f"pics-main/{name}" for name in pictures(*tops)))
    assert classes_of(listing) == ["cat", "dog"] and listing.wrapper == "pics-main"
    assert listing.refused == [(loose, "is not inside the folder of a class")]


def test_folders_of_code_and_notes_are_no_classes():
    files = [f"repo-main/{name}" for name in ("README.md", "src/train.py", "docs/a/b.md", "LICENSE")]
    listing = found(*files, *(f"repo-main/data/{name}" for name in pictures("cat", "dog")))
    assert classes_of(listing) == ["cat", "dog"] and listing.wrapper == "repo-main/data"
    assert listing.notes == ["No class is made of 'docs' and 'src': no picture is in there."]
    assert ("src/train.py", "is in a folder without pictures") in listing.refused and len(listing.refused) == 4


def test_many_loose_pictures_keep_a_folder_a_class():
    assert classes_of(found("cat/1.png", "cat/2.png", "cat/side/3.png", "cat/front/4.png")) == ["cat"]


def test_empty_class_folders_are_named():
    listing = found(*pictures("top/cat", "top/dog"), folders=["top", "top/cat", "top/bird", "top/cat/more", "top/.git"])
    assert listing.notes == ["No class is made of 'bird': no picture is in there."]
    listing = found(*below("train", "test"), folders=["train/cow", "test/dog"])
    assert listing.notes == ["No class is made of 'cow': no picture is in there."]


@pytest.mark.parametrize("junk", ["#recycle", "@Recycle", "@eaDir", "#snapshot", "$RECYCLE.BIN", "lost+found", ".git"])
def test_folders_that_network_drives_and_tools_make_are_ignored(junk):
    listing = found(*pictures("cat", "dog", junk))
    assert classes_of(listing) == ["cat", "dog"] and listing.ignored == 3 and listing.notes == []


def test_a_table_beside_the_pictures_is_known():
    listing = found(*pictures("set/images"), "set/labels.csv")
    assert listing.tables == ("labels.csv",)
    assert found(*pictures("set/images"), "set/annotations/labels.json").tables == ("annotations/labels.json",)
