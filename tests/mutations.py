"""Pictures and zips as malice and bad luck make them: real ones, broken in drawn ways, each again by its number.

python -m tests.mutations picture 4711 > mutant     what the tests call mutant 4711; so does zip
"""

import functools
import io
import os
import random
import re
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.pictures import encoded, noise, png

SEED = int(os.environ.get("ATELIER_MUTATED_SEED", "0"))
SHORT = 12  # bytes; of less nothing is left to break
ODD = (
    0,
    1,
    2,
    15,
    16,
    127,
    128,
    255,
    256,
    4095,
    16_384,
    32_767,
    32_768,
    65_500,
    65_535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
JUNK = (
    b"PK\x05\x06" + bytes(18),
    b"<script>alert(1)</script>",
    bytes(64),
    b"\xff" * 64,
    b"\xff\xd9",
    b"IEND",
    b"II*\x00",
)
Mutation = Callable[[random.Random, bytes], bytes]


def mutated_picture(number: int) -> bytes:
    """A picture of some format, broken one to three times over."""
    draw = random.Random(f"picture {SEED} {number}")
    kind = draw.choice(list(picture_seeds()))
    content = draw.choice(picture_seeds()[kind])
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if len(content) > SHORT:
            content = draw.choice((*ANY, _chunks) if kind == "PNG" else ANY)(draw, content)
    return content


def mutated_zip(number: int) -> bytes:
    """A zip of small pictures, broken as a file, in its directory or in what it holds."""
    draw = random.Random(f"zip {SEED} {number}")
    content = draw.choice((_of_names, _of_names, _of_contents, _plain))(draw)
    for _ in range(draw.choice((0, 1, 1, 1, 2))):
        if len(content) > SHORT:
            content = draw.choice((*ANY, _directory, _directory, _directory, _local, _end, _overlap))(draw, content)
    return content


# ------------------------------------------------------------------------------------------------- pictures


@functools.cache
def picture_seeds() -> dict[str, list[bytes]]:
    """Format -> small real pictures, one for each way of writing it that decoders treat differently."""
    rgb, rgba, grey = noise(40, 30), noise(33, 21, mode="RGBA"), noise(24, 24, mode="L")
    smooth = Image.linear_gradient("L").resize((48, 36)).convert("RGB")
    frames = {"save_all": True, "append_images": [noise(40, 30, seed) for seed in (1, 2)]}
    deep = Image.fromarray(np.arange(24 * 20, dtype=np.uint16).reshape(20, 24) * 100)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "<script>alert(1)</script>"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "JPEG": [
                encoded(rgb, "JPEG"),
                encoded(smooth, "JPEG", progressive=True, quality=40),
                encoded(grey, "JPEG", exif=exif),
                encoded(noise(32, 32, mode="CMYK"), "JPEG", icc_profile=b"garbage" * 40),
                encoded(rgb, "MPO", save_all=True, append_images=[smooth]),
            ],
            "PNG": [
                encoded(rgb),
                encoded(rgba),
                encoded(deep),
                encoded(grey.convert("1")),
                encoded(rgb.quantize(16), transparency=0),
                encoded(rgb, **frames),
                encoded(smooth, exif=exif, dpi=(72, 72)),
            ],
            "WEBP": [
                encoded(rgb, "WEBP", quality=50),
                encoded(rgba, "WEBP", lossless=True),
                encoded(rgb, "WEBP", **frames),
                encoded(smooth, "WEBP", exif=exif),
            ],
            "GIF": [
                encoded(rgb, "GIF"),
                encoded(rgb.quantize(8), "GIF", transparency=1),
                encoded(rgb, "GIF", **frames),
            ],
            "BMP": [encoded(rgb, "BMP"), encoded(grey, "BMP"), encoded(grey.convert("1"), "BMP"), encoded(rgba, "BMP")],
            "TIFF": [
                encoded(rgb, "TIFF"),
                encoded(rgb, "TIFF", compression="tiff_lzw"),
                encoded(rgba, "TIFF", compression="tiff_adobe_deflate"),
                encoded(rgb, "TIFF", compression="jpeg"),
                encoded(grey.convert("1"), "TIFF", compression="group4"),
                encoded(deep, "TIFF"),
                encoded(grey.convert("F"), "TIFF"),
                encoded(rgb, "TIFF", **frames),
            ],
        }


def _flip(draw: random.Random, content: bytes) -> bytes:
    broken = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8, 40))):
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    return bytes(broken)


def _overwrite(draw: random.Random, content: bytes) -> bytes:
    broken = bytearray(content)
    for _ in range(draw.choice((1, 2, 4))):
        broken[draw.randrange(len(broken))] = draw.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, draw.randrange(256)))
    return bytes(broken)


