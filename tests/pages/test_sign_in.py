"""Signing in with the password of a workshop, on the pages: who comes in, as whom, and what is said to others."""

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.errors import UserMistake
from core.people import Person, ask_who
from core.runs.actions import create_run
from core.runs.run import read_run
from pages.parts.shell import sign_in as signing
from tests.app import ROOT, said
from tests.waiting import PATIENCE

PASSWORD, TEACHERS = "correct horse", "battery staple"


@pytest.fixture
def visit(home, nobody_trains):
    """visit(): the Train page of a server with these passwords, as a new visitor sees it."""

    def open_page(**people) -> AppTest:
        st.cache_data.clear()
        st.cache_resource.clear()
        app = AppTest.from_file(str(ROOT / "pages" / "train.py"), default_timeout=PATIENCE)
        app.secrets["people"] = people or {"password": PASSWORD, "teacher_password": TEACHERS}
        return app.run()

    return open_page


def enter(app: AppTest, name: str, password: str) -> AppTest:
    app.text_input("door.name").set_value(name)
    app.text_input("door.password").set_value(password)
    return app.button[0].click().run()


def test_a_visitor_sees_the_door_and_nothing_else(visit):
    app = visit()
    assert [one.label for one in app.text_input] == ["Your name", "Password"] and len(app.button) == 1
    assert "dataset" not in said(app)


@pytest.mark.parametrize(("name", "password", "role"), [("Ada", PASSWORD, ""), ("Cleo", TEACHERS, " · teacher")])
def test_the_right_password_lets_in_and_says_as_whom(visit, name, password, role):
    app = enter(visit(), f"  {name} ", password)
    assert "There is no dataset to train on yet." in said(app)
    assert app.session_state[signing.PERSON].is_teacher == bool(role)
    assert password not in repr(app.session_state)  # nowhere, once it was checked


@pytest.mark.parametrize(("name", "password"), [("Ada", "wrong"), ("", PASSWORD), ("  ", PASSWORD), ("Ada", "")])
def test_without_name_and_password_nobody_comes_in(visit, name, password):
    app = enter(visit(), name, password)
    assert len(app.error) == 1 and len(app.text_input) == 2 and signing.PERSON not in app.session_state


def test_after_ten_wrong_passwords_everybody_waits(visit):
    app = visit()
    for _ in range(signing.WRONG_A_MINUTE):
        enter(app, "Eve", "guess")
    enter(app, "Eve", PASSWORD)
    assert "Too many wrong passwords" in app.error[0].value and signing.PERSON not in app.session_state


def test_a_name_that_a_teacher_used_makes_nobody_a_teacher(visit):
    teacher = enter(visit(), "Cleo", TEACHERS).session_state[signing.PERSON]
    pupil = enter(visit(), "Cleo", PASSWORD).session_state[signing.PERSON]
    assert teacher.id != pupil.id and not pupil.is_teacher
    assert enter(visit(), "cleo", PASSWORD).session_state[signing.PERSON].id == pupil.id  # the same on another day


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ({"password": "short"}, "than 8 letters"),
        ({"password": PASSWORD, "teacher_password": PASSWORD}, "everybody is a teacher"),
        ({"teacher_password": TEACHERS}, "without a password"),
        ({"pasword": PASSWORD}, "nobody is let in"),
        ({"password": ["hunter2-secret"]}, "nobody is let in"),
    ],
)
def test_a_mistake_in_the_settings_opens_no_door_and_shows_no_secret(visit, people, sentence):
    app = visit(**people)
    (error,) = app.error
    assert sentence in error.value and "hunter2" not in error.value and PASSWORD not in error.value
    assert not app.text_input and not app.button


def test_a_file_that_is_no_toml_opens_no_door(visit, tmp_path, monkeypatch):
    broken = tmp_path / "secrets.toml"
    broken.write_text('[people]\npassword = "never shown')
    monkeypatch.setattr(signing.st, "get_option", lambda name: [str(broken)] if name == "secrets.files" else None)
    monkeypatch.setattr(signing.st.secrets, "load_if_toml_exists", lambda: False)
    app = AppTest.from_file(str(ROOT / "pages" / "train.py"), default_timeout=PATIENCE).run()
    assert "cannot be read as TOML" in app.error[0].value and "never shown" not in app.error[0].value
    assert not app.button


def test_what_belongs_to_somebody_else_is_refused_by_the_server_in_a_sentence(visit):
    ask_who(lambda: Person(id="b" * 16, name="Ben"))
    run = create_run(RunConfig(), "f" * 64, ("a", "b"))
    app = enter(visit(), "Ada", PASSWORD)
    script = AppTest.from_function(_star, args=(run.id,), default_timeout=PATIENCE)
    script.secrets["people"] = {"password": PASSWORD}
    script.session_state[signing.PERSON] = app.session_state[signing.PERSON]
    (warning,) = script.run().warning
    assert "belongs to Ben\\. Only Ben or a teacher may change it" in warning.value
    assert not read_run(run.id).marks.star


def _star(run_id):
    from core.people import ask_who
    from core.runs.actions import star_run
    from core.runs.run import read_run
    from pages.parts.shell.frame import boundary
    from pages.parts.shell.sign_in import person

    ask_who(person)
    with boundary():
        star_run(read_run(run_id))


def test_a_session_that_has_not_come_in_uploads_nothing(visit):
    assert not signing.may_upload("somebody's")


@pytest.mark.parametrize(
    ("address", "headers", "is_open", "refused"),
    [
        ("127.0.0.1", {"Host": "localhost:8501"}, False, False),
        ("127.0.0.1", {"Host": "[::1]:8501"}, False, False),
        ("127.0.0.1", {"Host": "atelier.school.example"}, False, True),
        ("127.0.0.1", {"Host": "localhost:8501", "X-Forwarded-For": "10.0.0.7"}, False, True),
        ("0.0.0.0", {"Host": "localhost:8501"}, False, True),
        (None, {"Host": "localhost:8501"}, False, True),
        ("0.0.0.0", {"Host": "10.0.0.7:8501"}, True, False),
        ("127.0.0.1", {"User-Agent": "no host"}, False, True),
    ],
)
def test_without_signing_in_only_this_machine_is_served(monkeypatch, address, headers, is_open, refused):
    monkeypatch.setattr(signing.st, "get_option", lambda name: address)
    monkeypatch.setattr(signing.st, "context", SimpleNamespace(headers=headers))
    try:
        signing._must_be_at_home(signing.People(open=is_open))
    except UserMistake as mistake:
        assert refused and "can be reached from other machines" in str(mistake)
    else:
        assert not refused
