"""Classes from a table: any header, separator and code page; what is wrong or missing is told before the import."""

import codecs

import pytest

from core.cli.app import main
from core.data.datasets.dataset import find_dataset
from core.data.imports.class_mapping import ClassMapping
from core.data.imports.pipeline import import_dataset
from core.data.imports.preview import scan_source
from core.data.sources.table import Labels
from core.errors import UserMistake
from tests.pictures import finish, png, write_folder, write_zip

pytestmark = pytest.mark.usefixtures("home")

FLAT = {f"images/{i:02}.png": png(i) for i in range(6)}
CLASSES = ["cat", "cat", "cat", "dog", "dog", "dog"]


def table(head="file,class", rows=None, separator=","):
    rows = rows or [(f"{i:02}.png", name) for i, name in enumerate(CLASSES)]
    return "\n".join([*([head] if head else []), *(separator.join(row) for row in rows)]).encode()


def preview(source, encoding=None, **labels):
    return scan_source(source, encoding, labels=Labels(path="labels.csv", **labels)).preview()


@pytest.mark.parametrize(
    "content",
    [
        table(),
        table("Dateiname;Klasse", separator=";"),
        table("画像\t名前", separator="\t"),
        table("path|style", [(f"somewhere\\images\\{i:02}.PNG", name) for i, name in enumerate(CLASSES)], "|"),
        table("label,id", [(name, f"{i:02}") for i, name in enumerate(CLASSES)]),  # as Kaggle has them
        table("n,file,w,label", [(str(i), f"{i:02}.png", "9", name) for i, name in enumerate(CLASSES)]),
        table(""),  # no header
        codecs.BOM_UTF8 + b"sep=;\r\n" + table("a;b", separator=";"),
        codecs.BOM_UTF16_LE + table().decode().encode("utf-16-le"),
    ],
    ids=["plain", "german", "japanese", "paths", "kaggle", "four", "headless", "excel", "utf-16"],
)
@pytest.mark.parametrize("pack", [write_folder, write_zip])
def test_every_way_to_write_the_table_gives_the_same_classes(content, pack, tmp_path):
    found = preview(pack(tmp_path / "source", {**FLAT, "labels.csv": content}))
    assert found.counts == {"cat": 3, "dog": 3} and not found.trouble
    assert [(skip.reason, skip.count) for skip in found.skips] == [("is the table of the classes", 1)]


def test_the_import_brings_what_the_preview_shows(tmp_path):
    source = write_folder(tmp_path / "source", {**FLAT, "more/x.png": png(9), "labels.csv": table()})
    shown = preview(source)
    dataset = finish(import_dataset("tabled", source, mapping=ClassMapping(labels=Labels(path="labels.csv"))))
    assert dataset.class_counts == shown.counts
    assert {refused.reason for refused in dataset.refused} == {skip.reason for skip in shown.skips}
    assert "is not in the table 'labels.csv'" in {skip.reason for skip in shown.skips}


def test_a_table_of_its_own_and_columns_that_are_named(tmp_path):
    source = write_folder(tmp_path / "source", FLAT)
    rows = [(f"{i:02}.png", name, "x" if i else "y") for i, name in enumerate(CLASSES)]
    path = tmp_path / "other.csv"
    path.write_bytes(table("Bild,Art,Größe", rows))
    for file_column, class_column in (("Bild", "Art"), ("bild ", "ART"), ("1", "2"), ("", "2")):
        labels = Labels(path=str(path), file_column=file_column, class_column=class_column)
        assert scan_source(source, labels=labels).preview().counts == {"cat": 3, "dog": 3}


@pytest.mark.parametrize(
    ("content", "columns", "sentence"),
    [
        (table("a,b,c", [("00.png", "cat", "x")]), {}, "which column .* is the class.*'b' and 'c'"),
        (table(), {"class_column": "Lable"}, "no column 'Lable'; it has 'file' and 'class'"),
        (table(rows=[("nowhere.png", "cat")]), {}, "no row .*'nowhere.png'.*'images/00.png'"),
        (b"one\n00.png\n", {}, "one column only"),
        (b"", {}, "is empty"),
        (b"PK\x03\x04 xlsx", {}, "is a spreadsheet"),
        (b"a,b\n\x81\x8d,x\n", {}, "not text in UTF-8"),
        (b"a,b\n\0,x\n", {}, "not text in UTF-8"),
        (b'a,b\n"' + b"x" * 200_000, {}, "cannot be read as CSV"),
    ],
)
def test_a_wrong_table_is_told(content, columns, sentence, tmp_path):
    source = write_folder(tmp_path / "source", {**FLAT, "labels.csv": content})
    with pytest.raises(UserMistake, match=sentence):
        preview(source, **columns)


