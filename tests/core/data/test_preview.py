"""The preview of an import: it shows what the import then does, for every layout and class mapping."""

import struct
import sys
import zipfile
import zlib

import pytest

from core.data.datasets.dataset import list_datasets
from core.data.imports.class_mapping import ClassMapping, make_class_mapping
from core.data.imports.pipeline import import_dataset
from core.data.imports.preview import scan_source
from core.data.sources.zip import ENCODINGS
from core.errors import UserMistake
from tests.pictures import finish, png, two_classes, write_folder, write_zip

pytestmark = pytest.mark.usefixtures("home")

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
    "classes above parts": {
        f"{n}/{p}/{i}.png": png(i) for n in ("cat", "dog") for p in ("train", "test") for i in (1, 2)
    },
    "parts in names": {f"{n}_{p}/{i}.png": png(i) for n in ("cat", "dog") for p in ("train", "test") for i in (1, 2)},
    "doubled parts": {
        **{f"a/seg_{p}/seg_{p}/{name}": content for p in ("train", "test") for name, content in PETS.items()},
        **{f"a/seg_pred/seg_pred/{i}.png": png(50 + i) for i in range(3)},
    },
    "a repository": {
        **{f"pics-main/pics/{name}": content for name, content in PETS.items()},
        **dict.fromkeys(("pics-main/README.md", "pics-main/src/fetch.py", "pics-main/pics/labels.csv"), b"x"),
    },
    "bad pictures": {
        **PETS,
        "cat/cut.png": png(8)[:900],
        "cat/tiny.png": png(9, 2, 2),
        "dog/long.png": png(9, 2000, 20),
        "dog/photo.jpg": b"\0\0\0\x18ftypheic" + bytes(40),
        "dog/twice.png": PETS["dog/000.png"],
    },
    "copies": {**PETS, "cat/again.png": png(0), "dog/cat.png": png(1)},
}
MAPPINGS = {
    "nothing": ClassMapping(),
    "renamed": ClassMapping(rename={"cat": "../Katze"}),
    "swapped": ClassMapping(rename={"cat": "dog", "dog": "cat"}),
}


CASES = [  # each layout as a zip or as a folder: an import takes a second
    *((layout, "nothing", ("zip", "folder")[place % 2]) for place, layout in enumerate(LAYOUTS)),
    ("stray files", "renamed", "zip"),
    ("parts", "swapped", "folder"),
]


@pytest.mark.parametrize(("layout", "chosen", "kind"), CASES)
def test_what_the_preview_shows_is_what_the_import_does(tmp_path, layout, chosen, kind):
    if kind == "zip":
        path = write_zip(tmp_path / "a.zip", LAYOUTS[layout], zipfile.ZIP_DEFLATED)
    else:
        path = write_folder(tmp_path / "a", LAYOUTS[layout])
    preview = scan_source(path).preview(MAPPINGS[chosen])
    dataset = finish(import_dataset("pets", path, mapping=MAPPINGS[chosen]))
    assert preview.trouble == "" and preview.counts == dataset.class_counts
    assert (preview.given, preview.pictures, preview.ignored) == (dataset.given, dataset.used, dataset.ignored)
    assert sum(skip.count for skip in preview.skips) == len(dataset.refused)
    assert {reason for skip in preview.skips for reason in [skip.reason]} == {one.reason for one in dataset.refused}
    assert preview.bytes == int(dataset.places[:, 1].sum())
    assert {part for parts in preview.classes.values() for part in parts} == set(dataset.given_parts.tolist())
    assert scan_source(path).preview(MAPPINGS[chosen]).same_as == "pets"


