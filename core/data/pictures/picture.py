"""One picture: from untrusted bytes to RGB, the same way for training and for Try-It."""

import io
import math
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import (  # the plug-ins register themselves on import; otherwise Pillow loads all forty to find one
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from core.data.pictures.preprocess import WHITE, Preprocess
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
LARGE = 1024  # longest side in pixels above which a picture may be read at a reduced scale
NOTES = "atelier.notes"  # in Image.info: what reading changed, a tuple of keys of CHANGES
CHANGES = {
    "cmyk": "CMYK picture(s) were converted to RGB",
    "deep": "picture(s) with more than 8 bits a channel were scaled to 8 bits",
    "range": "picture(s) use 8 to 14 of their 16 bits and were scaled by the range that they use",
    "alpha": "picture(s) with transparency were laid on white",
    "clear": "picture(s) are transparent throughout; their transparency was ignored",
    "frames": "animated picture(s): only the first frame is used",
    "pages": "TIFF(s) with several pages: only the first page is used",
    "preview": "TIFF(s) begin with a small preview; the larger page behind it is used",
    "profile": "picture(s) with a colour profile were converted to sRGB",
}


class Refusal(ValueError):
    """Why a file is refused, worded to follow its name: "is empty"."""


def receive_picture(content: bytes, preprocess: Preprocess, limits: Limits) -> np.ndarray:
    """A picture file preprocessed for the network: uint8 (3, S, S). Raises Refusal."""
    return receive_noted(content, preprocess, limits)[0]


def receive_noted(content: bytes, preprocess: Preprocess, limits: Limits) -> tuple[np.ndarray, tuple[str, ...]]:
    """receive_picture, and what reading changed, as keys of CHANGES."""
    picture = open_picture(content, limits, preprocess)
    try:
        return preprocess.receive(picture), picture.info[NOTES]
    except MemoryError:
        raise Refusal("needs more memory than a picture may take") from None


def open_picture(content: bytes, limits: Limits, preprocess: Preprocess | None = None) -> Image.Image:
    """The first frame of a picture file as RGB, the right way up, transparency on white. Raises Refusal.

    With `preprocess` a picture whose longest side is above 1,024 pixels is read at a reduced scale, at least twice the
    size that is needed. The result's `info` holds only NOTES, what reading changed.
    """
    kind = picture_kind(content, limits)
    try:
        picture: Image.Image = Image.open(io.BytesIO(content), formats=(kind,))
        _check_size(picture.width, picture.height, limits)
        if preprocess is not None and kind == "JPEG" and max(picture.size) > LARGE:
            picture.draft(None, _twice(picture.size, preprocess.image_size))
        # before load(), because a GIF seeks; never for a TIFF, which would read through all its pages
        notes = ["frames"] if kind in ("GIF", "PNG", "WEBP") and getattr(picture, "is_animated", False) else []
        if kind == "TIFF":
            picture = _page(picture, content, notes)
            _check_size(picture.width, picture.height, limits)
        rawmodes = _rawmodes(picture)
        picture.load()
        rgb = _to_rgb(picture, notes)
        if rawmodes & {"RGB;16B", "RGB;16L", "RGB;16N"} and _highest(rgb) < 64:
            rgb = _all_bits(rgb, content, kind, notes)
        if preprocess is not None and max(rgb.size) > LARGE:
            factor = min(rgb.size) // (2 * preprocess.image_size)
            rgb = rgb.reduce(factor) if factor > 1 else rgb
        if (profile := picture.info.get("icc_profile")) and picture.mode != "CMYK":
            rgb = _to_srgb(rgb, profile, notes)
        if kind == "TIFF" or picture.info.keys() & {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}:
            rgb = _upright(rgb, picture)
    except Refusal:
        raise
    except Image.DecompressionBombError:
        raise Refusal(f"has more pixels than the limit of {_mega(limits.picture_pixels)} million") from None
    except MemoryError:
        raise Refusal("needs more memory than a picture may take") from None
    except Exception as error:  # Pillow's plug-ins raise half a dozen kinds on damaged input
        raise Refusal(_reason(error, kind)) from error
    rgb.info = {NOTES: tuple(notes)}
    return rgb


def picture_kind(content: bytes, limits: Limits) -> str:
    """Pillow's name of the format, found by content alone. Raises Refusal for any other kind."""
    if not content:
        raise Refusal("is empty")
    if len(content) > limits.picture_bytes:
        raise too_large(limits)
    for kind, begins in ALLOWED.items():
        if begins(content):
            return kind
    for reason, begins in KNOWN_OTHERS:
        if begins(content):
            raise Refusal(reason)
    raise Refusal("is not a picture (JPEG, PNG, WebP, GIF, BMP or TIFF)")


def too_large(limits: Limits) -> Refusal:
    return Refusal(f"is larger than {limits.picture_bytes / 2**20:.3g} MB, the limit for one picture")


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(magic)


def _at(offset: int, *magic: bytes) -> Callable[[bytes], bool]:
    return lambda content: content[offset : offset + 16].startswith(magic)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """By the brands that a file of ISO boxes lists: an AVIF may call itself mif1 first, as a HEIC does."""
    return lambda content: (
        content[4:8] == b"ftyp"
        and any(content[at : at + 4] in brands for at in range(8, min(int.from_bytes(content[:4], "big"), 256), 4))
    )


def _is_tga(content: bytes) -> bool:
    """By the fields of its header: a TGA has no mark of its own at its beginning."""
    if len(content) < 18 or content[1] > 1 or content[2] not in (1, 2, 3, 9, 10, 11):
        return False
    palette = content[1] == 1 or content[3:8] == bytes(5)
    return palette and any(content[12:14]) and any(content[14:16]) and content[16] in (8, 15, 16, 24, 32)


def _is_pcx(content: bytes) -> bool:
    return content[:1] == b"\x0a" and content[1:2] in (b"\0", b"\2", b"\3", b"\4", b"\5") and content[2:3] == b"\1"


def _text(*words: bytes) -> Callable[[bytes], bool]:
    return lambda content: any(word in content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower() for word in words)


RAW = "is a camera's RAW file, which is not supported; export it as JPEG"
ALLOWED: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _starts(b"\xff\xd8\xff"),
    "PNG": _starts(b"\x89PNG\r\n\x1a\n"),
    "WEBP": lambda content: content[:4] == b"RIFF" and content[8:12] == b"WEBP",
    "GIF": _starts(b"GIF87a", b"GIF89a"),
    "TIFF": lambda content: (
        content.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")) and content[8:11] != b"CR\x02"
    ),
    "BMP": lambda content: content[:2] == b"BM" and len(content) > 26,
}
KNOWN_OTHERS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("is an AVIF picture, which is not supported; export it as PNG or JPEG", _brand(b"avif", b"avis")),
    (
        "is a HEIC photo, which is not supported; export it as JPEG (Settings, Camera, Most Compatible)",
        _at(4, b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1"),
    ),
    (RAW, _at(4, b"ftypcrx ")),
    (RAW, lambda content: content[:4] == b"II*\x00"),  # a TIFF otherwise: Canon's CR2
    (RAW, _starts(b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"\x00MRM")),
    ("is a video, not a picture", _at(4, b"ftyp")),
    (
        "is a JPEG 2000 or JPEG XL picture, which is not supported; export it as JPEG",
        _starts(b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\x00\x00\x00\x0cJXL "),
    ),
    ("is an EPS or PostScript file, which is not supported; export it as PNG", _starts(b"%!PS", b"\xc5\xd0\xd3\xc6")),
    ("is a PDF, which is not supported; export its pictures as PNG or JPEG", _starts(b"%PDF")),
    ("is a Photoshop file, which is not supported; export it as PNG or JPEG", _starts(b"8BPS")),
    ("is a FITS file, which is not supported; export it as PNG", _starts(b"SIMPLE  =")),
    ("is a TGA picture, which is not supported; export it as PNG", lambda content: _is_tga(content)),
    (
        "is an icon file, which is not supported; export it as PNG",
        _starts(b"\x00\x00\x01\x00", b"\x00\x00\x02\x00", b"icns"),
    ),
    (
        "is a PPM, PGM or PBM picture, which is not supported; export it as PNG",
        lambda content: re.match(rb"P[1-7fF][\s#]", content) is not None,
    ),
    ("is a GIMP file, which is not supported; export it as PNG", _starts(b"gimp xcf")),
    ("is an OpenEXR or Radiance picture, which is not supported; export it as PNG", _starts(b"v/1\x01", b"#?RADIANCE")),
    ("is a DDS texture, which is not supported; export it as PNG", _starts(b"DDS ")),
    ("is a QOI picture, which is not supported; export it as PNG", _starts(b"qoif")),
    ("is a PCX picture, which is not supported; export it as PNG", lambda content: _is_pcx(content)),
    ("is a JPEG XR picture, which is not supported; export it as JPEG", _starts(b"II\xbc\x01")),
    ("is a DjVu document, which is not supported; export its pictures as PNG", _starts(b"AT&TFORM")),
    ("is a DICOM picture, which is not supported; export it as PNG", _at(128, b"DICM")),
    (
        "is a Git LFS pointer instead of the picture; run git lfs pull where it came from",
        _starts(b"version https://git-lfs"),
    ),
    ("is a video, not a picture", _starts(b"\x1aE\xdf\xa3")),
    ("is a video, not a picture", lambda content: content[:4] == b"RIFF" and content[8:12] == b"AVI "),
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
    """The size to request from the JPEG decoder, which never gives less: shorter side twice `image_size`."""
    scale = 2 * image_size / min(size)
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def _page(picture: Image.Image, content: bytes, notes: list[str]) -> Image.Image:
    """The page of a TIFF to use: the first one, or the second where the first is a smaller copy of it."""
    assert isinstance(picture, TiffImagePlugin.TiffImageFile), picture
    tags = picture.tag_v2
    if DNG_VERSION in tags or (SUB_IFDS in tags and CAMERA in tags and tags.get(REDUCED, 0) & 1):
        raise Refusal(RAW)
    if not tags.next:  # never n_frames, which would read through all pages
        return picture
    notes.append("pages")
    try:
        second = Image.open(io.BytesIO(content), formats=("TIFF",))
        second.seek(1)
    except Exception:  # a damaged second page says nothing about the first
        return picture
    width, height = picture.size
    if second.width < 2 * width or abs(second.width * height - second.height * width) * 20 > second.width * height:
        return picture
    notes[-1] = "preview"
    return second


REDUCED, CAMERA, SUB_IFDS, DNG_VERSION = 254, 271, 330, 50_706  # tags of a TIFF


def _to_rgb(picture: Image.Image, notes: list[str]) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        grey, note = _eight_bits(picture)
        notes.append(note)
        return grey.convert("RGB")
    if picture.mode == "CMYK":
        notes.append("cmyk")
        return _from_cmyk(picture)
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        alpha = layered.getchannel("A").getextrema()
        if alpha == (255, 255):
            return layered.convert("RGB")
        if alpha == (0, 0) and _has_colours(layered, picture.format):  # screenshots of some programs; viewers show them
            notes.append("clear")
            return layered.convert("RGB")
        notes.append("alpha")
        white = Image.new("RGB", layered.size, WHITE)
        white.paste(layered, mask=layered.getchannel("A"))
        return white
    if picture.mode == "LAB":
        raise Refusal("has Lab colours, which are not supported; export it as PNG or JPEG")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _rawmodes(picture: Image.Image) -> set[str]:
    """How the channels lie in the file, in Pillow's words; known only before load()."""
    tiles = getattr(picture, "tile", None) or []
    return {str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in tiles}


def _all_bits(rgb: Image.Image, content: bytes, kind: str, notes: list[str]) -> Image.Image:
    """A picture of 16 bits a channel that uses at most 14: Pillow gives the high bytes, so the low ones are read too.

    The low bytes come from the same file, read as if its bytes were in the other order.
    """
    other = {
        "RGB;16B": "RGB;16L",
        "RGB;16L": "RGB;16B",
        "RGB;16N": "RGB;16B" if sys.byteorder == "little" else "RGB;16L",
    }
    again = Image.open(io.BytesIO(content), formats=(kind,))
    if again.size != rgb.size or not isinstance(again, ImageFile.ImageFile):
        return rgb
    again.tile = [
        tile._replace(
            args=(other[tile.args[0]], *tile.args[1:]) if isinstance(tile.args, tuple) else other[str(tile.args)]
        )
        for tile in again.tile
    ]
    values = np.asarray(rgb).astype(np.uint16) * 256 + np.asarray(again)
    top = next(top for top in RANGES if values.max() <= top)
    notes.append("range")
    return Image.fromarray(_scale(top)[values])


def _scale(top: int) -> np.ndarray:
    """uint8 (top + 1,): each value from 0 to `top` in 8 bits."""
    return np.rint(np.arange(top + 1) * (255 / top)).astype(np.uint8)


def _extremes(rgb: Image.Image) -> list[tuple[float, float]]:
    """(lowest, highest) of each channel of a picture with several."""
    return [(low, high) for low, high in rgb.getextrema()]  # type: ignore[misc]  # a pair only where there is one channel


def _highest(rgb: Image.Image) -> float:
    return max(high for _, high in _extremes(rgb))


def _has_colours(layered: Image.Image, kind: str | None) -> bool:
    """Whether there is a picture below transparency: more than one colour, or a BMP, which has none by its format."""
    return kind == "BMP" or any(low != high for low, high in _extremes(layered.convert("RGB")))


def _eight_bits(picture: Image.Image) -> tuple[Image.Image, str]:
    """16-bit, 32-bit and float greys scaled to 8 bits, and the note: Pillow's own conversion clips them to white.

    Scanners and microscopes write 10, 12 or 14 bits into 16: these are scaled by the range that holds all values.
    """
    values = np.asarray(picture)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        top = next(top for top in RANGES if values.max() <= top)
        return Image.fromarray(_scale(top)[values]), _deep_note(top)
    values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if picture.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0:
        high = float(next((top for top in RANGES if high <= top), high))
        low = 0.0 if high <= 65_535 else low
    scaled = (values - low) * (255 / (high - low)) if high > low else values * 0
    note = "deep" if picture.mode == "F" else _deep_note(high)
    return Image.fromarray(np.rint(scaled).astype(np.uint8)), note


RANGES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))


