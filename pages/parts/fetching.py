"""Weights that are being fetched: by the command line in a process of its own, so that no page has to stay open.

atelier_home()/weights/.fetching/<name>/launch.json   the process, written by whoever starts it
atelier_home()/weights/.fetching/<name>/log.txt       what it said; its last line is why it failed
How far it is tells the size of the part that came, which the next try goes on from.
"""

import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.disk import read_json, write_json
from core.published import PUBLISHED
from core.runs.process import ProcessMark
from core.settings import downloads_root, weights_root
from core.trunks import read_trunk
from pages.parts.escape import escape
from pages.parts.frame import boundary
from pages.parts.importing import launch, save_upload

TICK_SECONDS = 0.5


@dataclass(frozen=True)
class Fetching:
    """How far a fetch is, or why it failed."""

    live: bool
    done: int = 0  # bytes
    message: str = ""


def start_fetching(name: str, path: Path | None = None) -> None:
    """Begin, unless it has begun. `path`: an upload of our own, deleted once it was read."""
    if (known := read_fetching(name)) and known.live:
        return
    folder = _folder(name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    given = ["--from", str(path)] if path else []
    mark = launch(folder, "core", "weights", "add", name, *given, OMP_NUM_THREADS="1")
    write_json(folder / "launch.json", mark.to_json() | {"path": str(path or "")})


def read_fetching(name: str) -> Fetching | None:
    """None where nobody fetches it, or it came."""
    folder = _folder(name)
    try:
        told = read_json(folder / "launch.json")
        if ProcessMark.from_json(told).is_alive():
            return Fetching(live=True, done=_came(name))
    except (OSError, ValueError, KeyError):
        return None
    if told["path"]:
        Path(told["path"]).unlink(missing_ok=True)
    with suppress(OSError):
        lines = (folder / "log.txt").read_text(errors="replace").replace("\r", "\n").split("\n")
        why = [line for line in lines if line.strip()][-1:]
        if why and not why[0].endswith(", checked"):
            return Fetching(live=False, message=why[0][:600])
    shutil.rmtree(folder, ignore_errors=True)
    return None


def cancel_fetching(name: str) -> None:
    """End it; what came is kept, and the next try goes on from there."""
    with suppress(OSError, ValueError, KeyError):
        mark = ProcessMark.from_json(read_json(_folder(name) / "launch.json"))
        if mark.is_alive():
            os.kill(mark.pid, signal.SIGTERM)
    shutil.rmtree(_folder(name), ignore_errors=True)


def draw_weights(name: str) -> None:
    """Whether the weights are here; if not, the ways to bring them."""
    known = read_fetching(name)
    if known and known.live:
        st.fragment(_draw_progress, run_every=TICK_SECONDS)(name)
        return
    if read_trunk(name):
        st.caption(":material/check: Its weights are here.")
    published = PUBLISHED[name]
    with st.container(horizontal=True, gap="small"):
        if not read_trunk(name):
            st.button(
                f"Download {published.megabytes:,.0f} MB",
                icon=":material/download:",
                key=f"fetch.{name}",
                on_click=start_fetching,
                args=(name,),
                help=f"From {published.url}, where torchvision has it. Its checksum is checked.",
            )
        with st.popover("A file of my own", icon=":material/upload_file:", type="tertiary"):
            st.caption(
                f"A state dict for {name}: as torchvision publishes it ({escape(published.file)}), or your own. The "
                "last layer may have other classes; it is replaced."
            )
            upload = st.file_uploader("Weights", type=["pth", "pt", "safetensors"], key=f"weights.{name}")
            if upload is not None and st.button("Use this file", key=f"use.{name}", type="primary"):
                with boundary():
                    ending = ".safetensors" if upload.name.endswith(".safetensors") else ".pth"
                    start_fetching(name, save_upload(upload, ending))
                    st.rerun()
    if known:
        st.caption(f":red[:material/error:] {escape(known.message, 600)}")


@boundary()
def _draw_progress(name: str) -> None:
    known = read_fetching(name)
    if not (known and known.live):
        st.rerun()
    total = PUBLISHED[name].megabytes * 2**20
    with st.container(horizontal=True, vertical_alignment="center"):
        told = f"{known.done / 2**20:,.0f} of {total / 2**20:,.0f} MB" if known.done else "Getting ready"
        st.progress(min(1.0, known.done / total), text=told)
        st.button("Cancel", key=f"cancel.{name}", on_click=cancel_fetching, args=(name,), type="tertiary")


def _came(name: str) -> int:
    part = downloads_root() / f"{PUBLISHED[name].file}.partial"
    with suppress(OSError):
        return part.stat().st_size
    return 0


def _folder(name: str) -> Path:
    assert name in PUBLISHED, name
    return weights_root() / ".fetching" / name
