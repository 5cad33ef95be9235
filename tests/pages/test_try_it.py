"""Try-It: empty, with a run, with a failed run; dropped pictures and zips, broken ones, and test pictures to click."""

import io
import shutil
import zipfile

import pytest
from PIL import Image

from core.inference.predictor import load_predictor
from core.runs.actions import create_run
from core.runs.state import replace_state, write_state
from tests import tiny
from tests.app import add_failed_run, add_pictures, open_page, said


def blue() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tiny.colour_picture("blue", 7)).save(buffer, "PNG")
    return buffer.getvalue()


def test_without_a_network_it_leads_to_train(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    app = open_page("pages/try_it.py")
    assert "No network has been trained yet" in said(app) and not app.exception


def test_a_failed_run_is_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    add_failed_run(add_pictures(), "The disk is full.")
    app = open_page("pages/try_it.py")
    assert "No network has been trained yet" in said(app) and not app.exception


def test_a_newer_run_whose_process_is_gone_is_not_what_is_proposed(trained_home, tiny_run):
    lost = create_run(tiny_run.config, tiny_run.fingerprint, tiny_run.classes)
    write_state(lost.folder, replace_state(tiny_run.state, status="lost"))
    for name in ("model.safetensors", "model.json"):
        shutil.copy(tiny_run.folder / name, lost.folder)
    picker = open_page("pages/try_it.py").selectbox(key="run")
    assert picker.value == tiny_run.id and len(picker.options) == 2


def test_an_example_stands_where_the_answer_will_appear(trained_home, tiny_run):
    app = open_page("pages/try_it.py")
    assert "An example." in said(app) and "### " in said(app)
    app.file_uploader(key="pictures").upload("mine.png", blue()).run()
    assert "An example." not in said(app) and r"mine\.png" in said(app) and not app.exception


@pytest.mark.parametrize("name", ["mine.png", "mine.jfif", "mine.JPE", "mine", "a.txt"])
def test_a_dropped_picture_is_predicted_as_the_predictor_does_whatever_it_is_called(trained_home, tiny_run, name):
    app = open_page("pages/try_it.py", run=tiny_run.id)
    app.file_uploader(key="pictures").upload(name, blue()).run()
    best, sure = load_predictor(tiny_run).predict([(name, blue())])[0].classes[0]
    assert f"### {best} · {sure:.0%}".replace("%", " \\%") in said(app)
    assert not app.exception and not app.error and not app.warning


def test_a_picture_that_cannot_be_read_gets_the_sentence_of_the_import(trained_home):
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("IMG_1.jpg", b"\0\0\0\x18ftypheic" + bytes(100)).run()
    assert any("is a HEIC photo, which is not supported; export it as JPEG" in box.value for box in app.warning)
    assert not app.exception and not app.error


def test_a_broken_picture_gets_its_sentence_and_the_others_are_predicted(trained_home):
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("broken.png", b"no picture").upload("mine.png", blue()).run()
    assert "is not a picture" in said(app) and "### " in said(app)  # the readable one is looked at closely
    assert [button.key for button in app.button if button.key.startswith("look.")] == ["look.1"]
    assert not app.exception and not app.error


def test_a_card_leads_to_its_picture(trained_home):
    app = open_page("pages/try_it.py")
    orange = tiny.colour_pictures(1)[1][3]
    app.file_uploader(key="pictures").upload("mine.png", blue()).upload("other.png", orange).run()
    assert "### blue" in said(app)
    app.button(key="look.1").click().run()
    assert "### orange" in said(app) and not app.exception


def test_a_zip_is_opened_in_whatever_folders_its_pictures_lie(trained_home):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", blue())
        archive.writestr("deep/er/b.png", tiny.colour_pictures(1)[1][3])
        archive.writestr("__MACOSX/._a.png", b"x")
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("mine.zip", buffer.getvalue()).run()
    assert "All 2 pictures" in said(app) and not app.exception and not app.warning


def test_a_broken_zip_says_so_without_talking_of_an_import(trained_home):
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("mine.zip", b"PK\x03\x04" + bytes(100)).run()
    (box,) = app.warning
    assert "incomplete or damaged" in box.value and "imported" not in box.value and not app.exception


def test_networks_answer_side_by_side(trained_home, tiny_run):
    other = tiny.train_tiny_run(train__epochs=1)
    app = open_page("pages/try_it.py", run=tiny_run.id)
    app.multiselect(key="beside").set_value([other.id]).run()
    app.file_uploader(key="pictures").upload("mine.png", blue()).run()
    assert said(app).count("### ") == 2 and not app.exception and not app.error


def test_a_test_picture_can_be_tried_and_the_verdict_is_shown(trained_home, tiny_run):
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("mine.png", blue()).run()
    app.button(key="ask.0").click().run()  # what was done last counts
    assert "A test picture, which it was not trained on." in said(app) and r"mine\.png" not in said(app)
    assert not app.exception and not app.error


def test_other_pictures_are_offered_on_demand(trained_home, tiny_run):
    app = open_page("pages/try_it.py")
    offered = tiny_run.evaluation("test").n
    assert len([button for button in app.button if button.key.startswith("ask.")]) == min(6, offered)
    app.button(key="others").click().run()
    assert not app.exception and not app.error


def test_a_damaged_model_is_reported_and_not_opened(trained_home, tiny_run):
    with (tiny_run.folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("mine.png", blue()).run()
    assert any("changed or damaged" in box.value for box in app.warning)
    assert not app.exception and not app.error


@pytest.mark.parametrize("name", ["../../evil.png", "![x](http://evil.example/t.png).png"])
def test_a_files_name_is_only_shown(trained_home, name):
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload(name, blue()).run()
    assert "http://evil" not in said(app) and not app.exception and not app.error
