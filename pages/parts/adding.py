"""Adding pictures: the panel that asks for them, and how far a job is. Drawn by Data and Home."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import streamlit as st

from core.data.samples import SAMPLES
from core.data.sources import is_class_folder
from core.errors import UserMistake
from core.settings import Limits, atelier_home, load_limits, readable_from_page
from pages.parts.cached import dataset_named, datasets, drawn_pictures
from pages.parts.escape import escape, shown
from pages.parts.frame import boundary
from pages.parts.importing import (
    ImportJob,
    cancel_import,
    forget_draft,
    forget_job,
    list_jobs,
    save_files,
    save_upload,
    start_import,
)
from pages.parts.preview import bring, bringing, draw_preview
from pages.parts.words import span

SOURCES = {
    "zip": ":material/folder_zip: A zip",
    "dropped": ":material/folder: A folder",
    "classes": ":material/imagesmode: Single pictures",
    "path": ":material/hard_drive: On this machine",
    "cifar10": ":material/cloud_download: CIFAR-10",
    "samples": ":material/draw: Samples",
}
DRAWN = "sample-artworks"  # shows how pictures should lie


def draw_adding() -> None:
    """Ask for pictures in one of several ways, show what they are, and start the job."""
    if bringing() is not None:
        draw_preview()
        _say_where()
        return
    source = st.segmented_control(
        "Where do the pictures come from?",
        list(SOURCES),
        format_func=lambda source: SOURCES[source],
        default="zip",
        required=True,
    )
    {
        "zip": _zip,
        "dropped": _dropped,
        "classes": _classes,
        "path": _path,
        "cifar10": _cifar10,
        "samples": _samples,
    }[source]()
    _say_where()


def _say_where() -> None:
    """Where pictures go, and what is taken."""
    home = escape(atelier_home(), 200)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption(f":material/lock: Nothing leaves this machine: pictures stay in {home}.", width="content")
        with st.popover("What is taken", icon=":material/rule:", type="tertiary"):
            st.markdown(_limits_in_words(load_limits()))
            st.caption(f"A file {escape(atelier_home() / 'limits.json', 200)} changes these.")


def _limits_in_words(limits: Limits) -> str:
    roots = _roots(limits)
    return "\n".join(
        f"- {line}"
        for line in (
            "JPEG, PNG, WebP, GIF, BMP and TIFF, told by what is in the file, not by its name",
            f"A picture: up to {limits.picture_bytes // 2**20:,} MB and {limits.picture_pixels / 1e6:,.0f} million "
            f"pixels, at least {limits.picture_min_side} pixels a side, at most {limits.picture_aspect:g} times "
            "longer than wide",
            f"{limits.classes_min} to {limits.classes_max:,} classes, each of at least "
            f"{limits.pictures_per_class_min} pictures",
            f"A zip or a dropped folder: up to {limits.zip_bytes // 2**20:,} MB and {limits.zip_entries:,} files",
            f"Folders: at most {limits.path_depth} within one another",
            f"Paths on this machine: below {roots}; any size",
        )
    )


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
        st.caption("You may close this page: the pictures keep coming in.")
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
    left, right = st.columns([3, 2], gap="medium")
    with left:
        upload = st.file_uploader(
            f"A zip with one folder per class, up to {most:,} MB",
            type=["zip"],
            max_upload_size=most,
            key=f"zip_{_number()}",
        )
        st.caption("You see what was found before anything is added.")
    with right:
        _draw_layout("artworks.zip", ":material/folder_zip:")
    if upload is not None:
        _bring(save_upload(upload), Path(upload.name).stem, "zip")


def _dropped() -> None:
    left, right = st.columns([3, 2], gap="medium")
    with left:
        uploads = st.file_uploader(
            "A folder with one folder per class",
            accept_multiple_files="directory",
            max_upload_size=max(1, load_limits().picture_bytes // 2**20),
            key=f"dropped_{_number()}",
        )
        st.caption("You see what was found before anything is added. With more than a thousand files a zip is quicker.")
    with right:
        _draw_layout("artworks", ":material/folder:")
    if uploads:
        name = uploads[0].name.replace("\\", "/").strip("/").split("/")[0] if "/" in uploads[0].name else "pictures"
        _bring(save_files([(upload.name, upload) for upload in uploads]), name, "folder")


def _classes() -> None:
    """One class after the other: its name, and its pictures."""
    draft: dict[str, int] = st.session_state.setdefault("draft_classes", {})
    left, right = st.columns([3, 2], gap="medium")
    with left:
        name = st.text_input(
            "Class", placeholder="cartoon", max_chars=80, key=f"class_name_{_number()}", help="What its pictures show."
        ).strip()
        uploads = st.file_uploader(
            "Pictures of this class",
            accept_multiple_files=True,
            max_upload_size=max(1, load_limits().picture_bytes // 2**20),
            key=f"class_pictures_{_number()}",
        )
        ready = bool(name and uploads)
        with st.container(horizontal=True):
            if st.button("Add this class", icon=":material/add:", disabled=not ready, key="add_class"):
                with boundary():  # a name that does not do leaves the classes beside it in sight
                    _add_class(name, [(upload.name, upload) for upload in uploads])
                    st.rerun()
            if datasets():
                with st.popover("Take a class that is here", icon=":material/library_add:"), boundary():
                    _take_class(name)
    with right, st.container(border=True):
        if not draft:
            st.caption("Classes that you add are collected here. Two are needed.")
        for class_name, count in draft.items():
            st.markdown(f":material/folder: **{escape(class_name)}** · {count:,} picture{'s' * (count != 1)}")
        with st.container(horizontal=True):
            label = "Look at them"
            if st.button(label, type="primary", icon=":material/preview:", disabled=len(draft) < 2, key="look_classes"):
                path = Path(st.session_state.pop("draft_path"))
                del st.session_state["draft_classes"]
                _bring(path, "my pictures", "folder")
            if draft and st.button("Start again", icon=":material/undo:", key="drop_classes"):
                forget_draft(Path(st.session_state.pop("draft_path")))
                del st.session_state["draft_classes"]
                st.rerun()


def _take_class(name: str) -> None:
    """Ready-made pictures for one class, as the cats of CIFAR-10."""
    dataset = st.selectbox("From", datasets(), format_func=lambda one: shown(one.name), key="take_from")
    label = st.selectbox(
        "Its class",
        range(len(dataset.classes)),
        format_func=lambda place: shown(dataset.classes[place]),
        key=f"take_class_{dataset.id}",
    )
    members = np.flatnonzero(dataset.labels == label)
    most = st.number_input(
        "Pictures", 1, len(members), min(500, len(members)), key=f"take_count_{dataset.id}_{label}", width=160
    )
    if st.button("Add them", type="primary", icon=":material/add:", key="take_them"):
        kept = members[np.linspace(0, len(members) - 1, int(most)).astype(int)].tolist()  # from all over the class
        files = [(dataset.names[place], io.BytesIO(dataset.original(place))) for place in kept]
        _add_class(name or dataset.classes[label], files)
        st.rerun()


def _add_class(name: str, files: Sequence[tuple[str, BinaryIO]]) -> None:
    """Put pictures, by their file names, into the draft as a class."""
    if not is_class_folder(name):
        raise UserMistake(
            f"A class cannot be called {name!r} here: it would be read as a path, a part or a system file. Choose "
            "another name; the preview can change it to anything."
        )
    known = st.session_state.get("draft_path")
    named = [(f"{name}/{given.replace(chr(92), '/').rsplit('/', 1)[-1]}", content) for given, content in files]
    st.session_state["draft_path"] = str(save_files(named, Path(known) if known else None))
    draft = st.session_state["draft_classes"]
    draft[name] = draft.get(name, 0) + len(named)
    st.session_state["uploads"] = _number() + 1


def _path() -> None:
    roots = _roots(load_limits())
    left, right = st.columns([3, 2], gap="medium")
    with left:
        given = st.text_input(
            "Folder or zip on this machine",
            placeholder="~/artworks",
            key="given_path",
            help="The way for large sets: nothing is copied through the browser.",
        ).strip()
        st.caption(f"Below {roots}: there is no login, so pages read from nowhere else. The command line does.")
        if st.button("Look at it", type="primary", icon=":material/preview:", disabled=not given, key="look_path"):
            with boundary():
                path = readable_from_page(given)
                _bring(path, path.stem, "folder" if path.is_dir() else "zip", draft=False)
    with right:
        _draw_layout("artworks", ":material/folder:")


def _roots(limits: Limits) -> str:
    return ", ".join(escape(Path(root).expanduser(), 200) for root in limits.import_roots) or "nowhere"


def _bring(path: Path, name: str, source: str, draft: bool = True) -> None:
    """Show what `path` holds instead of asking for pictures."""
    st.session_state["uploads"] = _number() + 1  # a new uploader lets go of the old one's memory
    bring(path, shown(name).strip() or "pictures", source, draft)
    st.rerun()


def _number() -> int:
    return st.session_state.setdefault("uploads", 0)


def _draw_layout(name: str, icon: str) -> None:
    """How pictures should lie, as a picture: a folder for each class."""
    styles, pictures = list(SAMPLES[DRAWN].counts), drawn_pictures(DRAWN, 12, 96)
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"{icon} **{name}**")
        for place, style in enumerate(styles[:2]):
            with st.container(border=True, gap="xsmall"):
                st.markdown(f":material/folder: **{style}**")
                with st.container(horizontal=True, gap="xsmall"):
                    for picture in pictures[place :: len(styles)][:3]:
                        st.image(picture, width=40, alt=f"A picture of the class {style}")
                    st.markdown("…", width="content")
        st.caption("The names of the folders are the classes. `train` and `test` may stand above them.")


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
        start_import("cifar10", "cifar10", readable_from_page(given))
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
