"""Take it away: a network as a zip of files that work without Atelier, packed in a process of its own."""

import streamlit as st

from core.errors import UserMistake
from core.export.pack import packed_path
from core.jobs.export_job import cancel_export_job, read_export_job, start_export_job
from core.jobs.job import JobStatus
from core.runs.run import Run
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.frame import boundary

MOST_DOWNLOADED = 512 * 2**20  # bytes: what is downloaded from a page is held in memory
PHASES = {
    "loading the network": "Loading the network",
    "tracing the network": "Writing the network down",
    "writing safetensors": "Writing safetensors",
    "writing torch": "Writing torch.export",
    "writing ONNX": "Writing ONNX",
    "writing the card": "Writing the model card",
    "packing": "Packing",
}


def draw_take_away(run: Run) -> None:
    """A button that packs the network of `run`, how far that is, then the download."""
    with st.popover("Take it away", icon=":material/download:", key="take-away"), boundary():
        st.markdown(
            "The network as files that work without Atelier: a **web page** that friends can drop pictures on, one "
            "**ONNX** file, safetensors, torch.export, scripts for each, and a card that says what it is good for."
        )
        try:
            path = packed_path(run)
        except UserMistake as mistake:
            st.info(escape(mistake, 400), icon=":material/info:")
            return
        status = read_export_job(run.id)
        if not path.exists() or (status is not None and status.is_live):
            live = status is not None and status.is_live
            st.fragment(_draw_job, run_every=1 if live else None)(run, live)
            return
        size = path.stat().st_size
        megabytes = f"{size / 1e6:,.1f} MB"
        if size > MOST_DOWNLOADED:
            st.markdown(f"It has {megabytes}, too much for a browser's download. It lies on this machine:")
            st.code(str(path), language=None)
            return
        st.download_button(
            f"Download ({megabytes})",
            path.read_bytes,
            f"{shown(run.title, 60)}.zip",
            "application/zip",
            type="primary",
            icon=":material/download:",
            key="take-away-download",
            on_click="ignore",
        )
        st.caption("README.md in it says how each file is used.")


@boundary()
def _draw_job(run: Run, was_live: bool) -> None:
    status = read_export_job(run.id)
    if status is not None and status.is_live:
        st.progress(status.share, text=_describe(status))
        if st.button("Cancel", icon=":material/close:", key="take-away-cancel", disabled=status.stop_requested):
            cancel_export_job(run.id)
        st.caption("You may close this: it goes on.")
        return
    if was_live:
        st.rerun()  # it is over, and the download is drawn outside this fragment
    if status is not None:
        st.error(escape(status.message, 400), icon=":material/info:")
    if st.button("Pack it", type="primary", icon=":material/folder_zip:", key="take-away-start"):
        start_export_job(run.id)
        st.rerun()


def _describe(status: JobStatus) -> str:
    return "Cancelling" if status.stop_requested else PHASES.get(status.phase, "Starting")