def test_a_preview_of_many_files_says_that_they_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("core.data.imports.preview.DECODED", 3)
    preview = scan_source(write_zip(tmp_path / "a.zip", LAYOUTS["bad pictures"])).preview()
    assert not preview.decoded and "damaged and too small pictures are found at the import" in " ".join(preview.remarks)


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_refusal_gives_the_commonest_reasons(tmp_path, kind):
    heic = b"\0\0\0\x18ftypheic" + bytes(40)
    files = {
        **{f"cat/{i}.jpg": heic for i in range(4)},
        "cat/tiny.png": png(1, 2, 2),
        "dog/1.png": png(1),
        "dog/2.png": png(2),
    }
    path = write_zip(tmp_path / "a.zip", files) if kind == "zip" else write_folder(tmp_path / "a", files)
    with pytest.raises(UserMistake) as caught:
        finish(import_dataset("pets", path))
    words = ("'cat/0.jpg' is a HEIC photo", "(and 3 more)", "'cat/tiny.png' has 2 x 2 pixels, too small to learn from")
    assert all(word in str(caught.value) for word in words)
    assert scan_source(path).preview().trouble == str(caught.value).removesuffix("; nothing was imported")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_linked_folders_are_named_in_the_refusal(tmp_path):
    real = write_folder(tmp_path / "real", PETS)
    (tmp_path / "a").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "a" / name).symlink_to(real / name)
    with pytest.raises(UserMistake, match=r"'cat' is a link to a folder; links are not followed.*\(and 1 more\)"):
        scan_source(tmp_path / "a")


def test_labels_in_a_table_are_spoken_of(tmp_path):
    files = {f"set/images/{i}.png": png(i) for i in range(4)} | {"set/labels.csv": b"file,label"}
    found = scan_source(write_zip(tmp_path / "a.zip", files)).preview()
    assert "classes in a table such as 'labels.csv' are read with --labels labels.csv" in found.trouble


def test_names_in_the_extra_field_of_a_zip_are_used(tmp_path):
    """As WinRAR packs them: the name in the header is a stand-in, the right one is in the field 0x7075."""
    entries = []
    for number, right in enumerate(["猫/0.png", "猫/1.png", "犬/0.png", "犬/1.png"]):
        info = zipfile.ZipInfo(f"??/{number}.png")
        name, crc = right.encode(), zlib.crc32(info.filename.encode())
        info.extra = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, crc) + name
        entries.append((info, png(number)))
    entries[3][0].extra = entries[3][0].extra.replace(struct.pack("<I", zlib.crc32(b"??/3.png")), bytes(4))
    found = scan_source(write_zip(tmp_path / "a.zip", entries)).preview()
    assert (
        found.sizes == {"??": 1, "犬": 1, "猫": 2} and found.garbled == 0
    )  # the wrong checksum: another name was meant


def test_one_option_decides_which_folders_are_the_classes(tmp_path):
    files = {f"{top}/{name}/{i}.png": png(i) for top in ("old", "new") for name in ("cat", "dog") for i in (1, 2)}
    path = write_zip(tmp_path / "a.zip", files)
    assert scan_source(path).preview().guess and list(scan_source(path).preview().found) == ["new", "old"]
    preview = scan_source(path, reading="inner").preview()
    dataset = finish(import_dataset("pets", path, mapping=ClassMapping(reading="inner")))
    assert preview.counts == dataset.class_counts == {"cat": 4, "dog": 4} and not preview.guess


def test_the_layout_is_described_in_a_sentence(tmp_path):
    layouts = {
        name: scan_source(write_zip(tmp_path / "a.zip", files)).preview().layout for name, files in LAYOUTS.items()
    }
    assert layouts["a folder for each class"] == "Found 2 folders, one for each class."
    assert layouts["wrapped"] == "Found 2 folders inside 'my pets/top', one for each class."
    assert "2 of the pictures lie in folders within those and count for the class" in layouts["nested"]
    assert layouts["classes above parts"] == "Found 2 folders, one for each class, each with train and test."
    assert layouts["parts in names"].endswith("one for each class, split by their names into train and test.")
    assert layouts["a repository"] == "Found 2 folders inside 'pics-main/pics', one for each class."
    assert layouts["parts in a wrapper"] == "Found 2 folders inside 'x', one for each class, below train and val."


