"""Pictures of every kind and quirk are received the right way, and everything else is refused in words."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.data.pictures.picture import NOTES, Refusal, open_picture, receive_picture
from core.data.pictures.preprocess import Preprocess
from core.settings import Limits
from tests.pictures import encoded, noise

LIMITS, PREPROCESS = Limits(), Preprocess()


def opened(content, limits=LIMITS, preprocess=None):
    picture = open_picture(content, limits, preprocess)
    assert picture.mode == "RGB"
    return picture


def refusal(content, limits=LIMITS):
    with pytest.raises(Refusal) as caught:
        receive_picture(content, PREPROCESS, limits)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_received_as_pillow_reads_it(kind):
    content = encoded(noise(50, 40), kind)
    expected = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.array_equal(np.asarray(opened(content)), np.asarray(expected))
    assert receive_picture(content, PREPROCESS, LIMITS).shape == (3, 32, 32)


@pytest.mark.parametrize("side", [60, 1000, 1024])
def test_up_to_1024_pixels_nothing_is_reduced(side):
    content = encoded(noise(side, side // 2), "JPEG")
    expected = PREPROCESS.receive(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(receive_picture(content, PREPROCESS, LIMITS), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_picture_is_reduced_but_looks_the_same(kind):
    gradient = Image.linear_gradient("L").resize((2400, 1600)).convert("RGB")
    content = encoded(gradient, kind)
    reduced = opened(content, preprocess=PREPROCESS)
    assert 64 <= min(reduced.size) < 1600
    full = PREPROCESS.receive(gradient).astype(int)
    assert np.abs(PREPROCESS.receive(reduced).astype(int) - full).max() <= 3
    assert opened(content).size == (2400, 1600)  # the original is shown whole


def test_a_photo_that_was_taken_sideways_stands_upright():
    picture = Image.new("RGB", (60, 40), "black")
    picture.paste("red", (0, 0, 10, 40))  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to see it: left becomes top
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        upright = opened(encoded(picture, kind, exif=exif))
        assert upright.size == (40, 60), kind
        assert upright.getpixel((20, 3))[0] > 200 and upright.getpixel((20, 50))[0] < 60, kind


@pytest.mark.parametrize("orientation", [0, 99])
def test_an_orientation_that_means_nothing_is_ignored(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert opened(encoded(noise(60, 40), "JPEG", exif=exif)).size == (60, 40)
    assert opened(encoded(noise(60, 40), "JPEG", exif=b"Exif\0\0garbage")).size == (60, 40)


def test_what_is_transparent_becomes_white_and_reveals_nothing():
    hidden = noise(40, 40, mode="RGBA")
    hidden.putalpha(0)
    hidden.paste((9, 9, 9, 255), (0, 0, 5, 5))
    for kind in ("PNG", "WEBP", "TIFF"):
        assert np.asarray(opened(encoded(hidden, kind)))[5:].min() == 255, kind
    half = Image.new("LA", (40, 40), (0, 128))
    assert opened(encoded(half)).getpixel((5, 5)) == (127, 127, 127)
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(1, (0, 0, 40, 20))
    for kind in ("PNG", "GIF"):
        picture = opened(encoded(palette, kind, transparency=0))
        assert picture.getpixel((5, 5)) == (255, 0, 0) and picture.getpixel((5, 35)) == (255, 255, 255), kind


def test_a_palette_without_transparency_keeps_its_colours():
    colours = Image.new("RGB", (40, 40), (10, 200, 30)).quantize(4)
    assert opened(encoded(colours, "GIF")).getpixel((9, 9)) == (10, 200, 30)


def test_sixteen_bits_are_scaled_and_not_clipped_to_white():
    ramp = np.tile(np.linspace(0, 65_535, 64).astype(np.uint16), (64, 1))
    for kind in ("PNG", "TIFF"):
        received = np.asarray(opened(encoded(Image.fromarray(ramp), kind)))[0, :, 0]
        assert np.abs(received.astype(int) - np.linspace(0, 255, 64)).max() <= 1, kind
    unit = Image.fromarray(np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1)))
    assert np.asarray(opened(encoded(unit, "TIFF")))[0, 32, 0] in range(127, 132)
    deep = Image.fromarray((np.arange(4096, dtype=np.int32).reshape(64, 64) - 2000) * 1000)
    received = np.asarray(opened(encoded(deep, "TIFF")))
    assert received.min() == 0 and received.max() == 255


def test_cmyk_becomes_the_colour_that_was_meant():
    cyan = Image.new("CMYK", (40, 40), (255, 0, 0, 0))
    for options in ({}, {"icc_profile": b"garbage" * 100}):
        red, green, blue = opened(encoded(cyan, "JPEG", **options)).getpixel((9, 9))
        assert red < 40 and green > 150 and blue > 150
    assert opened(encoded(cyan, "JPEG")).info[NOTES] == ("cmyk",)


@pytest.mark.parametrize("kind", ["CMYK with Adobe's mark", "YCCK with Adobe's mark", "CMYK without a mark"])
def test_cmyk_has_its_colours_whether_adobe_marked_it_or_not(kind):
    """Printers' JPEGs hold 255 for no ink, with the mark and without it; browsers read all three like this."""
    inks, colours = ((255, 0, 0, 0), (0, 0, 255, 0), (200, 30, 90, 60)), ((0, 255, 255), (255, 255, 0), (42, 172, 126))
    picture = np.repeat(np.array(inks, np.uint8), 32, axis=0)[None].repeat(32, axis=0)
    if kind.startswith("YCCK"):  # the inks as if they were RGB; Pillow turns every channel over as it saves
        bright = np.asarray(Image.fromarray(picture[:, :, :3]).convert("YCbCr"))
        picture = np.dstack([255 - bright, picture[:, :, 3]])
    content = encoded(Image.fromarray(picture, "CMYK"), "JPEG", quality=95)
    mark = content.index(b"\xff\xee\x00\x0eAdobe")
    if kind.startswith("YCCK"):
        content = content[: mark + 15] + b"\x02" + content[mark + 16 :]
    elif kind.endswith("without a mark"):
        content = content[:mark] + content[mark + 16 :]
    for at, colour in enumerate(colours):
        found = opened(content).getpixel((32 * at + 16, 16))
        assert np.abs(np.subtract(found, colour)).max() <= 2, (found, colour)


