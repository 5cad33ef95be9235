"""What the views of Results draw of one run: accuracy of each class, loss, pictures."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.glossary import TERMS
from core.runs.loss_shape import loss_shape
from pages.parts.results.class_metrics import (
    class_bars,
    class_table,
    describe_baselines,
    highest_loss,
)
from pages.parts.results.run_column import RunColumn
from pages.parts.shell.cache import history
from pages.parts.shell.escape import shown
from pages.parts.shell.formatting import counted_share, share
from pages.parts.shell.theme import CALM
from pages.parts.widgets.charts import PLOTLY_CONFIG
from pages.parts.widgets.prediction_grid import ORDERS, classes_in, draw_predictions, ordered
from pages.parts.widgets.training_curves import accuracy_options, loss_options


def draw_per_class(column: RunColumn, columns: Sequence[RunColumn]) -> None:
    figure = class_bars(column.test, column.train, column.paper)
    best = int(column.test.per_class.argmax()) if column.test.n else 0
    st.plotly_chart(
        figure,
        key=f"{column.key}.bars",
        config=PLOTLY_CONFIG,
        alt=f"Accuracy of each class; {column.test.classes[best]} has the best test accuracy",
    )
    st.caption(describe_baselines(column.test))
    st.dataframe(
        readable(class_table(column.test, column.train, column.paper)),
        hide_index=True,
        height="content" if len(column.test.classes) <= 12 else 420,
        placeholder="–",
        key=f"{column.key}.table",
        alt="Accuracy of each class with the number of pictures",
        column_config={
            "Class": st.column_config.TextColumn(width=115),
            "test": st.column_config.TextColumn("Test accuracy [95 %]", help=TERMS["Recall"]),
            "precision": st.column_config.NumberColumn(
                "Precision", format="%.1f %%", help=TERMS["Precision of a class"]
            ),
            "f1": st.column_config.NumberColumn("F1", format="%.1f %%", help=TERMS["F1"]),
            "paper_test": st.column_config.NumberColumn("Paper", format="%.1f %%", help="The paper's test accuracy"),
            "train": st.column_config.NumberColumn("Training", format="%.1f %%"),
            "train_n": st.column_config.NumberColumn("of ", format="localized", help="Training pictures"),
            "paper_train": st.column_config.NumberColumn("Paper ", format="%.1f %%", help="The paper's, on training"),
        },
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """class_table() for the eye: per cent, and count, share and interval of the test accuracy in one column."""
    shown_table = pd.DataFrame({"Class": table["class"], "test": [_test_cell(row) for _, row in table.iterrows()]})
    for name in ("precision", "f1", "paper_test", "train", "train_n", "paper_train"):
        if name in table:
            shown_table[name] = table[name] if name.endswith("_n") else 100 * table[name].astype(float)
    return shown_table


def _test_cell(row: pd.Series) -> str:
    """'9 of 12, 75 % [47–91]'; of the mean of the classes only its share, which has no such interval."""
    if pd.isna(row["test"]):
        return "no pictures"
    if pd.isna(row["test_low"]):
        return share(row["test"])
    return counted_share(int(row["test_right"]), int(row["test_n"]))


def draw_loss(column: RunColumn, columns: Sequence[RunColumn]) -> None:
    losses = [row.train_loss for row in column.epochs if row.train_loss is not None]
    text = f"Training loss from {losses[0]:.3f} to {losses[-1]:.3f}" if losses else "Training loss"
    top = highest_loss(*(history(other.run) for other in columns))
    rows, epochs = history(column.run), column.run.config.train.epochs
    options, shape = loss_options(rows, epochs, top), loss_shape(rows.epoch, rows.train_loss)
    if shape is not None and shape.kind != "neither":
        points = [[float(at), round(float(value), 4)] for at, value in zip(shape.epochs, shape.fitted, strict=True)]
        options["series"].append(
            {
                "type": "line",
                "name": "fit",
                "data": points,
                "showSymbol": False,
                "lineStyle": {"type": "dashed", "width": 1.5, "color": CALM},
                "itemStyle": {"color": CALM},
            }
        )
    st.echarts_chart(options, key=f"{column.key}.loss", height=360, alt=text)
    st.caption(f"{text} over {len(losses)} epochs.{' ' + shape.sentence if shape is not None else ''}")
    st.echarts_chart(
        accuracy_options(rows, epochs, len(column.test.classes)),
        key=f"{column.key}.accuracy",
        height=300,
        alt="Accuracy after each epoch",
    )


def draw_pictures(column: RunColumn, columns: Sequence[RunColumn]) -> None:
    test = column.test
    wrong = int((~test.correct).sum())
    labels = {"wrong": f"Wrong · {wrong:,}", "right": f"Right · {test.n - wrong:,}"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Predictions",
            list(labels),
            default="wrong",
            required=True,
            format_func=lambda kind: labels[kind],
            key=f"{column.key}.kind",
        )
        order = st.selectbox(
            "Order", tuple(ORDERS), format_func=lambda name: ORDERS[name], key=f"{column.key}.order", width=170
        )
        picked = st.selectbox(
            "Class",
            [None, *classes_in(test)],
            format_func=lambda index: "all" if index is None else shown(test.classes[index], 30),
            key=f"{column.key}.class",
            width=150,
        )
    mask = test.correct if kind == "right" else ~test.correct
    if picked is not None:
        mask = mask & (test.labels == picked)
    draw_predictions(column.run, test, ordered(test, mask, order), f"{column.key}.pictures")
