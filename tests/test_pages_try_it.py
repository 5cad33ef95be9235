"""Try-It: empty, with a run, with a failed run; a dropped picture, a broken one, and a test picture to click."""

import io
import shutil

import pytest
from PIL import Image

from core.inference.predictor import load_predictor
from core.runs.run import create_run, replace_state, write_state
from tests import tiny
from tests.app import add_failed_run, add_pictures, open_page, said


def blue() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tiny.colour_picture("blue", 7)).save(buffer, "PNG")
    return buffer.getvalue()


def images(app):
    return app.get("image")


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


def test_a_dropped_picture_is_answered_as_the_predictor_answers(trained_home, tiny_run):
    app = open_page("pages/try_it.py", run=tiny_run.id)
    app.file_uploader(key="pictures").upload("mine.png", blue()).run()
    best, sure = load_predictor(tiny_run).predict([("mine.png", blue())])[0].classes[0]
    assert f"### {best} · {sure:.0%}" in said(app)
    assert len(app.get("plotly_chart")) == 1 and len(images(app)) == 2  # the original and what the network sees
    assert not app.exception and not app.error


def test_a_broken_picture_gets_its_sentence_and_the_others_are_answered(trained_home):
    app = open_page("pages/try_it.py")
    app.file_uploader(key="pictures").upload("broken.png", b"no picture").upload("mine.png", blue()).run()
    assert any("broken" in box.value for box in app.warning)
    assert len(app.get("plotly_chart")) == 1
    assert not app.exception and not app.error


def test_a_test_picture_can_be_asked_and_the_verdict_is_told(trained_home, tiny_run):
    app = open_page("pages/try_it.py")
    app.button(key="ask.0").click().run()
    assert "A test picture that it had never seen." in said(app)
    assert not app.exception and not app.error


def test_other_pictures_are_offered_on_demand(trained_home, tiny_run):
    app = open_page("pages/try_it.py")
    offered = tiny_run.evaluation("test").n
    assert len([button for button in app.button if button.key.startswith("ask.")]) == min(6, offered)
    app.button(key="others").click().run()
    assert not app.exception and not app.error


def test_a_damaged_model_is_told_and_not_opened(trained_home, tiny_run):
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
