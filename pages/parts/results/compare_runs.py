"""Compare runs: two or more in columns, by default one on CIFAR-10 and one on artworks, view by view."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast, get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.evaluation import Measure
from core.experiments.paper import SLIPS
from core.runs.naming import name_runs
from core.runs.run import Run
from pages.parts.results.compared import draw_compared, draw_table
from pages.parts.results.confusion_matrix import draw_confusion
from pages.parts.results.cue_meter import draw_cues
from pages.parts.results.findings_list import draw_findings
from pages.parts.results.more_trainings import draw_curve, draw_folds
from pages.parts.results.reliability import draw_calibration
from pages.parts.results.run_column import MEASURES, RunColumn, draw_score, open_column, results_csv
from pages.parts.results.run_views import draw_loss, draw_per_class, draw_pictures
from pages.parts.results.times import draw_times
from pages.parts.shell.cache import dataset_named, runs
from pages.parts.shell.escape import escape
from pages.parts.widgets.command import draw_command
from pages.parts.widgets.dataset_versions import MADE, draw_made
from pages.parts.widgets.next_step import draw_missing_side, draw_next_step
from pages.parts.widgets.report_panel import offer_report
from pages.parts.widgets.run_picker import run_labels, run_picker, visible

LABELS = {"cifar": "First run", "own": "Second run"}  # of the columns, by the key in the address
MORE = "more"  # in the address: ids of the other runs, joined by commas
MORE_KEY = "results.more"  # of the widget: another page has one called as the address is
MOST = 12  # runs at once
ABREAST = 3  # columns in a row
EACH: dict[str, Callable[[RunColumn, Sequence[RunColumn]], None]] = {  # views that are drawn column by column
    "Per class": draw_per_class,
    "Confusion matrix": draw_confusion,
    "Calibration": draw_calibration,
    "Loss": draw_loss,
    "Pictures": draw_pictures,
    "Cross-validation": draw_folds,
    "Data size": draw_curve,
}
TOGETHER: dict[str, Callable[[Sequence[RunColumn]], None]] = {
    "Compared": draw_compared,
    "Cues": draw_cues,
    "Time": draw_times,
}
Column = TypeVar("Column", RunColumn, RunColumn | None)
VIEWS = (
    "Per class",
    "Compared",
    "Confusion matrix",
    "Calibration",
    "Cues",
    "Loss",
    "Pictures",
    "Cross-validation",
    "Data size",
    "Time",
)


def draw_runs(head: DeltaGenerator) -> None:
    """The columns, what their numbers mean, and the views; or the way to a first run. head: a row for its controls."""
    ended = [run for run in runs(hidden=True) if run.state.is_finished and run.has_model]
    finished = visible(ended, *LABELS)
    if not finished:
        st.info("No run has finished yet.", icon=":material/insights:")
        draw_next_step()
        return
    with head:
        measure = _ask_measure()
    made = dataset_named(str(st.session_state.get(MADE, "")))
    if made is not None:
        draw_made(made)
    if measure != get_args(Measure)[0]:
        st.caption(MEASURES[measure][1])
    usual, names = _usual_runs(finished), name_runs(finished)
    columns: list[RunColumn | None] = []
    for place, key in zip(st.columns(2, gap="large"), LABELS, strict=True):
        with place:
            others = {column.run.id for column in columns if column is not None}  # a run is not compared with itself
            offered = [run for run in finished if run.id not in others]
            first_choice = usual[key] if usual[key] in offered else next(iter(offered), None)
            missing = "own" if any(run.config.data.dataset == "cifar10" for run in finished) else "cifar"
            columns.append(_draw_column(key, offered, names, first_choice, measure, missing))
    with head:
        picked = _pick_more([run for run in finished if run.id not in _ids(columns)], names)
    columns += _draw_more(picked, measure)
    there = [column for column in columns if column is not None]
    if not there:
        return
    findings = st.container()  # filled last: what colour alone scores may take seconds to measure
    _draw_views(columns, there)
    if any(column.paper is not None for column in there) or measure == "paper":
        st.caption(SLIPS)
    with st.container(horizontal=True, key="results.take-away"):
        _offer_csv(there)
        offer_report([column.run.id for column in there], "results")
        draw_command(there[0].run.config, "results")
    if measure == "evaluation":
        with findings:
            draw_findings(there)


def _ids(columns: Sequence[RunColumn | None]) -> set[str]:
    return {column.run.id for column in columns if column is not None}


def _ask_measure() -> Measure:
    measures = get_args(Measure)
    measure = st.segmented_control(
        "Measured",
        measures,
        default=measures[0],
        required=True,
        format_func=lambda name: MEASURES[name][0],
        key="measure",
        bind="query-params",
        help=" ".join(f"{label}: {meaning}" for label, meaning in MEASURES.values()),
        label_visibility="collapsed",
    )
    return cast(Measure, measure)


def _usual_runs(finished: Sequence[Run]) -> dict[str, Run | None]:
    """What each column shows first: one that was stopped, or hidden and asked for all the same, only if need be."""
    best_first = sorted(finished, key=lambda run: (run.marks.hidden, run.state.status != "done"))
    cifar = [run for run in best_first if run.config.data.dataset == "cifar10"]
    own = [run for run in best_first if run.config.data.dataset != "cifar10"]
    first, second = next(iter(cifar), None), next(iter(own), None)
    if first is None:  # no column stays empty while there are two runs to compare
        first, second = second, next(iter(own[1:]), None)
    return {"cifar": first, "own": second or next(iter(cifar[1:]), None)}


def _draw_column(
    key: str, offered: Sequence[Run], names: Mapping[str, str], usual: Run | None, measure: Measure, missing: str
) -> RunColumn | None:
    """The picker of a column and its score; None where there is nothing to show. missing: what to train on then."""
    run = run_picker(LABELS[key], key, offered, usual, names)
    column = open_column(key, run, measure) if run else None
    if column is not None:
        draw_score(column)
    elif run is not None:
        st.info("This run has no predictions in this measure.", icon=":material/info:")
    else:
        st.info("No other finished run to compare with yet.", icon=":material/insights:")
        draw_missing_side(missing)
    return column


def _pick_more(offered: Sequence[Run], names: Mapping[str, str]) -> list[Run]:
    """More runs to compare with the first two; their ids stand in the address."""
    if not offered:
        return []
    known, labels = {run.id: run for run in offered}, run_labels(offered, names)
    requested = st.query_params.get(MORE, "")
    if requested != st.session_state.get(f"{MORE_KEY}.address", ""):
        st.session_state[MORE_KEY] = requested.split(",")
    st.session_state[MORE_KEY] = [run_id for run_id in st.session_state.get(MORE_KEY, []) if run_id in known][
        : MOST - 2
    ]
    picked = st.multiselect(
        "More runs",
        list(known),
        key=MORE_KEY,
        format_func=lambda run_id: labels.get(run_id, run_id),
        max_selections=MOST - 2,
        placeholder="Add more runs to compare",
        label_visibility="collapsed",
        persist_state="session",
        width="stretch",
    )
    address = ",".join(picked)
    if address:
        st.query_params[MORE] = address
    else:
        st.query_params.pop(MORE, None)
    st.session_state[f"{MORE_KEY}.address"] = address
    return [known[run_id] for run_id in picked]


def _draw_more(picked: Sequence[Run], measure: Measure) -> list[RunColumn]:
    """The scores of the runs beyond the first two."""
    labels = run_labels(picked)
    columns = [column for run in picked if (column := open_column(run.id, run, measure)) is not None]
    if len(columns) > ABREAST:
        draw_table(columns, labels)
        return columns
    for place, column in zip(st.columns(max(2, len(columns)), gap="large"), columns, strict=False):
        with place:
            st.markdown(f"**{escape(labels[column.run.id], 60)}**")
            draw_score(column)
    return columns


def _draw_views(columns: Sequence[RunColumn | None], there: Sequence[RunColumn]) -> None:
    tabs = st.tabs(list(VIEWS), key="view", on_change="rerun", bind="query-params")
    for tab, name in zip(tabs, VIEWS, strict=True):
        if not tab.open:
            continue
        with tab:
            if name in TOGETHER:
                TOGETHER[name](there)
            else:
                _draw_each(columns, there, EACH[name])


def _draw_each(
    columns: Sequence[RunColumn | None],
    there: Sequence[RunColumn],
    draw: Callable[[RunColumn, Sequence[RunColumn]], None],
) -> None:
    labels = run_labels([column.run for column in there])
    for row in _in_rows(columns):
        for place, column in zip(st.columns(min(ABREAST, len(columns)), gap="large"), row, strict=False):
            if column is None:
                continue
            with place:
                if len(columns) > 2:
                    st.markdown(f"**{escape(labels[column.run.id], 60)}**")
                draw(column, there)


def _in_rows(columns: Sequence[Column]) -> list[Sequence[Column]]:
    return [columns[first : first + ABREAST] for first in range(0, len(columns), ABREAST)]


def _offer_csv(there: Sequence[RunColumn]) -> None:
    st.download_button(
        "Download the numbers",
        results_csv(there),
        file_name="results.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