def _cut(draw: random.Random, content: bytes) -> bytes:
    return content[
        : draw.choice(
            (0, 1, 12, 30, len(content) // 2, len(content) - 1, len(content) - 12, draw.randrange(len(content)))
        )
    ]


def _cut_out(draw: random.Random, content: bytes) -> bytes:
    begin, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:begin] + content[end:]


def _double(draw: random.Random, content: bytes) -> bytes:
    begin, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:end] + content[begin:end] * draw.choice((1, 1, 2, 50)) + content[end:]


def _swap(draw: random.Random, content: bytes) -> bytes:
    a, b, c = sorted(draw.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _blank(draw: random.Random, content: bytes) -> bytes:
    begin, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:begin] + bytes([draw.choice((0, 0xFF))]) * (end - begin) + content[end:]


def _insert(draw: random.Random, content: bytes) -> bytes:
    at = draw.choice((len(content), draw.randrange(len(content) + 1)))
    return content[:at] + draw.choice((*JUNK, draw.randbytes(draw.randrange(1, 200)))) + content[at:]


def _claim(draw: random.Random, content: bytes) -> bytes:
    """Another number where the beginning holds one: width, height, depth, length of a chunk, offset of a directory."""
    form = draw.choice(("<H", ">H", "<I", ">I", "B"))
    size = struct.calcsize(form)
    at = draw.randrange(2, max(3, min(len(content) - size, draw.choice((32, 64, 200)))))
    return content[:at] + struct.pack(form, draw.choice(ODD) % 256**size) + content[at + size :]


def _splice(draw: random.Random, content: bytes) -> bytes:
    other = draw.choice(picture_seeds()[draw.choice(list(picture_seeds()))])
    return content[: draw.randrange(len(content) + 1)] + other[draw.randrange(len(other)) :]


