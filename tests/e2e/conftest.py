"""A server in an ATELIER_HOME of its own, and the browser of somebody who has never been there."""

import shutil

import pytest

from core.runs.queue import stop_supervisor
from tests.e2e.browser import Server, abroad, at_rest
from tests.waiting import PATIENCE

CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-quic"
)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A fresh server over an empty home; whoever trains there is ended with it."""
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    running = Server(tmp_path)
    yield running
    running.kill()
    stop_supervisor()


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A new browser; what goes wrong in it, and every request that leaves this machine, is in page.problems."""
    yield from _new_page(chromium, {"width": 1400, "height": 900})


@pytest.fixture
def phone(chromium):
    """The browser of somebody else, as wide as a phone."""
    yield from _new_page(chromium, {"width": 390, "height": 844})


def _new_page(chromium, viewport):
    context = chromium.new_context(viewport=viewport, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE / 2)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda request: page.problems.append(request.url) if abroad(request.url) else None)
    yield page
    context.close()


@pytest.fixture
def visit(server, page):
    """visit("/train"): that page, at rest."""

    def open_page(path: str):
        page.goto(server.address + path)
        return at_rest(page)

    return open_page
