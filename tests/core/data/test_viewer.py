"""Pictures for the screen, read in a child."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.pictures import viewer
from core.data.pictures.picture import Refusal, open_picture, receive_picture
from core.data.pictures.preprocess import Preprocess
from core.data.pictures.viewer import Reader, show_picture, show_received
from core.disk import write_json
from core.settings import load_limits
from tests.app import ROOT

DYING = """
import os, time
from core.data.pictures import viewer
read = viewer._read
def weakly(content, *rest):
    if content.endswith(b"abort"):
        os.abort()
    if content.endswith(b"sleep"):
        time.sleep(1000)
    return read(content, *rest)
viewer._read = weakly
viewer.main()
"""


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 24), mode: str = "RGB", **options) -> bytes:
    shade = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shade).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", exif=exif)


@pytest.fixture
def reader(home):
    reader = Reader()
    yield reader
    if reader.process is not None:
        reader.process.kill()
        reader.process.communicate()


@pytest.mark.parametrize("content", [picture(), picture(mode="RGBA"), turned(), picture("JPEG", (1500, 1100))])
def test_the_child_shows_what_training_would_open(home, content):
    preprocess = Preprocess(image_size=160)
    expected = open_picture(content, load_limits(), preprocess)
    found = show_picture(content, 160)
    assert found.size == expected.size and found.tobytes() == expected.tobytes()
    received = np.asarray(show_received(content, Preprocess(image_size=20, fit="pad"))).transpose(2, 0, 1)
    assert np.array_equal(received, receive_picture(content, Preprocess(image_size=20, fit="pad"), load_limits()))


def test_what_cannot_be_read_is_refused_in_words_and_the_next_one_is_shown(reader):
    preprocess = Preprocess(image_size=32)
    with pytest.raises(Refusal, match="is not a picture"):
        reader.ask(b"words", preprocess, False)
    first = reader.process
    assert reader.ask(picture(), preprocess, False).size == (40, 24) and reader.process is first


def test_limits_that_change_hold_from_the_next_picture_on(reader, home):
    preprocess = Preprocess(image_size=32)
    assert reader.ask(picture(), preprocess, False).size == (40, 24)
    write_json(home / "limits.json", {"picture_pixels": 900})
    with pytest.raises(Refusal, match="has 40 x 24 pixels"):
        reader.ask(picture(), preprocess, False)


def test_a_killed_child_is_replaced(reader):
    reader.ask(picture(), Preprocess(image_size=32), False)
    first = reader.process
    first.kill()
    first.wait()
    assert reader.ask(picture(), Preprocess(image_size=32), False).size == (40, 24) and reader.process is not first


@pytest.mark.parametrize(
    ("failure", "reason"), [(b"abort", "could not be read safely"), (b"sleep", "took longer than 2 seconds")]
)
def test_a_picture_that_fells_or_holds_the_decoder_costs_only_itself(reader, home, monkeypatch, failure, reason):
    monkeypatch.setattr(viewer, "CHILD", [sys.executable, "-c", DYING])
    write_json(home / "limits.json", {"picture_seconds": 2})
    preprocess = Preprocess(image_size=32)
    reader.ask(picture(), preprocess, False)  # its first question waits for the child's start as well
    with pytest.raises(Refusal, match=reason):
        reader.ask(picture() + failure, preprocess, False)
    assert reader.ask(picture(), preprocess, False).size == (40, 24)


def test_no_page_reads_a_picture_by_itself():
    for path in Path(ROOT, "pages").rglob("*.py"):
        source = path.read_text()
        assert "open_picture" not in source and "receive_picture" not in source, path
        assert source.count("Image.open(") == (path.name == "snapshots.py"), path  # a thumbnail that we have written
