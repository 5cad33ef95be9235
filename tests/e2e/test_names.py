"""Names that are markup: on every tab of Data and on Home they are shown as they are, and nothing is fetched."""

import pytest

from tests.app import add_pictures

pytestmark = pytest.mark.browser
ODD = (
    "![x](http://evil.example/t.png)",
    "<img src=x onerror=alert(1)> www.evil.example",
    ":red[hot] $x$ [l](u) a@b.example",
)
MADE_OF_IT = (
    "a[href*='//evil']",
    "a[href*='//www']",
    "a[href^='mailto']",
    "img[src*='//evil']",
    "img[src='x']",
    ".katex",
)
PLANTED = f"[data-testid='stMain'] :is({', '.join(MADE_OF_IT)})"


@pytest.mark.parametrize(
    ("view", "tab"),
    [
        ("Gallery", "Pictures"),
        ("Balance and split", "Split and size"),
        ("What the network receives", "Split and size"),
        ("Import log", "History"),
    ],
)
def test_a_name_that_is_markup_is_text_on_data(visit, page, view, tab):
    add_pictures("**odd** :smile: http://evil.example", ODD)
    visit(f"/data?tab={view}")
    assert page.get_by_role("tab", name=tab).get_attribute("aria-selected") == "true"
    assert not page.locator(PLANTED).count()
    assert page.problems == []


@pytest.mark.parametrize("name", ["**odd** :smile: http://evil.example", "www.a.b c@d.e x -> y -- z"])
def test_a_name_that_is_markup_is_text_on_home(visit, page, name):
    add_pictures(name, ODD)
    visit("/")
    shown = page.locator("[data-testid='stMain']").inner_text()
    assert name in shown  # what is copied is the name
    assert not page.locator(PLANTED).count()
    assert page.problems == []
