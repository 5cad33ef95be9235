"""Cartoons: thick dark outlines and flat colours, by day, by night, in the rain and on old paper."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import Image

from core.data.imports.drawing import subjects
from core.data.imports.drawing.sheet import Colour, Point, Sheet, blend, hsv, ring, shade, smooth

INK: Colour = (24, 20, 30)
WHITE: Colour = (255, 255, 255)
SKIN: list[Colour] = [(255, 219, 184), (241, 194, 150), (205, 148, 104), (150, 98, 66), (104, 66, 46), (246, 205, 198)]
Light = tuple[list[Point], Colour]  # what shines when the mood is dark: drawn after the colours were dimmed


@dataclass(frozen=True)
class Mood:
    """The hour: what the flat colours are multiplied with and how much colour is left."""

    tint: tuple[float, float, float]
    colour: float  # 1 full colour, 0 grey
    often: int
    dark: bool = False


MOODS = (
    Mood((1.0, 1.0, 1.0), 1.0, 40),  # day
    Mood((1.0, 0.8, 0.66), 0.85, 12),  # evening
    Mood((0.42, 0.45, 0.68), 0.75, 23, dark=True),  # night
    Mood((0.74, 0.77, 0.82), 0.28, 12),  # rain
    Mood((0.98, 0.88, 0.70), 0.18, 13),  # old paper
)


@dataclass(frozen=True)
class Pen:
    """What every scene draws with."""

    sheet: Sheet
    rng: Random
    mood: Mood
    width: float  # of the outlines

    def bright(self, value: float = 0.95) -> Colour:
        return hsv(self.rng.random(), self.rng.uniform(0.45, 0.85), self.rng.uniform(value - 0.15, value))

    def area(self, points: list[Point], fill: Colour) -> None:
        self.sheet.area(points, fill, INK, self.width)

    def blob(self, points: list[Point], fill: Colour) -> None:
        self.sheet.blob(points, fill, INK, self.width)

    def disc(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        self.sheet.disc(x, y, rx, ry, fill, INK, self.width)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        self.sheet.box(x0, y0, x1, y1, fill, INK, self.width)

    def line(self, points: list[Point], width: float | None = None) -> None:
        self.sheet.curve(points, INK, width or self.width)


def draw_cartoon(rng: Random) -> Image.Image:
    """RGB, 400 x 400."""
    mood = rng.choices(MOODS, [mood.often for mood in MOODS])[0]
    pen = Pen(Sheet(WHITE), rng, mood, rng.uniform(0.9, 1.7))
    lights = rng.choice(SCENES)(pen)
    if mood is not MOODS[0]:
        pen.sheet.recolour(mood.tint, mood.colour)
    if mood.dark:
        for points, colour in lights:
            pen.sheet.area(points, colour, INK, pen.width * 0.6)
    return pen.sheet.finish()


def _face(pen: Pen) -> list[Light]:
    rng, face = pen.rng, subjects.face(pen.rng)
    _backdrop(pen)
    skin = rng.choice(SKIN) if rng.random() < 0.8 else pen.bright()
    hair = rng.choice([(46, 34, 32), (98, 60, 34), (226, 180, 84), (190, 78, 40), pen.bright(0.8), pen.bright(0.8)])
    cloth = pen.bright()
    if (back := face.back_hair()) is not None:
        pen.blob(back, cloth if face.hair == "hood" else shade(hair, 0.82))
    if face.hair == "bun":
        pen.disc(face.x, face.y - face.h * 1.2, face.w * 0.5, face.w * 0.46, hair)
    pen.area(smooth(face.shoulders), cloth)
    pen.area([*face.neck[:3], (face.x, face.neck[2][1] + 3), face.neck[3]], shade(skin, 0.84))
    for side in (-1, 1):
        pen.disc(face.x + side * face.w * 0.98, face.y + face.h * 0.06, face.w * 0.2, face.w * 0.26, shade(skin, 0.9))
    pen.blob(face.skull, skin)
    _features(pen, face, skin, hair)
    if (front := face.front_hair(rng)) is not None:
        (pen.area if face.hair == "spikes" else pen.blob)(front, hair)
    if face.hair == "hat":
        crown, brim = face.hat()
        pen.blob(crown, shade(cloth, 0.8))
        pen.blob(brim, cloth)
    return []


def _features(pen: Pen, face: subjects.Face, skin: Colour, hair: Colour) -> None:
    rng, w, h = pen.rng, face.w, face.h
    eye_w, eye_h = w * rng.uniform(0.2, 0.31), h * rng.uniform(0.16, 0.27)
    look, iris = rng.uniform(-0.4, 0.4), pen.bright(0.75)
    if rng.random() < 0.6:
        for side in (-1, 1):
            x, y = face.at(side * 0.62, 0.32)
            pen.sheet.disc(x, y, w * 0.17, w * 0.12, fill=blend(skin, (235, 80, 90), 0.38))
    shut = rng.random() < 0.1
    for side in (-1, 1):
        x, y = face.at(side * 0.42, 0.0)
        if shut:
            pen.line([(x - eye_w, y), (x, y + eye_h * 0.5), (x + eye_w, y)])
        else:
            pen.disc(x, y, eye_w, eye_h, WHITE)
            px, r = x + look * eye_w, min(eye_w, eye_h) * 0.62
            pen.sheet.disc(px, y, r, fill=iris)
            pen.sheet.disc(px, y, r * 0.6, fill=INK)
            pen.sheet.disc(px + r * 0.35, y - r * 0.4, r * 0.33, fill=WHITE)
        tilt, lift = rng.uniform(-1.4, 1.4), eye_h * 1.5
        pen.line([(x - eye_w, y - lift + tilt * side), (x, y - lift - 1.2), (x + eye_w, y - lift - tilt * side)], 1.9)
    nose = face.at(0, 0.24)
    pen.line([(nose[0] - 1, nose[1] - 3), (nose[0] + w * 0.13, nose[1] + 1.5), (nose[0] - 1.2, nose[1] + 2.4)])
    x, y = face.at(0, 0.58)
    mouth_w, smile = w * rng.uniform(0.25, 0.5), rng.uniform(-0.1, 0.26) * w
    if rng.random() < 0.4:
        pen.blob(
            [(x - mouth_w, y - smile * 0.4), (x, y - 0.3), (x + mouth_w, y - smile * 0.4), (x, y + 6)], (122, 28, 44)
        )
        pen.sheet.disc(x, y + 3.6, mouth_w * 0.4, 1.5, fill=(238, 120, 120))
    else:
        pen.line([(x - mouth_w, y - smile * 0.5), (x, y + smile * 0.5), (x + mouth_w, y - smile * 0.5)])
    if rng.random() < 0.25:
        for side in (-1, 1):
            ex, ey = face.at(side * 0.42, 0.0)
            pen.sheet.disc(ex, ey, w * 0.38, w * 0.36, None, INK, pen.width * 1.1)
        pen.line([face.at(-0.06, -0.02), face.at(0.06, -0.02)])


def _backdrop(pen: Pen) -> None:
    """Flat, sunburst, dots or stripes."""
    rng, sheet = pen.rng, pen.sheet
    one = pen.bright()
    other = blend(one, rng.choice([WHITE, INK]), 0.28)
    sheet.box(0, 0, 100, 100, one)
    kind = rng.choice(["flat", "burst", "dots", "stripes", "disc"])
    if kind == "burst":
        n, start = rng.randint(8, 15), rng.random()
        for i in range(n):
            a, b = (2 * math.pi * (start + i + edge) / n for edge in (0, 0.5))
            sheet.area(
                [
                    (50, 50),
                    (50 + 90 * math.cos(a), 50 + 90 * math.sin(a)),
                    (50 + 90 * math.cos(b), 50 + 90 * math.sin(b)),
                ],
                other,
            )
    elif kind == "dots":
        step = rng.uniform(6, 11)
        for row in range(int(100 / step) + 2):
            for column in range(int(100 / step) + 2):
                r = step * 0.42 * (1 - row * step / 130)
                sheet.disc((column + row % 2 / 2) * step, row * step, r, fill=other)
    elif kind == "stripes":
        step, lean = rng.uniform(8, 18), rng.uniform(-40, 40)
        for i in range(-6, int(100 / step) + 6, 2):
            sheet.area(
                [(i * step, 0), ((i + 1) * step, 0), ((i + 1) * step + lean, 100), (i * step + lean, 100)], other
            )
    elif kind == "disc":
        sheet.disc(50, 46, rng.uniform(32, 44), fill=other)


def _cat(pen: Pen) -> list[Light]:
    """An animal's head: cat, bear, rabbit or owl, by its ears and its nose."""
    rng, sheet = pen.rng, pen.sheet
    _backdrop(pen)
    fur = rng.choice([(236, 160, 80), (150, 150, 160), (90, 74, 66), (246, 236, 220), (60, 58, 70), pen.bright()])
    light = blend(fur, WHITE, 0.55)
    x, y, w = rng.uniform(44, 56), rng.uniform(54, 60), rng.uniform(24, 31)
    h, kind = w * rng.uniform(0.8, 0.98), rng.choice(["cat", "bear", "rabbit", "owl"])
    pen.blob([(x - w * 0.9, 104), (x - w * 0.75, y + h * 0.7), (x + w * 0.75, y + h * 0.7), (x + w * 0.9, 104)], fur)
    for side in (-1, 1):
        if kind in ("cat", "owl"):
            tip = (x + side * w * 0.92, y - h * 1.45)
            pen.area([(x + side * w * 0.95, y - h * 0.2), tip, (x + side * w * 0.25, y - h * 0.85)], fur)
            sheet.area(
                [
                    (x + side * w * 0.82, y - h * 0.5),
                    (x + side * w * 0.85, y - h * 1.2),
                    (x + side * w * 0.45, y - h * 0.8),
                ],
                (238, 150, 150),
            )
        elif kind == "bear":
            pen.disc(x + side * w * 0.75, y - h * 0.78, w * 0.32, w * 0.32, fur)
            sheet.disc(x + side * w * 0.75, y - h * 0.78, w * 0.16, fill=light)
        else:
            pen.blob(ring(x + side * w * 0.42, y - h * 1.25, w * 0.22, h * 0.8, 10), fur)
            sheet.disc(x + side * w * 0.42, y - h * 1.3, w * 0.09, h * 0.5, fill=(240, 170, 175))
    pen.disc(x, y, w, h, fur)
    sheet.disc(x, y + h * 0.42, w * 0.5, h * 0.42, fill=light)
    iris = pen.bright()
    for side in (-1, 1):
        r = w * (0.34 if kind == "owl" else 0.24)
        pen.disc(x + side * w * 0.42, y - h * 0.1, r, r, WHITE if kind != "cat" else iris)
        slit = 0.25 if kind == "cat" else 0.6
        sheet.disc(x + side * w * 0.42, y - h * 0.1, r * slit, r * 0.7, fill=INK)
        sheet.disc(x + side * w * 0.42 + r * 0.2, y - h * 0.1 - r * 0.3, r * 0.2, fill=WHITE)
    snout = (240, 170, 60) if kind == "owl" else (70, 40, 50)
    pen.area([(x - w * 0.12, y + h * 0.2), (x + w * 0.12, y + h * 0.2), (x, y + h * 0.38)], snout)
    if kind != "owl":
        for side in (-1, 1):
            pen.line([(x, y + h * 0.38), (x + side * w * 0.1, y + h * 0.55), (x + side * w * 0.26, y + h * 0.5)])
            for tilt in (-3, 1, 5):
                pen.line(
                    [(x + side * w * 0.35, y + h * 0.38), (x + side * w * 1.15, y + h * 0.28 + tilt)], pen.width * 0.5
                )
    return []


