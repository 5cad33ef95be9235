"""The forest plot of an ablation: what each component changes in accuracy and in time, with intervals."""

from collections.abc import Sequence
from textwrap import wrap

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.experiments.ablation.effects import Effect
from core.experiments.ablation.spread import Difference
from pages.parts.shell.escape import plotted
from pages.parts.shell.theme import CALM

GAIN, LOSS = "#009E73", "#D55E00"  # of Okabe and Ito: distinct with any kind of colour vision
_GRID = "rgba(128, 128, 128, 0.22)"
_ROW = 34  # pixels


def forest_figure(effects: Sequence[Effect]) -> go.Figure:
    """A row a component, the largest gain on top: difference in accuracy and in seconds per epoch with intervals."""
    rows = sorted(effects, key=lambda effect: effect.accuracy.value if effect.accuracy else 0.0, reverse=True)
    timed = any(effect.seconds for effect in rows)  # while nothing is, accuracy has the whole width
    figure = make_subplots(rows=1, cols=1 + timed, shared_yaxes=True, horizontal_spacing=0.04)
    accuracy = [(effect, effect.accuracy.times(100)) for effect in rows if effect.accuracy]
    seconds = [(effect, effect.seconds) for effect in rows if effect.seconds]
    places = {effect.key: place for place, effect in enumerate(rows)}
    _add_points(figure, 1, accuracy, places, "points", more_is=GAIN, less_is=LOSS)
    _add_points(figure, 2, seconds, places, "s per epoch", more_is=LOSS, less_is=GAIN)
    for column, title in ((1, "test accuracy, points"), (2, "seconds per epoch"))[: 1 + timed]:
        figure.add_vline(x=0, line={"width": 1.4, "color": CALM}, row=1, col=column)
        figure.update_xaxes(
            title=title, gridcolor=_GRID, zeroline=False, fixedrange=True, tickformat="+", nticks=6, row=1, col=column
        )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=["<br>".join(wrap(plotted(effect.title, 60), 28)) for effect in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    figure.update_layout(
        height=_ROW * len(rows) + 70,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=False,
        hovermode="closest",
        dragmode=False,
    )
    return figure


def _add_points(
    figure: go.Figure,
    column: int,
    differences: Sequence[tuple[Effect, Difference]],
    places: dict[str, int],
    unit: str,
    more_is: str,
    less_is: str,
) -> None:
    if not differences:
        return
    colours = [
        CALM if one.is_noise or effect.is_undecided else more_is if one.value > 0 else less_is
        for effect, one in differences
    ]
    for (effect, one), colour in zip(differences, colours, strict=True):
        figure.add_scatter(
            x=[one.value],
            y=[places[effect.key]],
            mode="markers",
            marker={"size": 9, "color": colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [one.high - one.value],
                "arrayminus": [one.value - one.low],
                "color": colour,
                "thickness": 2,
                "width": 4,
            },
            customdata=[[plotted(effect.title, 60), one.low, one.high]],
            hovertemplate="%{customdata[0]}: %{x:+.3g} "
            + unit
            + " (95 % interval %{customdata[1]:+.3g} to %{customdata[2]:+.3g})<extra></extra>",
            row=1,
            col=column,
        )
