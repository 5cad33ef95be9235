"""A fresh server whose very first request is a page below the entry: a reload after a restart is exactly this."""

import pytest

pytestmark = pytest.mark.browser
PAGES = {
    "/data": "Data",
    "/architecture": "Architecture",
    "/train": "Train",
    "/results": "Results",
    "/try_it": "Try-It",
}


@pytest.mark.parametrize(("path", "title"), PAGES.items())
def test_the_first_request_of_a_fresh_server_may_be_any_page(visit, page, path, title):
    visit(path)
    assert page.get_by_role("heading", level=1).inner_text() == title
    assert page.title() == f"{title} · Atelier"
    # our own row of links, and not the one that Streamlit makes of file names
    links = page.locator(".st-key-links").get_by_role("link")
    links.nth(5).wait_for()  # a busy server draws them later
    assert links.count() == 6
    assert not page.get_by_test_id("stSidebarNav").count()
    assert not page.get_by_text("Page not found").count()
    assert not page.get_by_test_id("stException").count()
    assert page.problems == []
