"""Uploads: what a session may hold in the server's memory, and what a machine that is short of it takes."""

from collections import namedtuple
from types import SimpleNamespace

import psutil
import pytest
from starlette.exceptions import HTTPException
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from core.disk import write_json
from pages.parts.shell import upload_limit
from pages.parts.shell.upload_limit import guard, let_go


def upload(name: str, size: int) -> UploadedFileRec:
    return UploadedFileRec(name, name, "image/png", b"x" * size)


@pytest.fixture
def manager(home):
    write_json(home / "limits.json", {"session_upload_bytes": 100})
    manager = MemoryUploadedFileManager("/upload")
    guard(manager)
    return manager


def test_a_session_may_hold_so_much_and_what_it_removes_counts_no_more(manager):
    manager.add_file("ann", upload("a", 60))
    with pytest.raises(HTTPException, match="One tab may hold") as refused:
        manager.add_file("ann", upload("b", 41))
    assert refused.value.status_code == 413 and not manager.get_files("ann", ["b"])
    manager.add_file("ben", upload("b", 100))  # another one's are another's
    manager.remove_file("ann", "a")
    manager.add_file("ann", upload("b", 100))
    assert len(manager.get_files("ann", ["b"])) == 1


def test_what_a_page_has_saved_leaves_the_memory_of_the_server(manager, monkeypatch):
    manager.add_file("ann", upload("a", 60))
    monkeypatch.setattr(upload_limit, "exists", lambda: True)
    monkeypatch.setattr(upload_limit, "get_script_run_ctx", lambda: SimpleNamespace(session_id="ann"))
    monkeypatch.setattr(upload_limit.Runtime, "_instance", SimpleNamespace(uploaded_file_mgr=manager))
    let_go([UploadedFile(upload("a", 60), None)])
    assert not manager.get_files("ann", ["a"])


def test_a_machine_that_is_short_of_memory_takes_none(manager, monkeypatch):
    Memory = namedtuple("Memory", "available total")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(2**20, 2**33))
    with pytest.raises(HTTPException, match="short of memory"):
        manager.add_file("ann", upload("a", 1))
