"""Subjects of drawings: faces, cars, streets, rooms. All styles share them, so that classes differ in style alone."""

import math
from dataclasses import dataclass
from random import Random

from core.data.imports.drawing.sheet import Point

HAIR = ("short", "long", "spikes", "bun", "curls", "hat", "hood", "bald")


@dataclass(frozen=True)
class Face:
    x: float
    y: float  # middle of the head
    w: float  # half width
    h: float  # half height
    taper: float  # 0 round, 0.5 pointed chin
    turn: float  # features moved sideways, in half widths
    hair: str

    @property
    def skull(self) -> list[Point]:
        return [self.edge(2 * math.pi * i / 20) for i in range(20)]

    def edge(self, angle: float, grow: float = 1.0) -> Point:
        """A point on the outline, clockwise from the crown."""
        low = max(0.0, -math.cos(angle))
        width = self.w * math.sin(angle) * (1 - self.taper * low**1.3)
        return self.x + grow * width, self.y - grow * self.h * math.cos(angle)

    def at(self, across: float, down: float) -> Point:
        """A place on the face: (0, 0) its middle, (-1, -1) its upper left corner."""
        return self.x + self.w * (across + self.turn * (1 - 0.5 * across * across)), self.y + self.h * down

    @property
    def neck(self) -> list[Point]:
        n, top, foot = self.w * 0.45, self.y + self.h * 0.55, self.y + self.h * 1.4
        return [(self.x - n, top), (self.x + n, top), (self.x + n * 1.25, foot), (self.x - n * 1.25, foot)]

    @property
    def shoulders(self) -> list[Point]:
        top, wide = self.y + self.h * 1.22, self.w * 2.15
        left = [(self.x - self.w * 0.5, top), (self.x - wide * 0.72, top + 6), (self.x - wide, top + 18)]
        right = [(2 * self.x - x, y) for x, y in reversed(left)]
        return [*left, (self.x - wide * 1.1, 125), (self.x + wide * 1.1, 125), *right]

    def back_hair(self) -> list[Point] | None:
        """What hangs or stands behind the head."""
        if self.hair == "long":
            crown = [self.edge(a, 1.16) for a in (-2.0, -1.5, -1.0, -0.5, 0, 0.5, 1.0, 1.5, 2.0)]
            low = self.y + self.h * 1.35
            ends = ((1.3, 0), (0.6, 3), (-0.6, 3), (-1.3, 0))
            return [*crown, *((self.x + self.w * across, low + down) for across, down in ends)]
        if self.hair == "curls":
            return [self.edge(2 * math.pi * i / 22, 1.36 if i % 2 else 1.14) for i in range(-7, 8)]
        if self.hair == "hood":
            return [self.edge(a, 1.38) for a in (-2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5)]
        return None

    def front_hair(self, rng: Random) -> list[Point] | None:
        """What covers the forehead; None for bald heads, hats and hoods."""
        if self.hair in ("bald", "hat", "hood"):
            return None
        if self.hair == "spikes":
            top = [self.edge(-1.5 + 3.0 * i / 12, 1.04 if i % 2 == 0 else rng.uniform(1.25, 1.5)) for i in range(13)]
        else:
            top = [self.edge(-1.55 + 3.1 * i / 12, 1.08) for i in range(13)]
        side = rng.uniform(-0.5, 0.5)
        fringe = [self.at(across, -0.52 + 0.16 * abs(across - side)) for across in (0.75, 0.4, 0.1, -0.2, -0.5, -0.8)]
        return top + [(x - self.w * self.turn, y + rng.uniform(-1.5, 1.5)) for x, y in fringe]

    def hat(self) -> tuple[list[Point], list[Point]]:
        """Crown and brim."""
        y, w = self.y - self.h * 0.52, self.w
        crown = [(self.x - w * 0.95, y), (self.x - w * 0.85, y - w * 0.95), (self.x - w * 0.2, y - w * 1.12)]
        crown += [(self.x, y - w * 0.98), (self.x + w * 0.25, y - w * 1.14), (self.x + w * 0.85, y - w * 0.93)]
        brim = [(self.x - w * 1.7, y + 2), (self.x - w, y - 2.5), (self.x, y - 3.5), (self.x + w, y - 2.5)]
        brim += [(self.x + w * 1.7, y + 2), (self.x + w, y + 3.5), (self.x, y + 4.5), (self.x - w, y + 3.5)]
        return [*crown, (self.x + w * 0.95, y)], brim


