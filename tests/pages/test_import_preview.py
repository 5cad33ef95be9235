"""The preview of an import on the page: what is a guess is said, and one click decides."""

import pytest

from core.disk import read_json
from core.jobs.import_job import list_jobs
from tests.app import open_page, said
from tests.pictures import png, write_folder

HALVES = {f"{top}/{name}/{i}.png": png(i) for top in ("old", "new") for name in ("cat", "dog") for i in (1, 2)}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return tmp_path


def previewed(path):
    app = open_page("pages/data.py")
    document = {"path": str(path), "name": "pets", "source": "folder", "staged": False, "number": 0}
    app.session_state["import_preview"] = document
    return app.run()


def test_where_the_classes_are_a_guess_one_click_decides(home):
    app = previewed(write_folder(home / "a", HALVES))
    assert "all hold the same folders" in said(app) and "one for each class; 8 of" in said(app)
    app.get_by_key("class_folders").set_value("inner").run()
    assert app.session_state["import_preview"]["found"].preview().counts == {
        "cat": 4,
        "dog": 4,
    }
    app.get_by_key("class_folders").set_value("outer").run()
    assert list(app.session_state["import_preview"]["found"].preview().counts) == ["new", "old"]
    assert not app.exception and not app.error


def test_a_plain_folder_asks_nothing(home):
    app = previewed(write_folder(home / "a", {f"{name}/{i}.png": png(i) for name in ("cat", "dog") for i in (1, 2)}))
    assert all(one.key != "class_folders" for one in app.segmented_control) and not app.exception
    assert app.button(key="import_them").label == "Import 4 pictures"


def test_classes_in_the_names_of_the_files_are_said_to_be_a_guess(home):
    app = previewed(write_folder(home / "a", {f"{name}.{i}.png": png(i) for name in ("cat", "dog") for i in (1, 2)}))
    words = said(app).replace("\\", "")
    assert "Found 2 classes in the names of the files." in words and "put the pictures of each class" in words
    assert all(one.key != "class_folders" for one in app.segmented_control) and not app.exception
    assert app.button(key="import_them").label == "Import 4 pictures"


LABELS = "picture;what;note\n" + "".join(f"p{i};{'cat' if i % 2 else 'dog'};x\n" for i in range(8)) + "gone;cat;x\n"


def test_a_table_says_the_classes_of_loose_pictures(home):
    files = {f"images/p{i}.png": png(i) for i in range(9)} | {"labels.csv": LABELS.encode()}
    app = previewed(write_folder(home / "a", files))
    assert "'labels.csv' are read too: choose it in “Classes from a table”" in said(app).replace("\\", "")
    assert "--labels" not in said(app).replace("\\", "")
    app.get_by_key("labels_inside").set_value("labels.csv").run()
    assert "which column of the table" in said(app)
    app.get_by_key("labels_class_3").set_value(1).run()
    assert app.session_state["import_preview"]["found"].preview().counts == {"cat": 4, "dog": 4}
    assert "1 row(s) of the table name files that are not there: 'gone'" in said(app).replace("\\", "")
    assert app.button(key="import_them").label == "Import 8 pictures" and not app.exception
    app.get_by_key("import_them").click().run()
    (job,) = list_jobs()
    assert read_json(job.folder / "job.json")["class_mapping"]["labels"]["class_column"] == "2"


def test_loose_pictures_beside_a_table_are_told_what_to_do_on_the_page(home):
    app = previewed(
        write_folder(home / "a", {f"p{i}.png": png(i) for i in range(4)} | {"its labels.csv": b"file,class"})
    )
    text = said(app).replace("\\", "")
    assert "'its labels.csv' are read too: choose it in “Classes from a table”" in text and "--labels" not in text
