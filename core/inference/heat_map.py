"""A heat map over the original picture, at its own resolution: no torch, no matplotlib."""

import numpy as np
from PIL import Image

from core.data.pictures.preprocess import Preprocess

OPACITY = 0.7  # of the places that matter most
UNSEEN = 0.5  # brightness of what the network did not receive
# black, purple, red, orange, light yellow: lightness rises all the way, so that it can be read without colours
COLOURS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float32)


def draw_heat_map(
    original: Image.Image, heat: np.ndarray, preprocess: Preprocess, opacity: float = OPACITY
) -> Image.Image:
    """RGB of the original's size: heat, float (S, S), 0..1, where the network saw the picture; the rest darkened."""
    placed, seen = place_map(heat, original.size, preprocess.fit)
    pixels = np.asarray(original.convert("RGB"), dtype=np.float32)
    share = opacity * placed[..., None]
    mixed = np.where(seen[..., None], pixels * (1 - share) + colours_of(placed) * share, pixels * UNSEEN)
    return Image.fromarray(mixed.round().astype(np.uint8))


def place_map(heat: np.ndarray, size: tuple[int, int], fit: str) -> tuple[np.ndarray, np.ndarray]:
    """float (S, S) of what was received -> float32 (H, W) over the original of size (W, H), and bool (H, W): where the
    network saw it."""
    left, top, right, bottom = seen_box(size, fit)
    side = heat.shape[0]
    if fit == "pad":  # cut the white bars off
        width, height = (max(1, side * length // max(size)) for length in size)
        across, down = (side - width) // 2, (side - height) // 2
        heat = heat[down : down + height, across : across + width]
    enlarged = Image.fromarray(heat.astype(np.float32)).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    placed, seen = np.zeros(size[::-1], np.float32), np.zeros(size[::-1], bool)
    placed[top:bottom, left:right] = np.asarray(enlarged).clip(0, 1)
    seen[top:bottom, left:right] = True
    return placed, seen


def seen_box(size: tuple[int, int], fit: str) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the part of an original of (width, height) that the network receives."""
    width, height = size
    if fit != "crop":
        return 0, 0, width, height
    short = min(size)
    left, top = (width - short) // 2, (height - short) // 2
    return left, top, left + short, top + short


def colours_of(values: np.ndarray) -> np.ndarray:
    """float (H, W), 0..1 -> float32 (H, W, 3), 0..255."""
    at = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(values, at, channel) for channel in COLOURS.T], axis=-1).astype(np.float32)
