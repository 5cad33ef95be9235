"""Uploads wait in the server's memory until a page has read them: a limit for each session, and on free memory."""

from collections.abc import Callable, Iterable
from typing import Any

import psutil
from starlette.exceptions import HTTPException
from streamlit.runtime import Runtime, exists
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.errors import UserMistake
from core.settings import Limits, load_limits
from pages.parts.shell.sign_in import may_upload

FORBIDDEN, TOO_LARGE, NO_ROOM = 403, 413, 507  # of HTTP; the browser shows the file as not uploaded


def limit_uploads() -> None:
    """From now on this server refuses uploads beyond the limits. Streamlit has one on the single file only."""
    if exists():  # not where a test draws a page without a server
        guard(Runtime.instance().uploaded_file_mgr, may_upload)


def guard(manager: Any, may_upload: Callable[[str], bool] = lambda session_id: True) -> None:
    """Check every file before `manager`, Streamlit's own, keeps it; it knows its files by session and id.
    `may_upload`: whether the session has come in."""
    keep = manager.add_file

    def keep_within_limits(session_id: str, file: Any) -> None:
        if not may_upload(session_id):
            raise HTTPException(FORBIDDEN, "Sign in first.")
        kept = manager.file_storage.get(session_id, {}).values()
        refuse_too_much(sum(len(one.data) for one in kept), len(file.data))
        keep(session_id, file)

    manager.add_file = keep_within_limits


def let_go(uploads: Iterable[UploadedFile]) -> None:
    """Free the memory of what this session has uploaded and a page has saved. Streamlit itself keeps a file until its
    session is gone, also of an uploader that is drawn no more."""
    context = get_script_run_ctx()
    if context is None or not exists():
        return
    manager: Any = Runtime.instance().uploaded_file_mgr  # guard says how it knows its files
    for upload in uploads:
        manager.remove_file(context.session_id, upload.file_id)


def refuse_too_much(kept: int, more: int) -> None:
    """HTTPException where a session that has `kept` bytes brings too many more, or memory is short."""
    limits = _limits()
    if kept + more > limits.session_upload_bytes:
        most = limits.session_upload_bytes // 2**20
        raise HTTPException(TOO_LARGE, f"One tab may hold {most:,} MB of uploads; remove some, or give a path instead.")
    if psutil.virtual_memory().available < limits.free_memory_bytes:
        raise HTTPException(NO_ROOM, "This machine is short of memory; give the path of a folder instead.")


def _limits() -> Limits:
    try:
        return load_limits()
    except UserMistake:  # pages say what is wrong with limits.json
        return Limits()
