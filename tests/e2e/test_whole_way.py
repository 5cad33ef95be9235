"""The whole way in a browser: a zip is dropped, a network learns, its results are seen, an artwork is dropped."""

import re

import pytest

from tests.e2e.browser import drop, move_slider
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
    page.get_by_role("button", name="Start training").wait_for()  # the preview has gone, the dataset is there


def train_one_epoch(visit, page) -> None:
    visit("/train")
    move_slider(page, "form-train-epochs", "ArrowLeft", "1")
    page.get_by_role("button", name="Start training").click()


@pytest.fixture
def zipped(tmp_path):
    """A zip of 24 blue and 24 orange pictures in two folders."""
    members = [(name, content) for name, _, _, content in colour_pictures()]
    return write_zip(tmp_path / "given.zip", members).read_bytes()


def test_from_a_zip_to_an_answered_artwork(visit, page, zipped):
    add_zip(visit, page, zipped, "colours")
    train_one_epoch(visit, page)
    page.get_by_role("button", name="See the results").click(timeout=120_000)
    page.get_by_role("heading", name="Results", level=1).wait_for()
    page.get_by_text("Test accuracy").first.wait_for()
    page.get_by_text(re.compile(r"\d+ of 1\d")).first.wait_for()  # a fifth of 48 pictures
    page.get_by_role("tab", name="Confusion matrix").click()
    page.get_by_text("predicted as").first.wait_for()
    page.get_by_role("link", name="Try-It").click()
    page.get_by_role("heading", name="Try-It", level=1).wait_for()
    drop(page, "pictures", "mine.png", "image/png", colour_pictures()[0][3])
    page.locator(".st-key-answer").get_by_text("mine.png").wait_for()  # in the place of the example
    page.get_by_text("What the network received").wait_for()
    page.get_by_role("heading", name=re.compile(r"(blue|orange) · >?\d+ %")).wait_for()
    assert not page.get_by_test_id("stException").count() and page.problems == []
