"""Data: empty, with pictures, with odd names; balance, split, import log, adding and deleting."""

import io
import os

import pytest

from core.data.datasets.dataset import list_datasets
from core.disk import write_json
from core.jobs import import_job as importing
from core.jobs import uploads
from tests.app import add_pictures, open_page, said, widget
from tests.pictures import png, two_classes, write_folder, write_zip
from tests.waiting import wait_until

ODD = ("x" * 200, "![x](http://evil.example/t.png) :red[hot] $x$", "<b>b</b> www.evil.example")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def test_an_empty_store_asks_for_pictures():
    app = open_page("pages/data.py")
    assert "Nothing leaves this machine" in said(app) and "up to 25 MB and 50 million pixels" in said(app)
    assert len(app.file_uploader) == 1
    assert not app.exception and not app.error


def test_every_tab_opens_with_pictures():
    add_pictures()
    for tab in ("Pictures", "Balance and split", "What the network receives", "Data quality", "Import log"):
        app = open_page("pages/data.py")
        app.session_state["tab"] = tab
        app.run()
        assert not app.exception and not app.error, tab


@pytest.mark.parametrize("tab", ["Copies", "Check", "Ledger"])
def test_the_address_of_a_tab_that_has_another_name_now_opens_the_page(tab):
    add_pictures()
    app = open_page("pages/data.py", tab=tab)
    assert "**12** pictures" in said(app) and app.button(key="start_training") and not app.exception and not app.error


def test_the_import_log_counts_and_names_what_was_refused():
    add_pictures()
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Import log"
    app.run()
    told = {metric.label: metric.value for metric in app.metric}
    assert told == {"Given": "13", "Used": "12", "Refused": "1", "System files ignored": "0"}
    assert app.dataframe[0].value["File"].tolist() == ["notes.png"]


@pytest.mark.parametrize(
    ("cats", "told"),
    [(4, "2.0 times as many pictures as the smallest: even enough."), (2, "A network then favours it")],
)
def test_balance_calls_uneven_what_data_quality_calls_uneven(cats, told):
    from core.data.imports.pipeline import import_pictures

    entries = [(f"{place}.png", "cat" if place < cats else "dog", None, png(place)) for place in range(12)]
    list(import_pictures("uneven", iter(entries), "zip", False))
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Balance and split"
    app.run()
    assert told in said(app) and ("even enough" in told) == ("even enough" in said(app))


def test_balancing_says_how_many_are_left_out():
    from core.data.imports.pipeline import import_pictures

    entries = [(f"{place}.png", "cat" if place < 4 else "dog", None, png(place)) for place in range(12)]
    list(import_pictures("uneven", iter(entries), "zip", False))
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Balance and split"
    app.run()
    assert "2.0 times as many" in said(app)
    app.toggle(key="data_balance").set_value(True).run()
    assert "4 pictures are left out" in said(app)  # 8 dogs are cut to 4
    assert not app.exception and not app.error


def test_odd_names_are_shown_as_they_are():
    add_pictures("**odd** :red[set]", ODD)
    for tab in ("Pictures", "Balance and split", "What the network receives", "Data quality", "Import log"):
        app = open_page("pages/data.py")
        app.session_state["tab"] = tab
        app.run()
        assert not app.exception and not app.error, tab
        assert "http://evil" not in said(app)  # the colon is fenced, so nothing becomes a link or a picture
        assert all("http://evil" not in button.label for button in app.button)


def test_a_dropped_zip_is_kept_under_a_name_of_our_own_shown_and_imported(home, tmp_path):
    files = {f"top/{name}": content for name, content in two_classes().items()} | {"top/cat/x.txt": b"hello"}
    content = write_zip(tmp_path / "given.zip", files).read_bytes()
    app = open_page("pages/data.py")
    app.file_uploader(key="zip_0").upload("../../evil name.zip", content).run()
    assert not list_datasets() and not importing.list_jobs()
    assert [path.suffix for path in (home / "uploads").iterdir()] == [".zip"]
    assert "Found 2 folders inside" in said(app) and "**12** pictures in **2** classes" in said(app)
    assert app.data_editor[0].value["Folder"].tolist() == ["cat", "dog"]
    assert app.data_editor[0].value["Examples"].str.startswith("data:image/png;base64,").all()
    assert app.dataframe[-1].value["For example"].tolist() == ["cat/x.txt"]
    import_as(app, "pets")
    (job,) = importing.list_jobs()
    assert (job.status, job.dataset) == ("done", "pets"), job.message
    assert not list((home / "uploads").iterdir())  # the draft is gone
    app.run()
    assert "**12** pictures in **2** classes" in said(app)
    assert not app.exception and not app.error


