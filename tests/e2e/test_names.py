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


@pytest.mark.parametrize("tab", ["Pictures", "Balance and split", "What the network receives", "Ledger"])
def test_a_name_that_is_markup_is_text_on_data(visit, page, tab):
    add_pictures("**odd** :smile: http://evil.example", ODD)
    visit(f"/data?tab={tab}")
    assert page.get_by_role("tab", name=tab).get_attribute("aria-selected") == "true"
    assert not page.locator(PLANTED).count()
    assert page.problems == []


def test_a_name_that_is_markup_is_text_on_home(visit, page):
    add_pictures("**odd** :smile: http://evil.example", ODD)
    visit("/")
    shown = page.locator("[data-testid='stMain']").inner_text().replace("\u2060", "")
    assert "**odd** :smile: http://evil.example" in shown
    assert not page.locator(PLANTED).count()
    assert page.problems == []