def _sky(pen: Pen) -> list[Light]:
    """Sky with clouds and a sun, which is the moon with stars by night."""
    rng, sheet = pen.rng, pen.sheet
    hue = rng.choice([0.55, 0.57, 0.52, 0.6, 0.08, 0.9, 0.45])
    sheet.box(0, 0, 100, 100, hsv(hue, rng.uniform(0.25, 0.6), rng.uniform(0.86, 1)))
    x, y, r = rng.uniform(12, 88), rng.uniform(10, 26), rng.uniform(6, 11)
    pen.disc(x, y, r, r, (255, 222, 90))
    for _ in range(rng.randint(1, 4)):
        cx, cy, w = rng.uniform(0, 100), rng.uniform(6, 34), rng.uniform(9, 17)
        cloud = [
            (cx - w, cy),
            (cx - w * 0.7, cy - w * 0.35),
            (cx - w * 0.25, cy - w * 0.55),
            (cx + w * 0.3, cy - w * 0.45),
        ]
        pen.blob([*cloud, (cx + w * 0.8, cy - w * 0.3), (cx + w, cy), (cx, cy + w * 0.08)], WHITE)
    stars = [ring(rng.uniform(0, 100), rng.uniform(0, 30), 0.9, 0.9, 4) for _ in range(12)]
    return [(ring(x, y, r, r, 24), (255, 246, 200)), *((star, (255, 246, 200)) for star in stars)]


