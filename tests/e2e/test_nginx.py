"""Behind nginx, under a sub-path: the page lives on its WebSocket, people sign in, and uploads come through."""

import re
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.browser import at_rest, drop
from tests.pictures import encoded, noise, png, write_zip
from tests.serving.nginx import PASSWORD, BehindNginx, is_here, nginx

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not is_here(), reason="nginx is not installed")]


@contextmanager
def signed_in(folder: Path, page):
    """(server, its address behind nginx), with the page of somebody who has signed in at Data."""
    server = BehindNginx(folder)
    try:
        with nginx(folder / "nginx", server) as address:
            page.goto(f"{address}/data")
            page.get_by_role("textbox", name="Your name").fill("Ada")
            page.get_by_role("textbox", name="Password").fill(PASSWORD)
            page.keyboard.press("Enter")
            page.get_by_text("Ada", exact=True).wait_for()
            at_rest(page)
            yield server, address
    finally:
        server.kill()
    problems = [one for one in page.problems if "//atelier.localhost" not in one]
    assert not problems, problems


def test_a_page_under_a_sub_path_is_alive_and_takes_an_upload_of_two_megabytes(tmp_path, monkeypatch, page):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    with signed_in(tmp_path, page) as (_, address):
        names = {f"{name}/{i}.png": png(10 * k + i) for k, name in enumerate("ab") for i in range(3)}
        filler = {"readme.txt": bytes(range(256)) * 8192}
        content = write_zip(tmp_path / "given.zip", {**names, **filler}).read_bytes()
        drop(page, "zip_0", "letters.zip", "application/zip", content)
        page.get_by_text("6 pictures in 2 classes").wait_for()
        page.get_by_role("link", name="Train").click()
        page.wait_for_url(f"{address}/train*")  # links keep the sub-path
        page.get_by_text("There is no dataset to train on yet").wait_for()


@pytest.mark.nightly
def test_an_upload_of_one_gigabyte_comes_through_is_previewed_and_leaves_the_memory(tmp_path, monkeypatch, page):
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    given = write_gigabyte(tmp_path / "large.zip")
    assert 1000e6 < given.stat().st_size < 1024e6  # Streamlit's browser counts MB as millions
    with signed_in(tmp_path, page) as (server, _):
        before, began = memory(server)["VmRSS"], time.monotonic()
        page.locator(".st-key-zip_0 input[type=file]").set_input_files(given)
        page.get_by_text("970 pictures in 2 classes").wait_for(timeout=600_000)
        took, found = time.monotonic() - began, memory(server)
        (kept,) = (tmp_path / "uploads").glob("*.zip")
        assert kept.stat().st_size == given.stat().st_size
    print(f"{took:.0f} s; {before:.2f} GB before, {found['VmHWM']:.2f} at most, {found['VmRSS']:.2f} with the preview")
    assert found["VmHWM"] < 3.0 and found["VmRSS"] < 0.8


def write_gigabyte(path: Path) -> Path:
    """A zip of 970 pictures of noise in two classes, 1.04 MB each."""
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(970):
            archive.writestr(f"{'ab'[i % 2]}/{i:03}.png", encoded(noise(590, 590, i), compress_level=0))
    return path


def memory(server) -> dict[str, float]:
    """GB of the server's process: VmRSS now, VmHWM at most so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return {name: int(kilobytes) * 1024 / 1e9 for name, kilobytes in re.findall(r"(Vm\w+):\s+(\d+) kB", status)}
