"""Behind nginx, under a sub-path: the page lives on its WebSocket, people sign in, and uploads come through."""

import pytest

from tests.e2e.browser import at_rest, drop
from tests.pictures import png, write_zip
from tests.serving.nginx import PASSWORD, BehindNginx, is_here, nginx

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not is_here(), reason="nginx is not installed")]


def test_a_page_under_a_sub_path_is_alive_and_takes_an_upload_of_two_megabytes(tmp_path, monkeypatch, page):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    server = BehindNginx(tmp_path)
    try:
        with nginx(tmp_path / "nginx", server) as address:
            page.goto(f"{address}/data")
            page.get_by_role("textbox", name="Your name").fill("Ada")
            page.get_by_role("textbox", name="Password").fill(PASSWORD)
            page.keyboard.press("Enter")
            page.get_by_text("Ada", exact=True).wait_for()
            at_rest(page)
            names = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate("ab") for i in range(3)}
            filler = {"readme.txt": bytes(range(256)) * 8192}
            content = write_zip(tmp_path / "given.zip", {**names, **filler}).read_bytes()
            drop(page, "zip_0", "letters.zip", "application/zip", content)
            page.get_by_text("6 pictures in 2 classes").wait_for()
            page.get_by_role("link", name="Train").click()
            page.wait_for_url(f"{address}/train*")  # links keep the sub-path
            page.get_by_text("There is no dataset to train on yet").wait_for()
    finally:
        server.kill()
    problems = [one for one in page.problems if "//atelier.localhost" not in one]
    assert not problems, problems
