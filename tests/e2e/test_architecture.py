"""Architecture in a browser: a slider redraws the network, a click on a layer opens its formula."""

import pytest

from tests.e2e.browser import at_rest, move_slider

pytestmark = pytest.mark.browser


def test_a_slider_redraws_and_a_click_tells_the_formula(visit, page):
    visit("/architecture")
    page.locator(".st-key-design-model-name input").click()
    page.get_by_role("option", name="cnn", exact=True).click()
    page.get_by_text("81,574").first.wait_for()
    move_slider(page, "design-model-kernel", "ArrowRight", "5")
    page.get_by_text("62,278").first.wait_for()
    at_rest(page)
    page.get_by_text("n = 3 · 5 · 5 = 75").wait_for()
    drawing = page.locator(".st-key-network .plotly").first
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    # the third of six groups is block 2; its first layer is the first bar below the maps
    page.mouse.click(box["x"] + box["width"] * 2.5 / 6, box["y"] + 156)
    page.get_by_text("n = 6 · 5 · 5 = 150").wait_for()
    page.get_by_text("receptive field = 6 + 4 · 2 = 14 pixels").wait_for()
    assert not page.get_by_test_id("stException").count() and page.problems == []
