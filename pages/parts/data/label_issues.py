"""Label issues: pictures whose label a trained network contradicts, with keep, relabel and exclude."""

import streamlit as st

from core.data.datasets.dataset import Dataset
from core.experiments.audits.cross_validation import PART as CROSS_VALIDATED
from core.experiments.audits.label_issues import (
    LabelIssue,
    find_cross_validated_label_issues,
    find_label_issues,
    label_issue_table,
)
from core.experiments.dataset_runs import runs_on
from core.runs.run import Run
from core.spreadsheet import csv_file
from pages.parts.data.cross_validation import describe_cross_validation, offer_cross_validation
from pages.parts.data.stamps import cross_validation_stamp
from pages.parts.shell.cache import accuracy_of_run, runs, score_of, thumbnail
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.formatting import percent_of
from pages.parts.shell.frame import boundary
from pages.parts.shell.theme import PART_NAMES
from pages.parts.widgets.edits import add_edits, confirmed_labels, draw_pending_edits, pending_edits, remove_edits
from pages.parts.widgets.run_picker import run_labels

ON_A_PAGE = 12
TRUSTED = 0.9  # test accuracy below which a network errs more often than labels usually do
SUBSETS = {"all": "All", "held out": "Held out", "train": "Training"}
JUDGES = {"run": "This network", "cross-validated": "Cross-validation", "both": "Mean of both"}
JUDGE_OF_PART = {CROSS_VALIDATED: "Cross-validated", "both": "Mean of both"}
DECISIONS = {"keep": "Keep", "relabel": "Relabel", "exclude": "Exclude"}


@st.fragment  # a decision draws this list anew, and what stands above it stays still
@boundary()
def draw_label_issues(dataset: Dataset) -> None:
    """The list of a chosen run, the worst first, with the decision about each picture."""
    st.markdown("**Label issues**")
    known = {run.id: run for run in sorted(runs_on(dataset, runs()), key=accuracy_of_run, reverse=True)}
    if not known:
        st.info("Once a network has been trained on this dataset, the labels that it contradicts are listed here.")
        st.page_link("pages/train.py", label="Train one", icon=":material/model_training:")
        return
    run, judge, subset = _ask_judge(dataset, known)
    every = _find_issues(dataset, run, judge)
    if every is None:
        offer_cross_validation(dataset, run)
        return
    found = [issue for issue in every if subset == "all" or (issue.part == "train") == (subset == "train")]
    trust = _describe_trust(run) if judge == "run" else describe_cross_validation(dataset, run, judge == "both")
    st.caption(_describe_list(found, dataset) + trust)
    if found:
        _draw_grid(dataset, found, key=f"issues_page_{dataset.id}_{run.id}_{judge}_{subset}")
        _draw_decisions(dataset, every)


def _ask_judge(dataset: Dataset, known: dict[str, Run]) -> tuple[Run, str, str]:
    """(run, one of JUDGES, one of SUBSETS)"""
    labels = run_labels(list(known.values()))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = st.selectbox(
            "Network",
            list(known),
            format_func=lambda run_id: shown(labels[run_id], 60),
            key=f"issues_run_{dataset.id}",
            width=340,
        )
        judge = _ask("Judged by", JUDGES, f"issues_judge_{dataset.id}")
        subset = _ask("Pictures", SUBSETS, f"issues_subset_{dataset.id}") if judge == "run" else "all"
    return known[picked], judge, subset


def _ask(label: str, options: dict[str, str], key: str) -> str:
    usual = next(iter(options))
    return st.segmented_control(
        label, list(options), format_func=lambda name: options[name], default=usual, required=True, key=key
    )


def _find_issues(dataset: Dataset, run: Run, judge: str) -> list[LabelIssue] | None:
    """None where the networks of the cross-validation have not been trained yet."""
    if judge == "run":
        return _run_issues(run.id, run.state.updated, dataset.content_hash, run, dataset)
    stamp, with_run = cross_validation_stamp(dataset, run.id), judge == "both"
    return _cross_validated_issues(run.id, run.state.updated, dataset.content_hash, stamp, with_run, run, dataset)


def _describe_list(found: list[LabelIssue], dataset: Dataset) -> str:
    if not found:
        return "None here."
    text = f"{len(found):,} of {dataset.used:,} pictures, the most strongly contradicted first. "
    if found[0].part in JUDGE_OF_PART:
        return text
    trained = sum(issue.part == "train" for issue in found)
    if len(found) > trained:
        text += f"{len(found) - trained:,} are test or validation pictures, on whose labels it was not trained. "
    if trained:
        text += f"{trained:,} are training pictures: it may have memorised wrong labels, so more can be wrong. "
    return f"{text}A contradiction is no proof: the picture may be hard, or the network wrong."


