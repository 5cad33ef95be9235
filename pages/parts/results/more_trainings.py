"""What takes more trainings with a run's settings: cross-validation of all pictures, and the data-size curve."""

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from core.data.datasets.dataset import Dataset
from core.errors import UserMistake
from core.experiments.audits.cross_validation import estimate_cross_validation
from core.experiments.audits.data_curve import PHASE, SEEDS, SHARES, DataCurve, of_run, read_curve
from core.experiments.audits.folds import FOLDS, read_cross_validation
from core.jobs.dataset_job import DatasetJob
from core.probes.at_once import read_at_once
from core.runs.run import Run
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.cache import parts_of
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import percent, span
from pages.parts.shell.theme import ACCENT, CALM
from pages.parts.widgets.charts import PLOTLY_CONFIG
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.prediction_grid import pictures_of

_READING = {
    "reading": "Reading the pictures",
    "comparing": "Finding duplicates, which have to be in one fold",
    "waiting": "Waiting for another search for duplicates",
}
_FOLD_PHASES = {f"fold-{number}": f"Training network {number} of {FOLDS}" for number in range(1, FOLDS + 1)}
FOLD_LABELS = JobLabels(
    "Cross-validate these settings", ":material/groups:", _READING | _FOLD_PHASES, counts=False, primary=False
)


CURVE_PHASES = {PHASE: "Training on a part of the pictures"}
CURVE_LABELS = JobLabels(
    "Measure the curve", ":material/trending_up:", _READING | CURVE_PHASES, counts=False, primary=False
)


def draw_folds(column: RunColumn, columns: Sequence[RunColumn]) -> None:
    """The accuracy of the run's settings, asked of every picture; or the button that trains the networks for it."""
    run, dataset = column.run, pictures_of(column.run)
    if dataset is None:
        st.caption("The pictures of this run are no longer there.")
        return
    found = read_cross_validation(run.config)
    if found is None:
        seconds = estimate_cross_validation(dataset, run, _learnt(column, dataset), FOLDS)
        st.caption(
            f"One split says little where there are few pictures. {FOLDS} networks with these settings each learn from "
            f"four fifths of all pictures, duplicates together, and answer about the rest. About {span(seconds)}."
        )
        draw_job(DatasetJob("folds", dataset, run.id), FOLD_LABELS)
        return
    low, high = found.interval
    st.metric("Cross-validated accuracy", f"{percent(found.accuracy)} %")
    st.caption(
        f"{found.right:,} of {found.n:,} pictures, each asked of a network that had not learnt from it; 95 % interval "
        f"{percent(low)} to {percent(high)} %, corrected for training sets that overlap (Nadeau and Bengio 2003)."
    )
    each = [f"{100 * right / n:.1f} % of {n:,}" for right, n in found.folds]
    st.caption(f"Folds: {', '.join(each)}. One test part: {100 * column.test.accuracy:.1f} % of {column.test.n:,}.")
    _draw_at_once(run)


def draw_curve(column: RunColumn, columns: Sequence[RunColumn]) -> None:
    """Test accuracy after learning from fewer pictures, and what more would be worth; or the button that measures."""
    run, dataset = column.run, pictures_of(column.run)
    if dataset is None:
        st.caption("The pictures of this run are no longer there.")
        return
    try:
        curve = read_curve(of_run(run))
    except UserMistake as why:  # too few pictures
        st.caption(escape(why, 300))
        return
    if curve is None:
        st.caption(
            f"How much does it gain from more pictures? {SEEDS} networks each learn from {len(SHARES)} sizes of the "
            f"training part, {SHARES[0]:.0%} to {SHARES[-1]:.0%}, with these settings. About as long as "
            f"{SEEDS * len(SHARES)} trainings at most; this one took {span(run.state.whole_seconds)}."
        )
        draw_job(DatasetJob("curve", dataset, run.id), CURVE_LABELS)
        return
    following = curve.next
    low, high = following.interval
    st.plotly_chart(
        curve_figure(curve),
        key=f"{column.key}.curve",
        config=PLOTLY_CONFIG,
        alt="; ".join(f"{point.pictures} pictures {percent(point.accuracy)} %" for point in curve.points),
    )
    st.markdown(
        f"Another **{following.pictures:,}** pictures are worth about **{100 * following.gain:.1f} points** (95 % "
        f"interval {100 * low:+.1f} to {100 * high:+.1f})."
    )
    st.caption(
        f"Points: mean of {SEEDS} networks on {curve.points[0].n:,} test pictures, with 95 % intervals over seeds and "
        "pictures. Dotted: the power law through the last points that the sentence goes by."
    )
    _draw_at_once(run)


def _draw_at_once(run: Run) -> None:
    """How many networks trained at once, where that was asked: short trainings are not worth the question."""
    known = read_at_once(run.config)
    if known is not None:
        st.caption(escape(known.sentence, 300))


def curve_figure(curve: DataCurve) -> go.Figure:
    points, intervals, following = curve.points, curve.intervals, curve.next
    figure = go.Figure()
    figure.add_scatter(
        x=[point.pictures for point in points],
        y=[100 * point.accuracy for point in points],
        mode="lines+markers",
        line={"color": ACCENT},
        error_y={
            "type": "data",
            "array": [100 * (high - point.accuracy) for point, (_, high) in zip(points, intervals, strict=True)],
            "arrayminus": [100 * (point.accuracy - low) for point, (low, _) in zip(points, intervals, strict=True)],
            "thickness": 1.4,
            "width": 4,
        },
        customdata=[[point.n] for point in points],
        hovertemplate="%{x:,} training pictures: %{y:.1f} % of %{customdata[0]:,} test pictures<extra></extra>",
    )
    last, (low, high) = points[-1], following.interval
    figure.add_scatter(
        x=[last.pictures, last.pictures + following.pictures],
        y=[100 * last.accuracy, 100 * (last.accuracy + following.gain)],
        mode="lines+markers",
        line={"color": CALM, "dash": "dot"},
        error_y={
            "type": "data",
            "array": [0, 100 * (high - following.gain)],
            "arrayminus": [0, 100 * (following.gain - low)],
            "thickness": 1.2,
            "width": 4,
        },
        hovertemplate="%{x:,} training pictures: about %{y:.1f} %<extra></extra>",
    )
    grid = "rgba(128, 128, 128, 0.22)"
    figure.update_layout(height=340, margin={"l": 8, "r": 8, "t": 8, "b": 8}, showlegend=False, dragmode=False)
    figure.update_xaxes(title="training pictures", gridcolor=grid, zeroline=False, fixedrange=True, rangemode="tozero")
    figure.update_yaxes(title="test accuracy, %", gridcolor=grid, zeroline=False, fixedrange=True)
    return figure


def _learnt(column: RunColumn, dataset: Dataset) -> int:
    return len(parts_of(dataset, column.run.config.data)["train"])
