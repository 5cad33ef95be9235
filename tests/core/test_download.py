"""Downloads against a server that breaks off, stalls, lies and redirects."""

import hashlib
import socket
import threading
import time
from collections import namedtuple
from pathlib import Path
from random import Random

import pytest

from core import download as module
from core.download import RetryPolicy, download
from core.errors import UserMistake
from tests.broken_server import BrokenServer, serve

CONTENT = Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTE = RetryPolicy(connect=1.0, read=0.3, tries=3, pause=0.01)


def fetch(server: BrokenServer, target: Path, size: int | None = len(CONTENT), **more):
    options = {"retry": HASTE, "otherwise": "Or bring FILE.", **more}
    return list(download(server.url, target, SHA256, size, **options))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "file.bin"


def left_over(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} - {"file.bin.lock"}


def test_a_download_ends_in_the_file_and_nothing_else(target):
    with serve(CONTENT) as server:
        steps = fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert (steps[-1].phase, steps[-1].done, steps[-1].total) == ("done", len(CONTENT), len(CONTENT))
    assert left_over(target) == {"file.bin"}


@pytest.mark.parametrize("trouble", ["half", "stall"])
def test_a_broken_download_goes_on_where_it_stopped(target, trouble):
    with serve(CONTENT, trouble) as server:
        fetch(server, target)
    assert server.ranges == [None, "bytes=150000-"]
    assert target.read_bytes() == CONTENT


def test_what_came_is_kept_for_another_day(target):
    with serve(CONTENT, "half", "404") as server:
        with pytest.raises(UserMistake, match=r"answered 404.* Or bring FILE\."):
            fetch(server, target)
        assert left_over(target) == {"file.bin.partial", "file.bin.partial.json"}
        fetch(server, target)
    assert server.ranges[-1] == "bytes=150000-"
    assert target.read_bytes() == CONTENT


def test_a_server_that_keeps_stalling_is_reported_with_what_was_kept(target):
    with serve(CONTENT, *["stall"] * 9) as server, pytest.raises(UserMistake) as caught:
        fetch(server, target)
    assert len(server.ranges) == 3
    assert "127.0.0.1" in str(caught.value) and "is not responding; 0.3 MB of 0.3 MB were kept" in str(caught.value)


def test_another_file_behind_the_same_address_is_not_glued_to_the_old_half(target):
    with serve(b"x" * len(CONTENT), "half", "404", etag='"old"') as server:
        with pytest.raises(UserMistake):
            fetch(server, target)
        server.content, server.etag = CONTENT, '"new"'
        fetch(server, target)
    assert server.ranges[-1] == "bytes=150000-"  # asked for the rest, and given the whole
    assert target.read_bytes() == CONTENT


def test_a_half_of_something_else_is_fetched_afresh_once(target):
    target.parent.mkdir()
    target.with_name("file.bin.partial").write_bytes(b"x" * 1000)  # no stamp: the server cannot know
    with serve(CONTENT) as server:
        fetch(server, target)
    assert server.ranges == ["bytes=1000-", None]
    assert target.read_bytes() == CONTENT


def test_a_flipped_byte_is_found_and_the_file_deleted(target):
    with serve(CONTENT, "flip") as server, pytest.raises(UserMistake, match="checksum is another one; it was deleted"):
        fetch(server, target)
    assert left_over(target) == set()


def test_a_file_of_which_only_the_first_digits_are_known_is_held_to_them(target):
    with serve(CONTENT) as server:
        assert [*download(server.url, target, SHA256[:8])][-1].phase == "done"
    target.unlink()
    with serve(CONTENT, "flip") as server, pytest.raises(UserMistake, match="checksum"):
        list(download(server.url, target, SHA256[:8]))
    assert not target.exists()


def test_a_sign_in_page_is_called_a_web_page(target):
    with serve(CONTENT, "html") as server, pytest.raises(UserMistake, match="a web page came in its place"):
        fetch(server, target)
    assert left_over(target) == set()


@pytest.mark.parametrize("troubles", [["longer"], ["no-length"]])
def test_a_file_of_another_length_is_refused_early(target, troubles):
    with serve(CONTENT + b"more", *troubles) as server, pytest.raises(UserMistake, match=r"offers another|sends more"):
        fetch(server, target)
    assert left_over(target) == set()


def test_a_server_that_is_busy_is_asked_again(target):
    with serve(CONTENT, "503", "503") as server:
        fetch(server, target)
    assert len(server.ranges) == 3 and target.read_bytes() == CONTENT


def test_a_redirect_to_another_host_is_refused(target):
    refused = pytest.raises(UserMistake, match=r"a redirect to 127\.0\.0\.2:9 was refused")
    with serve(CONTENT, "elsewhere") as server, refused:
        fetch(server, target)


def test_without_a_network_the_sentence_says_what_else_can_be_done(target):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/file.bin"
        with pytest.raises(UserMistake, match=r"cannot be reached \(.*refused.*\)\. Or bring FILE\."):
            list(download(url, target, SHA256, retry=HASTE, otherwise="Or bring FILE."))


def test_a_file_that_is_there_is_not_fetched_again_unless_it_is_damaged(target):
    with serve(CONTENT) as server:
        fetch(server, target)
        fetch(server, target)
        assert len(server.ranges) == 1
        target.write_bytes(b"damaged")
        fetch(server, target)
    assert len(server.ranges) == 2 and target.read_bytes() == CONTENT


def test_two_sessions_download_once(target):
    with serve(CONTENT, "slow") as server:
        first = threading.Thread(target=fetch, args=(server, target))
        first.start()
        while not server.ranges:
            time.sleep(0.01)
        steps = fetch(server, target)
        first.join()
    assert steps[0].phase == "waiting" and steps[-1].phase == "done"
    assert len(server.ranges) == 1


def test_a_full_disk_is_reported_before_the_download(target, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage(10, 9, 1))
    with serve(CONTENT) as server, pytest.raises(UserMistake, match=r"needs 67 MB of free disk and there are 0\.0 MB"):
        fetch(server, target)
    assert server.ranges == []


def test_a_cancelled_download_keeps_its_part_and_frees_the_lock(target):
    with serve(CONTENT, "slow") as server:
        work = download(server.url, target, SHA256, len(CONTENT), retry=HASTE)
        next(work)
        work.close()
        assert "file.bin.partial" in left_over(target)
        fetch(server, target)
    assert server.ranges[1] is not None and target.read_bytes() == CONTENT
