"""Bringing pictures in a browser: a zip with a wrapper and a whole folder are shown, changed and imported."""

import re

import pytest

from core.data.datasets.dataset import list_datasets
from tests.e2e.browser import at_rest, drop
from tests.pictures import png, write_folder, write_zip

pytestmark = pytest.mark.browser
LETTERS = {f"letters/{name}/{i}.png": png(10 * k + i) for k, name in enumerate("abc") for i in range(3)}


def import_and_leave(page) -> None:
    """Press import, and close the page as soon as the job is seen: the import goes on."""
    page.locator(".st-key-import_them button").click()
    page.get_by_text("You may close this page").or_(page.get_by_text("is ready")).first.wait_for()
    page.goto("about:blank")


def test_a_zip_with_a_wrapper_is_shown_its_classes_merged_and_imported(visit, page, tmp_path):
    content = write_zip(tmp_path / "given.zip", {**LETTERS, "letters/a/x.txt": b"hello"}).read_bytes()
    visit("/data")
    drop(page, "zip_0", "letters.zip", "application/zip", content)
    page.get_by_text("Found 3 folders inside").wait_for()
    page.get_by_text("9 pictures in 3 classes").wait_for()
    page.get_by_role("button", name="Merge classes").click()
    chosen = page.locator(".st-key-merge_1 input")
    for name in "ab":
        chosen.click()
        page.get_by_role("option", name=name, exact=True).click()
    page.keyboard.press("Escape")
    page.locator(".st-key-merged_name_1 input").fill("a and b")
    page.keyboard.press("Enter")
    page.locator(".st-key-merge_them button").click()
    page.get_by_text("9 pictures in 2 classes").wait_for()
    assert not list_datasets()
    import_and_leave(page)
    visit("/data")
    page.get_by_text(re.compile("9 pictures in 2 classes")).first.wait_for()
    (dataset,) = list_datasets()
    assert (dataset.name, dataset.class_counts) == ("letters", {"a and b": 6, "c": 3})
    assert [refused.name for refused in dataset.refused] == ["a/x.txt"] and page.problems == []


def test_a_whole_folder_is_dropped_and_imported(visit, page, tmp_path):
    folder = write_folder(tmp_path / "given", {**LETTERS, "letters/.DS_Store": b"x"}) / "letters"
    visit("/data")
    page.get_by_text("A folder", exact=True).first.click()
    page.locator(".st-key-dropped_0 input[type=file]").set_input_files(folder)
    page.get_by_text("Found 3 folders inside").wait_for()
    at_rest(page).get_by_text("9 pictures in 3 classes").wait_for()
    import_and_leave(page)
    visit("/data")
    page.get_by_text(re.compile("9 pictures in 3 classes")).first.wait_for()
    (dataset,) = list_datasets()
    assert (dataset.name, dataset.source) == ("letters", "folder") and len(list(folder.rglob("*.png"))) == 9
    assert page.problems == []
