"""Preprocess: how a picture becomes the square that a network receives."""

from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from core.backbones.registry import HALF, Triple

WHITE = (255, 255, 255)


class Preprocess(BaseModel):
    """How pictures are cut and normalised; saved with the weights, so that training and Try-It use the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    image_size: int = Field(32, ge=8, le=512)
    fit: Literal["crop", "squash", "pad"] = "crop"
    mean: Triple = HALF
    std: Triple = HALF

    def receive(self, picture: Image.Image) -> np.ndarray:
        """An RGB picture cut to the network's square, before normalising: uint8 (3, image_size, image_size).

        fit="crop" gives byte for byte what torchvision's Resize(image_size) and CenterCrop(image_size) give.
        """
        assert picture.mode == "RGB", picture.mode
        square = {"crop": _crop, "squash": _squash, "pad": _pad}[self.fit](picture, self.image_size)
        return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))


def _crop(picture: Image.Image, size: int) -> Image.Image:
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    scaled = int(size * long / short)  # torchvision truncates, so we do
    width, height = (size, scaled) if width <= height else (scaled, size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2.0), round((height - size) / 2.0)  # halves are rounded to even, as there
    return picture.crop((left, top, left + size, top + size))


def _squash(picture: Image.Image, size: int) -> Image.Image:
    return picture.resize((size, size), Image.Resampling.BILINEAR)


def _pad(picture: Image.Image, size: int) -> Image.Image:
    width, height = picture.size
    long = max(width, height)
    width, height = max(1, size * width // long), max(1, size * height // long)
    square = Image.new("RGB", (size, size), WHITE)
    square.paste(
        picture.resize((width, height), Image.Resampling.BILINEAR), ((size - width) // 2, (size - height) // 2)
    )
    return square