def test_pictures_side_by_side_are_refused_with_the_layout(tmp_path):
    for path in (write_zip(tmp_path / "a.zip", {"1.png": png()}), write_folder(tmp_path / "a", {"1.png": png()})):
        with pytest.raises(UserMistake, match=r"side by side .* as in cartoon/1\.png and noir/2\.png"):
            scan_source(path)


def test_what_would_be_refused_is_grouped_with_the_first_names(tmp_path):
    files = {**PETS, **{f"cat/{i}.txt": b"hello" for i in range(8)}, "dog/b.psd": b"8BPS1234"}
    most, other = scan_source(write_zip(tmp_path / "a.zip", files)).preview().skips
    assert (most.reason, most.count) == ("is not a picture (JPEG, PNG, WebP, GIF, BMP or TIFF)", 8)
    assert most.names == tuple(f"cat/{i}.txt" for i in range(5))
    assert "Photoshop" in other.reason and other.names == ("dog/b.psd",)


def test_duplicates_and_conflicts_across_classes_are_counted(tmp_path):
    for path in (write_zip(tmp_path / "a.zip", LAYOUTS["copies"]), write_folder(tmp_path / "a", LAYOUTS["copies"])):
        preview = scan_source(path).preview()
        assert (preview.duplicates, preview.conflicts) == (2, 1)
    assert scan_source(path).preview(ClassMapping(rename={"dog": "cat"})).conflicts == 0  # one class has no conflicts


def test_a_folder_that_is_too_large_to_compare_says_nothing_of_duplicates(tmp_path, monkeypatch):
    monkeypatch.setattr("core.data.imports.preview.COMPARED_BYTES", 100)
    assert scan_source(write_folder(tmp_path / "a", LAYOUTS["copies"])).preview().duplicates is None


def test_of_many_files_some_are_scanned_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("core.data.imports.preview.SCANNED", 5)
    preview = scan_source(write_zip(tmp_path / "a.zip", {**PETS, "cat/000.png": b"hello"})).preview()
    assert (preview.scanned, preview.listed) == (5, 8) and [skip.count for skip in preview.skips] == [1]


def test_classes_are_merged_renamed_and_left_out(tmp_path):
    files = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate("abcd") for i in range(3)}
    path = write_zip(tmp_path / "a.zip", files)
    mapping = make_class_mapping({"a": "ab", "b": " ab ", "c": "C", "d": "d"}, ["d"])
    assert mapping.rename == {"a": "ab", "b": "ab", "c": "C"}
    preview = scan_source(path).preview(mapping)
    assert preview.counts == {"ab": 6, "C": 3} and preview.found == {"a": "ab", "b": "ab", "c": "C", "d": None}
    assert [(skip.reason, skip.count) for skip in preview.skips] == [("was left out, as all of its class 'd'", 3)]
    dataset = finish(import_dataset("letters", path, mapping=mapping))
    assert dataset.class_counts == preview.counts and dataset.given == 12 == dataset.used + len(dataset.refused)
    assert sorted(dataset.names) == sorted(name for name in files if name[0] != "d")  # names stay as they were given


def test_names_that_differ_only_in_case_are_reported_until_they_are_merged(tmp_path):
    found = scan_source(
        write_zip(tmp_path / "a.zip", {f"{c}/{i}.png": png(i) for c in ("Cat", "cat", "dog") for i in (1, 2)})
    )
    assert found.preview().notes == ("'Cat', 'cat' differ only in case or blanks; they were kept as 2 classes.",)
    assert found.preview(ClassMapping(rename={"Cat": "cat"})).notes == ()
    assert "'CAT', 'Cat', 'cat'" in found.preview(ClassMapping(rename={"dog": "CAT"})).notes[0]


def test_what_cannot_be_trained_is_reported_and_a_mapping_may_mend_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", {**PETS, "bird/1.png": png(7)})
    found = scan_source(path)
    assert found.preview().trouble.startswith("class 'bird' has 1 usable picture(s); at least 2 are needed")
    assert found.preview(ClassMapping(leave_out=("bird",))).trouble == ""
    assert "only one class, 'cat'" in found.preview(ClassMapping(rename={"dog": "cat", "bird": "cat"})).trouble
    with pytest.raises(UserMistake, match="every class was left out"):
        found.preview(ClassMapping(leave_out=("bird", "cat", "dog")))


