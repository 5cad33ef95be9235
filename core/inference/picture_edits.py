"""PictureEdit: a picture cropped, turned, brightened, blurred or covered, and where an answer turns. No torch.

The picture is read as for training (open_picture with the preprocess), so that an edit that changes nothing gives the
very pixels that the network received.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from core.data.pictures.preprocess import Preprocess

Slide = Literal["crop", "turn", "brightness", "blur"]
SLIDES: dict[Slide, tuple[float, ...]] = {  # values that are tried to find where an answer turns
    "crop": tuple(round(0.07 * step, 2) for step in range(13)),
    "turn": tuple(float(angle) for angle in range(-180, 181, 30)),
    "brightness": (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 1.8, 2.1, 2.5, 3.0),
    "blur": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5, 9.0, 12.0, 15.0),
}


@dataclass(frozen=True)
class PictureEdit:
    """What is done to a picture before it is cut to the network's square; the defaults change nothing."""

    crop: float = 0.0  # share of the width and of the height that is cut away around the middle, 0..0.9
    turn: float = 0.0  # degrees, anticlockwise
    brightness: float = 1.0  # factor, 0 is black
    blur: float = 0.0  # radius of a Gaussian in per cent of the shorter side
    patch: float = 0.0  # side of the covered square as a share of the network's square, 0..1
    at: tuple[float, float] = (0.5, 0.5)  # middle of the covered square, from the left and from the top, 0..1


UNCHANGED = PictureEdit()


def edit_picture(picture: Image.Image, edit: PictureEdit, preprocess: Preprocess) -> Image.Image:
    """RGB with everything but the covered square; corners that turning leaves empty have the neutral colour."""
    if edit.crop:
        width, height = picture.size
        across, down = (int(edit.crop * length / 2) for length in picture.size)
        picture = picture.crop((across, down, max(width - across, across + 1), max(height - down, down + 1)))
    if edit.turn:
        picture = picture.rotate(edit.turn, Image.Resampling.BICUBIC, fillcolor=neutral_colour(preprocess))
    if edit.brightness != 1:
        picture = ImageEnhance.Brightness(picture).enhance(edit.brightness)
    if edit.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(edit.blur * min(picture.size) / 100))
    return picture


def receive_edited(picture: Image.Image, edit: PictureEdit, preprocess: Preprocess) -> np.ndarray:
    """What the network receives of an edited picture: uint8 (3, S, S)."""
    received = preprocess.receive(edit_picture(picture, edit, preprocess))
    if edit.patch:
        size = preprocess.image_size
        half = max(1, round(edit.patch * size)) / 2
        (left, right), (top, bottom) = ((round(at * size - half), round(at * size + half)) for at in edit.at)
        colour = np.array(neutral_colour(preprocess), np.uint8)[:, None, None]
        received[:, max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = colour
    return received


def slide_values(picture: Image.Image, slide: Slide, edit: PictureEdit, preprocess: Preprocess) -> np.ndarray:
    """uint8 (V, 3, S, S): the edited picture with each of SLIDES[slide] in place of its own value."""
    edits = (replace(edit, **_named(slide, value)) for value in SLIDES[slide])
    return np.stack([receive_edited(picture, one, preprocess) for one in edits])


def _named(slide: Slide, value: float) -> dict[str, Any]:
    return {slide: value}


def neutral_colour(preprocess: Preprocess) -> tuple[int, int, int]:
    """The colour that is zero after normalisation, as occlusion covers with."""
    red, green, blue = (round(255 * mean) for mean in preprocess.mean)
    return red, green, blue


def describe_turns(slide: Slide, answers: Sequence[str], now: str) -> str:
    """Where the answer turns while one value slides away from the unchanged picture; answers: one for each of
    SLIDES[slide]; now: the answer to the picture as it is."""
    start = SLIDES[slide].index(getattr(UNCHANGED, slide))
    ends = []
    for direction in (-1, 1):
        at = start + direction
        while 0 <= at < len(answers):
            if answers[at] != now:
                ends.append(f"{_value(slide, SLIDES[slide][at])} makes it {answers[at]}")
                break
            at += direction
    return f"{', '.join(ends)}." if ends else f"It stays {now} all the way."


def _value(slide: Slide, value: float) -> str:
    if slide == "turn":
        return f"{abs(value):.0f}° {'to the left' if value > 0 else 'to the right'}"
    if slide == "brightness":
        return f"{value:.0%} brightness"
    return f"{value:.0%} cut away" if slide == "crop" else f"a blur of {value:g} %"
