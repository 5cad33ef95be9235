"""The whole way in a browser: a zip is dropped, a network learns, its results are seen, an artwork is dropped."""

import re

import pytest

from core.runs.run import list_runs
from tests.e2e.browser import at_rest, drop, move_slider
from tests.pictures import write_zip
from tests.tiny import colour_pictures

pytestmark = pytest.mark.browser


def add_zip(visit, page, content: bytes, name: str) -> None:
    visit("/data")
    drop(page, "zip_0", f"{name}.zip", "application/zip", content)
    page.get_by_role("textbox", name=re.compile("Name")).fill(name)
    page.keyboard.press("Enter")
    button = page.locator(".st-key-import_them button")
    button.click()
    page.get_by_text(re.compile(r"pictures in 2 classes")).first.wait_for()


def start_training(visit, page, epochs: str) -> None:
    visit("/train")
    move_slider(page, "form-train-epochs", "ArrowLeft" if epochs == "1" else "ArrowRight", epochs)
    page.get_by_role("button", name="Start training").click()


@pytest.fixture
def zipped(tmp_path):
    """A zip of 24 blue and 24 orange pictures in two folders."""
    members = [(name, content) for name, _, _, content in colour_pictures()]
    return write_zip(tmp_path / "given.zip", members).read_bytes()


def test_from_a_zip_to_an_answered_artwork(visit, page, zipped):
    add_zip(visit, page, zipped, "colours")
    start_training(visit, page, "1")
    page.get_by_role("button", name="See the results").click(timeout=120_000)
    page.get_by_role("heading", name="Results", level=1).wait_for()
    page.get_by_text("Test accuracy").first.wait_for()
    page.get_by_text(re.compile(r"\d+ of 1\d")).first.wait_for()  # a fifth of 48 pictures
    page.get_by_role("tab", name="Mix-ups").click()
    page.get_by_text("answered").first.wait_for()
    page.get_by_role("link", name="Try-It").click()
    page.get_by_role("heading", name="Try-It", level=1).wait_for()
    drop(page, "pictures", "mine.png", "image/png", colour_pictures()[0][3])
    page.get_by_text("What the network sees").wait_for()
    page.get_by_role("heading", name=re.compile(r"(blue|orange) · \d+%")).wait_for()
    assert not page.get_by_test_id("stException").count() and page.problems == []


def test_a_reload_in_the_middle_shows_the_same_and_a_stop_keeps_the_network(visit, page, server, chromium, zipped):
    add_zip(visit, page, zipped, "colours")
    start_training(visit, page, "1000")
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    page.get_by_text(re.compile(r"Epoch \d+ of 1000")).wait_for(timeout=120_000)
    address = page.url
    (run,) = list_runs()
    assert address.endswith(f"?run={run.id}")

    page.reload()
    at_rest(page)
    page.get_by_text(re.compile(r"Epoch \d+ of 1000")).wait_for(timeout=5_000)
    assert page.url == address

    somebody_else = chromium.new_context().new_page()
    somebody_else.goto(f"{server.address}/train")
    somebody_else.get_by_text(re.compile(r"Epoch \d+ of 1000")).wait_for()

    server.kill()
    server.start()  # the server was redeployed; the training does not know
    page.goto(address)
    at_rest(page)
    page.get_by_text(re.compile(r"Epoch \d+ of 1000")).wait_for()

    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("link", name="See the results").wait_for(timeout=120_000)
    somebody_else.get_by_role("link", name="See the results").wait_for()
    (run,) = list_runs()
    assert run.state.status == "stopped" and run.has_model
    assert page.problems == []
    somebody_else.context.close()