def test_classes_are_renamed_merged_and_left_out_in_the_preview(home, tmp_path):
    files = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate("abcd") for i in range(2)}
    app = open_page("pages/data.py")
    app.file_uploader(key="zip_0").upload("letters.zip", write_zip(tmp_path / "a.zip", files).read_bytes()).run()
    app.multiselect(key="merge_1").select("a").select("b").run()
    app.text_input(key="merged_name_1").set_value("a or b").run()
    app.button(key="merge_them").click().run()
    assert app.data_editor[0].value["Class"].tolist() == ["a or b", "a or b", "c", "d"]
    app.session_state["classes_2"] = {
        "edited_rows": {2: {"Class": "![x](y)"}, 3: {"Use": False}},
        "added_rows": [],
        "deleted_rows": [],
    }
    app.run()
    assert "**6** pictures in **2** classes" in said(app) and "merged: a or b (4)" in said(app)
    assert app.dataframe[-1].value["Why"].tolist() == ["was left out, as all of its class 'd'"]
    import_as(app, "letters")
    (dataset,) = list_datasets()
    assert dataset.class_counts == {"![x](y)": 2, "a or b": 4} and dataset.given == 8
    assert not app.exception and not app.error


def test_a_dropped_folder_is_only_ever_text(home):
    app = open_page("pages/data.py")
    app.segmented_control[0].set_value("dropped").run()
    for name, content in {**two_classes(2), ".DS_Store": b"x"}.items():
        app.file_uploader(key="dropped_0").upload(f"my pets/{name}", content)
    app.run()
    assert "1 system file ignored" in said(app)
    import_as(app, "")
    (dataset,) = list_datasets()
    assert (dataset.name, dataset.source, dataset.used) == ("my pets", "folder", 4)
    assert not app.exception and not app.error


def test_a_dropped_file_that_points_outside_is_refused(home):
    path = uploads.save_files([("a/cat/1.png", io.BytesIO(png())), ("../../../evil.png", io.BytesIO(png()))])
    assert path.parent == home / "uploads" and not list(home.parent.rglob("evil.png"))
    app = open_page("pages/data.py")
    app.session_state["import_preview"] = {
        "path": str(path),
        "name": "x",
        "source": "folder",
        "staged": True,
        "number": 0,
    }
    app.run()
    assert any("points outside the archive" in one.value.replace("\u2060", "") for one in app.warning)
    app.button(key="back").click().run()
    assert not list((home / "uploads").iterdir()) and not app.exception


def test_single_pictures_become_classes_one_by_one(home):
    app = open_page("pages/data.py")
    app.segmented_control[0].set_value("classes").run()
    for place, (name, seed) in enumerate((("noir", 1), ("comic", 5))):
        app.text_input(key=f"class_name_{place}").set_value(name)
        for copy in (seed, seed + 1):
            app.file_uploader(key=f"class_pictures_{place}").upload("image.png", png(copy))
        app.run()
        app.button(key="add_class").click().run()
    app.text_input(key="class_name_2").set_value("a/b")
    app.file_uploader(key="class_pictures_2").upload("image.png", png()).run()
    app.button(key="add_class").click().run()
    assert any("cannot be called" in one.value for one in app.warning)
    app.button(key="preview_classes").click().run()
    import_as(app, "mine")
    (dataset,) = list_datasets()
    assert dataset.class_counts == {"comic": 2, "noir": 2} and not list((home / "uploads").iterdir())


