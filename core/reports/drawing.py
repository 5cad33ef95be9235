"""The pictures of a report: curves as SVG, sheets of pictures as PNG. No torch."""

import io
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 260, 56, 36, 12, 150
COLOURS = ("#1f5fa8", "#c4591a", "#2f7d32", "#7b3fa0")  # told apart in print and by people who see no red or green
TICKS = 5
SIDE, GAP, COLUMNS = 96, 8, 8  # pixels of a picture on a sheet, between two, pictures in a row


def draw_curves(series: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str) -> bytes:
    """Lines with their names at the right, as SVG. series: name -> (x, y), x a whole number, y finite; at least
    one point in all."""
    points = [point for of_one in series.values() for point in of_one]
    x_low, x_high = _range([x for x, _ in points])
    heights = _round_values(*_range([y for _, y in points]))
    y_low, y_high = heights[0], heights[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        right = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        return right, HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - BOTTOM - TOP)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/><g font-size="11" fill="#444">')
    for whole in sorted({round(x_low + (x_high - x_low) * number / (TICKS - 1)) for number in range(TICKS)}):
        if not x_low <= whole <= x_high:
            continue
        at_x, _ = place(whole, y_low)
        parts.append(f'<text x="{at_x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{whole}</text>')
    for y in heights:
        _, at_y = place(x_low, y)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at_y:.1f}" y2="{at_y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at_y + 4:.1f}" text-anchor="end">{y:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(across)}</text>')
    turned = f'transform="translate(12 {HEIGHT / 2}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {turned}>{escape(up)}</text></g>")
    for number, (name, of_one) in enumerate(series.items()):
        colour, dash = COLOURS[number % len(COLOURS)], "6 4" if number % 2 else "none"
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in of_one))
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        parts.append(f'<polyline points="{line}" {style}/>')
        begin, height = place(*of_one[0])
        parts.append(f'<circle cx="{begin:.1f}" cy="{height:.1f}" r="3" fill="{colour}"/>')
        text = f'x="{WIDTH - RIGHT + 10}" y="{TOP + 14 + 18 * number}" fill="{colour}" font-size="12"'
        parts.append(f"<text {text}>{escape(name)}</text>")
    return ("".join(parts) + "</svg>").encode()


def draw_sheet(images: Sequence[np.ndarray], below: Sequence[np.ndarray] = ()) -> bytes:
    """Pictures uint8 (3, S, S) side by side with their numbers from 1, as PNG; `below`: one under each, or none."""
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    across, down, label = SIDE + GAP, (SIDE + GAP) * (2 if below else 1), 14
    sheet = Image.new("RGB", (columns * across + GAP, rows * (down + label) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        x, y = GAP + number % columns * across, GAP + number // columns * (down + label)
        for place, one in enumerate([image, *below[number : number + 1]]):
            picture = Image.fromarray(np.ascontiguousarray(one.transpose(1, 2, 0)))
            sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x, y + place * (SIDE + 2)))
        draw.text((x, y + down - GAP + 1), str(number + 1), fill="#444444")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _round_values(low: float, high: float) -> list[float]:
    """Round numbers at equal distances, about as many as TICKS: the first at most `low`, the last at least `high`."""
    rough = (high - low) / (TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * place:.10g}") for place in range(first, last + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
