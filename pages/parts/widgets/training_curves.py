"""The curves of a run as ECharts options, which update in place: loss, accuracy, classes, learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.intervals import wilson
from core.runs.history import MetricHistory
from pages.parts.shell.escape import shown
from pages.parts.shell.theme import BLOCK, CALM, PART_COLOURS
from pages.parts.widgets.charts import Column, curve_options

Curves = dict[str, tuple[Column, Column]]  # label -> x, y
FINE, TRAINING, VALIDATION = "within epochs", "training", "validation"
COLOURS = {FINE: "#56B4E9", TRAINING: PART_COLOURS["train"], VALIDATION: PART_COLOURS["val"]}
BEHIND, ABOVE = 1, 3  # z: own curves lie in front of those of earlier runs


@dataclass(frozen=True)
class Overlaid:
    """An earlier run whose curves are compared with those of the run on the page."""

    label: str  # plain text, unlike every other one
    colour: str
    history: MetricHistory

    @property
    def epochs(self) -> int:
        return self.history.last.epoch if self.history.last else 0


def loss_options(
    history: MetricHistory, epochs: int, top: float | None = None, over: Sequence[Overlaid] = ()
) -> dict[str, Any]:
    """Loss against epochs: thin within epochs, strong for whole epochs. `top` is where the axis ends.

    Of an earlier run one line: its validation loss, or its training loss where it has no validation part.
    """
    curves: Curves = {}
    if len(history.place) > len(history.epoch):  # one an epoch at most would only lie on the epochs' own curve
        curves[FINE] = (history.place, history.loss)
    curves[TRAINING] = (history.epoch, history.train_loss)
    if history.has_val:
        curves[VALIDATION] = (history.epoch, history.val_loss)
    behind: Curves = {
        one.label: (one.history.epoch, one.history.val_loss if one.history.has_val else one.history.train_loss)
        for one in over
    }
    options = _overlaid(curves, behind, over, epochs)
    for line in options["series"]:
        if line["name"] == FINE:
            line |= {"lineStyle": {"width": 1.2, "opacity": 0.9}, "showSymbol": len(history.place) < 3, "z": ABOVE - 1}
        if line["name"] == VALIDATION and history.best is not None:
            line["markPoint"] = _best(history.best.epoch, history.best.val_loss)
    top = top or _below_spikes([*curves.values(), *behind.values()])
    if top is not None:
        options["yAxis"] |= {"min": 0, "max": top, "scale": False}
    return options


def accuracy_options(
    history: MetricHistory, epochs: int, classes: int, over: Sequence[Overlaid] = ()
) -> dict[str, Any]:
    """Accuracy in per cent against epochs, over the line of pure chance; earlier runs as in loss_options."""
    curves: Curves = {TRAINING: (history.epoch, history.train_accuracy)}
    if history.has_val:
        curves[VALIDATION] = (history.epoch, history.val_accuracy)
    behind: Curves = {
        one.label: (one.history.epoch, one.history.val_accuracy if one.history.has_val else one.history.train_accuracy)
        for one in over
    }
    options = _overlaid(curves, behind, over, epochs, percent=True)
    options["yAxis"] |= {"axisLabel": {"formatter": "{value} %"}, "interval": 25}
    options["series"][-1]["markLine"] = {
        "silent": True,
        "symbol": "none",
        "animation": False,
        "lineStyle": {"color": CALM, "type": "dashed"},
        "label": {"formatter": "chance", "position": "insideEndTop", "color": CALM},
        "data": [{"yAxis": round(100 / max(classes, 1), 2)}],
    }
    return options


def class_options(
    classes: Sequence[str], shares: Sequence[float | None], colour: str, counts: Sequence[int] | None = None
) -> dict[str, Any]:
    """One bar a class, accuracy in per cent; a class without pictures has no bar.

    With `counts`, pictures a class, each bar says of how many, and a thin box is the 95 % interval.
    """
    bars = []
    for place, value in enumerate(shares):
        text = "" if value is None else f"{100 * value:.1f} %"
        text += f" of {counts[place]:,}" if counts and value is not None else ""
        bars.append({"value": None if value is None else round(100 * value, 1), "label": {"formatter": text}})
    series: list[dict[str, Any]] = [
        {
            "type": "bar",
            "data": bars,
            "barMaxWidth": 18,
            "showBackground": True,
            "backgroundStyle": {"color": "rgba(128,128,128,0.10)", "borderRadius": 4},
            "itemStyle": {"color": colour, "borderRadius": 4},
            "label": {"show": False},
        },
        # a bar that is not seen: its label stands at the right edge, in one column, whatever the value
        {
            "type": "bar",
            "data": [{"value": 100, "label": bar["label"]} for bar in bars],
            "barGap": "-100%",
            "silent": True,
            "itemStyle": {"color": "transparent"},
            "label": {"show": True, "position": "right", "color": CALM},
        },
    ]
    if counts:
        spans = [None if v is None else wilson(round(v * n), n) for v, n in zip(shares, counts, strict=True)]
        series.append(
            {
                "type": "boxplot",
                "data": ["-" if span is None else _box(*span) for span in spans],
                "boxWidth": [4, 5],
                "silent": True,
                "itemStyle": {"color": "rgba(128,128,128,0.55)", "borderColor": CALM, "borderWidth": 1},
            }
        )
    for one in series:
        one["animation"] = False
    return {
        "animation": False,
        "grid": {"left": 8, "right": 92 if counts else 56, "top": 4, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "value", "min": 0, "max": 100, "show": False},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "data": [shown(name, 18) for name in classes],
        },
        "series": series,
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


def rate_options(rates: Sequence[float], epochs: int, history: MetricHistory, now: float) -> dict[str, Any]:
    """The learning rate of a run that is under way: what was taken as a line, what is planned as a dashed one.

    `rates` are evenly spaced from the first step to the last, `now` is the place on the axis of epochs.
    """
    last = max(len(rates) - 1, 1)
    at = [epochs * i / last for i in range(len(rates))]
    ahead = [(x, rate) for x, rate in zip(at, rates, strict=True) if x >= now]
    taken_at, taken = history.place, history.fine_rate
    current = float(np.interp(now, at, rates))
    curves: Curves = {
        "planned": ([now, *(x for x, _ in ahead)], [current, *(rate for _, rate in ahead)]),
        "taken": ([*taken_at.tolist(), now], [*taken.tolist(), current]),
    }
    options = curve_options(curves, "", "", colours={"planned": CALM, "taken": BLOCK})
    planned, done = options["series"]
    planned["lineStyle"] = {"width": 1.5, "type": "dashed"}
    done |= {"areaStyle": {"opacity": 0.15}, "lineStyle": {"width": 2}}
    done["markPoint"] = {
        "symbol": "circle",
        "symbolSize": 8,
        "silent": True,
        "animation": False,
        "label": {"show": False},
        "data": [{"coord": [round(now, 4), current]}],
    }
    options["yAxis"] |= {"min": 0, "splitNumber": 2, "scale": False}
    options = _over_epochs(options, epochs)
    return options | {
        "legend": {"show": False},
        "grid": {"left": 4, "right": 12, "top": 10, "bottom": 4, "containLabel": True},
    }


def _overlaid(
    curves: Curves, behind: Curves, over: Sequence[Overlaid], epochs: int, percent: bool = False
) -> dict[str, Any]:
    """The curves of earlier runs, then the run's own in front of them; the axis holds them all."""
    colours: Mapping[str, str] = COLOURS | {one.label: one.colour for one in over}
    options = curve_options(behind | curves, "epoch", "", percent=percent, dots=True, colours=colours)
    for line, label in zip(options["series"], behind | curves, strict=True):
        line["z"] = BEHIND if label in behind else ABOVE
        if label in behind:
            line |= {"showSymbol": False, "lineStyle": {"width": 1.5, "opacity": 0.85}}
    now = max((float(np.asarray(xs)[-1]) for xs, _ in curves.values() if len(xs)), default=0.0)
    options = _over_epochs(options, _visible_epochs(max([epochs, *(one.epochs for one in over)]), now))
    # own curves first, however many lie behind them
    names = {label: line["name"] for line, label in zip(options["series"], behind | curves, strict=True)}
    options["legend"]["data"] = [names[label] for label in (*curves, *behind)]
    return options


