"""An activation function as a small drawing: its curve, and how many values of a picture lie where before and after."""

import base64
from typing import TYPE_CHECKING

import numpy as np

from pages.parts.shell.theme import ACCENT, BLOCK, CALM

if TYPE_CHECKING:
    from core.inference.activations import Curve

WIDTH, HEIGHT = 260, 150  # pixels
LEFT, BOTTOM, RIGHT, TOP = 34, HEIGHT - 18, WIDTH - 6, 6  # of the frame in which it is drawn


def curve_html(curve: "Curve", name: str) -> str:
    """The function as a line, the values before it as bars along the bottom and those after it along the left."""
    frame = _Frame(curve)
    bars = [*_bars_before(curve.before), *_bars_after(curve.after)]
    points = " ".join(f"{frame.across(x):.1f},{frame.up(y):.1f}" for x, y in zip(curve.x, curve.y, strict=True))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">{"".join(bars)}{frame.axes()}'
        f'<polyline points="{points}" fill="none" stroke="{ACCENT}" stroke-width="2.2"/>{frame.labels()}</svg>'
    )
    alt = f"The curve of {name}, with how many values lie where before and after it"
    content = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{content}" alt="{alt}" width="{WIDTH}" height="{HEIGHT}">'


class _Frame:
    """Where values lie on the drawing."""

    def __init__(self, curve: "Curve") -> None:
        self.x_low, self.x_high = float(curve.x[0]), float(curve.x[-1])
        self.y_low, self.y_high = curve.after_range
        if self.y_high <= self.y_low:
            self.y_high = self.y_low + 1

    def across(self, x: float) -> float:
        return LEFT + (RIGHT - LEFT) * (x - self.x_low) / (self.x_high - self.x_low)

    def up(self, y: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (y - self.y_low) / (self.y_high - self.y_low)

    def axes(self) -> str:
        """Dashed lines at zero, and the frame."""
        x, y = self.across(0), self.up(0)
        return (
            f'<path d="M{x:.1f} {TOP}V{BOTTOM}M{LEFT} {y:.1f}H{RIGHT}" stroke="{CALM}" stroke-width="0.7" '
            f'stroke-dasharray="2 3" fill="none"/>'
            f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" stroke="{CALM}" fill="none"/>'
        )

    def labels(self) -> str:
        """The ends of both axes, and zero."""
        below = HEIGHT - 5
        return "".join(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="10" font-family="sans-serif" '
            f'fill="#7b8794">{text}</text>'
            for x, y, anchor, text in (
                (LEFT, below, "start", _number(self.x_low)),
                (self.across(0), below, "middle", "0"),
                (RIGHT, below, "end", _number(self.x_high)),
                (LEFT - 4, BOTTOM, "end", _number(self.y_low)),
                (LEFT - 4, TOP + 8, "end", _number(self.y_high)),
            )
        )


def _bars_before(counts: np.ndarray) -> list[str]:
    step, most = (RIGHT - LEFT) / len(counts), max(1, counts.max())
    heights = [0.55 * (BOTTOM - TOP) * count / most for count in counts]
    return [_bar(LEFT + place * step, BOTTOM - high, step, high, CALM) for place, high in enumerate(heights)]


def _bars_after(counts: np.ndarray) -> list[str]:
    step, most = (BOTTOM - TOP) / len(counts), max(1, counts.max())
    lengths = [0.35 * (RIGHT - LEFT) * count / most for count in counts]
    return [_bar(LEFT, BOTTOM - (place + 1) * step, long, step, BLOCK) for place, long in enumerate(lengths)]


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}" fill-opacity="0.5"/>'
    )


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")
