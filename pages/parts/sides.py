"""One of the two runs that the Results page sets side by side, and what each of its views draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import pandas as pd
import streamlit as st

from core.data.ledger import disarm
from core.evaluation import Evaluation, Measure
from core.experiments.paper import ARTWORK, PaperNumbers, paper_numbers
from core.rows import EpochRow, Row
from core.runs.run import Run
from pages.parts.answers import ORDERS, classes_in, draw_answers, evaluation_or_none, ordered
from pages.parts.cached import course
from pages.parts.charts import PLOTLY_CONFIG
from pages.parts.compare import (
    CLICKABLE_CLASSES,
    class_bars,
    class_table,
    clickable_confusion,
    confusions,
    highest_loss,
    levels_in_words,
)
from pages.parts.curves import loss_options
from pages.parts.escape import escape, shown
from pages.parts.words import interval_of, share, span

MEASURES_SAY = {
    "evaluation": (
        "Every picture",
        "Every picture of a part is answered once, with the network in evaluation mode.",
    ),
    "paper": (
        "As the paper did",
        "The first two pictures of each batch, with batch norm using the batch at hand. Fewer pictures, so a wider "
        "interval; shown to compare with the paper, not to trust.",
    ),
}


@dataclass(frozen=True)
class Side:
    """One run in one measure, read from disk."""

    key: str  # "cifar" or "own": prefix of the widgets' keys
    run: Run
    rows: Sequence[Row]
    test: Evaluation
    train: Evaluation | None
    paper: PaperNumbers | None  # the paper's experiment with the same classes
    beside: PaperNumbers  # the same one, else the paper's artworks: other pictures in other classes

    @property
    def epochs(self) -> list[EpochRow]:
        return [row for row in self.rows if isinstance(row, EpochRow)]


def open_side(key: str, run: Run, measure: Measure) -> Side | None:
    """None where the run has no answers on a test part in this measure."""
    test = evaluation_or_none(run, "test", measure)
    if test is None:
        return None
    train = evaluation_or_none(run, "train", measure)
    paper = paper_numbers(run.classes)
    return Side(key, run, run.rows(), test, train, paper, paper or ARTWORK)


def draw_score(side: Side) -> None:
    """The numbers that one came for: test, training, the gap, and the paper's beside them."""
    test, train, beside = side.test, side.train, side.beside
    with st.container(border=True, height="stretch"):
        with st.grid(3, min_column_width=130, gap="small"):
            _score("Test accuracy", test, beside.test.mean, beside.test.counted)
            if train is not None:
                _score("Training accuracy", train, beside.train.mean, None)
                gap = train.mean_class_accuracy - test.mean_class_accuracy
                with st.container(gap=None):
                    st.metric(
                        "Gap",
                        f"{100 * gap:.1f}",
                        help="Training minus test, in points. A wide gap: it knows its pictures by heart.",
                    )
                    st.caption("points, means of classes")
                    st.caption(f"Paper: {100 * beside.gap:.1f}")
        told = f"Test 95 % interval {interval_of(int(test.correct.sum()), test.n)}, mean of classes"
        told += f" {share(test.mean_class_accuracy)}"
        told += f" (training {share(train.mean_class_accuracy)})." if train else "."
        if beside is ARTWORK:  # also where the classes have the same names
            told += f" The paper's artworks are other pictures: {', '.join(beside.classes)}."
        st.caption(told)


def _score(label: str, evaluation: Evaluation, paper: float, counted: int | None) -> None:
    right = int(evaluation.correct.sum())
    with st.container(gap=None):
        st.metric(label, share(evaluation.accuracy))
        st.caption(f"{right:,} of {evaluation.n:,}")
        st.caption(f"Paper: {100 * paper:.2f} %" + (f" of {counted}" if counted else ""))