def test_a_class_of_another_dataset_is_taken_ready_made(home):
    add_pictures("pets", ("cat", "dog"), each=6)
    app = open_page("pages/data.py")
    app.button(key="add_pictures").click().run()
    next(one for one in app.segmented_control if one.label.startswith("Where do")).set_value("classes").run()
    app.button(key="take_them").click().run()
    app.text_input(key="class_name_1").set_value("not a cat").run()
    pets = list_datasets()[0].id
    app.selectbox(key=f"take_class_{pets}").set_value(1).run()
    app.number_input(key=f"take_count_{pets}_1").set_value(3).run()
    app.button(key="take_them").click().run()
    app.button(key="preview_classes").click().run()
    import_as(app, "mine")
    assert list_datasets()[1].class_counts == {"cat": 6, "not a cat": 3} and not app.exception and not app.error


def test_a_path_is_read_only_below_the_folders_that_the_settings_name(home, tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("elsewhere") / "pets", two_classes(2))
    app = open_page("pages/data.py")
    app.segmented_control[0].set_value("path").run()
    app.text_input(key="given_path").set_value(str(folder)).run()
    app.button(key="preview_path").click().run()
    assert any("import_roots" in one.value.replace("\\", "") for one in app.warning) and not app.data_editor
    write_json(home / "limits.json", {"import_roots": [str(folder.parent)]})
    app.button(key="preview_path").click().run()
    import_as(app, "pets")
    assert list_datasets()[0].source == "folder" and len(list(folder.rglob("*.png"))) == 4  # nobody's draft


def test_names_in_an_old_code_page_are_asked_about(home, tmp_path):
    path = write_zip(tmp_path / "a.zip", {**two_classes(2), "zz/1.png": png(8), "zz/2.png": png(9)})
    content = path.read_bytes().replace(b"zz/", "猫".encode("cp932") + b"/")
    app = open_page("pages/data.py")
    app.file_uploader(key="zip_0").upload("a.zip", content).run()
    assert app.selectbox(key="encoding").options[1] == "Japanese (Shift-JIS): 猫"
    app.selectbox(key="encoding").set_value("cp932").run()
    assert app.data_editor[0].value["Class"].tolist() == ["cat", "dog", "猫"]
    import_as(app, "pets")
    assert list_datasets()[0].classes == ("cat", "dog", "猫") and not app.exception


def test_pictures_that_are_here_already_are_told_by_name(home, tmp_path):
    content = write_zip(tmp_path / "a.zip", two_classes(2)).read_bytes()
    app = open_page("pages/data.py")
    app.file_uploader(key="zip_0").upload("flowers.zip", content).run()
    import_as(app, "flowers")
    app.run()
    app.button(key="add_pictures").click().run()
    app.file_uploader(key="zip_1").upload("other.zip", content).run()
    assert "Already imported as 'flowers'" in said(app).replace("\\", "")
    app.button(key="open_same").click().run()
    assert len(list_datasets()) == 1 and not list((home / "uploads").iterdir())


def test_what_cannot_be_imported_says_why_before(home, tmp_path):
    flat = write_zip(tmp_path / "a.zip", {"1.png": png(), "2.png": png()}).read_bytes()
    app = open_page("pages/data.py")
    app.file_uploader(key="zip_0").upload("flat.zip", flat).run()
    assert any("side by side" in one.value for one in app.warning) and not app.data_editor
    app.button(key="back").click().run()
    one = write_zip(tmp_path / "b.zip", {"cat/1.png": png(), "cat/2.png": png()}).read_bytes()
    app.file_uploader(key="zip_1").upload("one.zip", one).run()
    assert any("nly one class" in one.value for one in app.warning) and app.button(key="import_them").disabled


def test_a_draft_that_nobody_imported_goes_after_a_day(home):
    old = uploads.save_files([("a/cat/1.png", io.BytesIO(png()))])
    os.utime(old, (0, 0))
    new = uploads.save_files([("a/cat/1.png", io.BytesIO(png()))])
    assert list((home / "uploads").iterdir()) == [new]


