"""The ledger of a dataset: every file that was given and what became of it; its versions, its export, its end."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from core.data.dataset import Dataset, delete_dataset, export_path, made_from
from core.data.export import class_folders
from core.data.ledger import (
    Line,
    added_rows,
    counts_of,
    excluded_lines,
    ledger_csv,
    ledger_lines,
    refused_lines,
    relabelled_rows,
    used_lines,
)
from core.runs.usage import refuse_if_needed, tell_use
from pages.parts.cached import datasets, runs
from pages.parts.errand_bar import Words, draw_errand
from pages.parts.errands import Errand, read_doing
from pages.parts.escape import escape, shown
from pages.parts.versions import draw_history

MOST_LINES = 2000  # of the table; the CSV has all
MOST_DOWNLOADED = 256 * 2**20  # bytes: what is downloaded from a page is held in memory
STATES = {
    "refused": "Refused",
    "excluded": "Left out",
    "relabelled": "Relabelled",
    "added": "Added",
    "used": "Used",
}
PACKING = Words(
    "Pack the zip", ":material/folder_zip:", {"packing": "Packing", "done": "Finishing"}, counts=True, primary=False
)


def draw_ledger(dataset: Dataset) -> None:
    _draw_counts(dataset)
    draw_history(dataset, datasets())
    _draw_files(dataset)
    with st.container(horizontal=True, vertical_alignment="top"):
        with st.popover("Take the pictures along", icon=":material/folder_zip:", key="export"):
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
    told = "used + refused" + (" + left out" if dataset.parent else "")
    st.caption(f"Given = {told}. System files, such as __MACOSX and .DS_Store, are not counted as given.")
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
            key=f"ledger_{dataset.id}",
        )
        wanted = st.text_input(
            "Name contains", key=f"ledger_search_{dataset.id}", width=240, icon=":material/search:", max_chars=200
        ).strip()
        st.download_button(
            "Download all (CSV)",
            lambda: "".join(ledger_csv(ledger_lines(dataset))).encode("utf-8-sig"),
            f"ledger of {shown(dataset.name)}.csv",
            "text/csv",
            icon=":material/download:",
            key="ledger_csv",
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
    st.dataframe(table.drop(columns=empty), hide_index=True, height=min(38 + 35 * len(table), 420), alt="The ledger")
    if len(lines) > MOST_LINES:
        st.caption(f"The first {MOST_LINES:,}; search by name for others, or download all.")


@st.cache_data(max_entries=20, show_spinner=False)
def _counts(identity: str, _dataset: Dataset) -> dict[str, int]:
    counts = counts_of(_dataset)
    changed = {"relabelled": len(relabelled_rows(_dataset)), "added": len(added_rows(_dataset))}
    return {**counts, **changed}


def _lines(dataset: Dataset, state: str, wanted: str) -> Iterator[Line]:
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
    """A zip of what is used, packed in a process of its own, then downloaded or found on this machine."""
    st.markdown(
        f"The **{dataset.used:,}** pictures of {escape(dataset.name, 60)} as a zip: a folder for each class, the files "
        "as you gave them" + (", below train and test" if (dataset.given_parts >= 0).any() else "") + "."
    )
    changed = [(name, safe) for name, safe in zip(dataset.classes, class_folders(dataset), strict=True) if name != safe]
    for name, safe in changed[:5]:
        st.caption(f"{escape(name, 60)} is in the folder {escape(safe, 60)}, a name that every system takes.")
    path, errand = export_path(dataset), Errand("export", dataset)
    doing = read_doing(errand)
    if not path.exists() or (doing is not None and doing.live):
        draw_errand(errand, PACKING)
        return
    size = path.stat().st_size
    told = f"{size / 1e6:,.1f} MB"
    if size <= MOST_DOWNLOADED:
        st.download_button(
            f"Download ({told})",
            path.read_bytes,
            f"{shown(dataset.name)}.zip",
            "application/zip",
            type="primary",
            icon=":material/download:",
            key="export_download",
            on_click="ignore",
        )
    else:
        st.markdown(f"It has {told}, too much for a browser's download. It lies on this machine:")
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
    used = tell_use(dataset.name, runs(hidden=True))
    pictures = "" if dataset.parent else f" and its {dataset.used:,} pictures"
    st.markdown(f"Delete **{escape(dataset.name)}**{pictures} from Atelier? {used} Runs stay.")
    with_versions = not later
    if later:
        names = ", ".join(escape(one.name, 60) for one in later)
        with_versions = st.checkbox(f"Also {names}: made from it, their originals lie in it", key="delete_versions")
        for one in later:
            if told := tell_use(one.name, runs(hidden=True)):
                st.caption(f"{escape(one.name, 60)}: {told}")
    if st.button("Delete it", type="primary", key="delete_dataset", disabled=not with_versions):
        for one in (dataset, *later):
            refuse_if_needed(one.name, runs(hidden=True))
        delete_dataset(dataset.name, versions=True)
        st.toast(f"{escape(dataset.name)} was deleted.", icon=":material/delete:")
        st.rerun()
