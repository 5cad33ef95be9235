"""One picture: from bytes that nobody vouches for to RGB, the same way for training and for Try-It."""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import (  # the plug-ins register themselves on import; Pillow would else load all forty to find one
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from core.data.preprocess import WHITE, Preprocess
from core.settings import Limits

PLUGINS = (
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
LARGE = 1024  # longest side in pixels from which a picture may be read at a reduced scale
NOTES = "atelier.notes"  # in Image.info: what reading changed, a tuple of keys of CHANGES
CHANGES = {
    "cmyk": "CMYK picture(s) were converted to RGB",
    "deep": "picture(s) with more than 8 bits a channel were scaled to 8 bits",
    "alpha": "picture(s) with transparency were laid on white",
    "frames": "animated picture(s): only the first frame is used",
}


class Refusal(ValueError):
    """Why a file is not taken, in words that stand after its name."""


def receive_picture(content: bytes, preprocess: Preprocess, limits: Limits) -> np.ndarray:
    """What the network receives of a picture file: uint8 (3, S, S). Raises Refusal."""
    return receive_noted(content, preprocess, limits)[0]


def receive_noted(content: bytes, preprocess: Preprocess, limits: Limits) -> tuple[np.ndarray, tuple[str, ...]]:
    """The same, with what reading changed as keys of CHANGES."""
    picture = open_picture(content, limits, preprocess)
    try:
        return preprocess.receive(picture), picture.info[NOTES]
    except MemoryError:
        raise Refusal("needs more memory than a picture may take") from None


def open_picture(content: bytes, limits: Limits, preprocess: Preprocess | None = None) -> Image.Image:
    """The first frame of a picture file as RGB, the right way up, transparency on white. Raises Refusal.

    Where `preprocess` says how small the picture becomes, one whose longest side is above 1,024 pixels is read at a
    reduced scale, at least twice the size that is needed. The result's `info` holds nothing but what reading changed.
    """
    kind = picture_kind(content, limits)
    try:
        picture = Image.open(io.BytesIO(content), formats=(kind,))
        _check_size(picture.width, picture.height, limits)
        if preprocess is not None and kind == "JPEG" and max(picture.size) > LARGE:
            picture.draft(None, _twice(picture.size, preprocess.image_size))
        # asked before load(), because a GIF seeks; never of a TIFF, which would walk through all its pages
        notes = ["frames"] if kind in ("GIF", "PNG", "WEBP") and getattr(picture, "is_animated", False) else []
        picture.load()
        rgb = _to_rgb(picture, notes)
        if preprocess is not None and max(rgb.size) > LARGE:
            factor = min(rgb.size) // (2 * preprocess.image_size)
            rgb = rgb.reduce(factor) if factor > 1 else rgb
        if kind == "TIFF" or picture.info.keys() & {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}:
            rgb = _upright(rgb, picture)
    except Refusal:
        raise
    except Image.DecompressionBombError:
        raise Refusal(f"has more pixels than the limit of {_mega(limits.picture_pixels)} million") from None
    except MemoryError:
        raise Refusal("needs more memory than a picture may take") from None
    except Exception as error:  # Pillow's plug-ins raise half a dozen kinds on damaged input
        raise Refusal(_in_words(error, kind)) from error
    rgb.info = {NOTES: tuple(notes)}
    return rgb


def picture_kind(content: bytes, limits: Limits) -> str:
    """Pillow's name of the format, told by content alone. Raises Refusal for any other kind."""
    if not content:
        raise Refusal("is empty")
    if len(content) > limits.picture_bytes:
        raise too_large(limits)
    for kind, begins in ALLOWED.items():
        if begins(content):
            return kind
    for words, begins in KNOWN_OTHERS:
        if begins(content):
            raise Refusal(words)
    raise Refusal("is not a picture (JPEG, PNG, WebP, GIF, BMP or TIFF)")


def too_large(limits: Limits) -> Refusal:
    return Refusal(f"is larger than {limits.picture_bytes / 2**20:.3g} MB, the limit for one picture")


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(magic)


def _at(offset: int, *magic: bytes) -> Callable[[bytes], bool]:
    return lambda content: content[offset : offset + 16].startswith(magic)


def _text(*words: bytes) -> Callable[[bytes], bool]:
    return lambda content: any(word in content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower() for word in words)


ALLOWED: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _starts(b"\xff\xd8\xff"),
    "PNG": _starts(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda content: content[:4] == b"RIFF" and content[8:12] == b"WEBP",
    "GIF": _starts(b"GIF87a", b"GIF89a"),
    "TIFF": _starts(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "BMP": lambda content: content[:2] == b"BM" and len(content) > 26,
}
KNOWN_OTHERS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    (
        "is a HEIC photo, which is not supported; export it as JPEG (Settings, Camera, Most Compatible)",
        _at(4, b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1"),
    ),
    ("is an AVIF picture, which is not supported; export it as PNG or JPEG", _at(4, b"ftypavif", b"ftypavis")),
    ("is a video, not a picture", _at(4, b"ftyp")),
    (
        "is a JPEG 2000 or JPEG XL picture, which is not supported; export it as JPEG",
        _starts(b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\x00\x00\x00\x0cJXL "),
    ),
    ("is an EPS or PostScript file, which is not supported; export it as PNG", _starts(b"%!PS", b"\xc5\xd0\xd3\xc6")),
    ("is a PDF, which is not supported; export its pictures as PNG or JPEG", _starts(b"%PDF")),
    ("is a Photoshop file, which is not supported; export it as PNG or JPEG", _starts(b"8BPS")),
    ("is a FITS file, which is not supported; export it as PNG", _starts(b"SIMPLE  =")),
    ("is an icon file, which is not supported; export it as PNG", _starts(b"\x00\x00\x01\x00", b"\x00\x00\x02\x00")),
    ("is a zip inside; archives within are not opened", _starts(b"PK\x03\x04", b"PK\x05\x06")),
    (
        "is an archive inside; archives within are not opened",
        _starts(b"Rar!", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"),
    ),
    ("is a program, not a picture", _starts(b"MZ", b"\x7fELF")),
    ("is an SVG drawing, which is not supported; export it as PNG", _text(b"<svg")),
    ("is a web page, not a picture", _text(b"<html", b"<!doctype html", b"<script")),
)


def _check_size(width: int, height: int, limits: Limits) -> None:
    short, long = min(width, height), max(width, height)
    if width * height > limits.picture_pixels:
        raise Refusal(
            f"has {width} x {height} pixels ({_mega(width * height)} million); the limit is "
            f"{_mega(limits.picture_pixels)} million"
        )
    if short < limits.picture_min_side:
        raise Refusal(
            f"has {width} x {height} pixels, too small to learn from (shortest side at least {limits.picture_min_side})"
        )
    if long > limits.picture_max_side:
        raise Refusal(f"has {width} x {height} pixels; a side may be at most {limits.picture_max_side}")
    if long > limits.picture_aspect * short:
        raise Refusal(
            f"has {width} x {height} pixels; a picture may be at most {limits.picture_aspect:g} times longer than wide"
        )


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:.3g}"


def _twice(size: tuple[int, int], image_size: int) -> tuple[int, int]:
    """The size to ask the JPEG decoder for: shorter side twice what is needed; it gives no less."""
    scale = 2 * image_size / min(size)
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def _to_rgb(picture: Image.Image, notes: list[str]) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        notes.append("deep")
        return _eight_bits(picture).convert("RGB")
    if picture.mode == "CMYK":
        notes.append("cmyk")
        return _from_cmyk(picture)
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        if layered.getchannel("A").getextrema() == (255, 255):
            return layered.convert("RGB")
        notes.append("alpha")
        white = Image.new("RGB", layered.size, WHITE)
        white.paste(layered, mask=layered.getchannel("A"))
        return white
    if picture.mode == "LAB":
        raise Refusal("has Lab colours, which are not supported; export it as PNG or JPEG")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float greys scaled to 8 bits: Pillow's own conversion clips them to white."""
    values = np.asarray(picture)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return Image.fromarray(OF_SIXTEEN_BITS[values])
    values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if picture.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0:
        high = 255.0 if high <= 255 else 65_535.0 if high <= 65_535 else high
        low = 0.0 if high <= 65_535 else low
    scaled = (values - low) * (255 / (high - low)) if high > low else values * 0
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


OF_SIXTEEN_BITS = np.rint(np.arange(65_536) / 257).astype(np.uint8)  # 65,535 becomes 255


def _from_cmyk(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a profile that cannot be used is as good as none
    return picture.convert("RGB")


def _upright(rgb: Image.Image, picture: Image.Image) -> Image.Image:
    try:
        turn = TURNS.get(picture.getexif().get(0x0112))
    except Exception:  # damaged EXIF says nothing about the picture itself
        return rgb
    return rgb.transpose(turn) if turn is not None else rgb


TURNS: dict[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _in_words(error: Exception, kind: str) -> str:
    said = str(error).lower()
    if "truncated" in said or "eof" in said or "not enough" in said or "incomplete" in said:
        return "is incomplete (the file was cut short)"
    if ("text" in said and ("chunk" in said or "large" in said)) or "decompressed data too large" in said:
        return "has oversized metadata"
    return f"is damaged and cannot be read as {kind if kind != 'WEBP' else 'WebP'}"
