"""Try-It in a browser: a picture is dropped, on a phone too, and a square is dragged over it."""

import re
import shutil

import pytest

from tests.e2e.browser import Server, at_rest, drop
from tests.e2e.clicking import rest, watch
from tests.tiny import colour_pictures

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def try_it(home_with_a_run, tmp_path, monkeypatch, page):
    """The page Try-It over a home with a finished run."""
    home = shutil.copytree(home_with_a_run, tmp_path / "home")
    monkeypatch.setenv("ATELIER_HOME", str(home))
    server = Server(home)
    watch(page)
    page.goto(f"{server.address}/try_it")
    yield at_rest(page)
    server.kill()


def test_on_a_phone_the_answer_stands_below_the_drop_area_without_scrolling(try_it):
    try_it.set_viewport_size(PHONE)
    drop(try_it, "pictures", "mine.jfif", "image/jpeg", colour_pictures()[0][3])
    answer = try_it.locator(".st-key-answer")
    answer.get_by_text("mine.jfif").wait_for()
    heading = answer.get_by_role("heading", name=re.compile(r"(blue|orange) · >?\d+ %"))
    rest(try_it)
    box = heading.bounding_box()
    assert box["y"] + box["height"] < PHONE["height"] and box["x"] + box["width"] <= PHONE["width"]
    assert try_it.problems == []


def test_a_square_that_is_dragged_is_answered_while_it_moves(try_it):
    try_it.get_by_role("tab", name="What turns it").click()
    rest(try_it)
    box = try_it.locator(".st-key-change-patch .box")
    box.scroll_into_view_if_needed()
    edges, asked = box.bounding_box(), try_it.pulse.asked
    try_it.mouse.move(edges["x"] + edges["width"] / 2, edges["y"] + edges["height"] / 2)
    try_it.mouse.down()
    try_it.mouse.move(edges["x"] + edges["width"] / 4, edges["y"] + edges["height"] / 4, steps=5)
    rest(try_it)  # the button is still held
    assert try_it.pulse.asked > asked
    assert box.locator(".patch").evaluate("patch => patch.style.left") == "25%"
    try_it.mouse.up()
    box.focus()
    try_it.keyboard.press("ArrowRight")
    rest(try_it)
    assert box.locator(".patch").evaluate("patch => patch.style.left") == "29%"
    assert not try_it.get_by_test_id("stException").count() and try_it.problems == []
