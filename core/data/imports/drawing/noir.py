"""Noir: black and white, one hard light, long shadows and grain; some prints are toned, some are pale with fog."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from core.data.imports.drawing import subjects
from core.data.imports.drawing.sheet import SIDE, Point, Sheet, from_light, glow, ring, smooth, to_light, vignette

TONES = (  # what a toned print does to grey: light and dark end, and how often
    ((255, 255, 255), (0, 0, 0), 52),
    ((255, 232, 190), (34, 18, 6), 20),  # sepia
    ((212, 228, 255), (4, 10, 34), 12),  # selenium, cold
    ((255, 206, 214), (40, 4, 26), 6),  # wine
    ((220, 255, 236), (2, 26, 24), 6),  # teal
    ((255, 222, 150), (54, 26, 6), 4),  # amber
)


@dataclass(frozen=True)
class Pen:
    """Three grey sheets: things as the light shows them, where the light falls, and what shines by itself."""

    things: Sheet
    light: Sheet  # 255 lit, 0 in the shadow
    shine: Sheet
    rng: Random

    def both(self, points: list[Point], tone: int) -> None:
        """A thing that stands before the light: it is seen as a shape and is not lit."""
        self.things.area(points, tone)
        self.light.area(points, 255)
        self.shine.area(points, 0)


def draw_noir(rng: Random) -> Image.Image:
    """RGB, 400 x 400."""
    pen = Pen(Sheet(70), Sheet(0), Sheet(0), rng)
    shadow = rng.choice(SCENES)(pen)
    light = pen.light.finish().filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6)))
    lit = to_light(pen.things.finish())
    mask = to_light(light)
    grey: np.ndarray = lit * (np.float32(shadow) + np.float32(1 - shadow) * mask)
    shine = pen.shine.finish()
    grey = grey + to_light(shine) + glow(shine, ((6, 0.5), (24, 0.9)))
    grey = _print(grey, rng)
    return _tone(grey, rng)


def _print(grey: np.ndarray, rng: Random) -> np.ndarray:
    """Contrast, vignette, grain: float32 (SIDE, SIDE), 0..1."""
    grey = np.clip(grey * vignette(SIDE, rng.uniform(0.5, 1.3), rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6)), 0, 1)
    grey = grey * grey * (3 - 2 * grey)  # soft S: shadows close, lights open
    if rng.random() < 0.4 and grey.mean() > 0.3:  # fog takes the blacks of a bright print
        grey = 0.3 + 0.7 * grey
    grain = np.random.default_rng(rng.getrandbits(64)).standard_normal((SIDE, SIDE), dtype=np.float32)
    if rng.random() < 0.5:  # coarser
        grain += np.roll(grain, 1, 0) + np.roll(grain, 1, 1)
        grain *= np.float32(0.53)
    return grey + grain * np.float32(rng.uniform(0.025, 0.085))


def _tone(grey: np.ndarray, rng: Random) -> Image.Image:
    light, dark, _ = rng.choices(TONES, [often for *_, often in TONES])[0]
    paper = from_light(grey)
    steps = np.linspace(0, 1, 256)
    tables = [(low + (high - low) * steps).astype(int).tolist() for high, low in zip(light, dark, strict=True)]
    return Image.merge("RGB", [paper.point(table) for table in tables])


def _blinds(pen: Pen, x0: float, y0: float, x1: float, y1: float, lean: float, slats: int) -> None:
    """Light through a blind: bars across a leaning rectangle."""
    step = (y1 - y0) / slats
    for i in range(slats):
        y = y0 + i * step
        pen.light.area([(x0, y), (x1, y + lean), (x1, y + lean + step * 0.58), (x0, y + step * 0.58)], 255)


def _smoke(pen: Pen, x: float, y: float, height: float) -> None:
    sway, start, drift = pen.rng.uniform(1, 3), pen.rng.uniform(0, 6), pen.rng.uniform(-8, 8)
    line = [(x + sway * i / 7 * math.sin(start + i) + drift * (i / 7) ** 2, y - height * i / 7) for i in range(8)]
    for width, tone in ((3.2, 16), (1.8, 34), (0.7, 70)):
        pen.shine.curve(line, tone, width)


def _face(pen: Pen) -> float:
    rng, face = pen.rng, subjects.face(pen.rng)
    side = rng.choice((-1, 1))  # where the light comes from
    pale = rng.random() < 0.35
    pen.things.box(0, 0, 100, 100, rng.randint(150, 235) if pale else rng.randint(40, 110))
    blinds = rng.random() < 0.5
    if blinds:
        _blinds(pen, -5, rng.uniform(-12, 5), 105, rng.uniform(90, 110), rng.uniform(-14, 14), rng.randint(8, 13))
    elif rng.random() < 0.6:
        x, r = 50 + side * rng.uniform(0, 20), rng.uniform(34, 50)
        pen.light.disc(x, 45, r, r, 255)
    else:
        pen.light.area([(50 - side * 20, -2), (50 + side * 60, -2), (50 + side * 60, 102), (50 + side * 10, 102)], 255)
    if (back := face.back_hair()) is not None:
        pen.things.blob(back, 22)
    pen.things.blob(face.shoulders, rng.randint(24, 60))
    lapel = [
        (face.x, face.y + face.h * 1.9),
        (face.x - face.w * 0.55, face.y + face.h * 1.2),
        (face.x + face.w * 0.55, face.y + face.h * 1.2),
    ]
    pen.things.area(lapel, 214)
    if rng.random() < 0.5:
        tie = [
            (face.x - 2, face.y + face.h * 1.3),
            (face.x + 2, face.y + face.h * 1.3),
            (face.x + 3.4, 104),
            (face.x - 3.4, 104),
        ]
        pen.things.area(tie, 16)
    pen.things.area(face.neck, 120)
    pen.things.blob(face.skull, rng.randint(205, 245))
    _features(pen, face)
    if (front := face.front_hair(rng)) is not None:
        (pen.things.area if face.hair == "spikes" else pen.things.blob)(front, rng.choice((16, 24, 190)))
    if face.hair == "hat":
        crown, brim = face.hat()
        pen.things.blob(crown, 34)
        pen.things.area(
            [
                (face.x - face.w * 0.98, face.y - face.h * 0.62),
                (face.x + face.w * 0.98, face.y - face.h * 0.62),
                (face.x + face.w, face.y - face.h * 0.5),
                (face.x - face.w, face.y - face.h * 0.5),
            ],
            8,
        )
        pen.things.blob(brim, 22)
        shade = [(face.x - face.w * 1.05, face.y - face.h * 0.5), (face.x + face.w * 1.05, face.y - face.h * 0.5)]
        pen.light.area(
            [*shade, (face.x + face.w, face.y - face.h * 0.12), (face.x - face.w, face.y - face.h * 0.04)], 0
        )
    if not blinds:
        _half_shadow(pen, face, side)
    return rng.uniform(0.04, 0.14)


def _half_shadow(pen: Pen, face: subjects.Face, side: int) -> None:
    """The side away from the light is black, with the triangle under the eye that painters leave."""
    middle = ((0.04, -1.2), (0.1, -0.3), (-0.02, 0.05), (0.2, 0.3), (-0.05, 0.45), (0.12, 0.7), (0.1, 1.1))
    edge = [*(face.at(side * across, down) for across, down in middle), (face.x + side * 2, 104)]
    shoulder = [(x, y + 0.5) for x, y in face.shoulders if (x - face.x) * side < 0 and y < 120]
    shoulder.sort(key=lambda point: abs(point[0] - face.x), reverse=True)
    outline = [face.edge(-side * angle, 1.1) for angle in (2.3, 2.0, 1.6, 1.2, 0.8, 0.4, 0.1)]
    pen.light.area([*edge, (shoulder[0][0], 104), *shoulder, *outline], 0)
    x, y = face.at(-side * 0.45, 0.2)
    pen.light.area([(x - 3, y - 1.5), (x + 3, y - 1.5), (x, y + 4)], 200)
    pen.shine.curve([face.edge(-side * a, 1.0) for a in (0.9, 1.4, 1.9, 2.4)], 90, 0.5)  # a rim on the dark side


def _features(pen: Pen, face: subjects.Face) -> None:
    rng, things = pen.rng, pen.things
    for side in (-1, 1):
        x, y = face.at(side * 0.42, 0)
        things.blob([(x - face.w * 0.24, y), (x, y - 2.0), (x + face.w * 0.24, y), (x, y + 1.5)], 250)
        things.disc(x, y, 1.5, fill=10)
        things.curve([(x - face.w * 0.27, y - 0.2), (x, y - 2.4), (x + face.w * 0.27, y - 0.2)], 10, 0.9)
        things.curve([face.at(side * 0.16, -0.2), face.at(side * 0.42, -0.29), face.at(side * 0.72, -0.2)], 14, 1.7)
    things.curve([face.at(0.02, -0.05), face.at(0.15, 0.27), face.at(-0.06, 0.32)], 60, 0.9)
    things.area([face.at(0.05, 0), face.at(0.15, 0.28), face.at(-0.1, 0.32)], 150)
    lips = rng.choice((20, 70, 120))
    things.blob(
        [face.at(-0.3, 0.57), face.at(-0.08, 0.53), face.at(0.08, 0.53), face.at(0.3, 0.57), face.at(0, 0.67)], lips
    )
    if rng.random() < 0.35:
        x, y = face.at(0.25, 0.58)
        things.stroke([(x, y), (x + 8, y + 2.5)], 245, 1.3)
        pen.shine.disc(x + 8.6, y + 2.7, 0.9, fill=255)
        _smoke(pen, x + 9, y, 40)


def _wall(pen: Pen, x0: float, y0: float, x1: float, y1: float, tone: int) -> None:
    """Bricks."""
    pen.things.box(x0, y0, x1, y1, tone)
    rows = max(1, int((y1 - y0) / 3.4))
    for row in range(rows):
        y = y0 + row * (y1 - y0) / rows
        pen.things.stroke([(x0, y), (x1, y)], max(tone - 45, 0), 0.25)
        for column in range(int((x1 - x0) / 7) + 1):
            x = x0 + (column + row % 2 / 2) * 7
            if x < x1:
                pen.things.stroke([(x, y), (x, y + (y1 - y0) / rows)], max(tone - 45, 0), 0.25)


def _alley(pen: Pen) -> float:
    """A lamp, its cone, somebody under it and the shadow that he throws."""
    rng = pen.rng
    ground = rng.uniform(66, 78)
    _wall(pen, -1, -1, 101, ground, rng.randint(120, 210))
    pen.things.box(-1, ground, 101, 101, rng.randint(130, 215))
    for x in (rng.uniform(4, 30), rng.uniform(55, 84)):
        if rng.random() < 0.7:
            w, top = rng.uniform(10, 15), rng.uniform(8, 24)
            pen.things.box(x, top, x + w, top + w * 1.3, 20)
            if rng.random() < 0.5:
                pen.shine.box(x + 1, top + 1, x + w - 1, top + w * 1.3 - 1, 150)
                pen.shine.box(x + w / 2 - 0.4, top, x + w / 2 + 0.4, top + w * 1.3, 0)
    lx, ly, spread = rng.uniform(22, 78), rng.uniform(8, 20), rng.uniform(22, 36)
    pen.light.area([(lx - 2, ly), (lx + 2, ly), (lx + spread, ground + 16), (lx - spread, ground + 16)], 235)
    pen.light.disc(lx, ground + 14, spread, 9, fill=255)
    side = rng.choice((-1, 1))
    x, foot, height = lx + side * rng.uniform(2, 14), ground + rng.uniform(8, 16), rng.uniform(34, 50)
    lean = rng.uniform(0.5, 1.1) * (1 if x > lx else -1)
    for part in subjects.figure(x, foot, height, True, rng.uniform(0, 0.05)):
        pen.light.area([(px + (foot - py) * lean, foot + (foot - py) * 0.28) for px, py in part], 0)
        pen.both(part, 8)
        pen.things.stroke(part[:3], 90, 0.3)
    if rng.random() < 0.6:
        _smoke(pen, x + 4, foot - height * 0.8, 28)
    pole = lx + rng.choice((-9, 9))
    pen.both([(pole - 0.7, ly - 4), (pole + 0.7, ly - 4), (pole + 0.9, ground + 10), (pole - 0.9, ground + 10)], 6)
    pen.things.stroke([(pole, ly - 3), (lx, ly - 2)], 6, 0.9)
    pen.shine.disc(lx, ly, 2.6, 1.7, fill=255)
    return rng.uniform(0.08, 0.2)


def _street(pen: Pen) -> float:
    rng, street = pen.rng, subjects.street(pen.rng)
    vx, vy = street.vanish
    foggy = rng.random() < 0.4
    air = rng.randint(170, 240) if foggy else rng.randint(30, 80)
    pen.things.box(0, 0, 100, 100, air)
    pen.things.area([(0, vy), (100, vy), (100, 100), (0, 100)], 110)
    pen.things.area(street.road, rng.randint(150, 220))
    lit_side = rng.choice((-1, 1))
    for facade in street.facades:
        left = facade.corners[1][0] < vx
        tone = 200 if (left and lit_side < 0) or (not left and lit_side > 0) else 38
        tone = round(tone * (1 - facade.depth) + air * facade.depth * (0.9 if foggy else 0.7))
        pen.things.area(facade.corners, tone)
        for pane in facade.windows:
            pen.things.area(pane, max(tone - 120, 8))
            if rng.random() < 0.06 and not foggy:
                pen.shine.area(pane, 190)
    pen.light.box(0, 0, 100, 100, 255)
    cut, near = rng.uniform(-6, 6), vy + street.walls[1] / 0.9
    pen.light.area(
        [(vx + cut, vy + 4), (vx - lit_side * 60, 100), (vx - lit_side * 90, near - 10)], 30
    )  # one side's shadow
    if rng.random() < 0.6:
        pen.light.area(
            [(vx + lit_side * 40, 104), (vx + lit_side * 10, 104), (vx - lit_side * 20, vy + 12), (vx, vy + 8)], 25
        )
    x, foot, height = vx + rng.uniform(-12, 12), rng.uniform(78, 92), rng.uniform(22, 40)
    for part in subjects.figure(x, foot, height, rng.random() < 0.8, rng.uniform(0, 0.05)):
        pen.light.area([(px - lit_side * (foot - py) * 0.9, foot + (foot - py) * 0.22) for px, py in part], 0)
        pen.both(part, 6)
    if rng.random() < 0.5:
        for depth in (0.8, 1.3, 2.1, 3.6):
            lx, ly = vx + lit_side * 22 / depth, vy - 34 / depth
            pen.things.stroke([(lx, ly), (lx, vy + street.walls[1] / depth)], 8, 0.8 / depth + 0.2)
            pen.shine.disc(lx, ly, 2.2 / depth + 0.2, fill=255)
    return rng.uniform(0.1, 0.25)


def _rain(pen: Pen) -> None:
    lean = pen.rng.uniform(-3, 3)
    for _ in range(pen.rng.randint(80, 220)):
        x, y, length = pen.rng.uniform(-5, 105), pen.rng.uniform(-5, 100), pen.rng.uniform(3, 9)
        pen.shine.stroke([(x, y), (x + lean, y + length)], pen.rng.randint(20, 70), 0.2)


def _skyline(pen: Pen) -> float:
    rng = pen.rng
    pale = rng.random() < 0.45
    pen.things.box(0, 0, 100, 100, rng.randint(170, 240) if pale else rng.randint(30, 90))
    pen.light.box(0, 0, 100, 100, 255)
    if rng.random() < 0.6:
        x, y, r = rng.uniform(15, 85), rng.uniform(12, 34), rng.uniform(6, 15)
        (pen.things if pale else pen.shine).disc(x, y, r, fill=250 if pale else 215)
    if not pale:
        for _ in range(rng.randint(0, 2)):
            x, tip = rng.uniform(10, 90), rng.uniform(-10, 110)
            pen.shine.area([(x - 0.5, 74), (x + 0.5, 74), (tip + 9, -3), (tip - 9, -3)], 34)
    for depth, (lowest, highest) in enumerate(((20, 62), (14, 46), (4, 26))):
        far = (150, 80, 10)[depth] if pale else (64, 34, 8)[depth]
        for tower in subjects.towers(rng, 84, lowest, highest, 8, 17):
            pen.both(tower.corners, far)
            (x0, top), (x1, _) = tower.corners[:2]
            if rng.random() < 0.7:  # one flank catches the light
                pen.things.box(x0, top, x0 + (x1 - x0) * rng.uniform(0.15, 0.4), 84, min(far + 70, 235))
            if rng.random() < 0.3:
                pen.both([(x0 + 2, top), ((x0 + x1) / 2, top - rng.uniform(4, 12)), (x1 - 2, top)], far)
            for pane in tower.windows:
                if depth and rng.random() < 0.1:
                    pen.shine.area(pane, rng.randint(120, 220))
    pen.both([(0, 84), (100, 84), (100, 101), (0, 101)], 12)
    if rng.random() < 0.5:
        x = rng.uniform(15, 85)
        pen.things.box(0, 90, 100, 101, 4)
        for part in subjects.figure(x, 92, rng.uniform(22, 34), True):
            pen.both(part, 2)
    if rng.random() < 0.4:
        _rain(pen)
    return 1.0


def _room(pen: Pen) -> float:
    """An office at night: the blind's bars on the wall, a desk, somebody at the window."""
    rng, room = pen.rng, subjects.room(pen.rng)
    x0, y0, x1, y1 = room.wall
    wx0, wy0, wx1, wy1 = room.window
    pen.things.box(0, 0, 100, 100, 110)
    pen.things.box(x0, y0, x1, y1, rng.randint(160, 225))
    pen.things.area([(x0, y1), (x1, y1), (112, 101), (-12, 101)], rng.randint(120, 190))
    pen.things.area([(-10, -8), (110, -8), (x1, y0), (x0, y0)], 60)
    lean = rng.uniform(8, 20) * rng.choice((-1, 1))
    left = wx0 < 45
    _blinds(
        pen,
        *((wx1 + 6, wy0 + 2, x1 + 12, wy1 + 14) if left else (x0 - 12, wy0 + 2, wx0 - 6, wy1 + 14)),
        lean,
        rng.randint(5, 9),
    )
    _blinds(pen, *((30, y1 + 4, 92, 100) if left else (8, y1 + 4, 70, 100)), lean * 0.5, 4)
    pen.shine.box(wx0, wy0, wx1, wy1, rng.randint(130, 225))
    slats = rng.randint(7, 11)
    for i in range(slats):
        y = wy0 + (wy1 - wy0) * i / slats
        pen.shine.box(wx0, y, wx1, y + (wy1 - wy0) / slats * 0.42, 12)
    if rng.random() < 0.65:
        for part in subjects.figure(
            (wx0 + wx1) / 2 + rng.uniform(-8, 8), y1 + 12, y1 + 12 - wy0 - rng.uniform(2, 12), rng.random() < 0.7
        ):
            pen.both(part, 6)
    tx0, top, tx1, foot = room.table
    lx, ly = room.lamp
    pen.things.box(tx0, top + 3, tx1, foot, 60)
    pen.things.box(tx0 - 2, top, tx1 + 2, top + 3, 190)
    if rng.random() < 0.75:
        pen.light.area([(lx - 3, ly - 13), (lx + 3, ly - 13), (lx + 15, ly + 2), (lx - 15, ly + 2)], 120)
        pen.things.stroke([(lx, ly), (lx, ly - 13)], 10, 0.9)
        pen.things.area([(lx - 5, ly - 12), (lx - 2.6, ly - 18), (lx + 2.6, ly - 18), (lx + 5, ly - 12)], 30)
        pen.shine.area([(lx - 4, ly - 12), (lx + 4, ly - 12), (lx + 3, ly - 11), (lx - 3, ly - 11)], 255)
    pen.things.box(lx + 5, ly - 6, lx + 8, ly, 20)
    if rng.random() < 0.4:
        _fan(pen, 50 + rng.uniform(-14, 14), y0 + 4)
    return rng.uniform(0.05, 0.2)


