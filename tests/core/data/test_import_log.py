"""The import log: every file that was given, and what became of it."""

import csv
import io

import pytest

from core.data.imports.pipeline import import_dataset, import_pictures
from core.data.versions.extending import extend_dataset
from core.data.versions.import_log import counts_of, log_csv, log_lines
from core.data.versions.versions import Edit, make_version
from tests.pictures import finish, png, two_classes, write_zip

pytestmark = pytest.mark.usefixtures("home")


def test_every_file_is_accounted_for_with_its_reason(tmp_path):
    files = two_classes(4) | {"cat/notes.txt": b"no picture", "cat/.DS_Store": b"junk"}
    first = finish(import_dataset("animals", write_zip(tmp_path / "animals.zip", files)))
    second = finish(make_version(first, {0: Edit(None, "copy"), 1: Edit(1, "doubtful label")}))
    third = finish(extend_dataset(second, write_zip(tmp_path / "more.zip", {"dog/new.png": png(90)})))
    counts = counts_of(third)
    assert counts == {"given": 10, "used": 8, "refused": 1, "excluded": 1, "ignored": 1}
    lines = list(log_lines(third))
    assert len(lines) == counts["given"] == counts["used"] + counts["refused"] + counts["excluded"]
    by_name = {line.name: (line.state, line.class_name, line.why) for line in lines if line.why}
    assert by_name.pop("cat/notes.txt")[0] == "refused"
    assert by_name == {
        "cat/000.png": ("excluded", "cat", "left out in version 2: copy"),
        "cat/001.png": ("used", "dog", "relabelled from 'cat' in version 2: doubtful label"),
        "dog/new.png": ("used", "dog", "added in version 3"),
    }


def test_no_spreadsheet_computes_a_name():
    entries = [(f"{name}{i}", f"{name}class", "train", png(i)) for i, name in enumerate(["=1+", "@x", "-2", 'a,\n"'])]
    entries += [(f"b{i}", entries[i][1], "train", png(10 + i)) for i in range(4)]
    dataset = finish(import_pictures("formulas", iter(entries), "zip", False))
    rows = list(csv.reader(io.StringIO("".join(log_csv(log_lines(dataset))))))
    assert rows[0] == ["file", "state", "class", "part", "why"] and len(rows) == 9
    assert all(cell[:1] not in ("=", "+", "-", "@") for row in rows for cell in row)
    assert "'=1+0" in [row[0] for row in rows] and "'@xclass" in [row[2] for row in rows]
