"""One of the runs that the Results page compares, its score, and all numbers as a file."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core.evaluation import Evaluation, Measure, Which
from core.experiments.paper import ARTWORK, PaperNumbers, PaperPart, comparable_numbers
from core.intervals import difference_of_shares
from core.jobs.dataset_job import DatasetJob
from core.people import may_change
from core.rows import EpochRow, Row
from core.runs.run import Run
from core.runs.teachers import teacher_sentence
from core.spreadsheet import csv_file
from pages.parts.results.class_metrics import class_table
from pages.parts.shell.escape import escape, shown
from pages.parts.shell.formatting import interval_of, share, span
from pages.parts.widgets.job_progress import JobLabels, draw_job
from pages.parts.widgets.prediction_grid import evaluation_or_none, pictures_of

MEASURES = {  # measure -> (label, what it means)
    "evaluation": (
        "Every picture",
        "Every picture of a part is predicted once, with the network in evaluation mode.",
    ),
    "paper": (
        "As the paper did",
        "The first two pictures of each batch, with batch norm using the batch at hand. Fewer pictures, so a wider "
        "interval; shown to compare with the paper, not to trust.",
    ),
}


@dataclass(frozen=True)
class RunColumn:
    """One run in one measure, read from disk."""

    key: str  # "cifar" or "own": prefix of the widgets' keys
    run: Run
    rows: Sequence[Row]
    test: Evaluation
    train: Evaluation | None
    paper: PaperNumbers | None  # the paper's experiment on the same pictures; None for artworks

    @property
    def epochs(self) -> list[EpochRow]:
        return [row for row in self.rows if isinstance(row, EpochRow)]


def open_column(key: str, run: Run, measure: Measure) -> RunColumn | None:
    """None where the run has no answers on a test part in this measure."""
    test = evaluation_or_none(run, "test", measure)
    if test is None:
        return None
    train = evaluation_or_none(run, "train", measure)
    return RunColumn(key, run, run.rows(), test, train, comparable_numbers(run.classes))


def draw_score(column: RunColumn) -> None:
    """Test accuracy, training accuracy and the gap between them, each with the paper's where it had these pictures."""
    test, train, paper = column.test, column.train, column.paper
    with st.container(border=True, height="stretch"):
        with st.grid(3, min_column_width=130, gap="small"):
            _draw_accuracy("Test accuracy", test, paper.test if paper else None)
            if train is not None:
                _draw_accuracy("Training accuracy", train, paper.train if paper else None)
                _draw_gap(test, train, paper)
        text = f"Test 95 % interval {interval_of(int(test.correct.sum()), test.n)}, mean of classes"
        text += f" {share(test.mean_class_accuracy)}"
        text += f" (training {share(train.mean_class_accuracy)})" if train else ""
        text += f", macro F1 {share(test.macro_f1)}. Guessing {share(test.chance)}, always the largest class"
        text += f" {share(test.majority)}. Trained in {span(column.run.state.whole_seconds)}."
        text += f" Answered by the {column.run.describe_model(test.model)}." if column.run.has_best_model else ""
        if paper is None:
            text += (
                f" The paper's own artworks ({', '.join(ARTWORK.classes)}) were other pictures: "
                f"{100 * ARTWORK.test.mean:.2f} % test, {100 * ARTWORK.train.mean:.2f} % training, means of classes."
            )
        st.caption(text)
        if taught := teacher_sentence(column.run):
            st.caption(f":material/school: {escape(taught, 300)}")
        _offer_other_model(column)


def _offer_other_model(column: RunColumn) -> None:
    """A run with a validation part has two models; a person may choose which one answers for it."""
    run, dataset = column.run, pictures_of(column.run)
    if not run.has_best_model or dataset is None or not may_change(run.owner):
        return
    other: Which = "last" if run.used_model == "best" else "best"
    with st.popover("Which model answers", type="tertiary", icon=":material/swap_horiz:"):
        st.caption(
            f"The {run.describe_model()} answers for this run, here, in Try-It and in exports. The best one is that "
            "with the lowest loss on the validation part; a run that stops early answers with it by itself."
        )
        words = JobLabels(
            f"Answer with the {run.describe_model(other)}", ":material/swap_horiz:", {"asking": "Asking every picture"}
        )
        draw_job(DatasetJob(f"answer_{other}", dataset, run.id), words)


def _draw_gap(test: Evaluation, train: Evaluation, paper: PaperNumbers | None) -> None:
    low, high = difference_of_shares(int(test.correct.sum()), test.n, int(train.correct.sum()), train.n)
    with st.container(gap=None):
        st.metric(
            "Gap",
            f"{100 * (train.accuracy - test.accuracy):.1f}",
            help="Training minus test accuracy, in points. With a wide gap the network overfits: it has memorised its "
            "training pictures instead of learning what their classes have in common.",
        )
        st.caption(f"points [{100 * low:.1f} to {100 * high:.1f}]")
        if paper is not None:
            st.caption(f"Paper: {100 * paper.gap:.1f}")


def _draw_accuracy(label: str, evaluation: Evaluation, paper: PaperPart | None) -> None:
    right = int(evaluation.correct.sum())
    with st.container(gap=None):
        st.metric(label, share(evaluation.accuracy))
        st.caption(f"{right:,} of {evaluation.n:,}")
        if paper is not None:
            st.caption(f"Paper: {100 * paper.mean:.2f} %" + (f" of {paper.counted}" if paper.counted else ""))


def results_csv(columns: Sequence[RunColumn]) -> bytes:
    """Everything that is shown, one line a class and run; fractions 0..1."""
    tables = []
    for column in columns:
        table = class_table(column.test, column.train, column.paper)
        table.insert(0, "run", column.run.id)
        table.insert(1, "dataset", shown(column.run.config.data.dataset))
        table.insert(2, "preset", shown(column.run.config.preset))
        table.insert(3, "measure", column.test.measure)
        table["model"] = column.test.model
        table["seconds"] = column.run.state.whole_seconds
        table["epochs"] = len(column.epochs)
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    return csv_file(table.columns, table.itertuples(index=False, name=None))
