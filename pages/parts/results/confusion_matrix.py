"""The confusion matrix of a run, whose cells can be clicked, and the pictures behind a cell."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.evaluation import Evaluation
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.escape import escape, plotted, shown
from pages.parts.widgets.charts import PLOTLY_CONFIG
from pages.parts.widgets.prediction_grid import draw_predictions, ordered

CLICKABLE_CLASSES = 40  # beyond this a matrix has too many cells to be clicked one by one


def draw_confusion(column: RunColumn, columns: Sequence[RunColumn]) -> None:
    """The matrix, and the pictures of the cell that was clicked or picked."""
    test = column.test
    counts = {(true, predicted): count for true, predicted, count in confusions(test)}
    pairs = list(counts)
    clicked = st.plotly_chart(
        clickable_confusion(test),
        key=f"{column.key}.matrix",
        on_select="rerun",
        selection_mode="points",
        config=PLOTLY_CONFIG,
        alt=f"{int(test.correct.sum()):,} of {test.n:,} on the diagonal",
    )
    points = clicked.selection.points if len(test.classes) <= CLICKABLE_CLASSES else []
    cell = (int(points[0]["y"]), int(points[0]["x"])) if points else None
    if cell is None and pairs:
        names = [shown(name, 30) for name in test.classes]
        cell = st.selectbox(
            "Click a cell, or choose a confusion",
            pairs,
            key=f"{column.key}.pair",
            format_func=lambda pair: (
                f"{names[pair[0]]} predicted as {names[pair[1]]} · {counts[pair]:,} of {int(test.counts[pair[0]]):,}"
            ),
        )
    if cell is None:
        st.caption("Not one mistake on the test part.")
        return
    true, predicted = cell
    mask = (test.labels == true) & (test.predictions == predicted)
    title = f"{escape(test.classes[true], 30)} predicted as {escape(test.classes[predicted], 30)}"
    st.markdown(f"**{title}** · {int(mask.sum()):,} of {int(test.counts[true]):,}")
    draw_predictions(column.run, test, ordered(test, mask, "sure"), f"{column.key}.cell")


def clickable_confusion(evaluation: Evaluation) -> go.Figure:
    """The confusion matrix with a square to click on each cell; Streamlit cannot click a heatmap itself."""
    figure = confusion_figure(evaluation)
    k = len(evaluation.classes)
    figure.update_traces(showscale=False)
    figure.update_layout(dragmode=False)
    if k <= CLICKABLE_CLASSES:
        cells = [
            [*cell, share]
            for cells_of_row, shares_of_row in zip(figure.data[0].customdata, figure.data[0].z, strict=True)
            for cell, share in zip(cells_of_row, shares_of_row, strict=True)
        ]
        true, predicted = np.indices((k, k))
        figure.add_scatter(
            x=predicted.ravel(),
            y=true.ravel(),
            mode="markers",
            marker={"symbol": "square", "size": max(8, 240 // k), "color": "rgba(128,128,128,0.01)"},
            selected={"marker": {"color": "#E69F00", "opacity": 0.45}},
            unselected={"marker": {"opacity": 0.01}},
            customdata=cells,
            hovertemplate="%{customdata[0]}, predicted as %{customdata[1]}: %{customdata[2]} "
            "(%{customdata[3]:.1f} % of the row)<extra></extra>",
            showlegend=False,
        )
        figure.update_layout(hovermode="closest", hoverdistance=100)  # a click anywhere in a cell is meant for it
        figure.update_xaxes(range=[-0.5, k - 0.5])  # the markers would widen the axes
        figure.update_yaxes(range=[k - 0.5, -0.5], autorange=False)
    return figure


def confusions(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    """(true, predicted, pictures) of every kind of mistake that was made, most frequent first."""
    counts = evaluation.confusion
    pairs = [(int(t), int(a), int(counts[t, a])) for t, a in np.argwhere(counts > 0) if t != a]
    return sorted(pairs, key=lambda pair: -pair[2])


def confusion_figure(evaluation: Evaluation) -> go.Figure:
    """Confusion matrix: rows are true classes, columns predicted ones, coloured by the share of the row in per cent."""
    confusion = evaluation.confusion
    with np.errstate(invalid="ignore"):
        shares = 100 * confusion / confusion.sum(axis=1, keepdims=True)
    places = list(range(len(evaluation.classes)))
    names = [plotted(name, 18) for name in evaluation.classes]
    few = len(places) <= 12
    cells = [[[names[row], names[column], int(confusion[row, column])] for column in places] for row in places]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=places,
            y=places,
            zmin=0,
            zmax=100,
            colorscale="Blues",
            customdata=cells,
            text=[[f"{value:,}" for value in row] for row in confusion] if few else None,
            texttemplate="%{text}" if few else None,
            xgap=1,
            ygap=1,
            colorbar={"title": "% of row", "thickness": 10, "outlinewidth": 0},
            hovertemplate="true %{customdata[0]}, predicted %{customdata[1]}: %{customdata[2]} "
            "(%{z:.1f} % of the row)<extra></extra>",
        )
    )
    side = max(320, 36 * len(places) + 120)
    figure.update_layout(height=min(side, 900), margin={"l": 8, "r": 8, "t": 8, "b": 8})
    axis = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False, "automargin": True}
    figure.update_xaxes(title="predicted", **axis)
    figure.update_yaxes(title="true", autorange="reversed", **axis)
    return figure
