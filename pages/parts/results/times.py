"""The whole time of each run as a bar of its parts, on one axis."""

from collections.abc import Sequence
from statistics import median

import plotly.graph_objects as go
import streamlit as st

from core.display_names import display_name
from core.evaluation import MEASURES
from core.experiments.ablation.experiment import seconds_of
from core.runs.run import Run
from core.runs.teachers import teacher_sentence
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.escape import escape
from pages.parts.shell.formatting import span
from pages.parts.shell.theme import CLASS_COLOURS
from pages.parts.widgets.charts import PLOTLY_CONFIG, name_rows
from pages.parts.widgets.prediction_grid import evaluation_or_none
from pages.parts.widgets.run_picker import run_labels

REST = "start and saving"  # of runs before 0.2 also reading the pictures
PARTS = {  # part of the whole time -> its colour
    "pictures in": CLASS_COLOURS[4],
    "pictures through backbone or teacher": CLASS_COLOURS[3],
    "training": CLASS_COLOURS[0],
    "validation": CLASS_COLOURS[1],
    "evaluation": CLASS_COLOURS[2],
    REST: "rgba(128, 128, 128, 0.45)",
}


def draw_times(columns: Sequence[RunColumn]) -> None:
    """All runs in one chart, then what an epoch of each took and its settings."""
    labels = run_labels([column.run for column in columns])
    parts = {column.run.id: parts_of_time(column) for column in columns}
    st.plotly_chart(
        _figure([labels[column.run.id] for column in columns], list(parts.values())),
        key="times",
        config=PLOTLY_CONFIG,
        alt="; ".join(f"{labels[run_id]} {span(sum(of_run.values()))}" for run_id, of_run in parts.items()),
    )
    for column in columns:
        run, epochs = column.run, column.epochs
        of_run = {name: seconds for name, seconds in parts[run.id].items() if seconds}
        text = f"**{escape(labels[run.id], 60)}** took {span(sum(of_run.values()))}: "
        text += ", ".join(f"{name} {span(seconds)}" for name, seconds in of_run.items()) + "."
        if epochs:
            text += f" An epoch took {span(median(row.seconds for row in epochs))} (median of {len(epochs)}), "
            text += f"{median(row.images_per_second for row in epochs):,.0f} pictures a second."
        st.markdown(text)
        st.caption(_settings(run))


def parts_of_time(column: RunColumn) -> dict[str, float]:
    """Seconds of each of PARTS, as far as they are known."""
    run, state = column.run, column.run.state
    parts = {
        "pictures in": state.pictures_seconds,
        "pictures through backbone or teacher": state.backbone_seconds,
        "training": state.seconds,
        "validation": sum(row.val_seconds for row in column.epochs),
        "evaluation": _evaluation_seconds(run.id, state.updated, run),
    }
    whole = seconds_of(run) if state.attempt == 1 else 0.0  # of an attempt before this one nobody knows
    return parts | {REST: max(0.0, whole - sum(parts.values()))}


def _settings(run: Run) -> str:
    train, preset = run.config.train, display_name("preset", run.config.preset)
    return (
        f"Preset {escape(preset)}: {display_name('train.optimizer', train.optimizer)}, learning rate "
        f"{train.learning_rate:g}, batch size {train.batch_size}, schedule "
        f"{display_name('train.schedule', train.schedule)}, seed {train.seed}. {escape(teacher_sentence(run), 300)}"
    ).rstrip()


def _figure(labels: Sequence[str], parts: Sequence[dict[str, float]]) -> go.Figure:
    figure = go.Figure()
    for name, colour in PARTS.items():
        seconds = [of_run[name] for of_run in parts]
        if not any(seconds):
            continue
        figure.add_bar(
            orientation="h",
            name=name,
            y=list(range(len(labels))),
            x=seconds,
            marker_color=colour,
            customdata=[[span(value)] for value in seconds],
            hovertemplate=f"{name}: %{{customdata[0]}}<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        height=46 * len(labels) + 110,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        dragmode=False,
    )
    figure.update_xaxes(title="seconds", gridcolor="rgba(128, 128, 128, 0.22)", zeroline=False, fixedrange=True)
    name_rows(figure, labels)
    return figure


@st.cache_data(max_entries=100, show_spinner=False)
def _evaluation_seconds(run_id: str, updated: str, _run: Run) -> float:
    found = (evaluation_or_none(_run, part, measure) for part in ("train", "val", "test") for measure in MEASURES)
    return sum(evaluation.seconds for evaluation in found if evaluation is not None)
