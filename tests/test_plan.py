"""The look before an import: it tells what the import then does, for every layout and every choice."""

import zipfile

import pytest

from core.data.choices import Choices, choose
from core.data.dataset import import_dataset, list_datasets
from core.data.plan import look
from core.data.sources import ENCODINGS
from core.errors import UserMistake
from tests.pictures import finish, png, two_classes, write_folder, write_zip

PETS = two_classes(4)
LAYOUTS = {
    "a folder for each class": PETS,
    "wrapped": {f"my pets/top/{name}": content for name, content in PETS.items()},
    "nested": {"cat/a/1.png": png(1), "cat/b/c/2.png": png(2), "dog/1.png": png(3), "dog/2.png": png(4)},
    "parts": {f"{part}/{n}": png(i) for i, (part, n) in enumerate((p, n) for p in ("train", "test") for n in PETS)},
    "parts in a wrapper": {f"x/{p}/{name}": content for p in ("Train", "val") for name, content in PETS.items()},
    "stray files": {
        **PETS,
        "README.md": b"hello",
        "cat/notes.txt": b"not a picture",
        "cat/empty.png": b"",
        "dog/drawing.svg": b"<svg></svg>",
        "dog/" + "deep/" * 11 + "x.png": png(),
        "dog/.DS_Store": b"x",
        "__MACOSX/._x": b"x",
    },
    "copies": {**PETS, "cat/again.png": png(0), "dog/cat.png": png(1)},
}
CHOICES = {
    "nothing": Choices(),
    "renamed": Choices(rename={"cat": "../Katze"}),
    "swapped": Choices(rename={"cat": "dog", "dog": "cat"}),
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))


CASES = [  # each layout as a zip or as a folder: an import takes a second
    *((layout, "nothing", ("zip", "folder")[place % 2]) for place, layout in enumerate(LAYOUTS)),
    ("stray files", "renamed", "zip"),
    ("parts", "swapped", "folder"),
]


@pytest.mark.parametrize(("layout", "chosen", "kind"), CASES)
def test_what_was_told_before_is_what_the_ledger_says_after(tmp_path, layout, chosen, kind):
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", LAYOUTS[layout], zipfile.ZIP_DEFLATED)
    else:
        path = write_folder(tmp_path / "a", LAYOUTS[layout])
    plan = look(path).plan(CHOICES[chosen])
    dataset = finish(import_dataset("pets", path, choices=CHOICES[chosen]))
    assert plan.trouble == "" and plan.counts == dataset.class_counts
    assert (plan.given, plan.pictures, plan.ignored) == (dataset.given, dataset.used, dataset.ignored)
    assert sum(skip.count for skip in plan.skips) == len(dataset.refused)
    assert {reason for skip in plan.skips for reason in [skip.reason]} == {one.reason for one in dataset.refused}
    assert plan.bytes == int(dataset.places[:, 1].sum())
    assert {part for parts in plan.classes.values() for part in parts} == set(dataset.given_parts.tolist())
    assert look(path).plan(CHOICES[chosen]).same_as == "pets"


def test_the_layout_is_told_in_a_sentence(tmp_path):
    told = {name: look(write_zip(tmp_path / "a.zip", files)).plan().layout for name, files in LAYOUTS.items()}
    assert told["a folder for each class"] == "Found 2 folders, one for each class."
    assert told["wrapped"] == "Found 2 folders inside 'my pets/top', one for each class."
    assert "2 of the pictures lie in folders within those and count for the class" in told["nested"]
    assert told["parts in a wrapper"] == "Found 2 folders inside 'x', one for each class, below train and val."


def test_pictures_side_by_side_are_told_how_to_lie(tmp_path):
    for path in (write_zip(tmp_path / "a.zip", {"1.png": png()}), write_folder(tmp_path / "a", {"1.png": png()})):
        with pytest.raises(UserMistake, match=r"side by side .* as in cartoon/1\.png and noir/2\.png"):
            look(path)


def test_what_would_be_refused_is_grouped_with_the_first_names(tmp_path):
    files = {**PETS, **{f"cat/{i}.txt": b"hello" for i in range(8)}, "dog/b.psd": b"8BPS1234"}
    most, other = look(write_zip(tmp_path / "a.zip", files)).plan().skips
    assert (most.reason, most.count) == ("is not a picture (JPEG, PNG, WebP, GIF, BMP or TIFF)", 8)
    assert most.names == tuple(f"cat/{i}.txt" for i in range(5))
    assert "Photoshop" in other.reason and other.names == ("dog/b.psd",)


def test_copies_and_copies_across_classes_are_counted(tmp_path):
    for path in (write_zip(tmp_path / "a.zip", LAYOUTS["copies"]), write_folder(tmp_path / "a", LAYOUTS["copies"])):
        plan = look(path).plan()
        assert (plan.copies, plan.conflicts) == (2, 1)
    assert look(path).plan(Choices(rename={"dog": "cat"})).conflicts == 0  # one class has no conflicts


def test_a_folder_that_is_too_large_to_compare_says_nothing_of_copies(tmp_path, monkeypatch):
    monkeypatch.setattr("core.data.plan.COMPARED_BYTES", 100)
    assert look(write_folder(tmp_path / "a", LAYOUTS["copies"])).plan().copies is None


def test_of_many_files_some_are_looked_into_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("core.data.plan.LOOKED_INTO", 5)
    plan = look(write_zip(tmp_path / "a.zip", {**PETS, "cat/000.png": b"hello"})).plan()
    assert (plan.looked_into, plan.listed) == (5, 8) and [skip.count for skip in plan.skips] == [1]