def _country(pen: Pen) -> list[Light]:
    rng, lights = pen.rng, _sky(pen)
    green = rng.choice([0.25, 0.3, 0.36, 0.13, 0.1, 0.47])
    for depth, y in enumerate((48, 60, 74)):
        land = subjects.down_to(smooth(subjects.ridge(rng, y, 7 - depth, 6), closed=False))
        pen.area(land, hsv(green + rng.uniform(-0.03, 0.03), 0.55, 0.66 + 0.1 * depth))
        for _ in range(rng.randint(1, 3)):
            _tree(pen, rng.uniform(2, 98), y + rng.uniform(4, 10), 9 + 6 * depth, green)
        if depth == 1:
            lights += _house(pen, rng.uniform(22, 72), y + 10, rng.uniform(17, 26))
    return lights


def _tree(pen: Pen, x: float, foot: float, size: float, hue: float) -> None:
    rng = pen.rng
    pen.box(x - size * 0.09, foot - size * 0.6, x + size * 0.09, foot, (128, 84, 52))
    leaf = hsv(hue + rng.uniform(-0.06, 0.06), rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.85))
    if rng.random() < 0.4:
        for i in range(3):
            top, w = foot - size * (0.75 + 0.32 * i), size * (0.5 - 0.11 * i)
            pen.area([(x - w, top + size * 0.34), (x + w, top + size * 0.34), (x, top - size * 0.22)], leaf)
    else:
        crown = [(px * rng.uniform(0.9, 1.1), py) for px, py in ring(0, 0, size * 0.5, size * 0.48, 9)]
        pen.blob([(x + px, foot - size * 0.95 + py) for px, py in crown], leaf)
        pen.sheet.disc(x - size * 0.14, foot - size * 1.1, size * 0.16, size * 0.11, fill=blend(leaf, WHITE, 0.35))


