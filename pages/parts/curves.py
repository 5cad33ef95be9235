"""Live charts as ECharts options: the loss, the accuracy, the classes and the learning rate. They update in place."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from core.rows import EpochRow, IterationRow, Row
from pages.parts.escape import shown
from pages.parts.palette import CALM, PART_COLOURS

POINTS = 400  # more than this nobody can see in one line
TEXT = {"fontSize": 12}


def loss_options(rows: Sequence[Row], epochs: int) -> dict[str, Any]:
    """Loss against epochs: a thin line for each 200 iterations, dots for the means of whole epochs."""
    fine = pd.DataFrame(
        [(place(row), row.train_loss) for row in rows if isinstance(row, IterationRow)],
        columns=["epoch", "every 200 iterations"],
    )
    whole = [row for row in rows if isinstance(row, EpochRow)]
    coarse = pd.DataFrame(
        [(row.epoch, row.train_loss, row.val_loss) for row in whole], columns=["epoch", "training", "validation"]
    )
    series = [
        line(0, "every 200 iterations", PART_COLOURS["train"], opacity=0.45, width=1.2),
        line(1, "training", PART_COLOURS["train"], dots=len(whole) < 40),
    ]
    if coarse["validation"].notna().any():
        series.append(line(1, "validation", PART_COLOURS["val"], dots=len(whole) < 40))
    return frame_options(series, [thin(fine), thin(coarse)], epochs) | {
        "yAxis": {"type": "value", "scale": True, "axisLabel": TEXT, "splitNumber": 4}
    }


def accuracy_options(rows: Sequence[Row], epochs: int, classes: int) -> dict[str, Any]:
    """Accuracy in percent against epochs, with the line of pure chance."""
    whole = [row for row in rows if isinstance(row, EpochRow)]
    table = pd.DataFrame(
        [(row.epoch, percent(row.train_accuracy), percent(row.val_accuracy)) for row in whole],
        columns=["epoch", "training", "validation"],
    )
    first = line(0, "training", PART_COLOURS["train"], dots=len(whole) < 40)
    if classes:
        first["markLine"] = {
            "silent": True,
            "symbol": "none",
            "animation": False,
            "lineStyle": {"color": CALM, "type": "dashed"},
            "label": {"formatter": "chance", "position": "insideEndTop", "color": CALM},
            "data": [{"yAxis": round(100 / classes, 2)}],
        }
    series = [first]
    if table["validation"].notna().any():
        series.append(line(0, "validation", PART_COLOURS["val"], dots=len(whole) < 40))
    return frame_options(series, [thin(table)], epochs) | {
        "yAxis": {
            "type": "value",
            "min": 0,
            "max": 100,
            "splitNumber": 4,
            "axisLabel": {**TEXT, "formatter": "{value} %"},
        }
    }


def class_options(classes: Sequence[str], shares: Sequence[float | None], colour: str) -> dict[str, Any]:
    """One bar a class, accuracy in percent; a class without pictures has no bar."""
    table = pd.DataFrame({"class": [shown(name, 18) for name in classes], "accuracy": [percent(x) for x in shares]})
    return {
        "animation": False,
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "grid": {"left": 8, "right": 44, "top": 4, "bottom": 4, "containLabel": True},
        "dataset": {"source": table},
        "xAxis": {"type": "value", "min": 0, "max": 100, "axisLabel": {"show": False}, "splitLine": {"show": False}},
        "yAxis": {"type": "category", "inverse": True, "axisTick": {"show": False}, "axisLine": {"show": False}},
        "series": [
            {
                "type": "bar",
                "encode": {"x": "accuracy", "y": "class"},
                "barMaxWidth": 18,
                "itemStyle": {"color": colour, "borderRadius": [0, 4, 4, 0]},
                "label": {"show": True, "position": "right", "formatter": "{@accuracy} %"},
            }
        ],
    }


def schedule_options(rates: Sequence[float], epochs: int) -> dict[str, Any]:
    """The learning rate over the run, before it starts; `rates` are evenly spaced from first to last step."""
    last = max(len(rates) - 1, 1)
    table = pd.DataFrame({"epoch": [epochs * i / last for i in range(len(rates))], "learning rate": list(rates)})
    curve = line(0, "learning rate", PART_COLOURS["train"])
    curve["areaStyle"] = {"opacity": 0.12}
    options = frame_options([curve], [table], epochs)
    return options | {
        "legend": {"show": False},
        "grid": {"left": 8, "right": 12, "top": 10, "bottom": 4, "containLabel": True},
        "yAxis": {"type": "value", "min": 0, "splitNumber": 2, "axisLabel": TEXT},
    }


def frame_options(series: list[dict[str, Any]], tables: list[pd.DataFrame], epochs: int) -> dict[str, Any]:
    return {
        "animation": False,
        "tooltip": {"trigger": "axis", "valueFormatter": "%.4g"},
        "legend": {"top": 0, "left": 0, "icon": "roundRect", "itemHeight": 3, "itemWidth": 16},
        "grid": {"left": 8, "right": 16, "top": 34, "bottom": 26, "containLabel": True},
        "xAxis": {
            "type": "value",
            "min": 0,
            "max": max(epochs, 1),
            "minInterval": 1 if epochs > 1 else 0.25,
            "name": "epoch",
            "nameLocation": "middle",
            "nameGap": 26,
            "splitLine": {"show": False},
            "axisLabel": TEXT,
        },
        "dataset": [{"source": table} for table in tables],
        "series": series,
    }


def line(dataset: int, column: str, colour: str, opacity: float = 1, width: float = 2, dots: bool = False) -> dict:
    return {
        "type": "line",
        "name": column,
        "datasetIndex": dataset,
        "encode": {"x": "epoch", "y": column, "tooltip": column},
        "showSymbol": dots,
        "symbolSize": 6,
        "lineStyle": {"width": width, "opacity": opacity, "color": colour},
        "itemStyle": {"color": colour, "opacity": opacity},
    }


def place(row: Row) -> float:
    """Where a row stands on the axis of epochs: 1.0 is the end of the first epoch."""
    if isinstance(row, IterationRow):
        return round(row.epoch - 1 + row.iteration / max(row.iterations, 1), 4)
    return float(row.epoch)


def percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def thin(table: pd.DataFrame) -> pd.DataFrame:
    """At most POINTS rows, evenly picked, always with the last one."""
    if len(table) <= POINTS:
        return table
    stride = -(-len(table) // POINTS)
    kept = table.iloc[::stride]
    return kept if kept.index[-1] == table.index[-1] else pd.concat([kept, table.iloc[[-1]]])
