"""Pictures in the formats in which a page sends them."""

import io

import numpy as np
from PIL import Image


def encoded(picture: Image.Image, kind: str) -> bytes:
    """A picture as "JPEG" or "PNG"."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return buffer.getvalue()


def to_jpeg(pixels: np.ndarray) -> bytes:
    """uint8 (3, H, W) as a JPEG."""
    return encoded(Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))), "JPEG")