def _fan(pen: Pen, x: float, y: float) -> None:
    pen.things.stroke([(x, -1), (x, y)], 8, 0.7)
    for i in range(4):
        a = i * math.pi / 2 + 0.5
        pen.both(
            [
                (x, y),
                (x + 18 * math.cos(a), y + 5 * math.sin(a) - 1),
                (x + 18 * math.cos(a + 0.3), y + 5 * math.sin(a + 0.3)),
            ],
            10,
        )


def _drive(pen: Pen) -> float:
    """An old car with its lamps on, in the fog."""
    rng, car = pen.rng, subjects.car(pen.rng, pen.rng.choice(["old", "old", "saloon"]))
    foot = car.wheels[0][1] + car.wheels[0][2]
    pale = rng.random() < 0.5
    air = rng.randint(150, 230) if pale else rng.randint(35, 80)
    pen.things.box(0, 0, 100, 100, air)
    pen.light.box(0, 0, 100, 100, 255)
    for tower in subjects.towers(rng, foot - 8, 20, 58, 12, 24):
        pen.things.area(tower.corners, round(air * rng.uniform(0.45, 0.8)))
        for pane in tower.windows:
            if rng.random() < 0.12:
                pen.shine.area(pane, 120)
    pen.things.box(0, foot - 8, 100, 100, rng.randint(120, 200) if pale else 84)
    way = 1 if car.front[0] > car.rear[0] else -1
    fx, fy = car.front
    pen.shine.area([(fx, fy - 1), (fx + way * 60, fy - 12), (fx + way * 60, fy + 16), (fx, fy + 1)], 90)
    pen.light.area([(x + (foot - y) * -way * 0.5, foot - 2 + (foot - y) * 0.18) for x, y in car.body], 20)
    body = smooth(car.body, steps=5) if car.round_body else car.body
    pen.both(body, 16)
    pen.things.curve([(x, y + 1.2) for x, y in car.body[1:-1]], 150, 0.7)  # the lacquer's light
    for window in car.windows:
        pen.things.area(window, rng.choice((30, 120, 190)))
    for x, y, r in car.wheels:
        pen.both(ring(x, y, r, r, 20), 5)
        pen.things.disc(x, y, r * 0.55, fill=130)
        pen.things.disc(x, y, r * 0.2, fill=20)
    pen.shine.disc(fx, fy, 1.7, fill=255)
    if rng.random() < 0.4:
        _rain(pen)
    return rng.uniform(0.1, 0.3)


