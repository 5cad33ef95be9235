"""Many runs at a glance: a line for each across its settings and what it reached (parallel coordinates)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from core.display_names import display_name
from core.experiments.run_lines import Measured, setting_of
from core.runs.run import Run
from pages.parts.form.fields import title_of
from pages.parts.shell.cache import score_of
from pages.parts.shell.escape import plotted
from pages.parts.widgets.charts import PLOTLY_CONFIG

FEWEST = 3  # runs
MOST_VALUES = 12  # of a setting that is no number
MOST_AXES = 9
SPREAD_OUT = 20.0  # largest by smallest: from there on an axis is logarithmic


def draw_parallel(
    listed: Sequence[Run], fields: Sequence[str], measured: Callable[[Sequence[Run]], dict[str, Measured]]
) -> None:
    """Nothing where fewer than FEWEST runs were tested, or no setting differs."""
    tested = [run for run in listed if score_of(run)[1]]
    if len(tested) < FEWEST or not fields:
        return
    panel = st.expander(
        "Settings and results of all", icon=":material/stacked_line_chart:", key="results.parallel", on_change="rerun"
    )
    if not panel.open:
        return
    with panel:
        figure = parallel_figure(tested, fields, measured)
        st.plotly_chart(figure, key="results.parallel.chart", config=PLOTLY_CONFIG)
        st.caption(
            "A line a run, coloured by its test accuracy. Drag along an axis to keep only the lines through there; "
            "drag an axis by its name to another place."
        )


def parallel_figure(
    tested: Sequence[Run], fields: Sequence[str], measured: Callable[[Sequence[Run]], dict[str, Measured]]
) -> go.Figure:
    accuracy = [100 * right / n for right, n in map(score_of, tested)]
    found = list(measured(tested).values())
    axes = [axis for field in fields if (axis := _axis_of(field, tested)) is not None][: MOST_AXES - 3]
    results: dict[str, list[float | None]] = {
        "Parameters": [one.parameters for one in found],
        "Seconds": [one.seconds or None for one in found],
        "Test accuracy, %": [*accuracy],
    }
    axes += [axis for title, values in results.items() if (axis := _number_axis(title, values)) is not None]
    figure = go.Figure(
        go.Parcoords(
            line={"color": accuracy, "colorscale": "Viridis", "showscale": False},
            dimensions=axes,
            labelangle=-20 if len(axes) > 5 else 0,
            labelside="top",
        )
    )
    figure.update_layout(height=460, margin={"l": 70, "r": 50, "t": 90, "b": 30})
    return figure


def _axis_of(field: str, tested: Sequence[Run]) -> dict[str, Any] | None:
    """None for a setting with too many values that are no numbers."""
    values = [setting_of(run, field) for run in tested]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _number_axis(title_of(field), values)
    words = ["–" if value is None else display_name(field, value) for value in values]
    kinds = sorted(set(words))
    if not 1 < len(kinds) <= MOST_VALUES:
        return None
    return {
        "label": plotted(title_of(field)),
        "values": [kinds.index(word) for word in words],
        "tickvals": list(range(len(kinds))),
        "ticktext": [plotted(kind, 18) for kind in kinds],
    }


def _number_axis(title: str, values: Sequence[float | None]) -> dict[str, Any] | None:
    """None where a run has no such number, or all have the same."""
    known = [float(value) for value in values if value is not None]
    if len(known) < len(values) or len(set(known)) < 2:
        return None
    low, high = min(known), max(known)
    if low <= 0 or high / low < SPREAD_OUT:
        return {"label": plotted(title), "values": known}
    ticks = sorted(
        {low, high, *(10.0**power for power in range(math.ceil(math.log10(low)), int(math.log10(high)) + 1))}
    )
    return {
        "label": plotted(title),
        "values": [math.log10(value) for value in known],
        "tickvals": [math.log10(tick) for tick in ticks],
        "ticktext": [f"{tick:,.4g}" if tick < 1000 else f"{tick:,.0f}" for tick in ticks],
    }
