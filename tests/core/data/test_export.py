"""Export: the used pictures as a zip that every system can unpack, and that comes in again as the same pictures."""

import csv
import hashlib
import json
import zipfile
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from core.data.imports.class_mapping import make_class_mapping
from core.data.imports.pipeline import import_dataset, import_pictures
from core.data.sources.table import Labels
from core.data.versions.export import class_folders, export_dataset, export_paths, safe_name
from core.data.versions.versions import Edit, make_version
from core.errors import UserMistake
from tests.pictures import finish, png, two_classes, write_zip

pytestmark = pytest.mark.usefixtures("home")

HOSTILE = [
    "../../evil",
    "a/b",
    "C:\\x",
    "CON",
    "con.png",
    "nul",
    "a.",
    " ",
    "..",
    "x" * 300,
    "日" * 86,
    "a:b",
    "cat",
    "CAT",
]
HOSTILE += [".git", "__MACOSX", "train", "\u202ea", "<img src=x>", "=1+1", "LPT1.x", "a\nb"]


def contents(dataset):
    """What counts of a dataset: bytes, class and part of each picture, whatever it is called."""
    columns = zip(dataset.digests.tolist(), dataset.labels.tolist(), dataset.given_parts.tolist(), strict=True)
    return Counter((bytes(digest), dataset.classes[label], part) for digest, label, part in columns)


@pytest.mark.parametrize("parts", [False, True])
def test_what_is_exported_comes_in_again_as_the_same_content(tmp_path, parts):
    files = {f"{part}{name}": content for part in (("train/", "test/") if parts else ("",))
             for name, content in two_classes(3).items()}  # fmt: skip
    files |= {f"{'train/' if parts else ''}cat/deeper/1.png": png(70)}
    first = finish(import_dataset("animals", write_zip(tmp_path / "animals.zip", files)))
    assert [progress.phase for progress in export_dataset(first, tmp_path / "out.zip")][-1] == "done"
    assert zipfile.ZipFile(tmp_path / "out.zip").testzip() is None
    again = finish(import_dataset("again", tmp_path / "out.zip"))
    assert again.content_hash == first.content_hash and not again.refused


def test_a_version_is_exported_as_it_is(tmp_path):
    first = finish(import_dataset("animals", write_zip(tmp_path / "animals.zip", two_classes())))
    second = finish(make_version(first, {0: Edit(None), 1: Edit(1)}))
    finish(export_dataset(second, tmp_path / "out.zip"))
    again = finish(import_dataset("again", tmp_path / "out.zip"))
    assert contents(again) == contents(second) != contents(first)
    names = zipfile.ZipFile(tmp_path / "out.zip").namelist()
    assert "dog/001.png" in names and "dog/001 (2).png" in names and "cat/002.png" in names


def test_hostile_names_become_ones_that_every_system_takes(tmp_path):
    entries = [(f"{name}/{name}", name, None, png(10 * k + i)) for k, name in enumerate(HOSTILE) for i in range(2)]
    dataset = finish(import_pictures("hostile", iter(entries), "zip", False))
    paths = list(export_paths(dataset))
    pieces = [piece for path in paths for piece in path.split("/")]
    assert len({path.casefold() for path in paths}) == len(paths) == dataset.used
    assert all(len(path.split("/")) == 2 and len(piece.encode()) <= 130 for path in paths for piece in path.split("/"))
    assert not any(set(piece) & set('<>:"/\\|?*\n') or piece.endswith((".", " ")) for piece in pieces)
    assert not {piece.split(".")[0].casefold() for piece in pieces} & {"con", "nul", "lpt1", "", ".."}
    finish(export_dataset(dataset, tmp_path / "out.zip"))
    again = finish(import_dataset("again", tmp_path / "out.zip"))
    assert not again.refused and len(again.classes) == len(dataset.classes) == len(class_folders(dataset))
    assert [hashlib.sha256(png(10 * k)).digest() in {bytes(d) for d in again.digests} for k in range(3)] == [True] * 3


def test_a_name_keeps_its_ending_when_it_is_shortened():
    assert safe_name("x" * 300 + ".jpeg") == "x" * 115 + ".jpeg" and safe_name("a.png") == "a.png"
    assert safe_name("日" * 86).startswith("日" * 40) and safe_name("CON.png") == "_CON.png"


def test_breaking_off_leaves_no_file_and_another_file_is_kept(tmp_path):
    entries = ((f"{i}.png", "ab"[i % 2], None, png(i, 400, 300)) for i in range(60))
    dataset = finish(import_pictures("some", entries, "zip", False))
    steps = export_dataset(dataset, tmp_path / "out" / "some.zip")
    with pytest.raises(UserMistake, match="no folder"):
        next(steps)
    (tmp_path / "out").mkdir()
    steps = export_dataset(dataset, tmp_path / "out" / "some.zip")
    next(steps)
    steps.close()
    assert not list((tmp_path / "out").iterdir())
    (tmp_path / "out" / "some.zip").write_bytes(b"mine")
    with pytest.raises(UserMistake, match="it was kept"):
        finish(export_dataset(dataset, tmp_path / "out" / "some.zip"))
    assert (tmp_path / "out" / "some.zip").read_bytes() == b"mine"


