"""Child processes that speak in blocks of bytes."""

import io
import os

import psutil
import pytest

from core.data.pictures.child import read_block, start_child, wait_briefly, write_block


def test_blocks_come_out_as_they_went_in():
    pipe = io.BytesIO()
    for content in (b"", b"picture", bytes(70_000)):
        write_block(pipe, content)
    pipe.seek(0)
    assert [read_block(pipe) for _ in range(3)] == [b"", b"picture", bytes(70_000)]


@pytest.mark.parametrize("kept", [0, 2, 4, 8])
def test_a_block_that_was_cut_short_is_a_fault(kept):
    pipe = io.BytesIO()
    write_block(pipe, b"picture")
    with pytest.raises(RuntimeError, match="ended before its work was done"):
        read_block(io.BytesIO(pipe.getvalue()[:kept]))


def test_ctrl_c_reaches_no_child_and_it_ends_with_the_block():
    with start_child("core.data.imports.samples", "sample-objects", "0", "1000", "0") as pipe:
        assert read_block(pipe).startswith(b"\x89PNG")
        (child,) = (child for child in psutil.Process().children() if "core.data.imports.samples" in child.cmdline())
        assert os.getpgid(child.pid) != os.getpgid(0)  # a terminal signals its whole foreground group
    assert not child.is_running()


def test_threads_that_wait_may_sleep_soon_unless_somebody_chose_otherwise(monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "5"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"
