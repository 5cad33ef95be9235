"""Architecture in a browser: a slider redraws the network, a click on a layer opens its formula."""

import re

import pytest

from tests.app import add_pictures
from tests.e2e.browser import at_rest, move_slider

pytestmark = pytest.mark.browser


def test_a_slider_redraws_and_a_click_shows_the_formula(visit, page):
    visit("/architecture")
    page.locator(".st-key-design-model-name input").click()
    page.get_by_role("option", name="CNN (own layers)", exact=True).click()
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


def test_a_picture_of_the_gallery_leads_to_its_activations(visit, page):
    add_pictures()
    visit("/data")
    page.locator(".st-key-picture_7 button").first.click()
    page.get_by_role("button", name="Activations").click()
    page.get_by_role("heading", name="Architecture").wait_for()
    page.get_by_text(re.compile("png, received: 32 × 32")).wait_for()
    page.get_by_text("Grey is zero").first.wait_for()
    page.get_by_role("tab", name="All layers").click()
    page.get_by_text("torchsummary").wait_for()
    assert not page.get_by_test_id("stException").count() and page.problems == []


LABELS = """() => ({
  ground: getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor,
  writing: [...document.querySelectorAll('.st-key-network .textpoint text')].map(one => getComputedStyle(one).fill),
  boxes: [...document.querySelectorAll('.st-key-network .cartesianlayer .shapelayer path')].map(one => {
    const style = getComputedStyle(one); return [style.fill, Number(style.fillOpacity)]; }),
})"""


def light(colour: list[float]) -> float:
    """Relative luminance, as WCAG counts contrast."""
    shares = [share / 255 for share in colour]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_names_of_layers_can_be_read_on_their_boxes(visit, page, scheme):
    page.emulate_media(color_scheme=scheme)
    visit("/architecture")
    page.locator(".st-key-network .textpoint text").first.wait_for()
    told = page.evaluate(LABELS)  # boxes that lie below the writing, not over it
    assert len(told["writing"]) == 13 and len(told["boxes"]) >= 9
    ground = channels(told["ground"])
    assert (light(ground) < 0.5) == (scheme == "dark")
    for fill, opacity in told["boxes"]:
        if opacity == 1:
            continue  # a row of numbers: nothing is written on it
        box = [share * opacity + below * (1 - opacity) for share, below in zip(channels(fill), ground, strict=True)]
        for writing in told["writing"]:
            low, high = sorted((light(box), light(channels(writing))))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (fill, writing)


def channels(colour: str) -> list[float]:
    return [float(channel) for channel in re.findall(r"[\d.]+", colour)[:3]]
