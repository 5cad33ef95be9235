"""Sizes of the originals: every format, turned photos, cached in the dataset."""

import numpy as np
import pytest
from PIL import Image

from core.data.datasets import sizes
from core.data.datasets.sizes import picture_sizes
from core.data.imports.pipeline import import_pictures
from tests.pictures import encoded, finish, noise

pytestmark = pytest.mark.usefixtures("home")


def added(contents):
    entries = [(f"{i:02}", "ab"[i % 2], None, content) for i, content in enumerate(contents)]
    dataset = finish(import_pictures("sizes", iter(entries), "zip", False))
    return dataset, {dataset.names[row]: row for row in range(dataset.used)}


def test_every_format_has_its_size():
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
    dataset, rows = added([encoded(noise(40 + i, 30 + 2 * i, i), kind) for i, kind in enumerate(kinds)])
    sizes = picture_sizes(dataset)
    assert sizes.dtype == np.int32
    assert [sizes[rows[f"{i:02}"]].tolist() for i in range(6)] == [[40 + i, 30 + 2 * i] for i in range(6)]


def test_a_photo_that_lies_on_its_side_is_measured_upright():
    turned = Image.Exif()
    turned[0x0112] = 6
    dataset, rows = added(
        [encoded(noise(40, 30), "JPEG", exif=turned), *(encoded(noise(40, 30, i)) for i in (1, 2, 3))]
    )
    assert picture_sizes(dataset)[rows["00"]].tolist() == [30, 40]


def test_a_header_longer_than_what_is_read_first_is_read_whole():
    profile = bytes(90_000)
    dataset, rows = added(
        [encoded(noise(44, 33), "JPEG", icc_profile=profile), *(encoded(noise(seed=i)) for i in (1, 2, 3))]
    )
    assert picture_sizes(dataset)[rows["00"]].tolist() == [44, 33]


def test_sizes_are_read_once_and_only_where_asked(monkeypatch):
    dataset, _ = added([encoded(noise(40, 30, i)) for i in range(6)])
    measured, asked = sizes._measure, []
    monkeypatch.setattr(sizes, "_measure", lambda dataset, rows: asked.append(rows.tolist()) or measured(dataset, rows))
    picture_sizes(dataset, np.array([1, 3]))
    picture_sizes(dataset, np.array([3, 1]))
    picture_sizes(dataset)
    assert asked == [[1, 3], [0, 2, 4, 5]]


def test_a_damaged_or_foreign_file_of_sizes_is_made_anew():
    dataset, _ = added([encoded(noise(40, 30, i)) for i in range(4)])
    path = dataset.folder / "sizes.npz"
    path.write_bytes(b"not a file of numpy")
    assert (picture_sizes(dataset) == [40, 30]).all()
    np.savez(path, content_hash=np.array("another"), sizes=np.full((4, 2), 7))
    assert (picture_sizes(dataset) == [40, 30]).all()