def _describe_trust(run: Run) -> str:
    """How much of the list is likely the network's own mistakes."""
    right, n = score_of(run)
    if not n or right / n >= TRUSTED:
        return ""
    return f" This network is right about only {percent_of(right, n)} test pictures: most issues are its own mistakes."


def _draw_grid(dataset: Dataset, found: list[LabelIssue], key: str) -> None:
    pages, page = -(-len(found) // ON_A_PAGE), 1
    grid = st.container()
    if pages > 1:
        page = st.pagination(pages, key=key)
    with grid, st.grid(6, min_column_width=240, gap="small"):
        for issue in found[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]:
            _draw_card(dataset, issue)


def _draw_card(dataset: Dataset, issue: LabelIssue) -> None:
    key, decision = f"decision_{dataset.id}_{issue.row}", _decision(dataset, issue)
    if st.session_state.get(key) != decision:  # the edit was made elsewhere
        st.session_state[key] = decision
    name = shown(dataset.names[issue.row], 200)
    with st.container(border=True, gap="xsmall", key=f"issue_{issue.row}"):
        st.image(thumbnail(dataset, issue.row), width="stretch", alt=name)
        given, suggested = (escape(dataset.classes[label], 16) for label in (issue.given, issue.suggested))
        st.markdown(
            f"{given} {100 * issue.self_confidence:.0f}\u00a0% → **{suggested} {100 * issue.confidence:.0f}\u00a0%**",
            help=f"The given label and the predicted class. {escape(dataset.names[issue.row], 200)}",
        )
        st.caption((PART_NAMES | JUDGE_OF_PART)[issue.part])
        st.segmented_control(
            "Decision",
            list(DECISIONS),
            format_func=lambda name: DECISIONS[name],
            key=key,
            label_visibility="collapsed",
            on_change=_decide,
            args=(dataset, issue, key),
        )


def _decision(dataset: Dataset, issue: LabelIssue) -> str | None:
    """One of DECISIONS, made here or elsewhere; None: none, or another class than the suggested one."""
    edit = pending_edits(dataset).get(issue.row)
    if edit is None:
        return "keep" if issue.row in confirmed_labels(dataset) else None
    if edit.label is None:
        return "exclude"
    return "relabel" if edit.label == issue.suggested else None


def _decide(dataset: Dataset, issue: LabelIssue, key: str) -> None:
    decision = st.session_state[key]
    remove_edits(dataset, [issue.row])
    confirmed_labels(dataset).discard(issue.row)
    if decision == "keep":
        confirmed_labels(dataset).add(issue.row)
    elif decision is not None:
        add_edits(dataset, [issue.row], issue.suggested if decision == "relabel" else None, "label issue")


def _draw_decisions(dataset: Dataset, every: list[LabelIssue]) -> None:
    """How many decisions there are, the list as CSV, and the pending edits."""
    decisions = {issue.row: decision for issue in every if (decision := _decision(dataset, issue))}
    counts = {name: sum(value == name for value in decisions.values()) for name in DECISIONS}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download the list (CSV)",
            lambda: _csv(every, dataset, decisions),
            "label issues.csv",
            "text/csv",
            icon=":material/download:",
            key="issues_csv",
            on_click="ignore",
        )
        if decisions:
            st.caption(" · ".join(f"{count:,} {DECISIONS[name].lower()}" for name, count in counts.items() if count))
    draw_pending_edits(dataset, "quality")


def _csv(every: list[LabelIssue], dataset: Dataset, decisions: dict[int, str]) -> bytes:
    table = label_issue_table(every, dataset, decisions)
    return csv_file(table[0] if table else [], (row.values() for row in table))


@st.cache_data(max_entries=20, show_spinner="Reading the predictions …")
def _run_issues(run_id: str, updated: str, content_hash: str, _run: Run, _dataset: Dataset) -> list[LabelIssue]:
    return find_label_issues(_run, _dataset)


@st.cache_data(max_entries=20, show_spinner="Reading the predictions …")
def _cross_validated_issues(
    run_id: str, updated: str, content_hash: str, stamp: int, with_run: bool, _run: Run, _dataset: Dataset
) -> list[LabelIssue] | None:
    return find_cross_validated_label_issues(_run, _dataset, with_run)
