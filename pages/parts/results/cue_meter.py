"""Cues: what each network goes by, as the accuracy that it loses on copies of its test pictures without one cue."""

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from core.experiments.audits.cue_controls import controlled, read_controls
from core.experiments.audits.cues import CueReport, read_cues
from core.jobs.dataset_job import DatasetJob
from core.progress import Progress
from core.runs.run import Run
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.escape import escape, plotted
from pages.parts.shell.formatting import counted_share, span
from pages.parts.shell.theme import CALM, CLASS_COLOURS
from pages.parts.widgets.charts import PLOTLY_CONFIG
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.prediction_grid import pictures_of
from pages.parts.widgets.run_picker import run_labels

EXPLANATION = (
    "The same test pictures, each time without one thing: with the colours of a picture of another class, in grey, cut "
    "into 16 patches that are shuffled, blurred, as edges, without the outer eighth, with the middle covered, turned "
    "by a quarter. What a network loses, it goes by. A large drop may also come of pictures that merely look strange "
    "to it: believe the differences between runs and between cues more than any number alone, or ask the controls."
)
CONTROL_LABELS = JobLabels(
    "Tell missed from strange",
    ":material/experiment:",
    {"training": "Training on copies without a cue"},
    counts=False,
    primary=False,
)


def draw_cues(columns: Sequence[RunColumn]) -> None:
    """Every run in one chart, a row a cue; those that were not measured yet have a button."""
    labels = run_labels([column.run for column in columns])
    found = {column.run.id: report for column in columns if (report := read_cues(column.run)) is not None}
    missing = [column.run for column in columns if column.run.id not in found]
    for run_id, report in found.items():
        st.markdown(f"**{escape(labels[run_id], 60)}**: {escape(report.verdict, 400)}")
    if found:
        st.plotly_chart(
            cue_figure(list(found.values()), [labels[run_id] for run_id in found]),
            key="cues",
            config=PLOTLY_CONFIG,
            alt="Points of test accuracy that each network loses without each cue",
        )
        asked = "; ".join(
            f"{escape(labels[run_id], 60)}: {counted_share(one.right, one.n)}" for run_id, one in found.items()
        )
        st.caption(f"Asked about, and right on the pictures themselves: {asked}. Bars: drops with 95 % intervals.")
    if missing and st.button(
        "Measure what it goes by" if len(missing) == 1 else f"Measure what these {len(missing)} go by",
        key="cues.measure",
        icon=":material/troubleshoot:",
        type="primary",
        help="Asks the network about nine kinds of copies of up to 2,000 test pictures; nothing is trained.",
    ):
        for run in missing:
            _measure(run, labels[run.id])
        st.rerun()
    for column in columns:
        if column.run.id in found:
            _draw_controls(column.run, found[column.run.id], labels[column.run.id] if len(columns) > 1 else "")
    st.caption(EXPLANATION)


def _draw_controls(run: Run, report: CueReport, label: str) -> None:
    """What a network that learnt from such copies loses, for each cue; or the button that trains those networks."""
    asked, dataset = controlled(report), pictures_of(run)
    if not asked or dataset is None:
        return
    known = read_controls(run, report)
    if known:
        st.markdown(f"**Missed, or merely strange?** {escape(label, 60)}")
    for one in asked:
        if one.cue in known:
            st.markdown(f"- **{escape(one.cue.capitalize(), 60)}**: {escape(known[one.cue].sentence(one), 400)}")
    if len(known) < len(asked):
        count = len(asked) - len(known)
        networks = "1 network learns" if count == 1 else f"{count} networks learn"
        st.caption(
            f"{networks} from copies without a cue, with these settings: what such a network still loses, the cue "
            f"itself carries. About {span(count * run.state.whole_seconds)}."
        )
        draw_job(DatasetJob("cue_controls", dataset, run.id), CONTROL_LABELS)


def _measure(run: Run, label: str) -> None:
    from core.experiments.audits.cues import measure_cues_of

    bar = st.progress(0.0, text=f"Asking {escape(label, 60)} …")
    for step in measure_cues_of(run):
        if isinstance(step, Progress):
            bar.progress(min(1.0, step.done / max(1, step.total)), text=f"Asking {escape(label, 60)} …")
    bar.empty()


def cue_figure(reports: Sequence[CueReport], labels: Sequence[str]) -> go.Figure:
    """Drops in points, a group of bars a cue, sorted by the largest drop of any run."""
    cues = sorted((one.cue for one in reports[0].cues), key=lambda cue: -max(report.of(cue).drop for report in reports))
    figure = go.Figure()
    for place, (report, label) in enumerate(zip(reports, labels, strict=True)):
        drops = [report.of(cue) for cue in cues]
        figure.add_bar(
            orientation="h",
            name=plotted(label),
            y=list(range(len(cues))),
            x=[100 * one.drop for one in drops],
            marker_color=CLASS_COLOURS[place % len(CLASS_COLOURS)],
            error_x={
                "type": "data",
                "array": [100 * (one.interval[1] - one.drop) for one in drops],
                "arrayminus": [100 * (one.drop - one.interval[0]) for one in drops],
                "thickness": 1.2,
                "width": 3,
                "color": CALM,
            },
            customdata=[[100 * one.accuracy, 100 * report.lost(one)] for one in drops],
            hovertemplate="%{x:+.1f} points, %{customdata[0]:.1f} % right, %{customdata[1]:.0f} % of what it has over "
            "guessing<extra></extra>",
        )
    figure.add_vline(x=0, line={"width": 1.2, "color": CALM})
    figure.update_layout(
        barmode="group",
        bargap=0.3,
        height=len(cues) * (22 + 14 * len(reports)) + 100,
        margin={"l": 8, "r": 8, "t": 40, "b": 8},
        showlegend=len(reports) > 1,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        dragmode=False,
    )
    figure.update_xaxes(
        title="points of test accuracy lost", gridcolor="rgba(128, 128, 128, 0.22)", zeroline=False, fixedrange=True
    )
    figure.update_yaxes(
        tickvals=list(range(len(cues))),
        ticktext=cues,
        autorange="reversed",
        showgrid=False,
        automargin=True,
        fixedrange=True,
    )
    return figure