def face(rng: Random) -> Face:
    w = rng.uniform(14, 23)
    return Face(
        x=rng.uniform(40, 60),
        y=rng.uniform(42, 52),
        w=w,
        h=w * rng.uniform(1.1, 1.35),
        taper=rng.uniform(0.15, 0.5),
        turn=rng.uniform(-0.22, 0.22),
        hair=rng.choice(HAIR),
    )


@dataclass(frozen=True)
class Car:
    body: list[Point]
    windows: list[list[Point]]
    wheels: list[tuple[float, float, float]]  # x, y, radius
    front: Point  # the head lamp
    rear: Point
    round_body: bool


_CARS = {  # outline, windows, wheels' places, lamp and tail, in a box 1 wide and 0.36 high, driving right
    "saloon": (
        [(0, 0.30), (0.01, 0.19), (0.17, 0.16), (0.30, 0.02), (0.64, 0.02), (0.78, 0.15), (0.98, 0.19), (1, 0.30)],
        [
            [(0.22, 0.155), (0.32, 0.045), (0.46, 0.045), (0.46, 0.155)],
            [(0.49, 0.155), (0.49, 0.045), (0.62, 0.045), (0.72, 0.155)],
        ],
        (0.2, 0.79),
        0.085,
    ),
    "old": (
        [
            (0, 0.3),
            (0, 0.2),
            (0.08, 0.1),
            (0.2, 0.03),
            (0.4, 0),
            (0.56, 0.02),
            (0.62, 0.13),
            (0.85, 0.14),
            (1, 0.2),
            (1, 0.3),
        ],
        [
            [(0.16, 0.14), (0.24, 0.05), (0.37, 0.04), (0.37, 0.14)],
            [(0.4, 0.14), (0.4, 0.04), (0.52, 0.05), (0.56, 0.14)],
        ],
        (0.19, 0.83),
        0.1,
    ),
    "wedge": (
        [(0, 0.28), (0.0, 0.16), (0.1, 0.12), (0.32, 0.04), (0.5, 0.03), (0.68, 0.12), (1, 0.22), (0.99, 0.28)],
        [[(0.24, 0.115), (0.35, 0.06), (0.48, 0.055), (0.6, 0.13), (0.4, 0.14)]],
        (0.18, 0.8),
        0.085,
    ),
    "van": (
        [(0, 0.31), (0, 0.02), (0.04, 0), (0.72, 0), (0.86, 0.13), (0.98, 0.17), (1, 0.31)],
        [
            [(0.06, 0.13), (0.06, 0.035), (0.3, 0.035), (0.3, 0.13)],
            [(0.34, 0.13), (0.34, 0.035), (0.55, 0.035), (0.55, 0.13)],
            [(0.59, 0.13), (0.59, 0.035), (0.7, 0.035), (0.81, 0.13)],
        ],
        (0.2, 0.78),
        0.085,
    ),
}


def car(rng: Random, kind: str | None = None) -> Car:
    body, windows, axles, radius = _CARS[kind or rng.choice(list(_CARS))]
    length, right = rng.uniform(52, 82), rng.random() < 0.5
    x0, ground = rng.uniform(4, 96 - length), rng.uniform(72, 86)
    top = ground - length * 0.36

    def place(point: Point) -> Point:
        return x0 + length * (point[0] if right else 1 - point[0]), top + length * point[1]

    return Car(
        body=[place(p) for p in body],
        windows=[[place(p) for p in window] for window in windows],
        wheels=[(place((axle, 0))[0], ground - radius * length, radius * length) for axle in axles],
        front=place((0.97, body[-1][1] - 0.08)),
        rear=place((0.02, body[0][1] - 0.09)),
        round_body=body is _CARS["old"][0],
    )