def _deep_note(top: float) -> str:
    return "range" if top < 65_535 else "deep"


def _to_srgb(rgb: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """The picture as viewers show it: from the colours of its profile, such as Adobe RGB, to sRGB."""
    transform = _transform(profile)
    if transform is None:
        return rgb
    notes.append("profile")
    return ImageCms.applyTransform(rgb, transform) or rgb


@lru_cache(maxsize=16)  # the pictures of one camera or program have one profile
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """From an RGB profile to sRGB; None where it is sRGB itself, cannot be used or is of no RGB picture."""
    if profile[16:20] != b"RGB ":
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        colours = Image.fromarray(COLOURS)
        moved = np.asarray(ImageCms.applyTransform(colours, transform)).astype(int) - COLOURS
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # an unusable profile is ignored
    return transform if np.abs(moved).max() > 3 else None  # editions of sRGB differ by rounding


COLOURS = np.stack(np.meshgrid(*[np.arange(0, 256, 51, dtype=np.uint8)] * 3), -1).reshape(6, 36, 3)


def _from_cmyk(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # an unusable profile is ignored
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


def _reason(error: Exception, kind: str) -> str:
    """The refusal for an exception of Pillow."""
    text = str(error).lower()
    if "truncated" in text or "eof" in text or "not enough" in text or "incomplete" in text:
        return "is incomplete (the file was cut short)"
    if ("text" in text and ("chunk" in text or "large" in text)) or "decompressed data too large" in text:
        return "has oversized metadata"
    return f"is damaged and cannot be read as {kind if kind != 'WEBP' else 'WebP'}"