def draw_per_class(side: Side, sides: Sequence[Side]) -> None:
    figure = class_bars(side.test, side.train, side.paper)
    best = int(side.test.per_class.argmax()) if side.test.n else 0
    st.plotly_chart(
        figure,
        key=f"{side.key}.bars",
        config=PLOTLY_CONFIG,
        alt=f"Accuracy of each class; {side.test.classes[best]} is answered best on test",
    )
    st.caption(levels_in_words(side.test))
    st.dataframe(
        readable(class_table(side.test, side.train, side.paper)),
        hide_index=True,
        height="content" if len(side.test.classes) <= 12 else 420,
        placeholder="–",
        key=f"{side.key}.table",
        alt="Accuracy of each class with the number of pictures",
        column_config={
            "Class": st.column_config.TextColumn(width=115),
            "test": st.column_config.NumberColumn("Test", format="%.1f %%"),
            "test_n": st.column_config.NumberColumn("of", format="localized", help="Test pictures"),
            "interval": st.column_config.TextColumn("95 %", help="95 % interval of the test accuracy"),
            "paper_test": st.column_config.NumberColumn("Paper", format="%.1f %%", help="The paper's test accuracy"),
            "train": st.column_config.NumberColumn("Training", format="%.1f %%"),
            "train_n": st.column_config.NumberColumn("of ", format="localized", help="Training pictures"),
            "paper_train": st.column_config.NumberColumn("Paper ", format="%.1f %%", help="The paper's, on training"),
        },
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """class_table() for the eye: per cent, and the interval in one column."""
    seen = pd.DataFrame({"Class": table["class"]})
    for column in ("test", "test_n", "interval", "paper_test", "train", "train_n", "paper_train"):
        if column == "interval":
            ends = zip(table["test_low"], table["test_high"], strict=True)
            seen[column] = [None if pd.isna(low) else f"{100 * low:.0f}–{100 * high:.0f}" for low, high in ends]
        elif column in table:
            seen[column] = table[column] if column.endswith("_n") else 100 * table[column].astype(float)
    return seen


def draw_loss(side: Side, sides: Sequence[Side]) -> None:
    losses = [row.train_loss for row in side.epochs if row.train_loss is not None]
    told = f"Training loss from {losses[0]:.3f} to {losses[-1]:.3f}" if losses else "Training loss"
    top = highest_loss(*(course(other.run) for other in sides))
    options = loss_options(course(side.run), side.run.config.train.epochs, top)
    st.echarts_chart(options, key=f"{side.key}.loss", height=360, alt=told)
    st.caption(f"{told} over {len(losses)} epochs.")


def draw_confusion(side: Side, sides: Sequence[Side]) -> None:
    """The matrix, and the pictures of the cell that was clicked or picked."""
    test = side.test
    pairs = [(true, answered) for true, answered, _ in confusions(test)]
    counts = {(true, answered): count for true, answered, count in confusions(test)}
    clicked = st.plotly_chart(
        clickable_confusion(test),
        key=f"{side.key}.matrix",
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
            "Click a cell, or pick a mix-up",
            pairs,
            key=f"{side.key}.pair",
            format_func=lambda pair: (
                f"{names[pair[0]]} answered {names[pair[1]]} · {counts[pair]:,} of {int(test.counts[pair[0]]):,}"
            ),
        )
    if cell is None:
        st.caption("Not one mistake on the test part.")
        return
    true, answered = cell
    mask = (test.labels == true) & (test.predictions == answered)
    told = f"{escape(test.classes[true], 30)} answered {escape(test.classes[answered], 30)}"
    st.markdown(f"**{told}** · {int(mask.sum()):,} of {int(test.counts[true]):,}")
    draw_answers(side.run, test, ordered(test, mask, "sure"), f"{side.key}.cell")


def draw_pictures(side: Side, sides: Sequence[Side]) -> None:
    test = side.test
    wrong = int((~test.correct).sum())
    labels = {"wrong": f"Wrong · {wrong:,}", "right": f"Right · {test.n - wrong:,}"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Answers",
            list(labels),
            default="wrong",
            required=True,
            format_func=lambda kind: labels[kind],
            key=f"{side.key}.kind",
        )
        order = st.selectbox(
            "Order", tuple(ORDERS), format_func=lambda name: ORDERS[name], key=f"{side.key}.order", width=170
        )
        picked = st.selectbox(
            "Class",
            [None, *classes_in(test)],
            format_func=lambda index: "all" if index is None else shown(test.classes[index], 30),
            key=f"{side.key}.class",
            width=150,
        )
    mask = test.correct if kind == "right" else ~test.correct
    if picked is not None:
        mask = mask & (test.labels == picked)
    draw_answers(side.run, test, ordered(test, mask, order), f"{side.key}.pictures")


def draw_time(side: Side, sides: Sequence[Side]) -> None:
    epochs = side.epochs
    if not epochs:
        st.caption("No whole epoch was trained.")
        return
    each = median(row.seconds for row in epochs)
    with st.container(horizontal=True, gap="large"):
        st.metric("An epoch", span(each), width="content", help="Median over the epochs, evaluation left out.")
        st.metric("In all", span(side.run.state.seconds), width="content")
        st.metric("Epochs", f"{len(epochs)}", width="content")
        st.metric("Pictures a second", f"{median(row.images_per_second for row in epochs):,.0f}", width="content")
    train = side.run.config.train
    st.caption(
        f"Preset {escape(side.run.config.preset)}: {train.optimizer}, learning rate {train.learning_rate:g}, "
        f"batch {train.batch_size}, schedule {train.schedule.replace('_', ' ')}, seed {train.seed}."
    )


def results_csv(sides: Sequence[Side]) -> bytes:
    """Everything that is shown, one line a class and run; fractions 0..1."""
    tables = []
    for side in sides:
        table = class_table(side.test, side.train, side.paper)
        table["class"] = [disarm(name) for name in table["class"]]
        table.insert(0, "run", side.run.id)
        table.insert(1, "dataset", disarm(shown(side.run.config.data.dataset)))
        table.insert(2, "preset", disarm(shown(side.run.config.preset)))
        table.insert(3, "measure", side.test.measure)
        table["seconds"] = side.run.state.seconds
        table["epochs"] = len(side.epochs)
        tables.append(table)
    return pd.concat(tables, ignore_index=True).to_csv(index=False).encode()