@dataclass(frozen=True)
class Facade:
    """One side of a street, seen along it, or one tower seen from the front."""

    corners: list[Point]  # upper near, upper far, lower far, lower near
    windows: list[list[Point]]
    depth: float  # 0 near .. 1 far


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _windows(corners: list[Point], columns: int, rows: int, gap: float = 0.3) -> list[list[Point]]:
    upper_near, upper_far, lower_far, lower_near = corners

    def at(u: float, v: float) -> Point:
        return _between(_between(upper_near, upper_far, u), _between(lower_near, lower_far, u), v)

    panes = []
    for row in range(rows):
        for column in range(columns):
            u0, u1 = (column + gap) / columns, (column + 1 - gap) / columns
            v0, v1 = (row + gap) / rows, (row + 1 - gap * 0.8) / rows
            panes.append([at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)])
    return panes


@dataclass(frozen=True)
class Street:
    vanish: Point
    facades: list[Facade]  # far ones first
    road: list[Point]
    walls: tuple[float, float]  # half width of the road at depth 1, height of the eye


def street(rng: Random) -> Street:
    """A street in one-point perspective."""
    vx, vy = rng.uniform(35, 65), rng.uniform(48, 62)
    wide, eye = rng.uniform(26, 40), rng.uniform(22, 32)
    edges = [1.0, 1.4, 1.9, 2.7, 3.9, 5.8, 9.0]
    facades = []
    for i in reversed(range(len(edges) - 1)):
        for side in (-1, 1):
            height, near, far = rng.uniform(45, 110), edges[i] * 0.62, edges[i + 1] * 0.62
            corners = [
                (vx + side * wide / near, vy - height / near),
                (vx + side * wide / far, vy - height / far),
                (vx + side * wide / far, vy + eye / far),
                (vx + side * wide / near, vy + eye / near),
            ]
            columns, rows = rng.randint(2, 4), max(2, round(height / rng.uniform(9, 14)))
            panes = _windows(corners, columns, rows) if i < 5 else []
            facades.append(Facade(corners, panes, i / (len(edges) - 2)))
    near, far = 0.55, 9.0 * 0.62
    road = [(vx - wide / near, vy + eye / near), (vx - wide / far, vy + eye / far)]
    road += [(vx + wide / far, vy + eye / far), (vx + wide / near, vy + eye / near)]
    return Street((vx, vy), facades, road, (wide, eye))


def towers(rng: Random, foot: float, lowest: float, highest: float, narrow: float, broad: float) -> list[Facade]:
    """Houses side by side across the sheet, with their windows."""
    row, x = [], rng.uniform(-6, 0)
    while x < 100:
        width, height = rng.uniform(narrow, broad), rng.uniform(lowest, highest)
        top = foot - height
        corners = [(x, top), (x + width, top), (x + width, foot), (x, foot)]
        columns, rows = max(1, round(width / rng.uniform(3.0, 4.6))), max(2, round(height / rng.uniform(4, 7)))
        row.append(Facade(corners, _windows(corners, columns, rows, rng.uniform(0.2, 0.32)), 0.0))
        x += width + rng.choice([0.0, 0.0, rng.uniform(0, 5)])
    return row


def ridge(rng: Random, y: float, rough: float, steps: int = 9) -> list[Point]:
    """A line of hills from edge to edge."""
    return [(-4 + 108 * i / (steps - 1), y + rng.uniform(-rough, rough)) for i in range(steps)]


