"""Compared: every run in one table, which of them can be told apart, and what their confusions differ in."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.errors import UserMistake
from core.evaluation import Evaluation
from core.experiments.run_comparison import RunComparison, compare_runs, why_not_comparable
from core.glossary import TERMS
from core.reliability import measure_reliability
from core.runs.run import Run
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.escape import escape, plotted, shown
from pages.parts.shell.formatting import counted_share
from pages.parts.widgets.charts import PLOTLY_CONFIG
from pages.parts.widgets.run_picker import run_labels

MOST_PAIRS = 6  # in sentences
MOST_CLASSES = 40  # in the difference of two matrices


def draw_compared(columns: Sequence[RunColumn]) -> None:
    labels = run_labels([column.run for column in columns])
    groups = group_by_test_part(columns)
    found = {place: _comparison(group) for place, group in enumerate(groups) if len(group) > 1}
    tiers = {
        run.id: tier
        for one in found.values()
        for run, tier in zip(one.runs, one.tiers, strict=True)
        if len(one.runs) > 2
    }
    draw_table(columns, labels, tiers, "compared")
    if len(columns) > 1:
        st.markdown("**Are they different?**")
    for one in found.values():
        _draw_pairs(one, labels)
    alone = [labels[group[0].run.id] for group in groups if len(group) == 1]
    if alone and len(columns) > 1:
        names = ", ".join(escape(name, 60) for name in alone)
        st.caption(f"Tested on pictures of its own, so not compared one by one: {names}.")
    _draw_difference(columns, labels)


def group_by_test_part(columns: Sequence[RunColumn]) -> list[list[RunColumn]]:
    """The columns whose test parts hold the same pictures, together."""
    groups: list[list[RunColumn]] = []
    for column in columns:
        for group in groups:
            if not why_not_comparable(group[0].run, group[0].test, column.run, column.test):
                group.append(column)
                break
        else:
            groups.append([column])
    return groups


def _comparison(group: Sequence[RunColumn]) -> RunComparison:
    return compare_runs([column.run for column in group], [column.test for column in group])


def draw_table(
    columns: Sequence[RunColumn],
    labels: dict[str, str],
    tiers: Mapping[str, int] = MappingProxyType({}),
    key: str = "more",
) -> None:
    """A line a run: accuracies, calibration, time and size. tiers: of those that share a test part, by run id."""
    rows = [_line(column, labels[column.run.id], tiers) for column in columns]
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows).dropna(axis="columns", how="all"),
        hide_index=True,
        height="content",
        placeholder="–",
        key=f"{key}.table",
        alt="Every compared run with its accuracies, its calibration error, its time and its size",
        column_config={
            "Tier": number(help=TERMS["Tier"], width="small"),
            "Test accuracy [95 %]": st.column_config.TextColumn(width=200),
            "Training": number(format="%.1f %%", help="Training accuracy"),
            "Gap": number(format="%.1f", help=TERMS["Gap"]),
            "Mean of classes": number(format="%.1f %%", help=TERMS["Mean of classes"]),
            "Macro F1": number(format="%.1f %%", help=TERMS["Macro F1"]),
            "Largest class": number(format="%.1f %%", help=TERMS["Largest class"]),
            "Calibration error": number(format="%.1f", help=TERMS["Calibration error"]),
            "Seconds": number(format="%.0f", help="Of training, with a frozen backbone's pass over the pictures"),
            "Parameters": number(format="localized"),
        },
    )


def _line(column: RunColumn, label: str, tiers: Mapping[str, int]) -> dict[str, object]:
    test, train, run = column.test, column.train, column.run
    return {
        "Tier": tiers.get(run.id),
        "Run": label,
        "Dataset": shown(run.config.data.dataset, 40),
        "Test accuracy [95 %]": counted_share(int(test.correct.sum()), test.n),
        "Training": 100 * train.accuracy if train else None,
        "Gap": 100 * (train.accuracy - test.accuracy) if train else None,
        "Mean of classes": 100 * test.mean_class_accuracy,
        "Macro F1": 100 * test.macro_f1,
        "Largest class": 100 * test.majority,
        "Calibration error": 100 * _error(run.id, run.state.updated, test.measure, test),
        "Seconds": run.state.whole_seconds,
        "Parameters": _parameters(run.id, run.state.updated, run),
        "Model": "best" if test.model == "best" else "last",
    }


def _draw_pairs(found: RunComparison, labels: dict[str, str]) -> None:
    for pair in sorted(found.pairs, key=lambda one: one.corrected)[:MOST_PAIRS]:
        a, b = (escape(labels[found.runs[place].id], 60) for place in (pair.a, pair.b))
        answers, (low, high) = pair.answers, pair.answers.interval
        verdict = "differ" if pair.differs else "cannot be told apart"
        p_value = f"p = {answers.p_value:.2g}" if answers.p_value >= 0.0001 else "p < 0.0001"
        st.markdown(
            f"- **{a}** and **{b}** {verdict} on {answers.n:,} test pictures: {answers.only_a:,} only the first one "
            f"gets right, {answers.only_b:,} only the second one (exact McNemar test, {p_value}); second minus first "
            f"{100 * answers.difference:+.1f} points [{100 * low:+.1f} to {100 * high:+.1f}]"
        )
    if len(found.pairs) > MOST_PAIRS:
        differ = sum(pair.differs for pair in found.pairs)
        st.caption(
            f"The {MOST_PAIRS} most different of {len(found.pairs)} pairs; {differ} of all differ. The tiers in the "
            "table sum them up: runs of one tier cannot be ranked."
        )
    st.caption(f"{escape(found.correction, 400)} Intervals: 95 %, paired bootstrap over the pictures.")


def _draw_difference(columns: Sequence[RunColumn], labels: dict[str, str]) -> None:
    """What the second of two runs on the same classes takes for what more or less often than the first one."""
    alike = [column for column in columns if column.test.classes == columns[0].test.classes]
    if len(alike) < 2 or len(alike[0].test.classes) > MOST_CLASSES:
        return
    first, second = alike[:2]
    if np.array_equal(first.test.confusion, second.test.confusion):
        st.caption("The confusion matrices of the first two runs on these classes are the same.")
        return
    st.markdown(
        f"**Confusion matrix of {escape(labels[second.run.id], 60)} minus {escape(labels[first.run.id], 60)}**, in "
        "points of the true class"
    )
    st.plotly_chart(
        difference_figure(first.test, second.test),
        key="compared.difference",
        config=PLOTLY_CONFIG,
        alt="Which answers the second run gives more or less often than the first one",
    )
    st.caption(
        "Blue: the second run answers so more often; red: less often. On the diagonal blue is good, off it red is."
    )


def difference_figure(first: Evaluation, second: Evaluation) -> go.Figure:
    """Share of each true class that is predicted as each class, second minus first, in points."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [100 * one.confusion / one.confusion.sum(axis=1, keepdims=True) for one in (first, second)]
    difference = shares[1] - shares[0]
    places, names = list(range(len(first.classes))), [plotted(name, 18) for name in first.classes]
    most = max(1.0, float(np.nanmax(np.abs(difference)))) if np.isfinite(difference).any() else 1.0
    counts = [
        [[names[r], names[c], int(first.confusion[r, c]), int(second.confusion[r, c])] for c in places] for r in places
    ]
    figure = go.Figure(
        go.Heatmap(
            z=difference,
            x=places,
            y=places,
            zmin=-most,
            zmax=most,
            colorscale="RdBu",
            customdata=counts,
            texttemplate="%{z:+.1f}" if len(places) <= 12 else None,
            xgap=1,
            ygap=1,
            showscale=False,
            hovertemplate="true %{customdata[0]}, predicted %{customdata[1]}: %{customdata[2]:,} then "
            "%{customdata[3]:,} pictures, %{z:+.1f} points<extra></extra>",
        )
    )
    axis = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False, "automargin": True}
    figure.update_layout(height=min(max(320, 36 * len(places) + 120), 900), margin={"l": 8, "r": 8, "t": 8, "b": 8})
    figure.update_layout(dragmode=False)
    figure.update_xaxes(title="predicted", fixedrange=True, **axis)
    figure.update_yaxes(title="true", autorange="reversed", fixedrange=True, **axis)
    return figure


@st.cache_data(max_entries=100, show_spinner=False)
def _error(run_id: str, updated: str, measure: str, _test: Evaluation) -> float:
    return measure_reliability(_test).error


@st.cache_data(max_entries=100, show_spinner=False)
def _parameters(run_id: str, updated: str, _run: Run) -> int | None:
    """Numbers that are learnt, by the saved weights; None where they cannot be read."""
    try:
        weights = _run.weights(_run.used_model)
    except UserMistake:
        return None
    running = ("running_mean", "running_var", "num_batches_tracked")
    return sum(values.size for name, values in weights.items() if not name.endswith(running))
