"""Thousands of pictures: how far they are, a table sorted by how sure the answers are, CSV, a zip by answer."""

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.data.pictures.picture import Refusal
from core.data.sources.loose import open_loose
from core.errors import UserMistake
from core.jobs.prediction_job import (
    UNREADABLE,
    PredictionJob,
    answer_of,
    forget_prediction,
    pack_sorted,
    read_answers,
    read_prediction,
    resume_prediction,
    start_prediction,
    stop_prediction,
)
from core.jobs.uploads import save_files
from core.runs.run import Run
from core.settings import load_limits, readable_from_page
from core.spreadsheet import csv_file
from pages.parts.shell.cache import stamp_of, uncut
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.formatting import span
from pages.parts.shell.frame import boundary
from pages.parts.try_it.given import AT_ONCE, is_zip, saved_zip

ADDRESS = "many"  # of the job, in the address: it is there again when the page is opened again
PAGE = 60  # pictures of the table at a time
MOST_DOWNLOADED = 200 * 2**20  # bytes of a zip that a browser is given
PHASES = {
    "features": "Looking at its training pictures",
    "held out": "Measuring",
    "intruders": "Measuring",
    "predicting": "Answering",
}
ORDERS = {"unsure": "Least sure first", "sure": "Most sure first", "unlike": "Most unlike first", "name": "By name"}


def draw_folder_here(run: Run) -> None:
    """A path on this machine: its pictures are read where they are, however many."""
    path = st.text_input("Or a folder or zip on this machine", key="many.path", placeholder="/home/me/pictures")
    if st.button("Answer all of it", key="many.path.go", disabled=not path) and path:
        with boundary():
            found = readable_from_page(path)
            _begin(start_prediction(run.id, found, found.name, is_upload=False))


def draw_offer(run: Run, uploads: Sequence[UploadedFile], count: int) -> None:
    """More pictures than are answered at once: a button that answers all of them in the background."""
    single = uploads[0] if len(uploads) == 1 and is_zip(uploads[0]) else None
    st.info(
        f"The first {AT_ONCE} are answered below."
        + ("" if single else f" There are {count:,}.")
        + " All of them are answered in the background, into a table that can be sorted and taken along.",
        icon=":material/photo_library:",
    )
    label = "Answer all of the zip" if single else f"Answer all {count:,} pictures"
    if st.button(label, type="primary", icon=":material/play_arrow:", key="many.go"):
        with st.spinner("Packing …", show_time=False):
            loose = [(one.name, one) for one in uploads if not is_zip(one)]
            pack = saved_zip(single) if single else save_files(loose)
        _begin(start_prediction(run.id, pack, single.name if single else f"{len(loose):,} pictures", is_upload=True))


def _begin(job_id: str) -> None:
    st.query_params[ADDRESS] = job_id
    st.rerun()


def draw_many() -> bool:
    """The job that the address names, if there is one: how far it is, and its answers so far."""
    job = read_prediction(st.query_params.get(ADDRESS, ""))
    if job is None:
        return False
    with st.container(border=True, key="many"):
        st.markdown(f"**Many pictures** :small[{escape(job.name, 60)}]")
        live = job.status.is_live
        st.fragment(_draw_progress, run_every=1 if live else None)(job.id, live)
        rows = _answers(job.id, stamp_of(job.answers), job)
        if rows:
            _draw_summary(rows)
            st.fragment(_draw_table)(job, rows)
            _draw_downloads(job, rows)
        if not live and st.button("Close", key="many.close", type="tertiary", icon=":material/close:"):
            forget_prediction(job)
            st.query_params.pop(ADDRESS, None)
            st.rerun()
    return True


@boundary()
def _draw_progress(job_id: str, was_live: bool) -> None:
    job = read_prediction(job_id)
    if job is None:
        return
    status = job.status
    if status.is_live:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.progress(status.share, text=_describe(job))
            if st.button("Stop", key="many.stop", icon=":material/stop:", disabled=status.stop_requested):
                stop_prediction(job)
        return
    if was_live:
        st.rerun()
    if status.status != "done":
        said = "Stopped; what was answered is kept." if status.status == "stopped" else status.message
        st.warning(escape(said, 400), icon=":material/info:")
        if st.button("Go on", key="many.resume", icon=":material/play_arrow:"):
            resume_prediction(job)
            st.rerun()


def _describe(job: PredictionJob) -> str:
    status = job.status
    text = PHASES.get(status.phase, "Starting")
    if status.total:
        text += f", {status.done:,} of {status.total:,}"
    if status.seconds_left and status.phase == "predicting":
        speed = (status.total - status.done) / status.seconds_left
        text += f" · {speed:,.0f} pictures a second · {span(status.seconds_left)} left"
    return text


def _draw_summary(rows: list[dict[str, Any]]) -> None:
    counts = Counter(map(answer_of, rows)).most_common()
    st.caption(" · ".join(f"{escape(name, 40)} {count:,}" for name, count in counts[:12]))


