"""Ten shapes at 32 x 32: any colour on any ground, anywhere, with noise."""

import math
from random import Random

import numpy as np
from PIL import Image

from core.data.imports.drawing.sheet import Colour, Point, Sheet, from_light, hsv, smooth, to_light

SMALL = 32  # pixels of a finished picture


def _star(points: int, inner: float) -> list[Point]:
    turns = (math.pi * i / points - math.pi / 2 for i in range(2 * points))
    return [(math.cos(a) * (inner if i % 2 else 1), math.sin(a) * (inner if i % 2 else 1)) for i, a in enumerate(turns)]


def _polygon(corners: int, start: float = -math.pi / 2) -> list[Point]:
    return [
        (math.cos(start + 2 * math.pi * i / corners), math.sin(start + 2 * math.pi * i / corners))
        for i in range(corners)
    ]


def _crescent() -> list[Point]:
    outer = [(math.cos(a), math.sin(a)) for a in np.linspace(0.9, 2 * math.pi - 0.9, 24)]
    inner = [(0.52 + 0.79 * math.cos(a), 0.79 * math.sin(a)) for a in np.linspace(2 * math.pi - 1.45, 1.45, 24)]
    return outer + inner


def _heart() -> list[Point]:
    turns = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    wave = 13 * np.cos(turns) - 5 * np.cos(2 * turns) - 2 * np.cos(3 * turns) - np.cos(4 * turns)
    return [(float(np.sin(a) ** 3), float(-y / 16)) for a, y in zip(turns, wave, strict=True)]


def _cross(arm: float) -> list[Point]:
    corner = [(arm, -arm), (arm, -1), (-arm, -1)]  # one arm, then turned by a quarter three times
    return [*corner, *((y, -x) for x, y in corner), *((-x, -y) for x, y in corner), *((-y, x) for x, y in corner)]


SHAPES: dict[str, list[Point]] = {  # in a box from -1 to 1; "ring" is the disc with a hole
    "arrow": [(1, 0), (0.15, -0.75), (0.15, -0.28), (-1, -0.28), (-1, 0.28), (0.15, 0.28), (0.15, 0.75)],
    "circle": _polygon(40),
    "cross": _cross(0.34),
    "drop": smooth(
        [(0, -1.05), (0.3, -0.4), (0.62, 0.25), (0.42, 0.8), (0, 0.98), (-0.42, 0.8), (-0.62, 0.25), (-0.3, -0.4)]
    ),
    "heart": _heart(),
    "moon": _crescent(),
    "ring": _polygon(40),
    "square": [(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)],
    "star": _star(5, 0.42),
    "triangle": [(0, -1), (0.95, 0.75), (-0.95, 0.75)],
}
_TURNS = {"arrow": math.pi, "circle": 0.0, "ring": 0.0}  # how far each may be turned, else a little


def draw_object(shape: str, rng: Random) -> Image.Image:
    """RGB, 32 x 32: one of SHAPES."""
    ground, paint = _two_colours(rng)
    sheet = Sheet(ground, SMALL, 8)
    _texture(sheet, ground, rng)
    size = rng.uniform(21, 40)
    x, y = (rng.uniform(size + 3, 97 - size) for _ in range(2))
    angle, squeeze = rng.uniform(-1, 1) * _TURNS.get(shape, 0.35), rng.uniform(0.85, 1.0)
    cos, sin = math.cos(angle) * size, math.sin(angle) * size

    def place(points: list[Point], grow: float = 1.0) -> list[Point]:
        return [(x + grow * (cos * u * squeeze - sin * v), y + grow * (sin * u * squeeze + cos * v)) for u, v in points]

    if rng.random() < 0.4:  # a shadow
        sheet.area([(px + size * 0.14, py + size * 0.16) for px, py in place(SHAPES[shape])], _darker(ground))
    edge = _darker(paint) if rng.random() < 0.5 else paint
    sheet.area(place(SHAPES[shape]), paint, edge, rng.uniform(2, 4))
    if shape == "ring":
        sheet.area(place(SHAPES[shape], rng.uniform(0.45, 0.62)), ground, edge, 2.5)
    return _with_noise(sheet.finish(), rng)


def _two_colours(rng: Random) -> tuple[Colour, Colour]:
    """Ground and paint that differ in hue or in lightness."""
    hue = rng.random()
    light = rng.random() < 0.5
    ground = hsv(hue, rng.uniform(0, 0.7), rng.uniform(0.7, 1) if light else rng.uniform(0.08, 0.4))
    if rng.random() < 0.5:
        return ground, hsv(
            hue + rng.uniform(0.3, 0.7), rng.uniform(0.7, 1), rng.uniform(0.5, 0.8) if light else rng.uniform(0.75, 1)
        )
    return ground, hsv(rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.4) if light else rng.uniform(0.8, 1))


def _darker(colour: Colour) -> Colour:
    r, g, b = (part * 6 // 10 for part in colour)
    return r, g, b


def _texture(sheet: Sheet, ground: Colour, rng: Random) -> None:
    """Plain, a gradient, stripes or dots, in tones near the ground."""
    r, g, b = (max(0, min(255, part + rng.choice((-34, 34)))) for part in ground)
    near = (r, g, b)
    kind = rng.choice(("plain", "gradient", "stripes", "dots"))
    if kind == "gradient":
        sheet.sky(ground, near)
    elif kind == "stripes":
        step, lean = rng.uniform(8, 20), rng.uniform(-60, 60)
        for i in range(-8, int(100 / step) + 8, 2):
            sheet.area([(i * step, 0), ((i + 1) * step, 0), ((i + 1) * step + lean, 100), (i * step + lean, 100)], near)
    elif kind == "dots":
        for _ in range(rng.randint(5, 14)):
            sheet.disc(rng.uniform(0, 100), rng.uniform(0, 100), rng.uniform(2, 8), fill=near)


def _with_noise(picture: Image.Image, rng: Random) -> Image.Image:
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal((SMALL, SMALL, 3), dtype=np.float32)
    light = to_light(picture) + noise * np.float32(rng.uniform(0.0, 0.06))
    return from_light(light)
