"""Cyberpunk: neon tubes, wet streets and haze; mostly dark, some of it pale fog or burning dust."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

from core.data.imports.drawing import subjects
from core.data.imports.drawing.sheet import (
    SIDE,
    Colour,
    Point,
    Sheet,
    blend,
    from_light,
    glow,
    hsv,
    ring,
    shade,
    smooth,
    to_light,
    vignette,
)

BLACK: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Air:
    """What hangs between the towers: colour of the sky above and at the horizon, and two families of neon."""

    top: Colour
    low: Colour
    neon: tuple[float, ...]  # hues
    often: int


AIRS = (
    Air((10, 6, 34), (110, 24, 120), (0.88, 0.5, 0.83, 0.55), 26),  # magenta and cyan
    Air((4, 14, 30), (10, 92, 112), (0.5, 0.47, 0.93, 0.12), 18),  # teal
    Air((30, 10, 6), (224, 110, 40), (0.04, 0.08, 0.5, 0.95), 14),  # burning dust
    Air((134, 150, 176), (214, 206, 220), (0.9, 0.5, 0.8, 0.03), 14),  # pale fog by day
    Air((18, 20, 26), (84, 90, 100), (0.0, 0.55, 0.1, 0.92), 16),  # grey rain
    Air((206, 140, 190), (250, 206, 190), (0.85, 0.5, 0.62), 8),  # pink dawn
    Air((6, 16, 8), (46, 120, 50), (0.33, 0.38, 0.16, 0.45), 8),  # green screens
)


@dataclass(frozen=True)
class Pen:
    """Two sheets: matter, which is seen, and neon, which also shines."""

    matter: Sheet
    neon: Sheet
    rng: Random
    air: Air

    @property
    def body(self) -> Colour:
        """The colour of things in this air: near black."""
        return blend((8, 8, 16), self.air.top, 0.25)

    def tube(self) -> Colour:
        return hsv(self.rng.choice(self.air.neon) + self.rng.uniform(-0.02, 0.02), self.rng.uniform(0.65, 0.95), 1.0)

    def solid(self, points: list[Point], fill: Colour) -> None:
        """Matter that also hides the neon behind it."""
        self.matter.area(points, fill)
        self.neon.area(points, BLACK)

    def shine(self, points: list[Point], colour: Colour, width: float = 0.7) -> None:
        self.neon.stroke(points, colour, width)

    def outline(self, points: list[Point], colour: Colour, width: float = 0.6) -> None:
        self.neon.stroke([*points, points[0]], colour, width)


def draw_cyberpunk(rng: Random) -> Image.Image:
    """RGB, 400 x 400."""
    air = rng.choices(AIRS, [air.often for air in AIRS])[0]
    pen = Pen(Sheet(BLACK), Sheet(BLACK), rng, air)
    pen.matter.sky(air.top, air.low, 0, 70)
    wet = rng.choice(SCENES)(pen)
    matter, neon = pen.matter.finish(), pen.neon.finish()
    light = glow(neon, ((7, 1.0), (26, 1.3)))
    light += to_light(matter)
    light += to_light(neon)
    if wet is not None:
        _reflect(light, wet, rng)
    if rng.random() < 0.5:
        light += _rain(rng)
    light *= vignette(SIDE, rng.uniform(0.4, 1.0))[:, :, None] * np.float32(-1.35)
    light = 1 - np.exp(light, out=light)  # as film does: light adds up, and never beyond white
    _shift_colours(light, rng.randint(0, 3))
    if rng.random() < 0.3:
        light[::3] *= 0.8  # lines of a screen
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal((SIDE, SIDE, 1), dtype=np.float32)
    light += noise * np.float32(rng.uniform(0.005, 0.03))
    return from_light(light)


def _reflect(light: np.ndarray, wet: float, rng: Random) -> None:
    """Mirror what is above the line `wet` (per cent) below it, in ripples; in place."""
    line = round(SIDE * wet / 100)
    rows = np.arange(SIDE - line)
    source = np.clip(line - 1 - rows * min(1.0, line / max(SIDE - line, 1)), 0, line - 1).astype(int)
    ripple = (rng.uniform(1, 5) * (0.3 + rows / 60) * np.sin(rows * rng.uniform(0.3, 0.8))).astype(int)
    columns = (np.arange(SIDE)[None, :] + ripple[:, None]) % SIDE
    mirrored = light[source[:, None], columns]
    light[line:] *= np.float32(0.55)
    light[line:] += mirrored * np.linspace(0.75, 0.2, len(rows), dtype=np.float32)[:, None, None]


def _rain(rng: Random) -> np.ndarray:
    sheet, lean = Sheet(0, scale=1), rng.uniform(-2.5, 2.5)
    for _ in range(rng.randint(60, 240)):
        x, y, length = rng.uniform(-5, 105), rng.uniform(-5, 100), rng.uniform(2, 8)
        sheet.stroke([(x, y), (x + lean * length / 8, y + length)], rng.randint(25, 80), 0.2)
    return to_light(sheet.image)[:, :, None]


def _shift_colours(light: np.ndarray, by: int) -> None:
    """Red to one side and blue to the other, as a cheap lens does; in place."""
    if by:
        light[:, :, 0] = np.roll(light[:, :, 0], by, axis=1)
        light[:, :, 2] = np.roll(light[:, :, 2], -by, axis=1)


def _sign(pen: Pen, x: float, y: float, w: float, h: float) -> None:
    """A board with a frame and signs that belong to no alphabet."""
    rng, colour = pen.rng, pen.tube()
    board = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    if rng.random() < 0.3:
        pen.solid(board, shade(colour, 0.35))
        pen.neon.area(board, shade(colour, 0.8))
        ink = BLACK
    else:
        pen.solid(board, shade(colour, 0.16))
        pen.outline(board, colour, 0.5)
        ink = pen.tube()
    size = min(w, h) * 0.62
    upright = h > w
    n = max(1, int((h if upright else w) / (size * 1.45)))
    for i in range(n):
        cx = x + w / 2 if upright else x + w * (i + 0.5) / n
        cy = y + h * (i + 0.5) / n if upright else y + h / 2
        for _ in range(rng.randint(2, 4)):
            ax, ay, bx, by = (rng.choice((-0.5, 0, 0.5)) * size for _ in range(4))
            pen.neon.stroke([(cx + ax, cy + ay), (cx + bx, cy + ay), (cx + bx, cy + by)], ink, 0.45)


def _street(pen: Pen) -> float:
    rng, street = pen.rng, subjects.street(pen.rng)
    vx, vy = street.vanish
    wet = min(vy + street.walls[1] * rng.uniform(0.5, 0.85), 84)
    pen.solid([(0, vy), (100, vy), (100, 100), (0, 100)], blend(pen.body, pen.air.low, 0.12))
    for facade in street.facades:
        pen.solid(facade.corners, blend(pen.body, pen.air.low, 0.1 + 0.6 * facade.depth))
        warm = pen.tube()
        for pane in facade.windows:
            if rng.random() < 0.3:
                pen.neon.area(pane, shade(warm, rng.uniform(0.2, 0.75)))
        upper_near, upper_far, lower_far, lower_near = facade.corners
        if facade.depth < 0.85:
            for _ in range(rng.randint(0, 2)):
                share = rng.uniform(0.02, 0.12)
                colour = pen.tube()
                ends = [
                    (a[0], b[1] + (a[1] - b[1]) * share) for a, b in ((upper_near, lower_near), (upper_far, lower_far))
                ]
                pen.shine(ends, colour, 1.3 * (1 - facade.depth) + 0.3)
        if 0.05 < facade.depth < 0.9 and rng.random() < 0.85:
            inward = 1 if lower_far[0] < vx else -1
            w, h = 9 * (1 - facade.depth) + 1.5, (26 * (1 - facade.depth) + 4) * rng.uniform(0.6, 1.2)
            x = lower_far[0] if inward > 0 else lower_far[0] - w
            _sign(pen, x, lower_far[1] - h - rng.uniform(8, 30) * (1.1 - facade.depth), w, h)
    for _ in range(rng.randint(0, 4)):
        _flyer(pen, rng.uniform(vx - 16, vx + 16), rng.uniform(4, vy - 14))
    if rng.random() < 0.7:
        _somebody(pen, rng.uniform(28, 72), wet + rng.uniform(2, 7), rng.uniform(26, 46))
    return wet


def _flyer(pen: Pen, x: float, y: float) -> None:
    trail, way = pen.tube(), pen.rng.choice((-1, 1))
    pen.shine([(x, y), (x + way * pen.rng.uniform(6, 22), y + pen.rng.uniform(-2, 2))], trail, 0.35)
    pen.solid(
        [(x - 2.4, y), (x - 1, y - 1), (x + 1.2, y - 1), (x + 2.4, y), (x + 1, y + 0.9), (x - 1.4, y + 0.9)], pen.body
    )
    pen.neon.disc(x, y, 0.6, fill=(255, 255, 255))


def _somebody(pen: Pen, x: float, foot: float, height: float) -> None:
    rim = pen.tube()
    for part in subjects.figure(x, foot, height, pen.rng.random() < 0.25):
        pen.solid(part, shade(pen.body, 0.7))
        pen.shine(part[1 : len(part) // 2 + 1], shade(rim, 0.8), 0.35)
    if pen.rng.random() < 0.5:  # an umbrella of light
        top, r = foot - height * 1.05, height * 0.36
        roof = [(x + r * math.cos(a), top + r * 0.35 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi, 12)]
        pen.solid(roof, shade(rim, 0.2))
        pen.outline(roof, rim, 0.5)


def _skyline(pen: Pen) -> float:
    rng = pen.rng
    horizon = rng.uniform(62, 74)
    if rng.random() < 0.55:
        _sun(pen, rng.uniform(30, 70), rng.uniform(30, 50), rng.uniform(13, 22))
    for depth, (lowest, highest) in enumerate(((22, 58), (16, 46), (6, 28))):
        for tower in subjects.towers(rng, horizon, lowest, highest, 6, 15):
            pen.solid(tower.corners, blend(pen.air.low, pen.body, 0.3 + 0.33 * depth))
            (x0, top), (x1, _) = tower.corners[:2]
            hue, lit = pen.tube(), rng.uniform(0.12, 0.5)
            for pane in tower.windows:
                if rng.random() < lit:
                    pen.neon.area(pane, shade(hue, rng.uniform(0.2, 0.4 + 0.25 * depth)))
            if rng.random() < 0.35:
                pen.shine([(x0, top), (x1, top)], pen.tube(), 0.5)
                pen.shine([((x0 + x1) / 2, top), ((x0 + x1) / 2, top - rng.uniform(3, 10))], shade(hue, 0.7), 0.3)
            if depth == 1 and rng.random() < 0.3 and x1 - x0 > 7:
                _sign(pen, x0 + 1.5, top + 4, (x1 - x0) * 0.4, min(18, horizon - top - 6))
    for _ in range(rng.randint(0, 5)):
        _flyer(pen, rng.uniform(5, 95), rng.uniform(6, 40))
    return horizon


def _sun(pen: Pen, x: float, y: float, r: float) -> None:
    """A setting disc cut into stripes."""
    upper, lower = pen.tube(), pen.tube()
    for i in range(26):
        y0 = y - r + 2 * r * i / 26
        if i > 12 and i % 3 == 0:
            continue
        half = math.sqrt(max(r * r - (y0 - y) ** 2, 0))
        pen.neon.box(x - half, y0, x + half, y0 + 2 * r / 26, shade(blend(upper, lower, i / 26), 0.75))


def _grid(pen: Pen) -> None:
    """A plain of glowing lines under wire mountains."""
    rng, horizon, colour = pen.rng, pen.rng.uniform(54, 64), pen.tube()
    if rng.random() < 0.8:
        _sun(pen, rng.uniform(30, 70), horizon - rng.uniform(10, 20), rng.uniform(14, 22))
    peaks = [(x, y - 9 * (i % 2)) for i, (x, y) in enumerate(subjects.ridge(rng, horizon - 8, 6, 13))]
    pen.solid(subjects.down_to(peaks, horizon), pen.body)
    edge = pen.tube()
    pen.shine(peaks, edge, 0.5)
    for x, y in peaks:
        pen.shine([(x, y), (x + rng.uniform(-7, 7), horizon)], shade(edge, 0.5), 0.3)
    pen.solid([(0, horizon), (100, horizon), (100, 100), (0, 100)], pen.body)
    vx = rng.uniform(40, 60)
    for i in range(-16, 17):
        pen.shine([(vx + i * 3, horizon), (vx + i * 22, 101)], shade(colour, 0.75), 0.35)
    for i in range(1, 11):
        y = horizon + (101 - horizon) * (i / 10) ** 2.2
        pen.shine([(0, y), (100, y)], shade(colour, 0.75), 0.35)
    _drive(pen) if rng.random() < 0.6 else _somebody(pen, vx, rng.uniform(80, 92), rng.uniform(26, 40))


def _drive(pen: Pen) -> float:
    rng, car = pen.rng, subjects.car(pen.rng, pen.rng.choice(["wedge", "wedge", "saloon"]))
    body = smooth(car.body, steps=4) if car.round_body else car.body
    edge, under = pen.tube(), pen.tube()
    foot = car.wheels[0][1] + car.wheels[0][2]
    pen.solid(body, blend(shade(pen.body, 0.8), under, 0.08))
    pen.shine(body[1:-1], edge, 0.5)
    pen.shine([body[0], body[-1]], under, 1.2)
    for window in car.windows:
        pen.solid(window, blend(pen.body, edge, 0.2))
        pen.outline(window, shade(edge, 0.6), 0.3)
    for x, y, r in car.wheels:
        pen.solid(ring(x, y, r, r, 20), shade(pen.body, 0.5))
        pen.outline(ring(x, y, r * 0.66, r * 0.66, 20), under, 0.5)
    way = 1 if car.front[0] > car.rear[0] else -1
    pen.shine([car.rear, (car.rear[0] - way * rng.uniform(8, 30), car.rear[1])], (255, 30, 60), 0.7)
    pen.shine([car.front, (car.front[0] + way * 3, car.front[1])], (255, 255, 255), 0.9)
    return foot


def _road(pen: Pen) -> float:
    """A car before a skyline."""
    _skyline(pen)
    pen.solid([(0, 68), (100, 68), (100, 100), (0, 100)], blend(pen.body, pen.air.low, 0.15))
    pen.shine([(0, 69), (100, 69)], pen.tube(), 0.4)
    return min(_drive(pen) - 1.0, 90)


def _room(pen: Pen) -> float | None:
    """A den: the city in the window, screens on the table."""
    rng, room = pen.rng, subjects.room(pen.rng)
    x0, y0, x1, y1 = room.wall
    wx0, wy0, wx1, wy1 = room.window
    wx0, wx1, wy1 = wx0 - 4, wx1 + 6, wy1 + 4
    wall = blend(pen.body, pen.air.low, 0.14)
    for tower in subjects.towers(rng, wy1 + 2, 8, 34, 4, 9):
        pen.solid(tower.corners, blend(pen.air.low, pen.body, 0.55))
        hue = pen.tube()
        for pane in tower.windows[::2]:
            pen.neon.area(pane, shade(hue, rng.uniform(0.1, 0.6)))
    frame = ((-1, -1, 101, wy0), (-1, wy1, 101, 101), (-1, wy0, wx0, wy1), (wx1, wy0, 101, wy1))
    for a, b, c, d in frame:
        pen.solid([(a, b), (c, b), (c, d), (a, d)], wall)
    pen.solid([(x0, y1), (x1, y1), (115, 101), (-15, 101)], shade(wall, 0.6))
    edge = pen.tube()
    for line in ([(x0, y0), (x1, y0)], [(x0, y0), (-6, -8)], [(x1, y0), (106, -8)], [(x0, y1), (x1, y1)]):
        pen.shine(line, shade(edge, 0.7), 0.4)
    pen.outline([(wx0, wy0), (wx1, wy0), (wx1, wy1), (wx0, wy1)], shade(edge, 0.35), 0.8)
    for x in np.linspace(wx0, wx1, 4)[1:-1]:
        pen.solid([(x - 0.5, wy0), (x + 0.5, wy0), (x + 0.5, wy1), (x - 0.5, wy1)], shade(wall, 0.5))
    if rng.random() < 0.7:
        _sign(pen, x1 - 20 if wx0 < 45 else x0 + 5, y0 + 5, rng.uniform(10, 15), rng.uniform(6, 16))
    _desk(pen, room)
    return None


def _desk(pen: Pen, room: subjects.Room) -> None:
    rng, (tx0, top, tx1, foot) = pen.rng, room.table
    for i in range(rng.randint(2, 3)):
        x, y, w = tx0 + 1 + i * (tx1 - tx0) / 3, top - rng.uniform(11, 14), (tx1 - tx0) / 3 - 1.5
        screen, colour = [(x, y), (x + w, y), (x + w, top - 2), (x, top - 2)], pen.tube()
        pen.solid(screen, shade(colour, 0.4))
        pen.neon.area(screen, shade(colour, 0.45))
        for line in range(5):
            pen.shine(
                [(x + 1, y + 1.6 + line * 1.7), (x + w * rng.uniform(0.3, 0.9), y + 1.6 + line * 1.7)], colour, 0.35
            )
    slab = [(tx0 - 2, top), (tx1 + 2, top), (tx1 + 2, top + 3), (tx0 - 2, top + 3)]
    pen.solid(slab, shade(pen.body, 0.8))
    pen.shine(slab[:2], shade(pen.tube(), 0.6), 0.3)
    for x in (tx0, tx1 - 3):
        pen.solid([(x, top + 3), (x + 3, top + 3), (x + 3, foot), (x, foot)], shade(pen.body, 0.6))
    _somebody(pen, (tx0 + tx1) / 2 + rng.uniform(-6, 6), foot + 8, rng.uniform(40, 50))


def _face(pen: Pen) -> None:
    rng, face = pen.rng, subjects.face(pen.rng)
    _behind(pen)
    left, right = pen.tube(), pen.tube()
    skin, cloth = blend(pen.body, left, 0.16), shade(pen.body, 0.9)
    if (back := face.back_hair()) is not None:
        line = smooth(back, steps=4)
        pen.solid(line, cloth)
        pen.outline(line, shade(left, 0.55), 0.5)
    shoulders = smooth(face.shoulders, steps=4)
    pen.solid(shoulders, cloth)
    pen.shine(shoulders[: len(shoulders) // 3], left, 0.5)
    pen.shine(shoulders[-len(shoulders) // 3 :], right, 0.5)
    pen.solid(face.neck, shade(skin, 0.6))
    skull = smooth(face.skull, steps=4)
    pen.solid(skull, skin)
    half = len(skull) // 2
    cut = face.x + face.w * rng.uniform(-0.1, 0.3)
    pen.matter.area([(max(x, cut), y) for x, y in skull], blend(pen.body, right, 0.3))  # lit from the right
    pen.shine(skull[2 : half - 2], right, 0.6)
    pen.shine(skull[half + 2 : -2], left, 0.6)
    _features(pen, face, left, right)
    if (front := face.front_hair(rng)) is not None:
        pen.solid(front, shade(pen.body, 0.6))
        pen.shine(front[:13], pen.tube(), 0.6)
    if face.hair == "hat":
        for part in face.hat():
            pen.solid(smooth(part, steps=4), shade(pen.body, 0.6))
            pen.outline(smooth(part, steps=4), left, 0.4)


def _features(pen: Pen, face: subjects.Face, left: Colour, right: Colour) -> None:
    rng, dark = pen.rng, shade(pen.body, 0.5)
    if rng.random() < 0.5:  # a visor
        visor = [face.at(-0.85, -0.16), face.at(0.85, -0.16), face.at(0.78, 0.16), face.at(-0.78, 0.16)]
        pen.solid(visor, dark)
        pen.neon.area(visor, shade(left, 0.6))
        pen.shine([face.at(-0.8, 0), face.at(0.8, 0)], (255, 255, 255), 0.5)
    else:
        iris = pen.tube()
        for side in (-1, 1):
            x, y = face.at(side * 0.42, 0)
            pen.solid([(x - face.w * 0.26, y), (x, y - 2.2), (x + face.w * 0.26, y), (x, y + 1.8)], dark)
            pen.neon.disc(x, y, 1.3, fill=iris)
            pen.matter.stroke([face.at(side * 0.15, -0.16), face.at(side * 0.7, -0.22)], dark, 1.4)
    pen.matter.stroke([face.at(0, 0.05), face.at(0.12, 0.3), face.at(-0.04, 0.32)], dark, 0.9)
    lips = [face.at(-0.3, 0.58), face.at(0, 0.54), face.at(0.3, 0.58), face.at(0, 0.66)]
    pen.matter.area(lips, dark)
    pen.shine(lips[:3], shade(right, 0.6), 0.4)
    if rng.random() < 0.6:  # circuits on the cheek
        for start in (0.2, 0.32, 0.44)[: rng.randint(1, 3)]:
            side = rng.choice((-1, 1))
            line = [face.at(side * 0.35, start), face.at(side * 0.6, start), face.at(side * 0.75, start + 0.2)]
            pen.shine(line, left, 0.35)
            pen.neon.disc(*line[0], 0.6, fill=left)


def _behind(pen: Pen) -> None:
    """What stands behind a portrait: signs, tubes or towers."""
    rng = pen.rng
    pen.matter.sky(pen.air.top, pen.air.low)
    kind = rng.choice(["signs", "rings", "towers", "bars"])
    if kind == "signs":
        for _ in range(rng.randint(5, 9)):
            w, h = rng.choice([(7, 24), (9, 30), (22, 8), (16, 7)])
            _sign(pen, rng.uniform(-4, 92), rng.uniform(-4, 75), w, h)
    elif kind == "rings":
        x, y = rng.uniform(40, 60), rng.uniform(36, 50)
        for i in range(rng.randint(1, 4)):
            line = ring(x, y, 30 + 8 * i, 30 + 8 * i, rng.choice([3, 4, 6, 36]), rng.uniform(0, 6))
            pen.outline(line, pen.tube(), 1.2 - 0.2 * i)
    elif kind == "towers":
        for tower in subjects.towers(rng, 102, 40, 90, 10, 20):
            pen.solid(tower.corners, blend(pen.air.low, pen.body, 0.6))
            hue = pen.tube()
            for pane in tower.windows:
                if rng.random() < 0.25:
                    pen.neon.area(pane, shade(hue, 0.6))
    else:
        for _ in range(rng.randint(4, 9)):
            x, lean = rng.uniform(0, 100), rng.choice((0, 0, 20, -20))
            pen.shine([(x, -2), (x + lean, 102)], pen.tube(), rng.uniform(0.5, 1.6))


SCENES: tuple[Callable[[Pen], float | None], ...] = (_street, _street, _skyline, _grid, _road, _room, _face, _face)