def test_a_dropped_folder_over_the_limit_leaves_the_draft_as_it_was(home):
    write_json(home / "limits.json", {"zip_bytes": 5000})
    draft = uploads.save_files([("a/1.png", io.BytesIO(bytes(2000)))])
    before = draft.read_bytes()
    with pytest.raises(importing.UserMistake, match="give the folder's path"):
        uploads.save_files([("b/1.png", io.BytesIO(bytes(4000)))], draft)
    assert draft.read_bytes() == before and list(draft.parent.iterdir()) == [draft]


def import_as(app, name):
    """Press import and wait until the job has ended."""
    if name:
        next(one for one in app.text_input if one.label == "Name").set_value(name).run()
    app.button(key="import_them").click().run()
    wait_until(lambda: importing.list_jobs() and not importing.list_jobs()[0].is_live)
    assert importing.list_jobs()[0].status == "done", importing.list_jobs()[0].message


def test_a_zip_that_is_none_is_refused_in_words_and_the_page_goes_on(home):
    draft = uploads.save_upload(io.BytesIO(b"no zip at all"))
    importing.start_import("pictures", "broken", draft, is_upload=True)
    wait_until(lambda: not importing.list_jobs()[0].is_live)
    app = open_page("pages/data.py")
    assert importing.list_jobs()[0].status == "refused"
    assert not app.exception
    app.button(key=f"forget_{importing.list_jobs()[0].id}").click().run()
    assert not importing.list_jobs() and not list((home / "uploads").iterdir())


def test_a_job_whose_process_died_reads_as_lost(home):
    folder = home / "imports" / "0123456789abcdef"
    folder.mkdir(parents=True)
    given = {"name": "pets", "kind": "pictures", "path": None, "draft": False, "then": None}
    write_json(folder / "job.json", given | {"created": "2026-01-01T00:00:00+00:00"})
    write_json(folder / "launch.json", {"pid": 2**22 + 1, "started": 1.0})
    write_json(folder / "progress.json", {"status": "running", "phase": "reading", "done": 3, "total": 9})
    assert importing.list_jobs()[0].status == "lost"
    assert not open_page("pages/data.py").exception


def test_a_second_job_beside_a_live_one_is_refused(home):
    folder = home / "imports" / "0123456789abcdef"
    folder.mkdir(parents=True)
    given = {"name": "pets", "kind": "pictures", "path": None, "draft": False, "then": None}
    write_json(folder / "job.json", given | {"created": importing.datetime.now(importing.UTC).isoformat()})
    with pytest.raises(importing.UserMistake, match="'pets' is being added right now"):
        importing.start_import("sample", "sample-objects")


def test_cancelling_leaves_nothing_behind(home):
    importing.start_import("sample", "sample-objects")
    importing.cancel_import(importing.list_jobs()[0])
    wait_until(lambda: not importing.list_jobs()[0].is_live)
    assert importing.list_jobs()[0].status == "stopped"
    assert not list_datasets() and not list((home / "stores").glob("*/images.npy"))
    assert not open_page("pages/data.py").exception
    assert not importing.list_jobs()  # a cancelled job needs no answer


def test_deleting_asks_first():
    add_pictures()
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Import log"
    app.run()
    assert len(list_datasets()) == 1
    app.button(key="delete_dataset").click().run()
    assert not list_datasets()
    assert not app.exception and not app.error


def test_choices_go_along_to_the_train_page():
    add_pictures()
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Balance and split"
    app.run()
    app.toggle(key="data_balance").set_value(True).run()
    app.slider(key="data_test").set_value(30).run()
    app.button(key="train_with").click().run()
    assert widget(app, "form.data.balance").value == "smallest"
    assert widget(app, "form.data.test_fraction").value == 0.3
    assert widget(app, "form.data.val_fraction").value == 0.05
    assert not app.exception and not app.error


def test_what_nobody_chose_stays_with_the_preset_of_the_train_page():
    add_pictures()
    app = open_page("pages/data.py")
    app.session_state["form.preset"] = "paper"
    app.session_state["data_test"] = 30
    app.button(key="start_training").click().run()
    assert widget(app, "form.data.test_fraction").value == 0.3
    assert widget(app, "form.data.split").value == "paper"
    assert widget(app, "form.data.balance").value == "smallest"  # the paper's own, though Data proposes none
