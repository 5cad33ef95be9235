"""Readiness of a dataset for training: what blocks it, what to know before, what is fine."""

import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.quality.readiness import Finding, check_readiness
from core.experiments.dataset_runs import runs_on
from pages.parts.data.stamps import duplicates_stamp
from pages.parts.shell.cache import runs, score_of
from pages.parts.shell.escape import escape

MARKS = {
    "blocks": ":red[:material/block:]",
    "warns": ":orange[:material/warning:]",
    "fine": ":green[:material/check:]",
}


def draw_readiness(dataset: Dataset, data: DataConfig) -> None:
    """One line on top that says it all, then a line for each finding."""
    reached = tuple((*score_of(run), run.id) for run in runs_on(dataset, runs()))
    stamp = duplicates_stamp(dataset)
    found = _checked(dataset.content_hash, data.model_dump_json(), stamp, reached, dataset)
    blocks, warns = (sum(finding.level == level for finding in found) for level in ("blocks", "warns"))
    st.markdown(f"**{_summary(blocks, warns)}**")
    with st.container(gap="xsmall", key="readiness"):
        for finding in found:
            _draw(finding)
        if not stamp and not blocks:
            st.markdown(":gray[:material/help:] Duplicates have not been searched yet; the tab Duplicates does it.")


def _draw(finding: Finding) -> None:
    advice = f" *{escape(finding.advice, 300)}*" if finding.advice else ""
    st.markdown(f"{MARKS[finding.level]} {escape(finding.text, 500)}{advice}")


def _summary(blocks: int, warns: int) -> str:
    if blocks:
        return "This dataset cannot be trained on yet."
    if warns:
        return f"Ready to train, with {'one thing' if warns == 1 else f'{warns} things'} to know before."
    return "Ready to train."


@st.cache_data(max_entries=50, show_spinner="Checking the pictures …")
def _checked(
    content_hash: str, data: str, stamp: int, reached: tuple[tuple[int, int, str], ...], _dataset: Dataset
) -> list[Finding]:
    return check_readiness(_dataset, DataConfig.model_validate_json(data), reached)