def test_classes_are_merged_renamed_and_left_out(tmp_path):
    files = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate("abcd") for i in range(3)}
    path = write_zip(tmp_path / "a.zip", files)
    choices = choose({"a": "ab", "b": " ab ", "c": "C", "d": "d"}, ["d"])
    assert choices.rename == {"a": "ab", "b": "ab", "c": "C"}
    plan = look(path).plan(choices)
    assert plan.counts == {"ab": 6, "C": 3} and plan.found == {"a": "ab", "b": "ab", "c": "C", "d": None}
    assert [(skip.reason, skip.count) for skip in plan.skips] == [("was left out, as all of its class 'd'", 3)]
    dataset = finish(import_dataset("letters", path, choices=choices))
    assert dataset.class_counts == plan.counts and dataset.given == 12 == dataset.used + len(dataset.refused)
    assert sorted(dataset.names) == sorted(name for name in files if name[0] != "d")  # names stay as they were given


def test_names_that_differ_only_in_case_are_told_until_they_are_merged(tmp_path):
    found = look(write_zip(tmp_path / "a.zip", {f"{c}/{i}.png": png(i) for c in ("Cat", "cat", "dog") for i in (1, 2)}))
    assert found.plan().notes == ("'Cat', 'cat' differ only in case or blanks; they were kept as 2 classes.",)
    assert found.plan(Choices(rename={"Cat": "cat"})).notes == ()
    assert "'CAT', 'Cat', 'cat'" in found.plan(Choices(rename={"dog": "CAT"})).notes[0]


def test_what_cannot_be_trained_is_told_before_and_choices_may_mend_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", {**PETS, "bird/1.png": png(7)})
    found = look(path)
    assert found.plan().trouble.startswith("class 'bird' has 1 usable picture(s); at least 2 are needed")
    assert found.plan(Choices(leave_out=("bird",))).trouble == ""
    assert "only one class, 'cat'" in found.plan(Choices(rename={"dog": "cat", "bird": "cat"})).trouble
    with pytest.raises(UserMistake, match="every class was left out"):
        found.plan(Choices(leave_out=("bird", "cat", "dog")))


def test_choices_about_a_class_that_is_not_there_are_refused(tmp_path):
    found = look(write_zip(tmp_path / "a.zip", PETS))
    for choices in (Choices(rename={"cow": "x"}), Choices(leave_out=("cow",))):
        with pytest.raises(UserMistake, match="unknown class 'cow'; found: cat, dog"):
            found.plan(choices)
    with pytest.raises(UserMistake, match="visible name"):
        choose({"cat": " \u200b "})


def test_examples_are_read_in_a_child_and_a_broken_one_is_none(tmp_path):
    files = {**PETS, "cat/000.png": png()[:200]}
    examples = look(write_zip(tmp_path / "a.zip", files), each=3).examples
    assert {name: len(few) for name, few in examples.items()} == {"cat": 2, "dog": 3}
    assert examples["dog"][0].shape == (3, 72, 72) and str(examples["dog"][0].dtype) == "uint8"


@pytest.mark.parametrize(
    ("encoding", "word"), [("cp932", "日本"), ("gb18030", "猫咪"), ("cp949", "고양이"), ("cp1251", "кошка")]
)
def test_names_of_an_old_code_page_are_right_once_it_is_chosen(tmp_path, encoding, word):
    raw = word.encode(encoding)
    path = write_zip(tmp_path / "a.zip", {f"{'z' * len(raw)}/{i}.png": png(i) for i in range(2)} | {"x/1.png": png(5)})
    path.write_bytes(path.read_bytes().replace(b"z" * len(raw), raw))
    plan = look(path).plan()
    assert plan.garbled == 2 and word not in plan.found and "choose the encoding" in plan.notes[0]
    chosen = look(path, encoding).plan()
    assert set(chosen.found) == {word, "x"} and chosen.notes == (f"2 name(s) were read as {ENCODINGS[encoding]}.",)


def test_an_import_reads_names_in_the_chosen_encoding(tmp_path):
    path = write_zip(tmp_path / "b.zip", {**PETS, "zz/1.png": png(8), "zz/2.png": png(9)})
    path.write_bytes(path.read_bytes().replace(b"zz/", "猫".encode("cp932") + b"/"))
    dataset = finish(import_dataset("names", path, choices=Choices(encoding="cp932")))
    assert dataset.classes == ("cat", "dog", "猫") and dataset.names[-1] == "猫/2.png"


def test_an_encoding_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="unknown encoding 'klingon'; known: cp932"):
        look(write_zip(tmp_path / "a.zip", PETS), "klingon")


def test_the_same_pictures_are_known_under_their_name(tmp_path):
    path = write_zip(tmp_path / "a.zip", PETS)
    assert look(path).plan().same_as == ""
    finish(import_dataset("flowers", path))
    assert look(path).plan().same_as == "flowers"
    assert look(write_folder(tmp_path / "a", PETS)).plan().same_as == "flowers"
    assert look(path).plan(Choices(rename={"cat": "Katze"})).same_as == ""
    assert look(write_zip(tmp_path / "b.zip", {**PETS, "cat/000.png": png(9, 41)})).plan().same_as == ""
    again = finish(import_dataset("again", path))
    assert "The same pictures are here as 'flowers' too." in again.notes and len(list_datasets()) == 2


def test_looking_leaves_nothing(tmp_path):
    look(write_zip(tmp_path / "a.zip", PETS), each=2)
    assert not (tmp_path / "home").exists()
