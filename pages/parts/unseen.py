"""Doubts of networks that have not seen the picture: asking them, and how far they are to be trusted."""

import streamlit as st

from core.data.dataset import Dataset
from core.experiments.unseen import FOLDS, estimate_unseen, read_unseen
from core.runs.run import Run
from pages.parts.cached import parts_of, stamp_of
from pages.parts.errand_bar import Words, draw_errand
from pages.parts.errands import Errand
from pages.parts.words import percent_of, span

ASKING = Words(
    "Ask them",
    ":material/groups:",
    {
        "reading": "Reading the pictures",
        "comparing": "Looking for copies, which must not be seen either",
        "waiting": "Waiting for another search for copies",
        **{f"network {number}": f"Training network {number} of {FOLDS}" for number in range(1, FOLDS + 1)},
    },
    counts=False,
    primary=False,
)


def offer_unseen(dataset: Dataset, run: Run) -> None:
    learnt = len(parts_of(dataset, run.config.data)["train"])
    st.caption(
        f"The pictures are dealt into {FOLDS} parts. {FOLDS} networks are trained as this one was, each on all parts "
        "but one, and asked about that: every picture is judged by a network that has never seen it or a copy of it, "
        f"so none has learnt a wrong label by heart. About {span(estimate_unseen(dataset, run, learnt))}."
    )
    draw_errand(Errand("unseen", dataset, run.id), ASKING)


def told_of_unseen(dataset: Dataset, run: Run, with_run: bool) -> str:
    """What was asked, and how much of the list is likely the networks' own mistakes."""
    right, n = _agreed(dataset.content_hash, run.id, stamp_of_unseen(dataset, run.id), dataset)
    if not n:
        return ""
    told = f"Every picture was judged by one of {FOLDS} networks that had never seen it, which agree with the label of "
    told += f"{percent_of(right, n)} pictures"
    if with_run:
        return f"{told}, and by the network above; their mean counts. It errs less often at the top of the list."
    return f"{told}. The list is the most complete and the longest: where they disagree, the network may be wrong."


def stamp_of_unseen(dataset: Dataset, run_id: str) -> int:
    return stamp_of(dataset.folder / f"unseen-{run_id}.npz")


@st.cache_data(max_entries=20, show_spinner=False)
def _agreed(content_hash: str, run_id: str, stamp: int, _dataset: Dataset) -> tuple[int, int]:
    """(pictures about which they agree with the label, pictures); (0, 0) where nobody has asked."""
    answers = read_unseen(_dataset, run_id)
    return (int(answers.correct.sum()), answers.n) if answers else (0, 0)
