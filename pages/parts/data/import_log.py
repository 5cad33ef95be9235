"""The History tab: every file that was given and what became of it; versions, export and deletion of the dataset."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from core.data.datasets.dataset import Dataset, delete_dataset, export_path, made_from
from core.data.versions.export import LAYOUTS, SPLIT_LAYOUTS, Layout, class_folders
from core.data.versions.import_log import (
    LogLine,
    added_rows,
    counts_of,
    excluded_lines,
    log_csv_file,
    log_lines,
    refused_lines,
    relabelled_rows,
    used_lines,
)
from core.jobs.dataset_job import DatasetJob, export_kind, read_dataset_job
from core.runs.dataset_use import describe_use, refuse_if_needed
from pages.parts.shell.cache import datasets, runs
from pages.parts.shell.escape import escape, shown
from pages.parts.widgets.dataset_versions import draw_history
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.report_panel import offer_report

MOST_LINES = 2000  # of the table; the CSV has all
MOST_DOWNLOADED = 256 * 2**20  # bytes: what is downloaded from a page is held in memory
STATES = {
    "refused": "Refused",
    "excluded": "Left out",
    "relabelled": "Relabelled",
    "added": "Added",
    "used": "Used",
}
LAYOUT_LABELS: dict[Layout, str] = {
    "folders": "A folder for each class",
    "imagefolder": "torchvision ImageFolder",
    "huggingface": "Hugging Face imagefolder",
    "table": "Pictures and a table",
}
_LAYOUT_HELP = "\n\n".join(f"**{LAYOUT_LABELS[layout]}**: {text}" for layout, text in LAYOUTS.items())
PACKING = JobLabels(
    "Pack the zip", ":material/folder_zip:", {"packing": "Packing", "done": "Finishing"}, counts=True, primary=False
)


def draw_import_log(dataset: Dataset) -> None:
    _draw_counts(dataset)
    draw_history(dataset, datasets())
    _draw_files(dataset)
    with st.container(horizontal=True, vertical_alignment="top"):
        offer_report([dataset.name], "data")
        with st.popover("Export the pictures", icon=":material/folder_zip:", key="export"):
            _draw_export(dataset)
        with st.popover("Delete this dataset", icon=":material/delete:"):
            _draw_delete(dataset)
    st.caption(f"Added {shown(dataset.created[:16].replace('T', ' '))} · content {dataset.content_hash[:12]}")


def _draw_counts(dataset: Dataset) -> None:
    counts = counts_of(dataset)
    with st.container(horizontal=True):
        st.metric("Given", f"{counts['given']:,}", border=True)
        st.metric("Used", f"{counts['used']:,}", border=True)
        st.metric("Refused", f"{counts['refused']:,}", border=True)
        if dataset.parent:
            st.metric("Left out", f"{counts['excluded']:,}", border=True)
        st.metric("System files ignored", f"{counts['ignored']:,}", border=True)
    parts = "used + refused" + (" + left out" if dataset.parent else "")
    st.caption(f"Given = {parts}. System files, such as __MACOSX and .DS_Store, are not counted as given.")
    for note in dataset.notes:
        st.caption(f":material/info: {escape(note, 400)}")


def _draw_files(dataset: Dataset) -> None:
    """A table of files by what became of them and by name."""
    counts = _counts(dataset.id, dataset)
    offered = [state for state in STATES if counts[state]]
    st.markdown("**Files**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state = st.segmented_control(
            "Show",
            offered,
            format_func=lambda state: f"{STATES[state]} ({counts[state]:,})",
            default=offered[0],
            required=True,
            key=f"log_state_{dataset.id}",
        )
        wanted = st.text_input(
            "Name contains", key=f"log_search_{dataset.id}", width=240, icon=":material/search:", max_chars=200
        ).strip()
        st.download_button(
            "Download all (CSV)",
            lambda: log_csv_file(log_lines(dataset)),
            f"import log of {shown(dataset.name)}.csv",
            "text/csv",
            icon=":material/download:",
            key="log_csv",
            on_click="ignore",
        )
    lines = list(islice(_lines(dataset, state, wanted), MOST_LINES + 1))
    if not lines:
        st.info(f"No file has “{escape(wanted)}” in its name here.", icon=":material/info:")
        return
    table = pd.DataFrame(
        {
            "File": [shown(line.name, 200) for line in lines[:MOST_LINES]],
            "Class": [shown(line.class_name, 80) for line in lines[:MOST_LINES]],
            "Part": [line.part for line in lines[:MOST_LINES]],
            "Why": [shown(line.why, 300) for line in lines[:MOST_LINES]],
        }
    )
    empty = [column for column in ("Class", "Part", "Why") if not table[column].any()]
    st.dataframe(
        table.drop(columns=empty), hide_index=True, height=min(38 + 35 * len(table), 420), alt="The import log"
    )
    if len(lines) > MOST_LINES:
        st.caption(f"The first {MOST_LINES:,}; search by name for others, or download all.")


@st.cache_data(max_entries=20, show_spinner=False)
def _counts(identity: str, _dataset: Dataset) -> dict[str, int]:
    counts = counts_of(_dataset)
    changed = {"relabelled": len(relabelled_rows(_dataset)), "added": len(added_rows(_dataset))}
    return {**counts, **changed}


def _lines(dataset: Dataset, state: str, wanted: str) -> Iterator[LogLine]:
    """The lines of one state whose names have `wanted` in them, whatever the case."""
    if state in ("refused", "excluded"):
        every = refused_lines(dataset) if state == "refused" else excluded_lines(dataset)
        yield from (line for line in every if wanted.casefold() in line.name.casefold())
        return
    rows = {"relabelled": relabelled_rows, "added": added_rows}.get(state, _every_row)(dataset)
    if wanted:
        rows = np.intersect1d(rows, dataset.names.containing(wanted))
    yield from used_lines(dataset, rows[: MOST_LINES + 1])


def _every_row(dataset: Dataset) -> np.ndarray:
    return np.arange(dataset.used)


# ---------------------------------------------------------------------------------------------------- export


def _draw_export(dataset: Dataset) -> None:
    """The pictures that are used, packed in a process of its own, then downloaded or found on this machine."""
    layout = st.selectbox(
        "Format", list(LAYOUTS), format_func=LAYOUT_LABELS.__getitem__, key="export_format", help=_LAYOUT_HELP
    )
    st.markdown(f"The **{dataset.used:,}** pictures of {escape(dataset.name, 60)} as a zip. {LAYOUTS[layout]}")
    if layout in SPLIT_LAYOUTS:
        st.caption("Split as Train proposes; of a run's own split: python -m core data export NAME FILE.zip --run RUN")
    if layout in ("folders", "imagefolder"):
        named = zip(dataset.classes, class_folders(dataset), strict=True)
        for name, safe in [(name, safe) for name, safe in named if name != safe][:5]:
            st.caption(f"{escape(name, 60)} is in the folder {escape(safe, 60)}, a name that every system takes.")
    path, job = export_path(dataset, layout), DatasetJob(export_kind(layout), dataset)
    status = read_dataset_job(job)
    if not path.exists() or (status is not None and status.is_live):
        draw_job(job, PACKING)
        return
    size = path.stat().st_size
    megabytes = f"{size / 1e6:,.1f} MB"
    if size <= MOST_DOWNLOADED:
        st.download_button(
            f"Download ({megabytes})",
            path.read_bytes,
            f"{shown(dataset.name)}.zip",
            "application/zip",
            type="primary",
            icon=":material/download:",
            key="export_download",
            on_click="ignore",
        )
    else:
        st.markdown(f"It has {megabytes}, too much for a browser's download. It lies on this machine:")
        st.code(str(path), language=None)
    st.caption(f"It stays for a day; packed {_age(path)} ago.")
    if st.button("Remove the zip", icon=":material/delete:", type="tertiary", key="export_remove"):
        path.unlink(missing_ok=True)
        st.rerun()


def _age(path: Path) -> str:
    minutes = (time.time() - path.stat().st_mtime) / 60
    return "a moment" if minutes < 2 else f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"


# ---------------------------------------------------------------------------------------------------- delete


def _draw_delete(dataset: Dataset) -> None:
    later = made_from(dataset, datasets())
    used = describe_use(dataset.name, runs(hidden=True))
    pictures = "" if dataset.parent else f" and its {dataset.used:,} pictures"
    st.markdown(f"Delete **{escape(dataset.name)}**{pictures} from Atelier? {used} Runs stay.")
    with_versions = not later
    if later:
        names = ", ".join(escape(one.name, 60) for one in later)
        with_versions = st.checkbox(f"Also {names}: made from it, their originals lie in it", key="delete_versions")
        for one in later:
            if use := describe_use(one.name, runs(hidden=True)):
                st.caption(f"{escape(one.name, 60)}: {use}")
    if st.button("Delete it", type="primary", key="delete_dataset", disabled=not with_versions):
        for one in (dataset, *later):
            refuse_if_needed(one.name, runs(hidden=True))
        delete_dataset(dataset.name, versions=True)
        st.toast(f"{escape(dataset.name)} was deleted.", icon=":material/delete:")
        st.rerun()