def test_a_picture_that_the_disk_has_damaged_is_not_exported_unnoticed(tmp_path):
    dataset = finish(import_dataset("animals", write_zip(tmp_path / "animals.zip", two_classes())))
    with dataset.packs[0].open("r+b") as pack:
        pack.seek(100)
        pack.write(b"\0\0\0\0")
    with pytest.raises(UserMistake, match="damaged on the disk"):
        finish(export_dataset(dataset, tmp_path / "out.zip"))
    assert not (tmp_path / "out.zip").exists() and np.all(dataset.labels >= 0)


def in_parts(dataset):
    rows = np.arange(dataset.used)
    return {"train": rows[::2], "val": rows[1::4], "test": rows[3::4]}


def test_imagefolder_is_read_by_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    files = two_classes(8) | {"cat/moving.gif": png(90), "dog/no ending": png(91), "dog/deeper/1.png": png(92)}
    dataset = finish(import_dataset("animals", write_zip(tmp_path / "animals.zip", files)))
    parts = in_parts(dataset)
    finish(export_dataset(dataset, tmp_path / "out", "imagefolder", parts))
    for part, rows in parts.items():
        found = ImageFolder(tmp_path / "out" / part)
        assert found.classes == list(dataset.classes)
        labels = Counter(label for _, label in found.samples)
        assert labels == Counter(dataset.labels[rows].tolist())
        assert all(image.size for image, _ in found)


def test_huggingface_has_a_table_beside_the_pictures_of_each_part(tmp_path):
    entries = [(f"{k}/{i}.png", name, None, png(20 * k + i)) for k, name in enumerate(HOSTILE[:4]) for i in range(6)]
    dataset = finish(import_pictures("odd", iter(entries), "zip", False))
    parts = in_parts(dataset)
    finish(export_dataset(dataset, tmp_path / "out", "huggingface", parts))
    for part, folder in (("train", "train"), ("val", "validation"), ("test", "test")):
        with (tmp_path / "out" / folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        digests = {
            hashlib.sha256((tmp_path / "out" / folder / line["file_name"]).read_bytes()).digest() for line in lines
        }
        assert digests == {bytes(dataset.digests[row]) for row in parts[part]}
        assert [line["label"] for line in lines] == [dataset.classes[dataset.labels[row]] for row in parts[part]]
        assert {path.name for path in (tmp_path / "out" / folder).iterdir()} == {
            "metadata.csv", *(line["file_name"] for line in lines)
        }  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [("NA", "None", "cat"), ("01", "1"), ("True", "False"), ("1e3", "a"), ('a "b", c', "x\ny")],
    ids=lambda names: names[0],
)
def test_huggingface_reads_every_class_as_it_is_called(names, tmp_path):
    entries = [(f"{k}/{i}.png", name, None, png(20 * k + i)) for k, name in enumerate(names) for i in range(6)]
    dataset = finish(import_pictures("odd", iter(entries), "zip", False))
    rows = np.arange(dataset.used)
    parts = {"train": rows, "val": rows[:0]} if len(names) > 2 else {"train": rows[2:], "test": rows[:2]}
    finish(export_dataset(dataset, tmp_path / "out", "huggingface", parts))
    for part, kept in parts.items():
        tables = list((tmp_path / "out" / part).glob("metadata.*"))
        lines = [line for table in tables for line in read_as_datasets_does(table)]
        assert len(tables) == (len(kept) > 0)
        assert [line["label"] for line in lines] == [dataset.classes[dataset.labels[row]] for row in kept]
        assert [line["name"] for line in lines] == [dataset.names[row] for row in kept]


def read_as_datasets_does(table):
    """The lines of a metadata file, as Hugging Face's imagefolder takes them."""
    if table.suffix == ".csv":
        return pd.read_csv(table).to_dict("records")
    return [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]


def test_the_table_comes_in_again_with_its_labels(tmp_path):
    visible = [name for name in HOSTILE if name.strip()]  # a table cannot name a class that nobody sees
    entries = [(f"{k}/{i}.png", name, None, png(20 * k + i)) for k, name in enumerate(visible) for i in range(3)]
    dataset = finish(import_pictures("odd", iter(entries), "zip", False))
    finish(export_dataset(dataset, tmp_path / "out.zip", "table"))
    mapping = make_class_mapping(
        {}, (), None, labels=Labels(path="labels.csv", file_column="file", class_column="class")
    )
    again = finish(import_dataset("again", tmp_path / "out.zip", mapping=mapping))
    assert contents(again) == contents(dataset)


def test_a_layout_in_parts_needs_a_split_and_a_folder_is_whole_or_not_there(tmp_path):
    dataset = finish(import_dataset("animals", write_zip(tmp_path / "animals.zip", two_classes())))
    with pytest.raises(UserMistake, match="needs a split"):
        finish(export_dataset(dataset, tmp_path / "out", "imagefolder"))
    steps = export_dataset(dataset, tmp_path / "out", "table")
    next(steps)
    steps.close()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("out")]
