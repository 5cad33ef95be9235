"""Pictures are read in children: a dead, hung or greedy child costs the one picture that it was on."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from core.data.pictures import decode_pool as decoding
from core.data.pictures.decode_pool import ROOT, Outcome, Task, decode, receive_in_child
from core.data.pictures.picture import Refusal, receive_picture
from core.data.pictures.preprocess import Preprocess
from core.settings import Limits
from tests.pictures import encoded, png
from tests.waiting import wait_until

CRASHED = "could not be read safely (it made the decoder fail)"
SMALL = Preprocess(image_size=8)
linux = pytest.mark.skipif(sys.platform != "linux", reason="kills and limits as Linux has them")


@pytest.fixture
def weak_decoder(monkeypatch):
    """Children that fail as a decoder with a bug would, on pictures that end in the name of a failure."""
    monkeypatch.setattr(
        decoding,
        "CHILD",
        [sys.executable, str(Path(__file__).resolve().parents[3] / "tests" / Path("weak_decoder.py"))],
    )


def read_all(contents, tmp_path, limits=None, meddle=None, piece=4):
    """{row: refusal or None} and the images, after decode() in two children."""
    pack, images = tmp_path / "pack", tmp_path / "images"
    offsets = np.cumsum([0, *map(len, contents)]).tolist()
    pack.write_bytes(b"".join(contents))
    images.write_bytes(b"")
    tasks = [Task(row, offsets[row], len(content)) for row, content in enumerate(contents)]
    chunks = [tasks[i : i + piece] for i in range(0, len(tasks), piece)]
    outcomes: list[Outcome] = []
    for new in decode(chunks, pack, images, 0, SMALL, limits or Limits(), 2):
        outcomes += new
        if meddle is not None:
            meddle(outcomes)
    assert sorted(outcome.row for outcome in outcomes) == list(range(len(contents)))  # each exactly once
    count = images.stat().st_size // (3 * 8 * 8)
    return {outcome.row: outcome.refusal for outcome in outcomes}, np.fromfile(images, np.uint8).reshape(count, 3, 8, 8)


def children():
    return [
        child
        for child in psutil.Process().children()
        if child.is_running() and any("core.data.pictures.decode_pool" in word for word in child.cmdline())
    ]


def appeared():
    """children(), as soon as there is one: a program that was just started has no command line for a moment."""
    return wait_until(children, every=0.01)


def test_every_picture_lands_in_its_row(tmp_path):
    contents = [png(seed) for seed in range(50)]
    refusals, images = read_all(contents, tmp_path)
    assert set(refusals.values()) == {None}
    expected = [receive_picture(content, SMALL, Limits()) for content in contents]
    assert np.array_equal(images, np.stack(expected))


def test_what_is_no_picture_is_refused_and_the_rest_goes_on(tmp_path):
    contents = [png(0), b"no picture", png(2), png(3)[:200], png(4)]
    refusals, _ = read_all(contents, tmp_path)
    assert [row for row, refusal in refusals.items() if refusal] == [1, 3]


@linux
@pytest.mark.parametrize("failure", [b"abort", b"segfault", b"exit", b"raise"])
def test_a_picture_that_fells_its_decoder_is_refused_alone(tmp_path, weak_decoder, failure):
    contents = [png(seed) for seed in range(30)]
    contents[3] += failure
    contents[4] += failure  # in the same piece of work
    refusals, images = read_all(contents, tmp_path)
    assert {row: refusal for row, refusal in refusals.items() if refusal} == {3: CRASHED, 4: CRASHED}
    assert np.array_equal(images[5], receive_picture(contents[5], SMALL, Limits()))
    assert not children()


@linux
@pytest.mark.parametrize("failure", [b"sleep", b"spin"])
def test_a_picture_that_hangs_its_decoder_is_refused_by_the_clock(tmp_path, weak_decoder, failure):
    contents = [png(seed) for seed in range(30)]
    contents[5] += failure
    refusals, _ = read_all(contents, tmp_path, Limits(picture_seconds=0.5))
    assert {row: refusal for row, refusal in refusals.items() if refusal} == {5: "took longer than 0.5 seconds to read"}
    assert not children()


@linux
def test_a_child_that_somebody_kills_costs_one_picture_at_most(tmp_path):
    killed = []

    def kill_one(outcomes):
        if len(outcomes) > 40 and not killed:
            killed.append(appeared()[0])
            killed[0].kill()

    refusals, _ = read_all([png(seed) for seed in range(400)], tmp_path, meddle=kill_one)
    assert killed and sum(refusal is not None for refusal in refusals.values()) <= 1


@linux
def test_a_picture_that_needs_too_much_memory_is_refused(tmp_path):
    big = encoded(Image.new("RGB", (7000, 7000)))  # 200 MB once it is read
    refusals, _ = read_all([png(0), big, png(2)], tmp_path, Limits(decoder_memory_bytes=250 * 2**20))
    assert refusals[0] is refusals[2] is None
    assert refusals[1] in (
        "needs more memory than a picture may take",
        "could not be read safely (it made the decoder fail)",
    )


def test_closing_early_ends_the_children(tmp_path):
    pack, images = tmp_path / "pack", tmp_path / "images"
    pack.write_bytes(png())
    images.write_bytes(b"")
    reading = decode(([Task(row, 0, len(png()))] for row in range(10_000)), pack, images, 0, SMALL, Limits(), 2)
    next(reading)
    assert appeared()
    reading.close()
    assert not children()


def test_ctrl_c_reaches_no_decoder_and_their_files_lie_where_they_are_swept(tmp_path):
    (tmp_path / "pack").write_bytes(png())
    (tmp_path / "images").write_bytes(b"")
    chunks = ([Task(row, 0, len(png()))] for row in range(10_000))
    reading = decode(chunks, tmp_path / "pack", tmp_path / "images", 0, SMALL, Limits(), 1)
    next(reading)
    assert os.getpgid(appeared()[0].pid) != os.getpgid(0)  # a terminal signals its whole foreground group
    assert list(tmp_path.glob("decoding-*"))
    reading.close()
    assert not list(tmp_path.glob("decoding-*"))


def test_a_fault_of_the_disk_is_not_blamed_on_the_picture(tmp_path):
    with pytest.raises(RuntimeError, match="end before they read anything"):
        list(decode([[Task(0, 0, 5)]], tmp_path / "missing", tmp_path / "missing", 0, SMALL, Limits(), 1))


def test_for_try_it_pictures_come_back_in_their_order():
    contents = [png(1), b"", png(3), b"<html>"]
    received = receive_in_child(contents, SMALL)
    assert np.array_equal(received[0], receive_picture(contents[0], SMALL, Limits()))
    assert np.array_equal(received[2], receive_picture(contents[2], SMALL, Limits()))
    assert isinstance(received[1], Refusal) and str(received[1]) == "is empty"
    assert isinstance(received[3], Refusal) and "web page" in str(received[3])
    assert receive_in_child([], SMALL) == []


def test_a_child_imports_neither_torch_nor_streamlit():
    asked = "import sys, core.data.pictures.decode_pool\n"
    asked += "print(sorted({'torch', 'torchvision', 'streamlit'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_what_a_killed_server_left_of_try_it_is_swept_by_the_next_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, age in (("left", 7200), ("at-work", 60)):
        folder = tmp_path / f"{decoding.FOR_TRY_IT}{name}"
        folder.mkdir()
        (folder / "pack").write_bytes(b"a picture of somebody")
        os.utime(folder, (time.time() - age,) * 2)
    assert not isinstance(receive_in_child([png(0)], SMALL)[0], Refusal)
    assert [path.name for path in tmp_path.iterdir()] == [f"{decoding.FOR_TRY_IT}at-work"]
