"""Small real pictures and zips for the tests of the intake."""

import io
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

UPWARDS = ("..", ".", "~", "...", "%2e%2e", "..%00", "‥", "．．", "..;", ". .", "~root", "$HOME")
SEPARATORS = ("/", "\\", "%2f", "%5c", "／", "∕", "//", "..//")
NAMES_LIKE_PATHS = sorted(  # 238 names that a person may give a class, and that must lead nowhere
    {"".join(pieces) for pieces in product(UPWARDS, ("", *SEPARATORS), ("", "evil"))}
    | {"CON", "aux.png", "con.", "nul", "C:", "C:\\evil", "\\\\host\\x", "/etc/passwd", "file:///etc/passwd", "a/b"}
    | {"a/../b", "-rf", "--help", "*", "?", "|", "`id`", "$(id)", "{0}", "%s", "%n", "=1+1", "x" * 200, "日" * 86}
)


def noise(width=40, height=30, seed=0, mode="RGB"):
    channels = len(mode)
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values[:, :, 0] if channels == 1 else values, mode)


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed=0, width=40, height=30):
    return encoded(noise(width, height, seed))


def two_classes(count=6):
    """{path: bytes}: `count` pictures of each of two classes."""
    return {f"{name}/{i:03}.png": png(100 * k + i) for k, name in enumerate(("cat", "dog")) for i in range(count)}


def write_zip(path: Path, files, compression=zipfile.ZIP_STORED):
    """files: {name or ZipInfo: bytes}, or pairs of them."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, content)
    return path


def write_folder(folder: Path, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def finish(progress):
    """The dataset on the last report of an import."""
    *_, last = progress
    return last.dataset
