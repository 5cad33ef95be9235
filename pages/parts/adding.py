"""Adding pictures: the panel that asks for them, and how far a job is. Drawn by Data and Home."""

from pathlib import Path

import streamlit as st

from core.data.samples import SAMPLES
from core.errors import UserMistake
from core.settings import atelier_home, load_limits
from pages.parts.cached import dataset_named
from pages.parts.escape import escape, shown
from pages.parts.frame import boundary
from pages.parts.importing import ImportJob, cancel_import, forget_job, list_jobs, save_upload, start_import
from pages.parts.words import span

SOURCES = {
    "zip": ":material/folder_zip: A zip",
    "folder": ":material/folder: A folder",
    "cifar10": ":material/cloud_download: CIFAR-10",
    "samples": ":material/draw: Samples",
}
LAYOUT = """\
artworks.zip
  cartoon/   one.png  two.png  …
  noir/      three.jpg  …
"""


def draw_adding() -> None:
    """Ask for pictures in one of four ways and start the job."""
    source = st.segmented_control(
        "Where do the pictures come from?",
        list(SOURCES),
        format_func=lambda source: SOURCES[source],
        default="zip",
        required=True,
    )
    {"zip": _zip, "folder": _folder, "cifar10": _cifar10, "samples": _samples}[source]()
    home = escape(atelier_home(), 200)
    st.caption(f":material/lock: Nothing is uploaded anywhere: pictures stay on this machine, in {home}.")


def draw_job() -> None:
    """How far the newest job is, with a cancel button; once it is over, its message or the new dataset picked."""
    live = any(job.live for job in list_jobs()[:1])
    st.fragment(_follow_job, run_every=1 if live else None)(live)


@boundary()
def _follow_job(was_live: bool) -> None:
    jobs = list_jobs()
    if not jobs:
        return
    job = jobs[0]
    if job.live:
        draw_progress(job)
    elif job.status == "done":
        if was_live:
            st.session_state["dataset_added"] = job.dataset
            st.toast(f"{escape(job.dataset)} is ready.", icon=":material/check_circle:")
            st.rerun()
    elif job.status == "stopped":
        forget_job(job)
        st.rerun()
    else:
        draw_ended_badly(job)


def draw_progress(job: ImportJob) -> None:
    """One bar with what is being done, and a button that cancels it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(job.share or 0.0, text=describe(job))
        if st.button("Cancel", key=f"cancel_{job.id}", icon=":material/close:", disabled=job.stop_asked):
            cancel_import(job)


def draw_ended_badly(job: ImportJob) -> None:
    """Why the pictures were not added."""
    show = st.warning if job.status == "refused" else st.error
    title = f"{escape(job.name)} was not {'trained on' if job.dataset else 'added'}"
    show(escape(job.message, 900), title=title, icon=":material/info:")
    if st.button("OK", key=f"forget_{job.id}"):
        forget_job(job)
        st.rerun()


def describe(job: ImportJob) -> str:
    """ "artworks: reading pictures, 1,200 of 5,400, 9 s left" for a progress bar."""
    if job.stop_asked:
        return f"{escape(job.name)}: cancelling"
    reading = "drawing the pictures" if job.kind == "sample" else "reading the pictures"
    phase = {"reading": reading, "saving": "saving", "": "starting"}.get(job.phase, job.phase)
    told = f"{escape(job.name)}: {escape(phase)}"
    if job.total:
        if job.total > 10_000_000:  # a download counts bytes
            told += f", {job.done / 1e6:,.0f} of {job.total / 1e6:,.0f} MB"
        else:
            told += f", {job.done:,} of {job.total:,}"
    if job.seconds_left is not None and (job.share or 0) > 0.05:  # before that it is a guess that jumps
        told += f", {span(job.seconds_left)} left"
    return told


def _zip() -> None:
    most = load_limits().zip_bytes // 2**20
    number = st.session_state.setdefault("uploads", 0)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        upload = st.file_uploader(
            f"A zip with one folder per class, up to {most:,} MB",
            type=["zip"],
            max_upload_size=most,
            key=f"zip_{number}",
        )
        name = _ask_name("zip", Path(upload.name).stem if upload else "artworks")
        asked = st.button(
            "Add these pictures", type="primary", icon=":material/add:", disabled=upload is None, key="add_zip"
        )
    with right:
        st.caption("The names of the folders are the classes. `train/` and `test/` may stand above them.")
        st.code(LAYOUT, language=None)
    if asked:
        assert upload is not None
        _refuse_taken(name)
        path = save_upload(upload)
        try:
            start_import("pictures", name, path, draft=True)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        st.session_state["uploads"] = number + 1  # a new uploader lets go of the old one's memory
        st.rerun()


def _folder() -> None:
    given = st.text_input(
        "Folder or zip on this machine",
        placeholder="/home/me/artworks",
        help="The way for large sets: nothing is copied through the browser. One folder per class inside.",
    ).strip()
    path = Path(given).expanduser()
    name = _ask_name("folder", path.stem if given else "artworks")
    if st.button("Add these pictures", type="primary", icon=":material/add:", disabled=not given, key="add_folder"):
        if not path.exists():
            raise UserMistake(f"There is no folder or zip at {given}. Check the path; it is one on this machine.")
        _refuse_taken(name)
        start_import("pictures", name, path)
        st.rerun()


def _cifar10() -> None:
    if dataset_named("cifar10"):
        st.info("CIFAR-10 is in the store already.", icon=":material/check_circle:")
        return
    st.markdown("60,000 photographs of ten things, 32 by 32 pixels: the set that the paper begins with.")
    if st.button("Download CIFAR-10 (170 MB)", type="primary", icon=":material/download:"):
        start_import("cifar10", "cifar10")
        st.rerun()
    given = st.text_input("Or its zip, archive or folder on this machine", placeholder="/home/me/cifar10.zip").strip()
    if st.button("Add from there", icon=":material/add:", disabled=not given):
        path = Path(given).expanduser()
        if not path.exists():
            raise UserMistake(f"There is no file or folder at {given}. Check the path; it is one on this machine.")
        start_import("cifar10", "cifar10", path)
        st.rerun()


def _samples() -> None:
    st.markdown("Drawn by the program itself, the same ones every time. They need no network and are free of rights.")
    with st.grid(2, min_column_width=280):
        for name, sample in SAMPLES.items():
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{sample.title}**")
                st.caption(f"{sample.description} {sum(sample.counts.values()):,} pictures.")
                there = dataset_named(name) is not None
                label = "In the store" if there else "Draw them"
                if st.button(label, key=f"draw_{name}", icon=":material/draw:", disabled=there):
                    start_import("sample", name)
                    st.rerun()


def _ask_name(source: str, proposed: str) -> str:
    told = "What this set is called from now on."
    given = st.text_input("Name", placeholder=shown(proposed), max_chars=80, help=told, key=f"name_{source}", width=360)
    return given.strip() or shown(proposed).strip()


def _refuse_taken(name: str) -> None:
    if dataset_named(name):
        raise UserMistake(f"There is a dataset called {name} already; choose another name, or delete that one first.")
