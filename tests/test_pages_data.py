"""Data: empty, with pictures, with odd names; balance, split, ledger, adding and deleting."""

import io

import pytest

from core.data.dataset import list_datasets
from core.disk import write_json
from pages.parts import importing
from tests.app import add_pictures, open_page, said
from tests.pictures import png, two_classes, write_zip

ODD = ("x" * 200, "![x](http://evil.example/t.png) :red[hot] $x$", "<b>b</b> www.evil.example")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    return tmp_path


def test_an_empty_store_asks_for_pictures():
    app = open_page("pages/data.py")
    assert "Nothing is uploaded anywhere" in said(app)
    assert app.button(key="add_zip").disabled
    assert not app.exception and not app.error


def test_every_tab_opens_with_pictures():
    add_pictures()
    for tab in ("Pictures", "Balance and split", "What the network receives", "Ledger"):
        app = open_page("pages/data.py")
        app.session_state["tab"] = tab
        app.run()
        assert not app.exception and not app.error, tab


def test_the_ledger_counts_and_names_what_was_refused():
    add_pictures()
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Ledger"
    app.run()
    told = {metric.label: metric.value for metric in app.metric}
    assert told == {"Given": "13", "Used": "12", "Refused": "1", "System files ignored": "0"}
    assert app.dataframe[0].value["File"].tolist() == ["notes.png"]


def test_balancing_says_how_many_are_left_out():
    from core.data.dataset import import_pictures

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
    for tab in ("Pictures", "Balance and split", "What the network receives", "Ledger"):
        app = open_page("pages/data.py")
        app.session_state["tab"] = tab
        app.run()
        assert not app.exception and not app.error, tab
        assert "http://evil" not in said(app)  # the colon is fenced, so nothing becomes a link or a picture
        assert all("http://evil" not in button.label for button in app.button)


def test_a_dropped_zip_is_kept_under_a_name_of_our_own_and_imported(home, tmp_path):
    content = write_zip(tmp_path / "given.zip", two_classes()).read_bytes()
    app = open_page("pages/data.py")
    app.file_uploader(key="zip_0").upload("../../evil name.zip", content).run()
    app.text_input(key="name_zip").set_value("pets").run()
    app.button(key="add_zip").click().run()
    (job,) = importing.list_jobs()
    wait_for(lambda: not importing.list_jobs()[0].live)
    (job,) = importing.list_jobs()
    assert (job.status, job.dataset) == ("done", "pets"), job.message
    assert not list((home / "uploads").iterdir())  # the draft is gone
    app.run()
    assert "**12** pictures in **2** classes" in said(app)
    assert not app.exception and not app.error


def test_a_zip_that_is_none_is_refused_in_words_and_the_page_goes_on(home):
    draft = importing.save_upload(io.BytesIO(b"no zip at all"))
    importing.start_import("pictures", "broken", draft, draft=True)
    wait_for(lambda: not importing.list_jobs()[0].live)
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
    wait_for(lambda: not importing.list_jobs()[0].live)
    assert importing.list_jobs()[0].status == "stopped"
    assert not list_datasets() and not list((home / "stores").glob("*/images.npy"))
    assert not open_page("pages/data.py").exception
    assert not importing.list_jobs()  # a cancelled job needs no answer


def test_deleting_asks_first():
    add_pictures()
    app = open_page("pages/data.py")
    app.session_state["tab"] = "Ledger"
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
    assert app.get_by_key("form.data.balance").value == "smallest"
    assert app.select_slider(key="form.data.test_fraction").value == 0.3
    assert app.select_slider(key="form.data.val_fraction").value == 0.05
    assert not app.exception and not app.error


def test_what_nobody_chose_stays_with_the_preset_of_the_train_page():
    add_pictures()
    app = open_page("pages/data.py")
    app.session_state["form.preset"] = "paper"
    app.session_state["data_test"] = 30
    app.button(key="train_on_these").click().run()
    assert app.select_slider(key="form.data.test_fraction").value == 0.3
    assert app.get_by_key("form.data.split").value == "paper"
    assert app.get_by_key("form.data.balance").value == "smallest"  # the paper's own, though Data proposes none


def wait_for(claim, seconds=30):
    import time

    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.05)
