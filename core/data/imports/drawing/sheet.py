"""Sheet: paper with coordinates from 0 to 100, drawn larger than it ends up; colours, and light as float arrays."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]
Paint = Colour | int | None  # an int is a grey on a sheet of mode "L"

SIDE = 400  # pixels of a finished artwork
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


class Sheet:
    """Coordinates run from 0 to 100, right and down; widths are in the same unit."""

    def __init__(self, ground: Colour | int, side: int = SIDE, scale: int = 2) -> None:
        mode = "L" if isinstance(ground, int) else "RGB"
        self.scale = scale
        self.pixels = side * scale
        self.image = Image.new(mode, (self.pixels, self.pixels), ground)
        self.draw = ImageDraw.Draw(self.image)

    def place(self, points: Iterable[Point]) -> list[Point]:
        unit = self.pixels / 100
        return [(x * unit, y * unit) for x, y in points]

    def area(self, points: Sequence[Point], fill: Paint, ink: Paint = None, width: float = 0.0) -> None:
        """A filled polygon, with an outline of `width` where `ink` is given."""
        placed = self.place(points)
        if fill is not None:
            self.draw.polygon(placed, fill=fill)
        if ink is not None:
            self._stroke([*placed, placed[0]], ink, width)

    def blob(self, points: Sequence[Point], fill: Paint, ink: Paint = None, width: float = 0.0) -> None:
        """A filled shape with a smooth edge through the points."""
        self.area(smooth(points), fill, ink, width)

    def disc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float | None = None,
        fill: Paint = None,
        ink: Paint = None,
        width: float = 0.0,
    ) -> None:
        ry = rx if ry is None else ry
        unit = self.pixels / 100
        corners = ((x - rx) * unit, (y - ry) * unit, (x + rx) * unit, (y + ry) * unit)
        self.draw.ellipse(corners, fill=fill, outline=ink, width=max(1, round(width * unit)) if ink is not None else 0)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Paint, ink: Paint = None, width: float = 0.0
    ) -> None:
        if ink is not None:
            self.area([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, ink, width)
        else:
            unit = self.pixels / 100
            self.draw.rectangle((x0 * unit, y0 * unit, max(x0, x1) * unit, max(y0, y1) * unit), fill=fill)

    def stroke(self, points: Sequence[Point], ink: Paint, width: float) -> None:
        """A line with round joints and ends."""
        self._stroke(self.place(points), ink, width)

    def curve(self, points: Sequence[Point], ink: Paint, width: float) -> None:
        self.stroke(smooth(points, closed=False), ink, width)

    def sky(self, top: Colour, bottom: Colour, y0: float = 0.0, y1: float = 100.0) -> None:
        """A vertical gradient from y0 to y1."""
        first, last = round(y0 * self.pixels / 100), round(y1 * self.pixels / 100)
        share = np.linspace(0, 1, max(last - first, 1), dtype=np.float32)[:, None]
        rows = (np.array(top) * (1 - share) + np.array(bottom) * share).astype(np.uint8)
        band = Image.fromarray(rows[:, None, :]).resize((self.pixels, len(rows)), Image.Resampling.NEAREST)
        self.image.paste(band, (0, first))

    def recolour(self, tint: tuple[float, float, float], colour: float) -> None:
        """Multiply every pixel by `tint` and keep `colour` (0..1) of its distance from grey."""
        rows = []
        for channel, strength in enumerate(tint):
            row = [strength * (1 - colour) * luma for luma in LUMA]
            row[channel] += strength * colour
            rows += [*row, 0.0]
        self.image = self.image.convert("RGB", tuple(rows))
        self.draw = ImageDraw.Draw(self.image)

    def finish(self) -> Image.Image:
        return self.image.reduce(self.scale) if self.scale > 1 else self.image

    def _stroke(self, placed: list[Point], ink: Paint, width: float) -> None:
        thick = max(1, round(width * self.pixels / 100))
        self.draw.line(placed, fill=ink, width=thick, joint="curve" if thick > 3 else None)
        if thick > 3:  # PIL draws flat ends
            r = thick / 2 - 0.5
            for x, y in (placed[0], placed[-1]):
                self.draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def smooth(points: Sequence[Point], closed: bool = True, steps: int = 7) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    knots = np.array(points, dtype=np.float64)
    if closed:
        before, after, beyond = np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    else:
        padded = np.vstack([knots[:1], knots, knots[-1:]])
        before, knots, after, beyond = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (side[:, None, :] for side in (before, knots, after, beyond))
    line = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    drawn = [(float(x), float(y)) for x, y in line.reshape(-1, 2)]
    return drawn if closed else [*drawn, (float(points[-1][0]), float(points[-1][1]))]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Hue in turns (any real number), saturation and value 0..1."""
    section = hue % 1.0 * 6
    chroma = value * saturation
    ramp = chroma * (1 - abs(section % 2 - 1))
    low = value - chroma
    order = [(chroma, ramp, 0), (ramp, chroma, 0), (0, chroma, ramp), (0, ramp, chroma), (ramp, 0, chroma)]
    r, g, b = [*order, (chroma, 0, ramp)][int(section) % 6]
    return round(255 * (r + low)), round(255 * (g + low)), round(255 * (b + low))


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above."""
    r, g, b = (max(0, min(255, round(part * factor))) for part in colour)
    return r, g, b


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour in the one."""
    r, g, b = (round(a * (1 - share) + c * share) for a, c in zip(one, other, strict=True))
    return r, g, b


def to_light(picture: Image.Image) -> np.ndarray:
    """float32 (H, W, 3) or (H, W), 0..1."""
    return np.asarray(picture, dtype=np.float32) * np.float32(1 / 255)


def from_light(light: np.ndarray) -> Image.Image:
    scaled = light * np.float32(255)
    return Image.fromarray(np.clip(scaled, 0, 255, out=scaled).astype(np.uint8))


def glow(picture: Image.Image, radii: Sequence[tuple[float, float]]) -> np.ndarray:
    """What the picture sheds around itself: the sum of strength x blur over (radius in pixels, strength), float32."""
    small = picture.reduce(4)  # a wide blur has no fine detail, and a sixteenth of the pixels is quick
    shed = sum(
        to_light(small.filter(ImageFilter.GaussianBlur(radius / 4))) * np.float32(strength)
        for radius, strength in radii
    )
    whole = from_light(np.asarray(shed) / 2).resize(
        picture.size, Image.Resampling.BILINEAR
    )  # an 8-bit picture ends at 1
    return np.asarray(whole, dtype=np.float32) * np.float32(2 / 255)


def vignette(side: int, strength: float, x: float = 0.5, y: float = 0.5) -> np.ndarray:
    """float32 (side, side): 1 at (x, y), falling towards the corners."""
    across = (np.arange(side, dtype=np.float32) / side - x) ** 2
    down = (np.arange(side, dtype=np.float32) / side - y) ** 2
    return np.maximum(0.0, 1 - np.float32(strength) * (across[None, :] + down[:, None]))


def ring(x: float, y: float, rx: float, ry: float, n: int = 14, start: float = 0.0) -> list[Point]:
    """n points on an ellipse, clockwise from the right."""
    turns = (start + 2 * math.pi * i / n for i in range(n))
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in turns]
