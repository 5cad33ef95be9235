"""Doubtful labels: pictures that a trained network contradicts, with keep, relabel and exclude."""

import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.data.ledger import disarm
from core.experiments.doubtful import Doubt, doubts_table, find_doubts, find_unseen_doubts
from core.experiments.trained import runs_on
from core.experiments.unseen import PART as UNSEEN
from core.runs.run import Run
from pages.parts.cached import accuracy_of_run, runs, score_of, thumbnail
from pages.parts.deciding import decide, decided, draw_decided, kept, take_back
from pages.parts.escape import escape, shown
from pages.parts.frame import boundary
from pages.parts.palette import PART_NAMES
from pages.parts.unseen import offer_unseen, stamp_of_unseen, told_of_unseen
from pages.parts.words import percent_of

ON_A_PAGE = 12
TRUSTED = 0.9  # test accuracy below which a network errs more often than labels usually do
SIDES = {"all": "All", "unseen": "Never seen in training", "learnt": "Learnt from"}
ASKED = {UNSEEN: "Not seen in training", "both": "Mean of both"}
JUDGES = {"run": "This network", "unseen": "Networks that have not seen it", "both": "Both together"}
DECISIONS = {"keep": "Keep", "relabel": "Relabel", "exclude": "Exclude"}


@st.fragment  # a decision draws this list anew, and what stands above it stays still
@boundary()
def draw_doubtful(dataset: Dataset) -> None:
    """The list of a chosen run, the worst first, and what a person decides about each picture."""
    st.markdown("**Labels that a trained network contradicts**")
    known = runs_on(dataset, runs())
    if not known:
        st.info("Once a network has been trained on these pictures, it shows here whose label it doubts.")
        st.page_link("pages/train.py", label="Train one", icon=":material/model_training:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by_id = {run.id: run for run in sorted(known, key=accuracy_of_run, reverse=True)}
        picked = st.selectbox(
            "According to",
            list(by_id),
            format_func=lambda run_id: shown(by_id[run_id].title, 60),
            key=f"doubts_run_{dataset.id}",
            width=340,
        )
        judge = st.segmented_control(
            "Judged by",
            list(JUDGES),
            format_func=lambda judge: JUDGES[judge],
            default="run",
            required=True,
            key=f"doubts_judge_{dataset.id}",
        )
        side = "all"
        if judge == "run":
            side = st.segmented_control(
                "Pictures",
                list(SIDES),
                format_func=lambda side: SIDES[side],
                default="all",
                required=True,
                key=f"doubts_side_{dataset.id}",
            )
    run = by_id[picked]
    if judge != "run":
        stamp = stamp_of_unseen(dataset, picked)
        every = _unseen_doubts(picked, run.state.updated, dataset.content_hash, stamp, judge == "both", run, dataset)
        if every is None:
            offer_unseen(dataset, run)
            return
    else:
        every = _doubts(picked, run.state.updated, dataset.content_hash, run, dataset)
    found = [doubt for doubt in every if side == "all" or (doubt.part == "train") == (side == "learnt")]
    st.caption(
        _told(found, dataset) + (_of_trust(run) if judge == "run" else told_of_unseen(dataset, run, judge == "both"))
    )
    if not found:
        return
    pages, page = -(-len(found) // ON_A_PAGE), 1
    grid = st.container()
    if pages > 1:
        page = st.pagination(pages, key=f"doubts_page_{dataset.id}_{picked}_{judge}_{side}")
    with grid, st.grid(6, min_column_width=240, gap="small"):
        for doubt in found[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]:
            _card(dataset, doubt)
    _draw_decisions(dataset, every)


def _told(found: list[Doubt], dataset: Dataset) -> str:
    if not found:
        return "None here."
    told = f"{len(found):,} of {dataset.used:,} pictures, the most strongly contradicted first. "
    if found[0].part in ASKED:
        return told
    learnt = sum(doubt.part == "train" for doubt in found)
    if len(found) > learnt:
        told += f"{len(found) - learnt:,} are test or validation pictures, whose labels the network was never told. "
    if learnt:
        told += f"{learnt:,} are training pictures: it may have learnt wrong labels by heart, so more can be wrong. "
    return f"{told}A doubt is no proof: the picture may be hard, or the network wrong."


def _of_trust(run: Run) -> str:
    """How much of the list is likely the network's own mistakes."""
    right, n = score_of(run)
    if not n or right / n >= TRUSTED:
        return ""
    return f" This network is right about only {percent_of(right, n)} test pictures: most doubts are its own mistakes."


def _card(dataset: Dataset, doubt: Doubt) -> None:
    key, choice = f"decide_{dataset.id}_{doubt.row}", _choice(dataset, doubt)
    if st.session_state.get(key) != choice:  # it was decided elsewhere
        st.session_state[key] = choice
    name = shown(dataset.names[doubt.row], 200)
    with st.container(border=True, gap="xsmall", key=f"doubt_{doubt.row}"):
        st.image(thumbnail(dataset, doubt.row), width="stretch", alt=name)
        given, seen = (escape(dataset.classes[label], 16) for label in (doubt.given, doubt.suggested))
        st.markdown(
            f"{given} {100 * doubt.self_confidence:.0f}\u00a0% → **{seen} {100 * doubt.confidence:.0f}\u00a0%**",
            help=f"The label given, and the class that the network sees. {escape(dataset.names[doubt.row], 200)}",
        )
        st.caption((PART_NAMES | ASKED)[doubt.part])
        st.segmented_control(
            "Decision",
            list(DECISIONS),
            format_func=lambda choice: DECISIONS[choice],
            key=key,
            label_visibility="collapsed",
            on_change=_decide,
            args=(dataset, doubt, key),
        )


def _choice(dataset: Dataset, doubt: Doubt) -> str | None:
    """Which of DECISIONS was made, here or elsewhere; None: none, or another class than the suggested one."""
    decision = decided(dataset).get(doubt.row)
    if decision is None:
        return "keep" if doubt.row in kept(dataset) else None
    if decision.label is None:
        return "exclude"
    return "relabel" if decision.label == doubt.suggested else None


def _decide(dataset: Dataset, doubt: Doubt, key: str) -> None:
    choice = st.session_state[key]
    take_back(dataset, [doubt.row])
    kept(dataset).discard(doubt.row)
    if choice == "keep":
        kept(dataset).add(doubt.row)
    elif choice is not None:
        decide(dataset, [doubt.row], doubt.suggested if choice == "relabel" else None, "doubtful label")


def _draw_decisions(dataset: Dataset, every: list[Doubt]) -> None:
    choices = {doubt.row: choice for doubt in every if (choice := _choice(dataset, doubt))}
    counts = {choice: sum(value == choice for value in choices.values()) for choice in DECISIONS}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download the list (CSV)",
            lambda: _csv(every, dataset, choices),
            "doubtful labels.csv",
            "text/csv",
            icon=":material/download:",
            key="doubts_csv",
            on_click="ignore",
        )
        if choices:
            st.caption(
                " · ".join(f"{count:,} {DECISIONS[choice].lower()}" for choice, count in counts.items() if count)
            )
    draw_decided(dataset, "check")


def _csv(every: list[Doubt], dataset: Dataset, choices: dict[int, str]) -> bytes:
    table = pd.DataFrame(doubts_table(every, dataset, choices))
    for column in table.select_dtypes(exclude="number"):
        table[column] = table[column].map(disarm)
    return table.to_csv(index=False).encode("utf-8-sig")


@st.cache_data(max_entries=20, show_spinner="Reading the answers …")
def _doubts(run_id: str, updated: str, content_hash: str, _run: Run, _dataset: Dataset) -> list[Doubt]:
    return find_doubts(_run, _dataset)


@st.cache_data(max_entries=20, show_spinner="Reading the answers …")
def _unseen_doubts(
    run_id: str, updated: str, content_hash: str, stamp: int, with_run: bool, _run: Run, _dataset: Dataset
) -> list[Doubt] | None:
    return find_unseen_doubts(_run, _dataset, with_run)