def _house(pen: Pen, x: float, foot: float, w: float) -> list[Light]:
    h = w * pen.rng.uniform(0.6, 1.0)
    wall, roof = pen.bright(1.0), pen.bright(0.8)
    pen.box(x + w * 0.7, foot - h * 1.55, x + w * 0.84, foot - h, shade(wall, 0.7))
    pen.box(x, foot - h, x + w, foot, wall)
    pen.area([(x - w * 0.12, foot - h), (x + w * 0.5, foot - h * 1.65), (x + w * 1.12, foot - h)], roof)
    pen.box(x + w * 0.42, foot - h * 0.5, x + w * 0.62, foot, shade(roof, 0.7))
    lights = []
    for left in (0.1, 0.7):
        x0, y0, side = x + w * left, foot - h * 0.75, w * 0.2
        pen.box(x0, y0, x0 + side, y0 + side, (190, 230, 250))
        lights.append(([(x0, y0), (x0 + side, y0), (x0 + side, y0 + side), (x0, y0 + side)], (255, 224, 120)))
    return lights


def _skyline(pen: Pen) -> list[Light]:
    rng, lights = pen.rng, _sky(pen)
    for layer, (lowest, highest) in enumerate(((25, 55), (12, 38))):
        for tower in subjects.towers(rng, 86, lowest, highest, 9, 19):
            wall = blend(pen.bright(), (200, 214, 230), 0.6 - 0.4 * layer)
            pen.area(tower.corners, wall)
            if rng.random() < 0.3:
                (x0, top), (x1, _) = tower.corners[:2]
                pen.area([(x0, top), ((x0 + x1) / 2, top - (x1 - x0) * 0.5), (x1, top)], shade(wall, 0.75))
            glass = rng.choice([(180, 224, 250), (255, 240, 170), shade(wall, 0.6)])
            for pane in tower.windows:
                pen.sheet.area(pane, glass)
            lights += [(pane, (255, 226, 120)) for pane in tower.windows if layer and rng.random() < 0.4]
    ground = rng.choice([(120, 126, 136), (120, 190, 100), (90, 160, 220)])
    pen.box(-2, 86, 102, 102, ground)
    for x in range(2, 100, 16):
        pen.sheet.box(x, 92.5, x + 8, 94, blend(ground, WHITE, 0.6))
    return lights