def test_of_an_animation_the_first_frame_is_used():
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        picture = opened(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert picture.getpixel((9, 9))[0] > 250 and picture.getpixel((9, 9))[1] < 10, kind
        assert picture.info[NOTES] == (("pages",) if kind == "TIFF" else ("frames",)), kind


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F", "LAB"])
def test_every_mode_ends_as_rgb_or_in_words(mode):
    picture = Image.new("L", (40, 40), 100).convert("1") if mode == "1" else Image.new(mode, (40, 40))
    content = encoded(picture, "TIFF")
    if mode == "LAB":
        assert "Lab" in refusal(content)
    else:
        assert opened(content).size == (40, 40)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xff", "not a picture"),
        (b"hello world", "not a picture"),
        (b"<!DOCTYPE html><html><script>alert(1)</script>", "web page"),
        (b'<?xml version="1.0"?><svg onload="alert(1)">', "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"8BPS\0\1" + bytes(40), "Photoshop"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"\0\0\0\x18ftypavif" + bytes(40), "AVIF"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "video"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf" + bytes(40), "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf" + bytes(40), "HEIC"),
        (b"\0\0\2" + bytes(9) + b"\x40\0\x30\0\x18\0" + bytes(40), "TGA"),
        (b"\0\0\2\0\1\0\x20\x20\0\0\1\0\1\0\x30\0" + bytes(40), "icon"),
        (b"\0\0\1\0\1\0\x20\x20\0\0\1\0\x20\0\x30\0" + bytes(40), "icon"),
        (b"P6\n40 30\n255\n" + bytes(40), "PPM"),
        (b"P5 # a comment\n" + bytes(40), "PPM"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "RAW"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(40), "RAW"),
        (b"gimp xcf v011" + bytes(40), "GIMP"),
        (b"qoif" + bytes(40), "QOI"),
        (bytes(128) + b"DICM" + bytes(40), "DICOM"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS pointer"),
        (b"PK\3\4" + bytes(40), "zip inside"),
        (b"Rar!\x1a\7" + bytes(40), "archive inside"),
        (b"MZ" + bytes(40), "program"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged"),
        (b"BM" + bytes(60), "damaged"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_real_kind(content, words):
    assert words in refusal(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_that_was_cut_short_is_refused(kind):
    content = encoded(noise(80, 80), kind)
    assert refusal(content[: len(content) // 2]).startswith(("is incomplete", "is damaged"))


def test_what_is_cut_by_its_last_bytes_is_taken_only_where_every_pixel_is_there():
    picture = noise(80, 80)
    jpeg, whole = encoded(picture, "JPEG"), encoded(picture)
    assert refusal(jpeg[:-60]) == "is incomplete (the file was cut short)"
    assert np.array_equal(np.asarray(opened(whole[:-12])), np.asarray(picture))  # without its IEND
    assert refusal(encoded(picture, "WEBP")[:-60]).startswith(("is incomplete", "is damaged"))


def test_one_flipped_bit_among_the_pixels_is_another_picture_and_no_error():
    content = bytearray(encoded(noise(80, 80), "JPEG"))
    content[len(content) // 2] ^= 1
    assert opened(bytes(content)).size == (80, 80)


def test_what_stands_behind_a_picture_or_in_its_metadata_goes_no_further():
    exif = Image.Exif()
    exif[0x010E] = "<script>alert(1)</script>"  # its description
    for kind in ("JPEG", "PNG", "WEBP"):
        content = encoded(noise(), kind, exif=exif) + b"PK\x05\x06" + bytes(18)
        assert opened(content).info == {NOTES: ()}, kind
        assert b"script" not in receive_picture(content, PREPROCESS, LIMITS).tobytes()


def test_a_colour_profile_that_is_garbage_changes_nothing():
    for kind in ("JPEG", "PNG", "WEBP"):
        plain = np.asarray(opened(encoded(noise(), kind)))
        assert np.array_equal(np.asarray(opened(encoded(noise(), kind, icc_profile=b"garbage" * 100))), plain), kind


def test_ten_thousand_frames_cost_no_more_than_one():
    frames = [Image.new("P", (40, 40), colour) for colour in (1, 2)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    second = content[content.rindex(b"!\xf9") : -1]  # of the last frame, from its control block to the end of the file
    began = time.process_time()
    picture = opened(content[:-1] + second * 10_000 + b";")
    assert picture.info[NOTES] == ("frames",) and picture.size == (40, 40)
    assert time.process_time() - began < 2


def test_the_limits_are_said_with_the_size_that_was_found():
    assert "1 x 1 pixels, too small" in refusal(encoded(Image.new("RGB", (1, 1))))
    bomb = encoded(Image.new("1", (9400, 9400)))  # a few kilobytes that would be half a gigabyte
    assert "9400 x 9400 pixels (88.4 million); the limit is 50 million" in refusal(bomb)
    assert "25 times" in refusal(encoded(Image.new("RGB", (1000, 20))))
    assert "at most 16384" in refusal(encoded(Image.new("L", (17_000, 1000))))
    assert "larger than 0.00191 MB" in refusal(encoded(noise()), LIMITS.model_copy(update={"picture_bytes": 2000}))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_from_pillow_s_own_limits_on_it_is_a_sentence_too():
    assert refusal(encoded(Image.new("1", (9500, 9500)))).startswith("has 9500 x 9500 pixels")  # Pillow warns
    raised = LIMITS.model_copy(update={"picture_pixels": 300_000_000})
    bomb = encoded(Image.new("1", (13_400, 13_400)))  # Pillow refuses
    assert refusal(bomb) == "has more pixels than the limit of 50 million"
    assert refusal(bomb, raised) == "has more pixels than the limit of 300 million"


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_header_that_claims_the_moon_is_refused_before_anything_is_read():
    claim = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    assert "million" in refusal(b"\x89PNG\r\n\x1a\n" + claim + chunk(b"IEND", b""))


def test_metadata_that_expands_without_end_is_refused():
    content = encoded(noise())
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000)))
    assert "metadata" in refusal(content[:33] + bomb + content[33:])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_pictures_end_in_words_and_nothing_else():
    random = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        content = encoded(noise(32, 32), kind)
        for _ in range(150):
            damaged = bytearray(content)
            for place in random.integers(4, len(content), random.integers(1, 6)):
                damaged[place] = random.integers(0, 256)
            try:
                receive_picture(bytes(damaged), PREPROCESS, LIMITS)
            except Refusal as refused:
                assert str(refused).startswith(("is ", "has ", "needs "))


# --- what real files hold


def bmp_without_alpha(picture):
    """A BMP of 32 bits whose header names an alpha channel that is 0 throughout, as some screenshots are."""
    pixels = np.asarray(picture)[::-1, :, ::-1]
    raw = np.dstack([pixels, np.zeros(pixels.shape[:2], np.uint8)]).tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, *picture.size, 1, 32, 3, len(raw), 2835, 2835, 0, 0)
    head += (
        struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48) + struct.pack("<4I", 2, 0, 0, 0)
    )
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(raw), 0, 0, 14 + len(head)) + head + raw


def test_transparency_of_the_whole_picture_is_ignored():
    picture = noise(40, 30)
    clear = picture.convert("RGBA")
    clear.putalpha(0)
    for content in (bmp_without_alpha(picture), encoded(clear, "PNG"), encoded(clear, "TIFF")):
        received = opened(content)
        assert np.array_equal(received, picture) and received.info[NOTES] == ("clear",)
    nothing = opened(encoded(Image.new("RGBA", (40, 30), (0, 0, 0, 0))))
    assert np.asarray(nothing).min() == 255 and nothing.info[NOTES] == ("alpha",)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_values_are_scaled_by_the_range_that_is_used(bits):
    ramp = np.tile(np.linspace(0, 2**bits - 1, 64).astype(np.uint16), (64, 1))
    for kind in ("PNG", "TIFF"):
        picture = opened(encoded(Image.fromarray(ramp), kind))
        assert np.abs(np.asarray(picture)[0, :, 0].astype(int) - np.linspace(0, 255, 64)).max() <= 1, kind
        assert picture.info[NOTES] == (("deep",) if bits == 16 else ("range",))


def png_of_48_bits(values):
    """A PNG of 16 bits a channel, which Pillow reads but does not write; values: (H, W, 3)."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = (
        (b"IHDR", struct.pack(">2I5B", *values.shape[1::-1], 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    pieces = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_colours_of_few_of_their_16_bits_are_scaled_too(bits):
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16)[None, :, None].repeat(40, 0).repeat(3, 2)
    picture = opened(png_of_48_bits(ramp))
    assert np.abs(np.asarray(picture)[0, :, 1].astype(int) - np.linspace(0, 255, 64)).max() <= 1
    assert picture.info[NOTES] == (() if bits == 16 else ("range",))


def tiff_pages(*pages):
    return encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])


def test_of_a_tiff_with_pages_the_first_is_used_and_it_is_noted():
    picture = opened(tiff_pages(noise(60, 40), noise(60, 40, 1), noise(60, 40, 2)))
    assert np.array_equal(picture, noise(60, 40)) and picture.info[NOTES] == ("pages",)
    assert opened(encoded(noise(60, 40), "TIFF")).info[NOTES] == ()


def test_a_small_preview_before_the_picture_is_not_learnt():
    full = noise(240, 160, 3)
    picture = opened(tiff_pages(full.resize((60, 40)), full))
    assert np.array_equal(picture, full) and picture.info[NOTES] == ("preview",)
    assert opened(tiff_pages(noise(60, 40), noise(200, 300))).size == (60, 40)  # of another shape: another picture


def wide_profile():
    """The bytes of a profile with the primaries of Adobe RGB, made from sRGB's."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    wide = {b"rXYZ": (0.6097, 0.3111, 0.0195), b"gXYZ": (0.2053, 0.6257, 0.0609), b"bXYZ": (0.1492, 0.0632, 0.7446)}
    for i in range(struct.unpack(">I", profile[128:132])[0]):
        tag, at, _ = struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i])
        if tag in wide:
            profile[at + 8 : at + 20] = struct.pack(">3i", *(round(value * 65_536) for value in wide[tag]))
    return bytes(profile)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"quality": 98, "subsampling": 0}), ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})],
)
def test_colours_are_those_that_the_profile_means(kind, options):
    profile, srgb = wide_profile(), ImageCms.createProfile("sRGB")
    meant = Image.new("RGB", (40, 40), (200, 60, 60))
    stored = ImageCms.profileToProfile(meant, srgb, ImageCms.ImageCmsProfile(io.BytesIO(profile)), outputMode="RGB")
    picture = opened(encoded(stored, kind, icc_profile=profile, **options))
    assert np.abs(np.subtract(picture.getpixel((9, 9)), (200, 60, 60))).max() <= 4
    assert picture.info[NOTES] == ("profile",)


def test_a_profile_of_srgb_itself_changes_no_pixel():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = opened(encoded(noise(), "PNG", icc_profile=profile))
    assert np.array_equal(picture, noise()) and picture.info[NOTES] == ()
