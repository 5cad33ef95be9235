"""Reliability: whether the network is right as often as it says, as a reliability diagram with counts."""

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go
import streamlit as st

from core.errors import UserMistake
from core.evaluation import Evaluation
from core.inference.calibration import load_calibration
from core.reliability import Reliability, measure_reliability
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import percent
from pages.parts.shell.theme import ACCENT, BLOCK, CALM
from pages.parts.widgets.charts import PLOTLY_CONFIG

_GRID = "rgba(128, 128, 128, 0.22)"


def draw_calibration(column: RunColumn, columns: Sequence[RunColumn]) -> None:
    found = _reliability(column.run.id, column.run.state.updated, column.test.measure, column.test)
    st.plotly_chart(
        reliability_figure(found),
        key=f"{column.key}.reliability",
        config=PLOTLY_CONFIG,
        alt=f"Accuracy against confidence; expected calibration error {percent(found.error)} %",
    )
    low, high = found.interval
    leaning = "surer than it is right" if found.leaning > 0 else "less sure than it is right"
    text = f"Expected calibration error **{percent(found.error)} points** of {found.n:,} test pictures "
    text += f"(95 % interval {percent(low)} to {percent(high)}, bootstrap). "
    if low == 0:
        text += "A network that is calibrated perfectly could show as much by chance."
    else:
        text += f"On average it is {leaning}, by {percent(abs(found.leaning))} points."
    st.markdown(text)
    if column.test.measure == "evaluation":
        _draw_temperature(column)
    st.caption(
        "Points: of the test pictures whose answer got a probability in that fifteenth, the share that is right, with "
        "its 95 % interval. On the line a network is right as often as it says. Bars: how many pictures those are."
    )


def _draw_temperature(column: RunColumn) -> None:
    """What temperature scaling makes of it; nothing where it cannot be fitted, such as without a validation part."""
    try:
        fitted = load_calibration(column.run, column.test.model)
    except UserMistake as why:
        st.caption(escape(why, 300))
        return
    scaled = replace(column.test, probabilities=fitted.apply(column.test.probabilities))
    found = _reliability(column.run.id, column.run.state.updated, f"{fitted.temperature:.4f}", scaled)
    low, high = found.interval
    st.markdown(
        f"After temperature scaling (temperature {fitted.temperature:.2f}, fitted on {fitted.val.n:,} validation "
        f"pictures): **{percent(found.error)} points** (95 % interval {percent(low)} to {percent(high)})."
    )


def reliability_figure(found: Reliability) -> go.Figure:
    """Share of right answers against mean confidence of each bin, with Wilson intervals, and bars of counts below."""
    bins = [one for one in found.bins if one.n]
    middles = [50 * (one.low + one.high) for one in found.bins]
    figure = go.Figure()
    figure.add_bar(
        x=middles,
        y=[one.n for one in found.bins],
        width=90 / len(found.bins),
        marker_color=BLOCK,
        opacity=0.45,
        yaxis="y2",
        text=[f"{one.n:,}" if one.n else "" for one in found.bins],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y:,} pictures<extra></extra>",
    )
    figure.add_scatter(x=[0, 100], y=[0, 100], mode="lines", line={"dash": "dot", "color": CALM}, hoverinfo="skip")
    figure.add_scatter(
        x=[100 * one.confidence for one in bins],
        y=[100 * one.accuracy for one in bins],
        mode="lines+markers",
        line={"color": ACCENT, "width": 1},
        marker={"size": 8},
        error_y={
            "type": "data",
            "array": [100 * (one.interval[1] - one.accuracy) for one in bins],
            "arrayminus": [100 * (one.accuracy - one.interval[0]) for one in bins],
            "thickness": 1.4,
            "width": 3,
        },
        customdata=[[one.right, one.n] for one in bins],
        hovertemplate="says %{x:.1f} %, right %{y:.1f} % (%{customdata[0]:,} of %{customdata[1]:,})<extra></extra>",
    )
    figure.update_layout(
        height=400,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=False,
        dragmode=False,
        yaxis={"domain": [0.32, 1], "range": [0, 103], "title": "right, %", "gridcolor": _GRID, "fixedrange": True},
        yaxis2={
            "domain": [0, 0.22],
            "range": [0, 1.35 * max((one.n for one in found.bins), default=1)],
            "title": "pictures",
            "showgrid": False,
            "showticklabels": False,
            "fixedrange": True,
        },
        xaxis={"range": [0, 100], "title": "confidence, %", "dtick": 20, "gridcolor": _GRID, "fixedrange": True},
    )
    return figure


@st.cache_data(max_entries=50, show_spinner=False)
def _reliability(run_id: str, updated: str, measure: str, _test: Evaluation) -> Reliability:
    return measure_reliability(_test)