def _street(pen: Pen) -> list[Light]:
    rng, lights, street = pen.rng, _sky(pen), subjects.street(pen.rng)
    lawn = rng.choice([(196, 186, 172), (150, 196, 110), (206, 170, 130)])
    pen.sheet.box(0, street.vanish[1], 100, 100, lawn)
    pen.area(street.road, (126, 128, 140))
    for facade in street.facades:
        wall = pen.bright()
        pen.area(facade.corners, wall)
        glass = rng.choice([(190, 228, 248), shade(wall, 0.55), WHITE])
        for pane in facade.windows:
            pen.sheet.area(pane, glass, INK, pen.width * 0.5 * (1 - facade.depth))
        if facade.depth < 0.7:
            lights += [(pane, (255, 222, 110)) for pane in facade.windows if rng.random() < 0.35]
    vx, vy = street.vanish
    for near, far in ((0.6, 0.75), (1.0, 1.35), (1.9, 2.8)):
        foot = [
            (vx + side * 1.1 / z, vy + street.walls[1] / z) for side, z in ((-1, near), (-1, far), (1, far), (1, near))
        ]
        pen.sheet.area(foot, WHITE)
    if rng.random() < 0.75:
        coat = [pen.bright(0.6), pen.bright(0.6), pen.bright(), rng.choice(SKIN), pen.bright(0.7)]
        for part, colour in zip(
            subjects.figure(rng.uniform(25, 75), rng.uniform(86, 97), rng.uniform(26, 44), rng.random() < 0.4),
            coat,
            strict=False,
        ):
            pen.area(part, colour)
    return lights


