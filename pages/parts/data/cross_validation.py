"""Cross-validated predictions: the button that trains the networks, and how far their label issues can be trusted."""

import streamlit as st

from core.data.datasets.dataset import Dataset
from core.experiments.audits.cross_validation import FOLDS, estimate_cross_validation, read_cross_validated
from core.jobs.dataset_job import DatasetJob
from core.runs.run import Run
from pages.parts.data.stamps import cross_validation_stamp
from pages.parts.shell.cache import parts_of
from pages.parts.shell.formatting import percent_of, span
from pages.parts.widgets.job_progress import JobLabels, draw_job

TRAINING = JobLabels(
    "Cross-validate",
    ":material/groups:",
    {
        "reading": "Reading the pictures",
        "comparing": "Finding duplicates, which have to be in one fold",
        "waiting": "Waiting for another search for duplicates",
        **{f"network {number}": f"Training network {number} of {FOLDS}" for number in range(1, FOLDS + 1)},
    },
    counts=False,
    primary=False,
)


def offer_cross_validation(dataset: Dataset, run: Run) -> None:
    learnt = len(parts_of(dataset, run.config.data)["train"])
    seconds = estimate_cross_validation(dataset, run, learnt)
    st.caption(
        f"The pictures are split into {FOLDS} folds. {FOLDS} networks are trained as this one was, each on all folds "
        "but one, which it then predicts: every picture is judged by a network that was not trained on it or a "
        f"duplicate of it, so none has memorised a wrong label. About {span(seconds)}."
    )
    draw_job(DatasetJob("cross_validation", dataset, run.id), TRAINING)


def describe_cross_validation(dataset: Dataset, run: Run, with_run: bool) -> str:
    """Which networks judged, and how much of the list is likely their own mistakes."""
    right, n = _agreement(dataset.content_hash, run.id, cross_validation_stamp(dataset, run.id), dataset)
    if not n:
        return ""
    text = f"Every picture was judged by one of {FOLDS} networks that was not trained on it; they agree with the label "
    text += f"of {percent_of(right, n)} pictures"
    if with_run:
        return f"{text}. The mean with the network above counts. It errs less often at the top of the list."
    return f"{text}. The list is the most complete and the longest: where they disagree, the network may be wrong."


@st.cache_data(max_entries=20, show_spinner=False)
def _agreement(content_hash: str, run_id: str, stamp: int, _dataset: Dataset) -> tuple[int, int]:
    """(pictures on which they agree with the label, pictures); (0, 0) where there are no predictions."""
    answers = read_cross_validated(_dataset, run_id)
    return (int(answers.correct.sum()), answers.n) if answers else (0, 0)
