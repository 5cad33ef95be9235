"""The frame of every page: where nothing can be written it says so, and what is there can be looked at."""

import subprocess

import pytest

from core.settings import atelier_home
from tests.app import open_page, said

PAGES = ["streamlit_app.py", "pages/data.py", "pages/train.py", "pages/results.py", "pages/try_it.py"]


@pytest.fixture
def read_only(trained_home):
    """A home with a dataset and a run, on a disk that takes nothing."""
    mounted = subprocess.run(["mount", "--bind", trained_home, trained_home], capture_output=True)
    if mounted.returncode:
        pytest.skip("only the superuser may mount a disk")
    subprocess.run(["mount", "-o", "remount,bind,ro", trained_home], check=True)
    yield trained_home
    subprocess.run(["umount", "--lazy", trained_home], check=True)


@pytest.mark.parametrize("page", PAGES)
def test_a_read_only_workspace_can_be_viewed(read_only, page):
    app = open_page(page)
    assert not app.error and not app.exception
    assert "You can view runs and classify, but not train or import." in said(app)


def test_on_a_read_only_workspace_a_start_is_refused_in_words(read_only):
    app = open_page("pages/train.py")
    app.button(key="start").click().run()
    assert not app.error and not app.exception and "so nothing can be saved there" in said(app)
    assert not (atelier_home() / "supervisor.log").exists()


def test_a_workspace_that_is_in_order_says_nothing(trained_home):
    assert not open_page().warning


def test_a_network_drive_is_told_on_every_page(trained_home, monkeypatch):
    monkeypatch.setattr("core.settings.is_on_network", lambda _: True)
    assert "on a network drive; locking is unreliable there" in said(open_page("pages/results.py"))