def _car(pen: Pen) -> list[Light]:
    rng, lights = pen.rng, _sky(pen)
    land = hsv(rng.choice([0.28, 0.12, 0.4]), 0.5, 0.8)
    pen.area(subjects.down_to(smooth(subjects.ridge(rng, 52, 7, 6), closed=False)), land)
    if rng.random() < 0.5:
        for tower in subjects.towers(rng, 66, 8, 30, 8, 16):
            pen.area(tower.corners, blend(pen.bright(), (200, 214, 230), 0.4))
    car, paint = subjects.car(rng), pen.bright()
    ground = car.wheels[0][1] + car.wheels[0][2]
    pen.box(-2, ground - 9, 102, 102, (122, 124, 134))
    for dash in range(rng.randint(-8, 0), 100, 18):
        pen.sheet.box(dash, ground + 5, dash + 9, ground + 6.6, (250, 240, 200))
    (pen.blob if car.round_body else pen.area)(car.body, paint)
    for window in car.windows:
        pen.area(window, (196, 230, 248))
        pen.sheet.stroke([window[0], window[len(window) // 2]], WHITE, 0.8)
    pen.disc(*car.front, 1.8, 1.8, (255, 244, 170))
    pen.disc(*car.rear, 1.5, 1.5, (230, 60, 60))
    for x, y, r in car.wheels:
        pen.disc(x, y, r, r, (52, 50, 58))
        pen.disc(x, y, r * 0.5, r * 0.5, (220, 222, 226))
    return [*lights, (ring(*car.front, 2.2, 2.2), (255, 250, 200))]


def _room(pen: Pen) -> list[Light]:
    rng, sheet, room = pen.rng, pen.sheet, subjects.room(pen.rng)
    x0, y0, x1, y1 = room.wall
    wall = blend(pen.bright(), WHITE, 0.3)
    floor = rng.choice([(186, 132, 84), (150, 150, 160), (204, 178, 140), pen.bright(0.7)])
    sheet.box(0, 0, 100, 100, shade(wall, 0.82))
    pen.area([(x0, y1), (x1, y1), (110, 104), (-10, 104)], floor)
    pen.box(x0, y0, x1, y1, wall)
    pen.area([(-10, -8), (110, -8), (x1, y0), (x0, y0)], blend(wall, WHITE, 0.5))
    lights = _window(pen, *room.window)
    px, py, size = x1 - 22 if room.window[0] < 40 else x0 + 6, y0 + rng.uniform(6, 14), rng.uniform(10, 15)
    pen.box(px, py, px + size, py + size * 1.2, pen.bright())
    pen.disc(px + size / 2, py + size * 0.6, size * 0.26, size * 0.3, pen.bright())
    pen.disc(50, 90, 30, 6, pen.bright())
    _seat(pen, *room.seat)
    tx0, top, tx1, foot = room.table
    wood = (150, 96, 58)
    for x in (tx0 + 2, tx1 - 4):
        pen.box(x, top, x + 2.4, foot, wood)
    pen.box(tx0, top, tx1, top + 3, shade(wood, 1.25))
    lx, ly = room.lamp
    pen.box(lx - 0.8, ly - 12, lx + 0.8, ly, (90, 90, 100))
    shade_points = [(lx - 6, ly - 10), (lx - 3.4, ly - 19), (lx + 3.4, ly - 19), (lx + 6, ly - 10)]
    pen.area(shade_points, pen.bright())
    return [*lights, (shade_points, (255, 232, 140))]


def _window(pen: Pen, x0: float, y0: float, x1: float, y1: float) -> list[Light]:
    frame = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    pen.area(frame, (170, 220, 250))
    pen.sheet.disc(x0 + (x1 - x0) * 0.3, y0 + (y1 - y0) * 0.3, 3, fill=(255, 236, 130))
    pen.sheet.area([(x0, y1), (x0, y1 - 6), ((x0 + x1) / 2, y1 - 11), (x1, y1 - 5), (x1, y1)], (130, 190, 100))
    for line in ([((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)], [(x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2)]):
        pen.sheet.stroke(line, INK, pen.width)
    pen.sheet.area(frame, None, INK, pen.width * 1.5)
    curtain = pen.bright()
    for x, way in ((x0 - 2, 1), (x1 + 2, -1)):
        pen.area(
            [(x, y0 - 2), (x + way * 7, y0 - 2), (x + way * 3, y1 - 8), (x + way * 5, y1 + 3), (x, y1 + 3)], curtain
        )
    return []


def _seat(pen: Pen, x: float, foot: float, size: float) -> None:
    cloth = pen.bright(0.85)
    back = [(x - size * 0.55, foot - 4), (x - size * 0.5, foot - size * 0.95), (x + size * 0.5, foot - size * 0.95)]
    pen.blob([*back, (x + size * 0.55, foot - 4)], cloth)
    for side in (-1, 1):
        pen.disc(x + side * size * 0.55, foot - size * 0.36, size * 0.16, size * 0.32, shade(cloth, 0.85))
    pen.blob(ring(x, foot - size * 0.25, size * 0.46, size * 0.17, 10), shade(cloth, 1.12))
    if pen.rng.random() < 0.5:
        pen.disc(x, foot - size * 0.52, size * 0.2, size * 0.18, pen.bright())


SCENES: tuple[Callable[[Pen], list[Light]], ...] = (_face, _face, _cat, _country, _skyline, _street, _car, _room)