def _visible_epochs(epochs: int, now: float) -> int:
    """The last epoch on the axis: that of the run, halved while the curve would fill less than a quarter of it.

    So the axis jumps a few times in a run and is still in between, and the first epochs of a thousand are seen.
    """
    while epochs > 8 and now < epochs / 4:
        epochs = -(-epochs // 2)
    return epochs


def _below_spikes(curves: Sequence[tuple[Column, Column]]) -> float | None:
    """Where an axis of losses ends so that a few spikes do not press everything else flat; None where none does.

    The beginning of each curve is always seen; a spike leaves at the top, and the pointer shows its value.
    """
    losses = [np.asarray(ys, dtype=np.float64) for _, ys in curves]
    finite = np.concatenate([np.zeros(0), *(values[np.isfinite(values)] for values in losses)])
    if len(finite) < 20:
        return None
    top = max(1.3 * float(np.percentile(finite, 95)), *(float(np.nan_to_num(values[:1]).sum()) for values in losses))
    return float(f"{top:.2g}") if finite.max() > 2.5 * top else None


def _best(epoch: int, loss: float | None) -> dict[str, Any]:
    """A ring around the lowest validation loss; its name stands in the heading, where no curve crosses it."""
    return {
        "symbol": "circle",
        "symbolSize": 11,
        "silent": True,
        "animation": False,
        "itemStyle": {"color": "transparent", "borderColor": COLOURS[VALIDATION], "borderWidth": 2},
        "label": {"show": False},
        "data": [{"coord": [epoch, loss]}],
    }


def _box(low: float, high: float) -> list[float]:
    ends = round(100 * low, 1), round(100 * high, 1)
    return [ends[0], ends[0], round((ends[0] + ends[1]) / 2, 1), ends[1], ends[1]]


def _over_epochs(options: dict[str, Any], epochs: int) -> dict[str, Any]:
    """An axis that does not follow the newest point: a growing curve must not shift what is drawn already."""
    options["xAxis"] |= {"min": 0, "max": max(epochs, 1), "minInterval": 1 if epochs > 1 else 0.25}
    options["legend"] |= {"left": 0, "right": "auto", "icon": "roundRect", "itemHeight": 3, "itemWidth": 16}
    options["grid"] |= {"top": 36}
    options["yAxis"].setdefault("splitNumber", 4)
    return options
