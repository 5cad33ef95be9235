"""Versions on the Data page: pictures are selected, edited and made a version; the import log; the way back."""

import pytest

from core.config import DataConfig, RunConfig
from core.data.datasets.dataset import find_dataset, list_datasets
from core.data.duplicates.duplicates import read_duplicates
from core.data.imports.pipeline import import_pictures
from core.data.store.store import find_duplicates_of
from core.data.versions.import_log import relabelled_rows
from core.data.versions.versions import Edit, make_version
from core.jobs import dataset_job as jobs
from core.jobs import import_job as importing
from core.jobs.dataset_job import DatasetJob, export_path
from core.runs.actions import create_run
from pages.parts.widgets.dataset_versions import MADE
from tests.app import add_pictures, open_page, said
from tests.pictures import finish, png, write_zip
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def open_tab(tab, **query):
    app = open_page("pages/data.py", **query)
    app.session_state["tab"] = tab
    return app.run()


def plain(app):
    return said(app).replace("\\", "")


def test_selected_pictures_are_left_out_and_relabelled_in_one_version_which_can_be_undone():
    dataset = add_pictures()
    app = open_page("pages/data.py")
    app.toggle(key=f"selecting_{dataset.id}").set_value(True).run()
    app.checkbox(key=f"select_{dataset.id}_0").check().run()
    app.checkbox(key=f"select_{dataset.id}_1").check().run()
    assert "2 selected" in said(app)
    app.button(key="selected_out").click().run()
    assert "2 pictures left out" in said(app)
    app.checkbox(key=f"select_{dataset.id}_7").check().run()
    app.get_by_key(f"selected_class_{dataset.id}").set_value(0).run()
    app.button(key="selected_relabel").click().run()
    assert "1 picture relabelled, 2 left out" in said(app)
    assert app.button(key="make_pictures").label == "Make version 2"
    app.button(key="make_pictures").click().run()
    made = find_dataset("pets v2")
    assert made.class_counts == {"cat": 5, "dog": 5} and dataset.class_counts == {"cat": 6, "dog": 6}
    assert "pets v2** is there: 1 picture relabelled, 2 left out" in plain(app)
    assert app.selectbox(key="dataset").value == "pets v2" and not app.exception and not app.error
    app.button(key="undo_made").click().run()
    assert [one.name for one in list_datasets()] == ["pets"] and not app.exception and not app.error


def test_one_picture_is_edited_in_the_large_view():
    dataset = add_pictures()
    app = open_page("pages/data.py")
    app.button(key="picture_0").click().run()
    app.get_by_key(f"edit_{dataset.id}_0").set_value("out").run()
    assert "1 picture left out" in said(app)
    app.button(key="discard_pictures").click().run()
    assert "left out" not in said(app) and not app.exception and not app.error


def test_duplicates_are_left_out_and_of_a_conflict_a_person_says_which_class_stays():
    pictures = [(f"{i}.png", "ab"[i % 2], None, png(i)) for i in range(10)]
    pictures += [("again.png", "a", None, png(0)), ("conflict.png", "a", None, png(1))]
    dataset = finish(import_pictures("pets", iter(pictures), "zip", False))
    for _ in find_duplicates_of(dataset):
        pass
    assert len(read_duplicates(dataset).pairs) == 2
    app = open_tab("Duplicates")
    app.button(key="clean_duplicates").click().run()
    assert "1 picture left out" in said(app)
    group = next(one for one in app.selectbox if str(one.key).startswith("group_") and len(one.options) == 4)
    assert group.options == ["All stay", "One stays: a", "One stays: b", "None stays"]
    group.set_value(1).run()
    assert "2 pictures left out" in said(app)
    app.button(key="make_duplicates").click().run()
    made = find_dataset("pets v2")
    assert made.class_counts == {"a": 5, "b": 5} and {change.why for change in made.changes} == {"duplicate"}
    assert not app.exception and not app.error