def _country(pen: Pen) -> float:
    """A bare tree, the moon, and the way home."""
    rng = pen.rng
    pale = rng.random() < 0.5
    air = rng.randint(165, 240) if pale else rng.randint(25, 70)
    pen.things.box(0, 0, 100, 100, air)
    pen.light.box(0, 0, 100, 100, 255)
    mx, my, r = rng.uniform(20, 80), rng.uniform(16, 38), rng.uniform(7, 16)
    (pen.things if pale else pen.shine).disc(mx, my, r, fill=252 if pale else 225)
    for i, y in enumerate((56, 66, 78)):
        tone = round(air * (0.72, 0.45, 0.12)[i]) if pale else (60, 36, 10)[i]
        pen.both(subjects.down_to(smooth(subjects.ridge(rng, y, 6, 7), closed=False)), tone)
    if rng.random() < 0.5:  # a road in the moonlight
        x = rng.uniform(40, 60)
        pen.things.area(
            [(x - 2, 66), (x + 2, 66), (x + rng.uniform(14, 30), 101), (x - rng.uniform(14, 30), 101)],
            230 if pale else 170,
        )
    for _ in range(rng.randint(1, 3)):
        x, foot, size = rng.uniform(6, 94), rng.uniform(78, 96), rng.uniform(10, 19)
        for a, b, width in subjects.branches(rng, x, foot, size, -math.pi / 2 + rng.uniform(-0.2, 0.2), 5):
            pen.things.stroke([a, b], 4, width * size / 30)
            pen.shine.stroke([a, b], 0, width * size / 30)
    if rng.random() < 0.6:
        for part in subjects.figure(rng.uniform(35, 65), rng.uniform(80, 90), rng.uniform(14, 26), True):
            pen.both(part, 4)
    return 1.0


SCENES: tuple[Callable[[Pen], float], ...] = (_face, _face, _alley, _street, _skyline, _room, _drive, _country)
