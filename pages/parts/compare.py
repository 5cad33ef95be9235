"""What the Results page shows of each of its two runs: the numbers of each class, and a matrix to click."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.evaluation import Evaluation, wilson
from core.experiments.paper import PaperNumbers, paper_accuracy
from core.runs.course import Course
from pages.parts.charts import accuracy_figure, confusion_figure
from pages.parts.escape import shown
from pages.parts.palette import CALM, PART_COLOURS

CLICKABLE_CLASSES = 40  # beyond this a matrix has too many cells to be clicked one by one


def class_table(test: Evaluation, train: Evaluation | None, paper: PaperNumbers | None) -> pd.DataFrame:
    """One line a class in the dataset's order, the mean of the classes last; accuracies as fractions 0..1."""
    lines = []
    for index, name in enumerate(test.classes):
        right, n = int(test.confusion[index, index]), int(test.counts[index])
        low, high = wilson(right, n)
        line = {"class": shown(name), "test": right / n if n else None, "test_right": right, "test_n": n}
        line |= {"test_low": low if n else None, "test_high": high if n else None}
        if train is not None:
            right_train, n_train = int(train.confusion[index, index]), int(train.counts[index])
            line |= {"train": right_train / n_train if n_train else None, "train_right": right_train}
            line |= {"train_n": n_train}
        if paper is not None:
            line |= {"paper_test": paper_accuracy(paper.test, name), "paper_train": paper_accuracy(paper.train, name)}
        lines.append(line)
    mean = {"class": "mean of classes", "test": test.mean_class_accuracy, "test_n": test.n}
    mean |= {"test_right": int(test.correct.sum())}  # a mean of shares is no share: it has no Wilson interval
    if train is not None:
        mean |= {"train": train.mean_class_accuracy, "train_right": int(train.correct.sum()), "train_n": train.n}
    if paper is not None:
        mean |= {"paper_test": paper.test.mean, "paper_train": paper.train.mean}
    return pd.DataFrame([*lines, mean])


def class_bars(test: Evaluation, train: Evaluation | None, paper: PaperNumbers | None) -> go.Figure:
    """Bars of training and test with 95 % intervals, the paper's test as diamonds, chance and majority as lines."""
    groups = ({"training": train} if train is not None else {}) | {"test": test}
    figure = accuracy_figure(groups, {"training": PART_COLOURS["train"], "test": PART_COLOURS["test"]})
    if paper is not None:
        figure.add_scatter(
            x=[100 * paper_accuracy(paper.test, name) for name in test.classes],
            y=list(range(len(test.classes))),
            name="the paper, test",
            mode="markers",
            marker={"symbol": "diamond", "size": 10, "color": "#D55E00", "line": {"width": 1, "color": "white"}},
            hovertemplate="the paper: %{x:.2f} %<extra></extra>",
        )
    majority = 100 * int(test.counts.max()) / test.n
    if majority - 100 / len(test.classes) > 1:
        figure.add_vline(x=majority, line={"dash": "dash", "width": 1, "color": CALM})
    figure.update_layout(dragmode=False, showlegend=True)
    return figure


def levels_in_words(test: Evaluation) -> str:
    """What the lines in the bars mean."""
    chance, largest = 100 / len(test.classes), int(test.counts.max())
    told = f"Dotted: guessing, {chance:.1f} %"
    if 100 * largest / test.n - chance > 1:
        told += f"; dashed: always the largest class, {100 * largest / test.n:.1f} % ({largest:,} of {test.n:,})"
    return told + "."


def highest_loss(*courses: Course) -> float | None:
    """A common top for the axes, so that two curves side by side can be compared by eye."""
    drawn = [column for course in courses for column in (course.loss, course.train_loss, course.val_loss)]
    losses = np.concatenate([np.zeros(0), *drawn])
    losses = losses[np.isfinite(losses)]
    return round(1.1 * float(np.percentile(losses, 99)), 1) or None if len(losses) else None


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
        true, answered = np.indices((k, k))
        figure.add_scatter(
            x=answered.ravel(),
            y=true.ravel(),
            mode="markers",
            marker={"symbol": "square", "size": max(8, 240 // k), "color": "rgba(128,128,128,0.01)"},
            selected={"marker": {"color": "#E69F00", "opacity": 0.45}},
            unselected={"marker": {"opacity": 0.01}},
            customdata=cells,
            hovertemplate="%{customdata[0]}, answered %{customdata[1]}: %{customdata[2]} "
            "(%{customdata[3]:.1f} % of the row)<extra></extra>",
            showlegend=False,
        )
        figure.update_layout(hovermode="closest", hoverdistance=100)  # a click anywhere in a cell is meant for it
        figure.update_xaxes(range=[-0.5, k - 0.5])  # the markers would widen the axes
        figure.update_yaxes(range=[k - 0.5, -0.5], autorange=False)
    return figure


def confusions(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    """(true, answered, pictures) of every kind of mistake that was made, most frequent first."""
    counts = evaluation.confusion
    pairs = [(int(t), int(a), int(counts[t, a])) for t, a in np.argwhere(counts > 0) if t != a]
    return sorted(pairs, key=lambda pair: -pair[2])