def test_the_import_log_shows_versions_and_finds_files_by_what_became_of_them():
    dataset = add_pictures("pets", ("cat", "z[x](http://evil) :red[$a$]" + "y" * 180))
    finish(make_version(dataset, {0: Edit(None, "copy"), 1: Edit(1, "doubtful label")}))
    app = open_tab("Import log", dataset="pets v2")
    told = {metric.label: metric.value for metric in app.metric}
    assert told == {"Given": "13", "Used": "11", "Refused": "1", "Left out": "1", "System files ignored": "0"}
    assert "1 picture relabelled, 1 left out" in said(app) and "as imported" in said(app)
    (show,) = [one for one in app.segmented_control if one.label == "Show"]
    assert show.options == ["Refused (1)", "Left out (1)", "Relabelled (1)", "Used (11)"]
    show.set_value("relabelled").run()
    assert app.dataframe[0].value["Why"].tolist() == ["relabelled from 'cat' in version 2: doubtful label"]
    (show,) = [one for one in app.segmented_control if one.label == "Show"]
    show.set_value("used").run()
    (search,) = [one for one in app.text_input if one.label == "Name contains"]
    search.set_value("3.PNG").run()
    assert app.dataframe[0].value["File"].tolist() == ["3.png", "3.png"]
    assert not app.exception and not app.error


def test_a_version_that_takes_changes_back_and_one_that_cannot_be_undone_are_told():
    dataset = add_pictures()
    second = finish(make_version(dataset, {0: Edit(1), 1: Edit(None)}))
    (row,) = relabelled_rows(second).tolist()
    finish(make_version(second, {row: Edit(0)}))
    create_run(RunConfig(data=DataConfig(dataset="pets v3")), "f" * 64, ("cat", "dog"))
    app = open_page("pages/data.py", dataset="pets v3")
    app.session_state[MADE] = "pets v3"
    app.session_state["tab"] = "Import log"
    app.run()
    assert "pets v3** is there: earlier changes taken back." in plain(app)
    assert plain(app).count("as imported") == 1 and not app.exception and not app.error
    app.button(key="undo_made").click().run()
    assert "'pets v3' was not undone" in plain(app) + "".join(one.value for one in app.error)


def test_deleting_the_first_version_asks_about_the_others():
    dataset = add_pictures()
    finish(make_version(dataset, {0: Edit(None)}))
    app = open_tab("Import log", dataset="pets")
    assert app.button(key="delete_dataset").disabled and "pets v2" in app.checkbox(key="delete_versions").label
    app.checkbox(key="delete_versions").check().run()
    app.button(key="delete_dataset").click().run()
    assert not list_datasets() and not app.exception and not app.error


def test_the_form_proposes_the_newest_version_and_says_which_is_older():
    dataset = add_pictures()
    finish(make_version(dataset, {0: Edit(None)}))
    app = open_page("pages/train.py")
    (pictures,) = [one for one in app.selectbox if one.label == "Dataset"]
    assert pictures.value == "pets v2" and pictures.options == ["pets v2 · newest version", "pets · older version"]
    assert not app.exception and not app.error


def test_pictures_are_added_to_a_dataset_as_a_new_version(home, tmp_path):
    add_pictures()
    more = write_zip(tmp_path / "more.zip", {"cat/new.png": png(77), "cat/again.png": png(0)})
    importing.start_import("pictures", "pets", more, into="pets")
    wait_until(lambda: not importing.list_jobs()[0].is_live)
    assert importing.list_jobs()[0].dataset == "pets v2", importing.list_jobs()[0].message
    assert find_dataset("pets v2").class_counts == {"cat": 7, "dog": 6} and len(list_datasets()) == 2


def test_an_export_is_packed_beside_the_page_and_downloaded(home):
    dataset = add_pictures()
    folder = DatasetJob("export", dataset).folder
    folder.mkdir(parents=True)
    assert jobs.main("export", dataset.name, folder) == 0
    assert export_path(dataset).exists() and not folder.exists()
    app = open_tab("Import log")
    assert any(one.label.startswith("Download (") for one in app.get("download_button"))
    app.button(key="export_remove").click().run()
    assert not export_path(dataset).exists() and app.button(key=f"start_{folder.name}")
    assert not app.exception and not app.error