def down_to(line: list[Point], foot: float = 104.0) -> list[Point]:
    """The land under a ridge, as a polygon."""
    return [*line, (line[-1][0], foot), (line[0][0], foot)]


def figure(x: float, foot: float, height: float, hat: bool, stride: float = 0.0) -> list[list[Point]]:
    """Somebody in a long coat: polygons for coat, legs, head and hat, standing at (x, foot)."""
    h = height
    coat = [(x - 0.09 * h, foot - 0.82 * h), (x + 0.09 * h, foot - 0.82 * h), (x + 0.15 * h, foot - 0.7 * h)]
    coat += [(x + 0.13 * h, foot - 0.45 * h), (x + 0.16 * h, foot - 0.2 * h), (x - 0.16 * h, foot - 0.2 * h)]
    coat += [(x - 0.13 * h, foot - 0.45 * h), (x - 0.15 * h, foot - 0.7 * h)]
    legs = []
    for side in (-1, 1):
        hip, toe = x + side * 0.06 * h, x + side * (0.06 + stride) * h
        legs.append([(hip - 0.045 * h, foot - 0.22 * h), (hip + 0.045 * h, foot - 0.22 * h)])
        legs[-1] += [(toe + 0.045 * h, foot), (toe - 0.045 * h, foot)]
    cy, r = foot - 0.9 * h, 0.07 * h
    head = [(x + r * 0.85 * math.cos(a * 0.7), cy + r * 1.1 * math.sin(a * 0.7)) for a in range(9)]
    parts = [*legs, coat, head]
    if hat:
        parts.append([(x - 0.13 * h, cy - 0.02 * h), (x + 0.13 * h, cy - 0.02 * h), (x + 0.08 * h, cy - 0.05 * h)])
        parts[-1] += [(x + 0.065 * h, cy - 0.12 * h), (x - 0.065 * h, cy - 0.12 * h), (x - 0.08 * h, cy - 0.05 * h)]
    return parts


def branches(
    rng: Random, x: float, y: float, length: float, angle: float, depth: int
) -> list[tuple[Point, Point, float]]:
    """A bare tree: (from, to, width) of every branch."""
    end = (x + length * math.cos(angle), y + length * math.sin(angle))
    grown = [((x, y), end, 0.32 * 1.75**depth)]
    if depth > 0:
        for side in (-1, 1):
            bend, shorter = side * rng.uniform(0.25, 0.65), rng.uniform(0.62, 0.82)
            grown += branches(rng, *end, length * shorter, angle + bend, depth - 1)
    return grown


@dataclass(frozen=True)
class Room:
    """A room seen from the front: the back wall, one window, the sides in perspective."""

    wall: tuple[float, float, float, float]  # x0, y0, x1, y1 of the back wall
    window: tuple[float, float, float, float]
    table: tuple[float, float, float, float]  # x0, top, x1, foot
    lamp: Point
    seat: tuple[float, float, float]  # x, foot, size


def room(rng: Random) -> Room:
    x0, y0, x1, y1 = rng.uniform(8, 20), rng.uniform(6, 16), rng.uniform(80, 92), rng.uniform(62, 74)
    left = rng.random() < 0.5
    w, top = rng.uniform(20, 30), y0 + rng.uniform(6, 12)
    wx = x0 + rng.uniform(3, 10) if left else x1 - w - rng.uniform(3, 10)
    tw, tx = rng.uniform(26, 38), rng.uniform(50, 58) if left else rng.uniform(8, 16)
    foot = rng.uniform(86, 95)
    table = (tx, foot - rng.uniform(22, 28), tx + tw, foot)
    sx = rng.uniform(18, 32) if left else rng.uniform(66, 80)
    lamp = (tx + tw * rng.uniform(0.25, 0.75), table[1])
    return Room((x0, y0, x1, y1), (wx, top, wx + w, top + rng.uniform(26, 36)), table, lamp, (sx, foot + 2, 24.0))
