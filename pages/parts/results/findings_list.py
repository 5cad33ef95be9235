"""The findings about the compared runs: sentences from their numbers, each with a link to what to try."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.config import DataConfig
from core.data.datasets.dataset import Dataset
from core.data.duplicates.duplicates import duplicates_path
from core.data.quality.shortcuts import Shortcuts, measure_shortcuts
from core.errors import UserMistake
from core.findings.finding import RunFacts, RunFinding, Suggestion, read_facts
from core.findings.pairs import findings
from core.runs.actions import clone_config
from core.runs.naming import with_names
from core.runs.run import Run, read_run
from pages.parts.form.run_form import take_config
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.cache import stamp_of
from pages.parts.shell.escape import escape
from pages.parts.shell.navigation import go_to
from pages.parts.shell.notifications import notify, quoted
from pages.parts.widgets.prediction_grid import pictures_of
from pages.parts.widgets.run_picker import run_labels

# page of a suggestion -> view of Results
VIEWS = {"confusion": "Confusion matrix", "pictures": "Pictures", "folds": "Cross-validation"}


def draw_findings(columns: Sequence[RunColumn]) -> None:
    """Three to seven sentences about one run or two; of more, about the first two. They are called by what differs
    between the two, which is short enough to stand before each sentence."""
    chosen = with_names([column.run for column in columns[:2]])
    found = found_about(chosen)
    labels = run_labels(chosen)
    if len(columns) > 2:
        st.caption("About the first two runs; the view Compared has all of them.")
    with st.container(gap=None, key="findings"):
        for place, one in enumerate(found):
            about = f"**{escape(labels[one.run], 60)}**: " if one.run and len(chosen) > 1 else ""
            left, right = st.columns([5, 1.4], vertical_alignment="center", gap="small")
            left.markdown(f":small[{about}{escape(one.sentence, 700)}]")
            if one.suggestion is not None:
                with right:
                    _draw_suggestion(one, one.suggestion, f"finding.{place}")


def _draw_suggestion(finding: RunFinding, suggestion: Suggestion, key: str) -> None:
    view = VIEWS.get(suggestion.page)
    clicked = st.button(
        suggestion.label,
        key=key,
        type="tertiary",
        icon=":material/arrow_forward:",
        icon_position="right",
        on_click=_show_view if view else None,
        args=(view,) if view else None,
    )
    if not clicked or view:
        return
    run = read_run(finding.run)
    if suggestion.page == "train":
        take_config(clone_config(run, dict(suggestion.changes)))
        notify(f"The form has the settings of {quoted([run])}, and: {suggestion.label}.")
        go_to("pages/train.py")
    if suggestion.page == "quality":
        st.session_state["tab"] = "Readiness"
    st.session_state["dataset_added"] = run.config.data.dataset  # which the page shows
    go_to("pages/data.py")


def _show_view(view: str) -> None:
    """As a callback: the tabs have been drawn when the button is."""
    st.session_state["view"] = view


def found_about(chosen: Sequence[Run]) -> list[RunFinding]:
    """The findings about one run or two; made again when one of them was."""
    stamps = tuple((run.id, run.title, run.state.updated, run.used_model, _duplicates_stamp(run)) for run in chosen)
    return _found(stamps, tuple(chosen))


@st.cache_data(max_entries=50, show_spinner="Reading what the numbers mean …")
def _found(stamps: tuple[Any, ...], _runs: tuple[Run, ...]) -> list[RunFinding]:
    facts = [_facts(run) for run in _runs]
    return findings(facts[0], facts[1] if len(facts) > 1 else None)


def _facts(run: Run) -> RunFacts:
    dataset, data = pictures_of(run), run.config.data
    shortcuts = None
    if dataset is not None:
        try:
            shortcuts = _shortcuts(dataset.content_hash, data.model_dump_json(), _duplicates_stamp(run), dataset)
        except UserMistake:  # its pictures cannot be read: the other findings stand
            shortcuts = None
    return read_facts(run, shortcuts)


@st.cache_data(max_entries=20, show_spinner=False)
def _shortcuts(content_hash: str, data: str, stamp: int, _dataset: Dataset) -> Shortcuts:
    return measure_shortcuts(_dataset, DataConfig.model_validate_json(data))


def _duplicates_stamp(run: Run) -> int:
    dataset = pictures_of(run)
    return stamp_of(duplicates_path(dataset)) if dataset is not None else 0