def test_a_mapping_of_a_class_that_is_not_there_are_refused(tmp_path):
    found = scan_source(write_zip(tmp_path / "a.zip", PETS))
    for mapping in (ClassMapping(rename={"cow": "x"}), ClassMapping(leave_out=("cow",))):
        with pytest.raises(UserMistake, match="unknown class 'cow'; found: cat, dog"):
            found.preview(mapping)
    with pytest.raises(UserMistake, match="visible name"):
        make_class_mapping({"cat": " \u200b "})


@pytest.mark.parametrize(("decoded", "cats"), [(500, 3), (0, 2)])
def test_examples_are_read_in_a_child_and_a_broken_one_is_none(tmp_path, monkeypatch, decoded, cats):
    monkeypatch.setattr("core.data.imports.preview.DECODED", decoded)
    files = {**PETS, "cat/000.png": png()[:200]}
    examples = scan_source(write_zip(tmp_path / "a.zip", files), each=3).examples
    assert {name: len(few) for name, few in examples.items()} == {"cat": cats, "dog": 3}
    assert examples["dog"][0].shape == (3, 72, 72) and str(examples["dog"][0].dtype) == "uint8"


@pytest.mark.parametrize(
    ("encoding", "word"), [("cp932", "日本"), ("gb18030", "猫咪"), ("cp949", "고양이"), ("cp1251", "кошка")]
)
def test_names_of_an_old_code_page_are_right_once_it_is_chosen(tmp_path, encoding, word):
    raw = word.encode(encoding)
    path = write_zip(tmp_path / "a.zip", {f"{'z' * len(raw)}/{i}.png": png(i) for i in range(2)} | {"x/1.png": png(5)})
    path.write_bytes(path.read_bytes().replace(b"z" * len(raw), raw))
    preview = scan_source(path).preview()
    assert preview.garbled == 2 and word not in preview.found and "choose the encoding" in preview.notes[0]
    chosen = scan_source(path, encoding).preview()
    assert set(chosen.found) == {word, "x"} and chosen.notes == (f"2 name(s) were read as {ENCODINGS[encoding]}.",)


def test_an_import_reads_names_in_the_chosen_encoding(tmp_path):
    path = write_zip(tmp_path / "b.zip", {**PETS, "zz/1.png": png(8), "zz/2.png": png(9)})
    path.write_bytes(path.read_bytes().replace(b"zz/", "猫".encode("cp932") + b"/"))
    dataset = finish(import_dataset("names", path, mapping=ClassMapping(encoding="cp932")))
    assert dataset.classes == ("cat", "dog", "猫") and dataset.names[-1] == "猫/2.png"


def test_an_encoding_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="unknown encoding 'klingon'; known: cp932"):
        scan_source(write_zip(tmp_path / "a.zip", PETS), "klingon")


def test_the_same_pictures_are_known_under_their_name(tmp_path):
    path = write_zip(tmp_path / "a.zip", PETS)
    assert scan_source(path).preview().same_as == ""
    finish(import_dataset("flowers", path))
    assert scan_source(path).preview().same_as == "flowers"
    assert scan_source(write_folder(tmp_path / "a", PETS)).preview().same_as == "flowers"
    assert scan_source(path).preview(ClassMapping(rename={"cat": "Katze"})).same_as == ""
    assert scan_source(write_zip(tmp_path / "b.zip", {**PETS, "cat/000.png": png(9, 41)})).preview().same_as == ""
    again = finish(import_dataset("again", path))
    assert "The same pictures are here as 'flowers' too." in again.notes and len(list_datasets()) == 2


def test_a_scan_leaves_nothing(tmp_path):
    scan_source(write_zip(tmp_path / "a.zip", PETS), each=2)
    assert not (tmp_path / "home").exists()
