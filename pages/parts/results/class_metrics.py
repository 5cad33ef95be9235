"""Accuracy of each class as a table and as bars."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.evaluation import Evaluation
from core.experiments.paper import PaperNumbers, paper_accuracy
from core.intervals import wilson
from core.runs.history import MetricHistory
from pages.parts.shell.escape import shown
from pages.parts.shell.theme import CALM, PART_COLOURS
from pages.parts.widgets.charts import accuracy_figure


def class_table(test: Evaluation, train: Evaluation | None, paper: PaperNumbers | None) -> pd.DataFrame:
    """One line a class in the dataset's order, the mean of the classes last; accuracies as fractions 0..1."""
    lines = []
    for index, name in enumerate(test.classes):
        right, n = int(test.confusion[index, index]), int(test.counts[index])
        low, high = wilson(right, n)
        line = {"class": shown(name), "test": right / n if n else None, "test_right": right, "test_n": n}
        line |= {"test_low": low if n else None, "test_high": high if n else None}
        line |= {"precision": _known(test.precision[index]), "f1": _known(test.f1[index])}
        if train is not None:
            right_train, n_train = int(train.confusion[index, index]), int(train.counts[index])
            line |= {"train": right_train / n_train if n_train else None, "train_right": right_train}
            line |= {"train_n": n_train}
        if paper is not None:
            line |= {"paper_test": paper_accuracy(paper.test, name), "paper_train": paper_accuracy(paper.train, name)}
        lines.append(line)
    mean = {"class": "mean of classes", "test": test.mean_class_accuracy, "test_n": test.n}
    mean |= {"test_right": int(test.correct.sum())}  # a mean of shares is no share: it has no Wilson interval
    mean |= {"precision": _known(float(np.nanmean(test.precision))) if test.n else None, "f1": _known(test.macro_f1)}
    if train is not None:
        mean |= {"train": train.mean_class_accuracy, "train_right": int(train.correct.sum()), "train_n": train.n}
    if paper is not None:
        mean |= {"paper_test": paper.test.mean, "paper_train": paper.train.mean}
    return pd.DataFrame([*lines, mean])


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


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


def describe_baselines(test: Evaluation) -> str:
    """What the lines in the bars mean."""
    chance, largest = 100 / len(test.classes), int(test.counts.max())
    text = f"Dotted: guessing, {chance:.1f} %"
    if 100 * largest / test.n - chance > 1:
        text += (
            f"; dashed: always predicting the largest class, {100 * largest / test.n:.1f} % ({largest:,} of {test.n:,})"
        )
    return text + "."


def highest_loss(*histories: MetricHistory) -> float | None:
    """A common top for the axes, so that two curves can be compared by eye; None where there is no loss."""
    drawn = [column for history in histories for column in (history.loss, history.train_loss, history.val_loss)]
    losses = np.concatenate([np.zeros(0), *drawn])
    losses = losses[np.isfinite(losses)]
    return round(1.1 * float(np.percentile(losses, 99)), 1) or None if len(losses) else None