ANY: tuple[Mutation, ...] = (
    *(_flip, _overwrite, _cut, _cut_out, _double, _swap, _blank, _insert, _claim, _claim, _splice),
)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(draw: random.Random, content: bytes) -> bytes:
    """A PNG whose chunks are wrong and whose checksums are right, so that a decoder looks at them."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return content
    which = draw.randrange(len(chunks))
    kind, body = chunks[which]
    action = draw.choice(("body", "body", "body", "kind", "drop", "double", "swap", "new"))
    if action == "body" and body:
        chunks[which] = (kind, draw.choice((_flip, _overwrite, _cut, _double, _claim))(draw, body))
    elif action == "kind":
        chunks[which] = (
            draw.choice((b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"zTXt", b"iCCP", b"acTL", b"fcTL", b"eXIf")),
            body,
        )
    elif action == "drop":
        del chunks[which]
    elif action == "double":
        chunks.insert(which, chunks[which])
    elif action == "swap":
        chunks[which], chunks[0] = chunks[0], chunks[which]
    else:
        bomb = zlib.compress(bytes(draw.choice((100, 10**6, 10**7))))
        chunks.insert(
            1, draw.choice(((b"zTXt", b"k\0\0" + bomb), (b"iCCP", b"p\0\0" + bomb), (b"tEXt", b"k\0" + bytes(9))))
        )
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


# ----------------------------------------------------------------------------------------------------- zips

NAMES = (
    *(
        "../evil.png",
        "cat/../../evil.png",
        "/evil.png",
        "//host/evil.png",
        "C:/evil.png",
        "C:\\evil.png",
        "..",
        "cat/..",
    ),
    *(
        "..\\..\\evil.png",
        "\\\\host\\evil.png",
        "cat\\evil.png",
        "cat/1\0.png",
        "cat/\n1\x1b[31m.png",
        "cat/\u202egnp.1",
    ),
    *("\u202e/1.png", " /1.png", "cat/" + "x" * 300, "cat/" + "d/" * 40 + "1.png", "日" * 86 + "/1.png", "cat/", "/"),
    *(
        "./cat/1.png",
        "cat//1.png",
        "．．／evil.png",
        "CON/1.png",
        "cat./1.png",
        "cat/1.zip",
        "__MACOSX/cat/._1.png",
    ),
    *(".git/config", "cat/Thumbs.db", "train/cat/1.png", "test/1.png", "val/dog/1.png", "TRAIN/1.png", "Cat/1.png"),
    *("cat /1.png", "cafe\u0301/1.png", "café/1.png", "=1+1/1.png", "<img src=x onerror=alert(1)>/1.png", "$x$/1.png"),
)


def _plain(draw: random.Random) -> bytes:
    return _packed({f"{name}/{i}.png": png(i) for i in range(draw.randrange(1, 4)) for name in ("cat", "dog")}, draw)


def _of_names(draw: random.Random) -> bytes:
    """Some of the names that people should not send, beside good ones."""
    files = {f"{name}/{i}.png": png(i) for i in range(2) for name in ("cat", "dog")}
    return _packed(files | {draw.choice(NAMES): png(9) for _ in range(draw.choice((1, 1, 2, 5)))}, draw)


def _of_contents(draw: random.Random) -> bytes:
    """Files that are no pictures: empty, bombs, zips, links, texts and broken pictures."""
    files: dict[str | zipfile.ZipInfo, bytes] = {f"{name}/{i}.png": png(i) for i in range(2) for name in ("cat", "dog")}
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = draw.choice((0o120777, 0o010644, 0o020644, 0o104755, 0o040755)) << 16
    inner = _packed({"cat/1.png": bytes(100_000)}, draw)
    for content in draw.sample((b"", bytes(10**6), bytes(3 * 10**6), inner, b"hello", b"Rar!\x1a\x07", b"%PDF"), 2):
        files[f"{draw.choice(('cat', 'dog'))}/{len(files)}.png"] = content
    files["dog/broken.png"] = mutated_picture(draw.randrange(10**6))
    return _packed(files | {link: b"/etc/passwd"}, draw)


def _packed(files: dict, draw: random.Random) -> bytes:
    buffer = io.BytesIO()
    kind = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED))
    streamed = draw.random() < 0.1  # sizes behind the contents, as whoever packs into a pipe writes them
    with zipfile.ZipFile(_Pipe(buffer) if streamed else buffer, "w", kind, compresslevel=1) as archive:
        for name, content in files.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of names that are there twice
                if isinstance(name, zipfile.ZipInfo):
                    archive.writestr(name, content)
                else:
                    archive.writestr(_undated(name), content, kind, 1)
        if draw.random() < 0.05:
            archive.comment = draw.choice((b"PK\x05\x06", bytes(2000), b"a comment"))
    content = buffer.getvalue()
    if draw.random() < 0.3:  # what zipfile does not write: NUL, backslashes
        content = content.replace(
            b"cat/1.png", draw.choice((b"cat\\1.png", b"cat/1\0png", b"..\\evil.p", b"../evil.p"))
        )
    return content


def _undated(name: str) -> zipfile.ZipInfo:
    """What zipfile makes of a name, less the time of day: a mutant is the same bytes whenever it is drawn."""
    info = zipfile.ZipInfo(name)
    info.external_attr = (0o40775 << 16) | 0x10 if name.endswith("/") else 0o600 << 16
    return info


class _Pipe(io.RawIOBase):
    def __init__(self, target: io.BytesIO) -> None:
        self.target = target

    def writable(self) -> bool:
        return True

    def write(self, content) -> int:
        return self.target.write(content)


def _directory(draw: random.Random, content: bytes) -> bytes:
    """Another number in an entry of the directory: flags, method, checksum, sizes, lengths, rights, offset."""
    return _edit(draw, content, b"PK\x01\x02", DIRECTORY)


def _local(draw: random.Random, content: bytes) -> bytes:
    return _edit(draw, content, b"PK\x03\x04", {6: "<H", 8: "<H", 14: "<I", 18: "<I", 22: "<I", 26: "<H", 28: "<H"})


def _end(draw: random.Random, content: bytes) -> bytes:
    return _edit(draw, content, b"PK\x05\x06", {4: "<H", 6: "<H", 8: "<H", 10: "<H", 12: "<I", 16: "<I", 20: "<H"})


DIRECTORY = {6: "<H", 8: "<H", 10: "<H", 16: "<I", 20: "<I", 24: "<I", 28: "<H", 30: "<H", 32: "<H", 34: "<H"} | {
    36: "<H",
    38: "<I",
    42: "<I",
}


def _edit(draw: random.Random, content: bytes, magic: bytes, fields: dict[int, str]) -> bytes:
    places = [found.start() for found in re.finditer(magic, content[:-43])] if len(content) < 40_000 else []
    places = places or [at for at in (content.find(magic), content.rfind(magic)) if at >= 0]
    if not places:
        return content
    at, form = draw.choice(list(fields.items()))
    at += draw.choice(places)
    size = struct.calcsize(form)
    if at + size > len(content):
        return content
    (old,) = struct.unpack_from(form, content, at)
    new = draw.choice((*ODD, old + 1, old - 1, old ^ 1, old * 2, len(content))) % 256**size
    return content[:at] + struct.pack(form, new) + content[at + size :]


def _overlap(draw: random.Random, content: bytes) -> bytes:
    """Two entries of the directory over one body."""
    first = content.find(b"PK\x01\x02")
    second = content.find(b"PK\x01\x02", first + 1)
    if first < 0 or second < 0 or second + 46 > len(content):
        return content
    return content[: second + 42] + content[first + 42 : first + 46] + content[second + 46 :]


if __name__ == "__main__":
    sys.stdout.buffer.write({"picture": mutated_picture, "zip": mutated_zip}[sys.argv[1]](int(sys.argv[2])))
