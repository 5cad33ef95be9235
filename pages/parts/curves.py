"""The curves of a run as ECharts options, which update in place: loss, accuracy, classes, learning rate."""

from collections.abc import Sequence
from typing import Any

from core.rows import EpochRow, IterationRow, Row
from pages.parts.charts import curve_options
from pages.parts.escape import shown
from pages.parts.palette import CALM, PART_COLOURS

Curves = dict[str, tuple[Sequence[float], Sequence[float | None]]]  # label -> x, y
FINE, TRAINING, VALIDATION = "every 200 iterations", "training", "validation"
COLOURS = {FINE: "#56B4E9", TRAINING: PART_COLOURS["train"], VALIDATION: PART_COLOURS["val"]}


def loss_options(rows: Sequence[Row], epochs: int, top: float | None = None) -> dict[str, Any]:
    """Loss against epochs: thin for each 200 iterations, strong for whole epochs. `top` fixes the axis from 0 on."""
    fine = [row for row in rows if isinstance(row, IterationRow)]
    whole = [row for row in rows if isinstance(row, EpochRow)]
    if len(fine) <= len(whole):
        fine = []  # one an epoch at most: they would only lie on the epochs' own curve
    curves: Curves = {TRAINING: ([row.epoch for row in whole], [row.train_loss for row in whole])}
    if fine:
        curves = {FINE: ([place(row) for row in fine], [row.train_loss for row in fine])} | curves
    if any(row.val_loss is not None for row in whole):
        curves[VALIDATION] = ([row.epoch for row in whole], [row.val_loss for row in whole])
    options = _over_epochs(curve_options(curves, "epoch", "", dots=True, colours=COLOURS), epochs)
    if fine:
        options["series"][0] |= {"lineStyle": {"width": 1.2, "opacity": 0.9}, "showSymbol": len(fine) < 3}
    if top is not None:
        options["yAxis"] |= {"min": 0, "max": top, "scale": False}
    return options


def accuracy_options(rows: Sequence[Row], epochs: int, classes: int) -> dict[str, Any]:
    """Accuracy in per cent against epochs, over the line of pure chance."""
    whole = [row for row in rows if isinstance(row, EpochRow)]
    at = [row.epoch for row in whole]
    curves: Curves = {TRAINING: (at, [row.train_accuracy for row in whole])}
    if any(row.val_accuracy is not None for row in whole):
        curves[VALIDATION] = (at, [row.val_accuracy for row in whole])
    options = curve_options(curves, "epoch", "", percent=True, dots=True, colours=COLOURS)
    options["yAxis"] |= {"axisLabel": {"formatter": "{value} %"}, "interval": 25}
    options["series"][0]["markLine"] = {
        "silent": True,
        "symbol": "none",
        "animation": False,
        "lineStyle": {"color": CALM, "type": "dashed"},
        "label": {"formatter": "chance", "position": "insideEndTop", "color": CALM},
        "data": [{"yAxis": round(100 / max(classes, 1), 2)}],
    }
    return _over_epochs(options, epochs)


def class_options(classes: Sequence[str], shares: Sequence[float | None], colour: str) -> dict[str, Any]:
    """One bar a class, accuracy in per cent; a class without pictures has no bar."""
    return {
        "animation": False,
        "grid": {"left": 8, "right": 56, "top": 4, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "value", "min": 0, "max": 100, "show": False},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "data": [shown(name, 18) for name in classes],
        },
        "series": [
            {
                "type": "bar",
                "data": [None if share is None else round(100 * share, 1) for share in shares],
                "barMaxWidth": 18,
                "showBackground": True,
                "backgroundStyle": {"color": "rgba(128,128,128,0.10)", "borderRadius": 4},
                "itemStyle": {"color": colour, "borderRadius": 4},
                "label": {"show": True, "position": "right", "formatter": "{c} %", "color": CALM},
            }
        ],
    }


def schedule_options(rates: Sequence[float], epochs: int) -> dict[str, Any]:
    """The learning rate over a run that has not started; `rates` are evenly spaced from the first step to the last."""
    last = max(len(rates) - 1, 1)
    at = [epochs * i / last for i in range(len(rates))]
    curves: Curves = {"learning rate": (at, list(rates))}
    options = curve_options(curves, "", "", colours={"learning rate": CALM})
    options["series"][0]["areaStyle"] = {"opacity": 0.12}
    options["yAxis"] |= {"min": 0, "splitNumber": 2, "scale": False}
    options = _over_epochs(options, epochs)
    return options | {
        "legend": {"show": False},
        "grid": {"left": 4, "right": 8, "top": 8, "bottom": 4, "containLabel": True},
    }


def place(row: Row) -> float:
    """Where a row stands on the axis of epochs: 1.0 is the end of the first epoch."""
    if isinstance(row, IterationRow):
        return round(row.epoch - 1 + row.iteration / max(row.iterations, 1), 4)
    return float(row.epoch)


def _over_epochs(options: dict[str, Any], epochs: int) -> dict[str, Any]:
    """The axis shows the whole run from the start, so that a growing curve does not shift what is drawn already."""
    options["xAxis"] |= {"min": 0, "max": max(epochs, 1), "minInterval": 1 if epochs > 1 else 0.25}
    options["legend"] |= {"left": 0, "right": "auto", "icon": "roundRect", "itemHeight": 3, "itemWidth": 16}
    options["grid"] |= {"top": 36}
    options["yAxis"].setdefault("splitNumber", 4)
    return options