@boundary()
def _draw_table(job: PredictionJob, rows: list[dict[str, Any]]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.segmented_control(
            "Order", list(ORDERS), default="unsure", required=True, format_func=ORDERS.__getitem__, key="many.order"
        )
        names = sorted({answer_of(row) for row in rows})
        only = st.selectbox(
            "Answer",
            names,
            index=None,
            placeholder="Every answer",
            format_func=lambda one: shown(one, 40),
            key="many.only",
        )
    chosen = _ordered([row for row in rows if only is None or answer_of(row) == only], order)
    pages = max(1, -(-len(chosen) // PAGE))
    page = st.number_input(f"Page of {pages:,}", 1, pages, key="many.page") if pages > 1 else 1
    part = chosen[(page - 1) * PAGE : page * PAGE]
    pictures = _thumbnails(job.id, tuple(row["file"] for row in part), job.path)
    table = pd.DataFrame(
        {
            "picture": [pictures.get(row["file"]) for row in part],
            "answer": [shown(answer_of(row), 60) for row in part],
            "sure": [100 * row["classes"][0][1] if row["classes"] else None for row in part],
            "unlike": [None if row["unlike"] is None else 100 * row["unlike"] for row in part],
            "file": [shown(row["file"], 120) for row in part],
            "why not": [shown(row["error"] or "", 200) for row in part],
        }
    )
    if not any(row["error"] for row in part):
        table = table.drop(columns="why not")
    st.dataframe(
        table,
        hide_index=True,
        row_height=64,
        key="many.table",
        column_config={
            "picture": st.column_config.ImageColumn("Picture", width="small"),
            "answer": st.column_config.TextColumn("Answer"),
            "sure": st.column_config.ProgressColumn("Sure", min_value=0, max_value=100, format="%.0f %%"),
            "unlike": st.column_config.NumberColumn(
                "Unlike",
                format="%.0f %%",
                help="Share of the validation pictures that are less unlike the training ones",
            ),
            "file": st.column_config.TextColumn("File"),
            "why not": st.column_config.TextColumn("Why not"),
        },
    )


def _ordered(rows: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """Those that could not be read come last, but by name."""
    if order == "name":
        return sorted(rows, key=lambda row: row["file"])
    sign = 1 if order == "unsure" else -1

    def key(row: dict[str, Any]) -> tuple[bool, float]:
        value = row["unlike"] if order == "unlike" else row["classes"][0][1] if row["classes"] else 0.0
        return bool(row["error"]), sign * (value or 0.0)

    return sorted(rows, key=key)


def _draw_downloads(job: PredictionJob, rows: list[dict[str, Any]]) -> None:
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Answers (CSV)",
            lambda: answers_csv(rows),
            "answers.csv",
            "text/csv",
            icon=":material/download:",
            key="many.csv",
            on_click="ignore",
        )
        packed = job.folder / "sorted.zip"
        if not packed.exists():
            if st.button(
                "Sort into folders", icon=":material/folder_zip:", key="many.sort", disabled=job.status.is_live
            ):
                with boundary(), st.spinner("Packing a folder for each answer …", show_time=False):
                    pack_sorted(job)
                    st.rerun()
        elif packed.stat().st_size <= MOST_DOWNLOADED:
            st.download_button(
                f"Sorted into folders (zip, {packed.stat().st_size / 1e6:,.1f} MB)",
                packed.read_bytes,
                "sorted.zip",
                "application/zip",
                icon=":material/folder_zip:",
                key="many.zip",
                on_click="ignore",
            )
        else:
            st.code(str(packed), language=None)  # too large for a browser's download: it lies on this machine


def answers_csv(rows: list[dict[str, Any]]) -> bytes:
    """UTF-8, a line a picture: its name, the answer, the probability that can be believed and how unlike it is, 0 to 1,
    and why a picture could not be read."""
    head = ("file", "answer", "probability", "none of these", "unlike", "error")
    return csv_file(
        head,
        (
            (
                row["file"],
                "" if answer_of(row) == UNREADABLE else answer_of(row),
                round(row["classes"][0][1], 6) if row["classes"] else None,
                row["none_of_these"],
                None if row["unlike"] is None else round(row["unlike"], 4),
                row["error"],
            )
            for row in rows
        ),
    )


@st.cache_data(max_entries=4, show_spinner=False)
def _answers(job_id: str, stamp: int, _job: PredictionJob) -> list[dict[str, Any]]:
    return read_answers(_job)


@st.cache_data(max_entries=40, show_spinner=False)
def _thumbnails(job_id: str, files: tuple[str, ...], path: Path) -> dict[str, str]:
    """File -> a data address of a small picture; without those that are gone or cannot be read."""
    wanted, found = set(files), dict[str, str]()
    try:
        with open_loose(path, load_limits()) as source:
            for entry in source.listing.entries:
                if entry.name in wanted:
                    try:
                        small = uncut(source.read(entry), 96)
                    except Refusal:
                        continue
                    kind = "png" if small.startswith(b"\x89PNG") else "jpeg"
                    found[entry.name] = f"data:image/{kind};base64,{base64.b64encode(small).decode()}"
    except UserMistake:
        return {}
    return found
