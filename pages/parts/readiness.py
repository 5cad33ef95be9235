"""Whether these pictures are ready, in plain words: what blocks a training, what to know before, what is fine."""

import streamlit as st

from core.config import DataConfig
from core.data.dataset import Dataset
from core.data.readiness import Finding, check_readiness
from core.experiments.trained import runs_on
from pages.parts.cached import runs, score_of
from pages.parts.escape import escape

MARKS = {
    "blocks": ":red[:material/block:]",
    "warns": ":orange[:material/warning:]",
    "fine": ":green[:material/check:]",
}


def draw_readiness(dataset: Dataset, data: DataConfig) -> None:
    """One line on top that says it all, then a line for each finding."""
    reached = tuple((*score_of(run), run.id) for run in runs_on(dataset, runs()))
    copies = (dataset.folder / "copies.npz").exists()
    found = _checked(dataset.content_hash, data.model_dump_json(), copies, reached, dataset)
    blocks, warns = (sum(finding.level == level for finding in found) for level in ("blocks", "warns"))
    st.markdown(f"**{_in_a_line(blocks, warns)}**")
    with st.container(gap="xsmall", key="readiness"):
        for finding in found:
            _draw(finding)
        if not copies and not blocks:
            st.markdown(
                ":gray[:material/help:] Nobody has looked for copies among these pictures yet; the tab Copies does."
            )


def _draw(finding: Finding) -> None:
    advice = f" *{escape(finding.advice, 300)}*" if finding.advice else ""
    st.markdown(f"{MARKS[finding.level]} {escape(finding.text, 500)}{advice}")


def _in_a_line(blocks: int, warns: int) -> str:
    if blocks:
        return "These pictures cannot be trained on yet."
    if warns:
        return f"Ready to train, with {'one thing' if warns == 1 else f'{warns} things'} to know before."
    return "Ready to train."


@st.cache_data(max_entries=50, show_spinner="Looking at the pictures …")
def _checked(
    content_hash: str, data: str, copies_known: bool, reached: tuple[tuple[int, int, str], ...], _dataset: Dataset
) -> list[Finding]:
    return check_readiness(_dataset, DataConfig.model_validate_json(data), reached)
