"""Charts: Plotly figures for what stands still, ECharts options for curves that grow. Axes carry units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.evaluation import Evaluation
from core.intervals import wilson
from pages.parts.shell.escape import plotted, shown
from pages.parts.shell.theme import BLOCK, CALM, CLASS_COLOURS, PART_COLOURS, PART_NAMES

MOST_POINTS = 600  # of a curve that is sent to the browser; nobody sees more
PLOTLY_CONFIG = {  # of the tools only the download, and only under the pointer
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage"]],
    "toImageButtonOptions": {"format": "png", "scale": 2, "filename": "atelier-chart"},
    "scrollZoom": False,
}
Column = Sequence[float] | Sequence[float | None] | np.ndarray
_ROW = 30  # height in pixels of one class in a chart of horizontal bars
_GRID = "rgba(128, 128, 128, 0.22)"  # seen on light and on dark


def balance_figure(classes: Sequence[str], before: Sequence[int], after: Sequence[int]) -> go.Figure:
    """Pictures a class: what is there, and in colour what is used after balancing.

    One colour for all: next to it the parts are drawn, in the colours of the first classes.
    """
    figure = go.Figure()
    # places are numbers: two names that are shortened to the same text would otherwise share one
    places = list(range(len(classes)))
    names = [plotted(name) for name in classes]
    left_out = [there - used for there, used in zip(before, after, strict=True)]
    figure.add_bar(
        orientation="h",
        y=places,
        x=list(after),
        marker_color=BLOCK,
        customdata=names,
        text=[f"{used:,}" for used in after],
        textposition="inside",
        insidetextanchor="start",
        hovertemplate="%{customdata}: %{x:,} used<extra></extra>",
    )
    if any(left_out):
        figure.add_bar(
            orientation="h",
            y=places,
            x=left_out,
            marker={"color": "rgba(128,128,128,0.25)", "line": {"width": 0}},
            customdata=names,
            text=[f"{out:,} left out" if out else "" for out in left_out],
            textposition="inside",
            hovertemplate="%{customdata}: %{x:,} left out<extra></extra>",
        )
    return _horizontal(figure, classes, "pictures")


def parts_figure(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> go.Figure:
    """How the pictures of each class fall into the parts; counts: part -> pictures a class."""
    figure = go.Figure()
    widest = max(sum(numbers) for numbers in zip(*counts.values(), strict=True))
    for part, numbers in counts.items():
        if not sum(numbers):
            continue
        figure.add_bar(
            orientation="h",
            name=PART_NAMES[part],
            y=list(range(len(classes))),
            x=list(numbers),
            marker_color=PART_COLOURS[part],
            customdata=[plotted(name) for name in classes],
            # a number that is wider than its bar would be squeezed or turned; the pointer shows it
            text=[f"{number:,}" if number > 0.07 * widest else "" for number in numbers],
            textposition="inside",
            textangle=0,
            insidetextanchor="middle",
            constraintext="none",
            hovertemplate="%{customdata}: %{x:,} for " + PART_NAMES[part].lower() + "<extra></extra>",
        )
    return _horizontal(figure, classes, "pictures", legend=True)


def accuracy_figure(
    groups: Mapping[str, Evaluation], colours: Mapping[str, str] | None = None, height: int | None = None
) -> go.Figure:
    """Accuracy of each class in per cent with its 95 % interval, one colour a group; a line where chance lies.

    All evaluations must have the same classes; a class without pictures has no bar.
    """
    first = next(iter(groups.values()))
    figure = go.Figure()
    for index, (label, evaluation) in enumerate(groups.items()):
        right, counts = np.diag(evaluation.confusion), evaluation.counts
        shares = [100 * r / n if n else None for r, n in zip(right, counts, strict=True)]
        spans = [wilson(int(r), int(n)) for r, n in zip(right, counts, strict=True)]
        figure.add_bar(
            orientation="h",
            name=plotted(label),
            y=list(range(len(first.classes))),
            x=shares,
            marker_color=(colours or {}).get(label, CLASS_COLOURS[index % len(CLASS_COLOURS)]),
            customdata=[
                [plotted(name), int(r), int(n), 100 * low, 100 * high]
                for name, r, n, (low, high) in zip(first.classes, right, counts, spans, strict=True)
            ],
            error_x={
                "type": "data",
                "array": [100 * high - (share or 0) for share, (_, high) in zip(shares, spans, strict=True)],
                "arrayminus": [(share or 0) - 100 * low for share, (low, _) in zip(shares, spans, strict=True)],
                "thickness": 1.2,
                "width": 3,
                "color": CALM,
            },
            hovertemplate="%{customdata[0]}: %{x:.1f} % (%{customdata[1]} of %{customdata[2]}, "
            "95 % interval %{customdata[3]:.0f} to %{customdata[4]:.0f})<extra></extra>",
        )
    figure.add_vline(x=100 / len(first.classes), line={"dash": "dot", "width": 1, "color": CALM})
    figure = _horizontal(figure, first.classes, "accuracy, %", legend=len(groups) > 1, bars=len(groups))
    # the end of an interval at 100 % and the number under it need a little room
    figure.update_layout(barmode="group", xaxis={"range": [0, 101], "dtick": 25}, margin_r=20)
    if height:
        figure.update_layout(height=height)
    return figure


@dataclass(frozen=True)
class Bar:
    """One bar of scores_figure: `right` of `n`."""

    label: str
    right: int
    n: int
    colour: str
    note: str = ""  # shown under the pointer


def scores_figure(bars: Sequence[Bar], chance: float) -> go.Figure:
    """Accuracy in per cent with its 95 % interval, written next to each bar; a dotted line where chance lies."""
    shares = [100 * bar.right / max(1, bar.n) for bar in bars]
    spans = [wilson(bar.right, bar.n) for bar in bars]
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        y=list(range(len(bars))),
        x=shares,
        marker_color=[bar.colour for bar in bars],
        customdata=[
            [plotted(bar.label), bar.right, bar.n, 100 * low, 100 * high, plotted(bar.note, 80)]
            for bar, (low, high) in zip(bars, spans, strict=True)
        ],
        error_x={
            "type": "data",
            "array": [100 * high - share for share, (_, high) in zip(shares, spans, strict=True)],
            "arrayminus": [share - 100 * low for share, (low, _) in zip(shares, spans, strict=True)],
            "thickness": 1.4,
            "width": 4,
            "color": CALM,
        },
        hovertemplate="%{customdata[0]}: %{x:.1f} % (%{customdata[1]} of %{customdata[2]}, 95 % interval "
        "%{customdata[3]:.1f} to %{customdata[4]:.1f} %)<br>%{customdata[5]}<extra></extra>",
    )
    figure.add_vline(x=chance, line={"dash": "dot", "width": 1.4, "color": CALM})
    figure = _horizontal(figure, [bar.label for bar in bars], "accuracy, %")
    for place, (share, (low, high)) in enumerate(zip(shares, spans, strict=True)):
        text = f"{share:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
        figure.add_annotation(x=101, y=place, text=text, xanchor="left", showarrow=False)
    figure.update_layout(xaxis={"range": [0, 101], "dtick": 25, "tickangle": 0}, margin_r=140)
    return figure


def probability_figure(classes: Sequence[tuple[str, float]], colours: Mapping[str, str], most: int = 5) -> go.Figure:
    """Ranked classes with their probabilities in per cent; best first."""
    best = list(classes[:most])
    figure = go.Figure()
    figure.add_bar(
        orientation="h",
        y=list(range(len(best))),
        x=[max(100 * share, 0.2) for _, share in best],  # a bar of no length would lose its number
        marker_color=[colours.get(name, CALM) for name, _ in best],
        customdata=[[plotted(name), 100 * share] for name, share in best],
        text=[f"{share:.0%}" if share >= 0.005 else "<1%" for _, share in best],
        textposition=["auto" if share >= 0.05 else "outside" for _, share in best],
        cliponaxis=False,
        hovertemplate="%{customdata[0]}: %{customdata[1]:.1f} %<extra></extra>",
    )
    figure = _horizontal(figure, [name for name, _ in best], "")
    figure.update_layout(xaxis_range=[0, 105], height=_ROW * len(best) + 16)
    figure.update_xaxes(visible=False)
    return figure


def curve_options(
    curves: Mapping[str, tuple[Column, Column]],
    x_title: str,
    y_title: str,
    *,
    percent: bool = False,
    dots: bool = False,
    colours: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """ECharts option for lines that grow; curves: label -> (x, y), y None or nan where a value was not finite.

    With `percent`, y holds fractions 0..1 and is shown as 0..100. Each line is thinned to MOST_POINTS.
    """
    series = []
    for label, (xs, ys) in curves.items():
        points = [
            [round(x, 4), None if not math.isfinite(y) else round(100 * y, 2) if percent else float(f"{y:.5g}")]
            for x, y in thinned(xs, ys)
        ]
        line: dict[str, Any] = {"type": "line", "name": shown(label, 40), "data": points}
        line |= {"showSymbol": dots and len(points) <= 60, "symbolSize": 5, "lineStyle": {"width": 2}}
        if colours and label in colours:
            line |= {"color": colours[label]}
        series.append(line)
    y_axis: dict[str, Any] = {"type": "value", "name": y_title, "scale": not percent}
    if percent:
        y_axis |= {"min": 0, "max": 100}
    return {
        "animation": False,
        "tooltip": {"trigger": "axis", "renderMode": "richText"},
        "legend": {"top": 0, "right": 0, "type": "scroll"},
        "grid": {"left": 8, "right": 16, "top": 40, "bottom": 28, "containLabel": True},
        "xAxis": {"type": "value", "name": x_title, "nameLocation": "middle", "nameGap": 26, "min": "dataMin"}
        | {"max": "dataMax", "splitLine": {"show": False}},
        "yAxis": y_axis,
        "series": series,
    }


def thinned(xs: Column, ys: Column, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points of a curve, as a person would see it: of each bin the lowest and the highest value.

    The first and the last point always stay, and so does a gap (None or nan) in each bin that has one. Bins are
    powers of two of points, counted from the first: while a curve grows, what is drawn already does not move, except
    when the bins double.
    """
    x, y = np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)  # None becomes nan
    if len(x) > most:
        gaps = not np.isfinite(y).all()
        bins = max(1, (most - 2) // (3 if gaps else 2))
        size = 2 ** math.ceil(math.log2(len(x) / bins))
        padded = np.full(-(-len(x) // size) * size, np.nan)
        padded[: len(y)] = y
        rows = padded.reshape(-1, size)
        first = np.arange(len(rows)) * size
        finite = np.isfinite(rows)
        kept = [first + np.where(finite, rows, np.inf).argmin(1), first + np.where(finite, rows, -np.inf).argmax(1)]
        if gaps:
            kept.append(first + finite.argmin(1))  # the first that is not finite; of a whole bin, its first point
        chosen = np.unique(np.concatenate([*kept, [0, len(x) - 1]]))
        chosen = chosen[chosen < len(x)]
        x, y = x[chosen], y[chosen]
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _horizontal(figure: go.Figure, classes: Sequence[str], unit: str, legend: bool = False, bars: int = 1) -> go.Figure:
    """Lay out horizontal bars: names on the left, the first class on top, room for every bar."""
    row = _ROW if bars == 1 else 14 * bars + 14
    figure.update_layout(
        barmode="stack",
        bargap=0.28,
        height=row * len(classes) + (88 if legend else 60),
        margin={"l": 8, "r": 8, "t": 34 if legend else 6, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        hovermode="closest",
    )
    figure.update_xaxes(title=unit or None, gridcolor=_GRID, zeroline=False, fixedrange=True)
    name_rows(figure, classes)
    return figure


def name_rows(figure: go.Figure, names: Sequence[str]) -> None:
    """Call the rows of a figure, 0 at the top, by these names, which may hold anything."""
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[plotted(name) for name in names],
        autorange="reversed",
        showgrid=False,
        automargin=True,
        fixedrange=True,
    )
