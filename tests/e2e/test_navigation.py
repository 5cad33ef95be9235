"""From page to page in a browser: what a button or link hands over is shown, whatever was chosen before."""

import shutil

import pytest

from core.runs.queue import submit
from core.runs.run import read_run
from tests.app import add_pictures
from tests.e2e.browser import at_rest
from tests.e2e.wire import Wire
from tests.tiny import new_run

pytestmark = pytest.mark.browser


@pytest.fixture
def three_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    add_pictures("ants")  # what Data proposes
    add_pictures("birds")
    add_pictures("pets")  # what Train proposes


def chosen(page, label: str) -> str:
    return page.get_by_role("combobox", name=label, exact=True).first.input_value()


def follow_from_home(page, dataset: str) -> None:
    page.get_by_role("link", name="Home").click()
    page.get_by_role("heading", name="Atelier").wait_for()
    card = page.locator("[class*=st-key-dataset_]").filter(has_text=dataset)
    card.get_by_role("link", name="See the pictures").click()
    page.get_by_role("heading", name="Data", level=1).wait_for()
    at_rest(page)
    page.wait_for_timeout(300)  # the address may be put right once more


def test_pictures_chosen_after_a_tab_are_the_ones_that_train_shows(three_sets, visit, page):
    visit("/data")
    page.get_by_role("tab", name="Quality").click()
    page.get_by_role("radio", name="Duplicates").click()
    page.get_by_role("combobox", name="Dataset", exact=True).click()
    page.get_by_role("option", name="birds").click()
    page.wait_for_url(lambda url: "dataset=birds" in url and "tab=Quality" in url and "quality_view=Duplicates" in url)
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("heading", name="Train", level=1).wait_for()
    at_rest(page)
    assert chosen(page, "Dataset") == "birds"
    assert "tab=" not in page.url and "quality_view=" not in page.url and "dataset=" not in page.url
    assert not page.get_by_text("Something went wrong").count() and page.problems == []


def test_a_link_to_a_dataset_wins_over_the_one_that_was_shown_before(three_sets, visit, page):
    visit("/data?dataset=pets")
    for name in ("ants", "birds", "ants"):
        follow_from_home(page, name)
        assert chosen(page, "Dataset") == name
    assert page.problems == []


@pytest.mark.parametrize("at_work", [False, True])
def test_a_clock_of_the_page_that_is_left_does_not_clear_the_next_one(home_with_a_run, server, tmp_path, at_work):
    shutil.copytree(home_with_a_run, tmp_path, dirs_exist_ok=True)
    done = read_run("latest")
    if at_work:  # then the row of links has a clock, on every page
        submit(new_run(train__epochs=1000))
    with Wire(server.address, "train", f"run={done.id}") as wire:
        wire.rerun()
        (train,), clocks = set(wire.pages), list(wire.clocks)
        wire.clocks.clear()
        wire.press("See the results")
        for _ in range(100):  # of a browser that is slow to hear of the next page
            for clock in clocks:
                wire.tick_late(clock)
            wire.stay(0.02)
        first = next(place for place, page in enumerate(wire.pages) if page != train)
        assert clocks and train not in wire.pages[first:]