def test_a_table_that_is_nowhere_is_told(tmp_path):
    with pytest.raises(UserMistake, match=r"no table 'labels.csv'"):
        preview(write_zip(tmp_path / "a.zip", FLAT))


def test_rows_without_a_file_and_files_with_two_classes_are_named(tmp_path):
    rows = [*((f"{i:02}.png", name) for i, name in enumerate(CLASSES)), ("00.png", "dog"), ("gone.png", "cat")]
    rows[1] = ("01.png", " ")
    found = preview(write_folder(tmp_path / "s", {**FLAT, "x/05.png": png(7), "labels.csv": table(rows=rows)}))
    reasons = {skip.reason: skip.names for skip in found.skips}
    assert reasons["has two classes in the table, 'cat' and 'dog'"] == ("images/00.png",)
    assert reasons["has no class in the table"] == ("images/01.png",)
    assert any("1 row(s) of the table name files that are not there: 'gone.png'" in note for note in found.notes)
    assert any("1 row(s) of the table fit several files" in note and "'05.png'" in note for note in found.notes)


def test_folders_decide_between_files_of_one_name_and_parts_are_kept(tmp_path):
    files = {f"{part}/{i}.png": png(10 * k + i) for k, part in enumerate(("train", "test")) for i in range(4)}
    rows = [(name, "cat" if int(name[-5]) < 2 else "dog") for name in files]
    found = preview(write_folder(tmp_path / "s", {**files, "labels.csv": table(rows=rows)}))
    assert found.classes == {"cat": {0: 2, 2: 2}, "dog": {0: 2, 2: 2}}
    assert found.layout.startswith("Found 2 classes below train and test in the column 'class' of the table")


def test_a_code_page_is_guessed_or_given(tmp_path):
    rows = [(f"{i:02}.png", "кот" if i < 3 else "пёс") for i in range(6)]
    content = "\n".join(["f,c", *(",".join(row) for row in rows)]).encode("cp1251")
    source = write_folder(tmp_path / "s", {**FLAT, "labels.csv": content})
    assert set(preview(source, "cp1251").counts) == {"кот", "пёс"}
    assert any("--encoding decides" in note for note in preview(source).notes)


def test_names_of_classes_are_data(tmp_path):
    rows = [(f"{i:02}.png", '"<b>x</b>, ../x"' if i < 3 else "\u202eabc🎨" + "y" * 30) for i in range(6)]
    counts = preview(write_folder(tmp_path / "s", {**FLAT, "labels.csv": table(rows=rows)})).counts
    assert set(counts) == {"<b>x</b>, ../x", "\ufffdabc🎨" + "y" * 30}


def test_plan_and_add_take_the_table_and_without_it_the_sentence_names_the_option(tmp_path, capsys):
    source = write_folder(tmp_path / "set", {**FLAT, "labels.csv": table()})
    assert main(["data", "add", "tabled", "--from", str(source)]) == 2
    assert "--labels labels.csv" in capsys.readouterr().err
    options = ["--labels", "labels.csv", "--rename", "cat=Katze"]
    assert main(["data", "plan", str(source), *options]) == 0
    assert "the column 'class' of the table 'labels.csv'" in capsys.readouterr().out
    assert main(["data", "add", "tabled", "--from", str(source), *options]) == 0
    assert find_dataset("tabled").class_counts == {"dog": 3, "Katze": 3}
    assert main(["data", "add", "other", "--from", str(source), "--class-column", "class"]) == 2
    assert "name that with --labels" in capsys.readouterr().err


def test_files_side_by_side_with_a_table_are_sent_to_the_option(tmp_path):
    source = write_folder(tmp_path / "s", {**{f"{i}.png": png(i) for i in range(4)}, "my labels.csv": b"x"})
    with pytest.raises(UserMistake, match=r"--labels 'my labels.csv'"):
        scan_source(source)


def test_a_column_of_0_and_1_for_each_class_is_a_table_of_classes(tmp_path):
    rows = [f"{i:02},{float(i < 3)},{float(i >= 3)},0.0" for i in range(6)]
    source = write_folder(tmp_path / "s", {**FLAT, "labels.csv": "\n".join(["image,MEL,NV,BCC", *rows]).encode()})
    assert preview(source).counts == {"MEL": 3, "NV": 3}
    both = [*rows[:5], "05,1,1,0"]  # of two classes: told, not guessed
    source = write_folder(tmp_path / "t", {**FLAT, "labels.csv": "\n".join(["image,MEL,NV,BCC", *both]).encode()})
    assert preview(source).counts == {"MEL": 3, "NV": 2}
    assert preview(source, class_column="NV").counts == {"0.0": 3, "1.0": 2, "1": 1}
