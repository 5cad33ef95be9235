"""Cue edits: copies of pictures from which one cue was taken: colour, layout, fine detail, the border ... No torch.

Each takes uint8 (B, 3, S, S), uint8 (B, 3, S, S) of a picture of another class for each, and a generator; gives the
edited pictures, uint8 (B, 3, S, S).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

Cue = Literal[
    "colours of another class",
    "grey",
    "patches shuffled",
    "blurred",
    "edges only",
    "border removed",
    "centre covered",
    "quarter turn",
]
PATCHES = 4  # a side: 16 patches
BORDER = 8  # the side divided by it is the width of the border
BLUR = 16  # the side divided by it is the standard deviation of the blur
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601
Edit = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _swap_colours(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The colours, mean and covariance, of a picture of another class; what lies where stays.

    The linear map of least change between two Gaussians (Pitie and Kokaram 2007): whatever was brighter or redder than
    the picture's mean is still so.
    """
    pixels, wanted = (_as_pixels(one) for one in (images, others))
    means, means_wanted = pixels.mean(axis=2, keepdims=True), wanted.mean(axis=2, keepdims=True)
    own, other = _covariance(pixels - means), _covariance(wanted - means_wanted)
    root = _power(own, 0.5)
    back = _power(own, -0.5)
    mapping = back @ _power(root @ other @ root, 0.5) @ back
    return _as_images(mapping @ (pixels - means) + means_wanted, images.shape)


def _grey(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.repeat(_luminance(images)[:, None].round().astype(np.uint8), 3, axis=1)


def _shuffle_patches(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sixteen patches of each picture in another order; rows and columns that are left over stay."""
    size = images.shape[-1] // PATCHES
    side = size * PATCHES
    edited = images.copy()
    tiles = images[:, :, :side, :side].reshape(len(images), 3, PATCHES, size, PATCHES, size)
    tiles = tiles.transpose(0, 2, 4, 1, 3, 5).reshape(len(images), PATCHES**2, 3, size, size)
    order = random.permuted(np.tile(np.arange(PATCHES**2), (len(images), 1)), axis=1)
    tiles = np.take_along_axis(tiles, order[:, :, None, None, None], axis=1)
    tiles = tiles.reshape(len(images), PATCHES, PATCHES, 3, size, size).transpose(0, 3, 1, 4, 2, 5)
    edited[:, :, :side, :side] = tiles.reshape(len(images), 3, side, side)
    return edited


def _blur(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import gaussian_filter  # half a second to import: only where it is used

    sigma = images.shape[-1] / BLUR
    return gaussian_filter(images, (0, 0, sigma, sigma), mode="nearest")


def _edges(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Strength of the edges, dark on light; as strong in every picture, so that contrast tells nothing."""
    down, right = np.gradient(_luminance(images), axis=(1, 2))
    strength = np.hypot(down, right)
    strongest = np.maximum(np.quantile(strength, 0.98, axis=(1, 2), keepdims=True), 1.0)
    edges = 255 * (1 - np.clip(strength / strongest, 0, 1))
    return np.repeat(edges[:, None].round().astype(np.uint8), 3, axis=1)


def _remove_border(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The outer eighth of every side replaced by the pixels next to it."""
    width = max(1, images.shape[-1] // BORDER)
    inner = images[:, :, width:-width, width:-width]
    return np.pad(inner, ((0, 0), (0, 0), (width, width), (width, width)), mode="edge")


def _cover_centre(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The middle quarter of the area in the mean colour of the picture."""
    edited, side = images.copy(), images.shape[-1]
    begin, end = side // 4, side - side // 4
    edited[:, :, begin:end, begin:end] = images.mean(axis=(2, 3), keepdims=True).round().astype(np.uint8)
    return edited


def _turn(images: np.ndarray, others: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(images, axes=(2, 3)))


EDITS: dict[Cue, Edit] = {
    "colours of another class": _swap_colours,
    "grey": _grey,
    "patches shuffled": _shuffle_patches,
    "blurred": _blur,
    "edges only": _edges,
    "border removed": _remove_border,
    "centre covered": _cover_centre,
    "quarter turn": _turn,
}


def draw_others(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """int64 (n,): for each picture the place of one of another class; its own where there is no other class."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    first = np.concatenate([[0], np.cumsum(counts)])[:-1]
    others = len(labels) - counts[labels]
    if not others.all():
        return np.arange(len(labels))
    place = (random.random(len(labels)) * others).astype(np.int64)  # among those of other classes, in `order`
    return order[np.where(place < first[labels], place, place + counts[labels])]


def _luminance(images: np.ndarray) -> np.ndarray:
    """float32 (B, S, S), 0..255."""
    return np.tensordot(LUMINANCE, images, axes=(0, 1)).astype(np.float32)


def _as_pixels(images: np.ndarray) -> np.ndarray:
    """float64 (B, 3, S * S)."""
    return images.reshape(len(images), 3, -1).astype(np.float64)


def _as_images(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return pixels.clip(0, 255).round().astype(np.uint8).reshape(shape)


def _covariance(centred: np.ndarray) -> np.ndarray:
    """(B, 3, 3) of (B, 3, P), with a little added, so that a picture of one colour has an inverse."""
    return centred @ centred.transpose(0, 2, 1) / centred.shape[2] + 4.0 * np.eye(3)


def _power(matrices: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * np.maximum(values, 1e-9)[:, None, :] ** exponent) @ vectors.transpose(0, 2, 1)
