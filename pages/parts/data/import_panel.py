"""Adding pictures: the panel that asks for them in one of several ways, and the import that is at work."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.data.imports.samples import SAMPLES
from core.data.sources.listing import is_class_folder
from core.errors import UserMistake
from core.jobs.import_job import forget_job, list_jobs, start_import
from core.jobs.uploads import forget_upload, save_files, save_upload
from core.settings import Limits, atelier_home, load_limits, readable_from_page
from pages.parts.data.import_preview import draw_preview, has_preview, open_preview
from pages.parts.shell.cache import dataset_named, datasets, drawn_pictures
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary
from pages.parts.shell.upload_limit import let_go
from pages.parts.widgets.import_progress import draw_failed_import, draw_import_progress

SOURCES = {
    "zip": ":material/folder_zip: A zip",
    "dropped": ":material/folder: A folder",
    "classes": ":material/imagesmode: Single pictures",
    "path": ":material/hard_drive: On this machine",
    "cifar10": ":material/cloud_download: CIFAR-10",
    "samples": ":material/draw: Samples",
}
THUMBNAILS = 4  # on the card of a sample
DRAWN = "sample-artworks"  # shows how pictures should lie
OPEN = "add_pictures.open"  # whether the panel was opened
STAGED_CLASSES, STAGED_PATH = "staged_classes", "staged_path"  # class -> pictures, and the zip that holds them


def follow_import() -> None:
    """How far the newest import is; once it is over, why it failed, or the page with the new dataset chosen."""
    live = any(job.is_live for job in list_jobs()[:1])
    st.fragment(_follow, run_every=1 if live else None)(live)


@boundary()
def _follow(was_live: bool) -> None:
    jobs = list_jobs()
    if not jobs:
        return
    job = jobs[0]
    if job.is_live:
        draw_import_progress(job)
        st.caption("You may close this page: the pictures keep coming in.")
    elif job.status == "done":
        if was_live:
            st.session_state["dataset_added"], st.session_state[OPEN] = job.dataset, False
            st.toast(f"{escape(job.dataset)} is ready.", icon=":material/check_circle:")
            st.rerun()
    elif job.status == "stopped":
        forget_job(job)
        st.rerun()
    else:
        draw_failed_import(job)


def draw_add_button() -> None:
    """In the head of the page once there are pictures: opens the panel, and closes it."""
    is_open = bool(st.session_state.get(OPEN))
    label, icon = ("Close", "close") if is_open else ("Add pictures", "add_photo_alternate")
    st.button(label, icon=f":material/{icon}:", key="add_pictures", on_click=_open_panel, args=(not is_open,))


def _open_panel(is_open: bool) -> None:
    st.session_state[OPEN] = is_open


def asks_for_pictures(found: Sequence[Dataset]) -> bool:
    """Whether the panel is drawn: while there is no dataset, while a preview waits, and when it was opened."""
    return not found or has_preview() or bool(st.session_state.get(OPEN))


def draw_import_panel() -> None:
    """Ask for pictures in one of several ways, preview them, and start the import."""
    if has_preview():
        draw_preview()
        _draw_limits()
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
    _draw_limits()


def _draw_limits() -> None:
    """Where pictures go, and what is accepted."""
    home = escape(atelier_home(), 200)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption(f":material/lock: Nothing leaves this machine: pictures stay in {home}.", width="content")
        with st.popover("What is accepted", icon=":material/rule:", type="tertiary"):
            st.markdown(_list_limits(load_limits()))
            st.caption(f"A file {escape(atelier_home() / 'limits.json', 200)} changes these.")


def _list_limits(limits: Limits) -> str:
    roots = _roots(limits)
    return "\n".join(
        f"- {line}"
        for line in (
            "JPEG, PNG, WebP, GIF, BMP and TIFF, recognised by what is in the file, not by its name",
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
        path = save_upload(upload)
        let_go([upload])
        _open_preview(path, Path(upload.name).stem, "zip")


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
        path = save_files([(upload.name, upload) for upload in uploads])
        let_go(uploads)
        _open_preview(path, name, "folder")


def _classes() -> None:
    """One class after the other: its name, and its pictures."""
    counts: dict[str, int] = st.session_state.setdefault(STAGED_CLASSES, {})
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
                with boundary():  # a name that is refused leaves the other classes in sight
                    _add_class(name, [(upload.name, upload) for upload in uploads])
                    let_go(uploads)
                    st.rerun()
            if datasets():
                with st.popover("Take a class that is here", icon=":material/library_add:"), boundary():
                    _take_class(name)
    with right, st.container(border=True):
        if not counts:
            st.caption("Classes that you add are collected here. Two are needed.")
        for class_name, count in counts.items():
            st.markdown(f":material/folder: **{escape(class_name)}** · {count:,} picture{'s' * (count != 1)}")
        with st.container(horizontal=True):
            if st.button(
                "Preview", type="primary", icon=":material/preview:", disabled=len(counts) < 2, key="preview_classes"
            ):
                path = Path(st.session_state.pop(STAGED_PATH))
                del st.session_state[STAGED_CLASSES]
                _open_preview(path, "my pictures", "folder")
            if counts and st.button("Start again", icon=":material/undo:", key="drop_classes"):
                forget_upload(Path(st.session_state.pop(STAGED_PATH)))
                del st.session_state[STAGED_CLASSES]
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
    """Put pictures, by their file names, into the staged zip as a class."""
    if not is_class_folder(name):
        raise UserMistake(
            f"A class cannot be called {name!r} here: it would be read as a path, a part or a system file. Choose "
            "another name; the preview can change it to anything."
        )
    known = st.session_state.get(STAGED_PATH)
    named = [(f"{name}/{given.replace(chr(92), '/').rsplit('/', 1)[-1]}", content) for given, content in files]
    st.session_state[STAGED_PATH] = str(save_files(named, Path(known) if known else None))
    counts = st.session_state[STAGED_CLASSES]
    counts[name] = counts.get(name, 0) + len(named)
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
        st.caption(f"Below {roots}: pages read from nowhere else. The command line does.")
        if st.button("Preview", type="primary", icon=":material/preview:", disabled=not given, key="preview_path"):
            with boundary():
                path = readable_from_page(given)
                _open_preview(path, path.stem, "folder" if path.is_dir() else "zip", staged=False)
    with right:
        _draw_layout("artworks", ":material/folder:")


def _roots(limits: Limits) -> str:
    return ", ".join(escape(Path(root).expanduser(), 200) for root in limits.import_roots) or "nowhere"


def _open_preview(path: Path, name: str, source: str, staged: bool = True) -> None:
    """Show what `path` holds instead of asking for pictures."""
    st.session_state["uploads"] = _number() + 1  # another uploader, empty
    open_preview(path, shown(name).strip() or "pictures", source, staged)
    st.rerun()


def _number() -> int:
    return int(st.session_state.setdefault("uploads", 0))


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
                with st.container(horizontal=True, gap="xsmall"):
                    for picture in drawn_pictures(name, THUMBNAILS, 96):
                        st.image(picture, width=56, alt=f"One of {sample.title}")
                st.markdown(f"**{sample.title}**")
                st.caption(f"{sample.description} {sum(sample.counts.values()):,} pictures.")
                there = dataset_named(name) is not None
                label = "In the store" if there else "Draw them"
                if st.button(label, key=f"draw_{name}", icon=":material/draw:", disabled=there):
                    start_import("sample", name)
                    st.rerun()
