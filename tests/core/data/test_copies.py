"""Is one picture a copy of another: re-encoded, resized, mirrored, cropped; and what is not."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from core.data.duplicates.copies import find_copies
from core.data.imports.pipeline import import_pictures
from tests.pictures import encoded, finish

SIDE = 96


def drawing(seed):
    """A picture with large shapes, unlike others of another seed."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(tmp_path_factory.mktemp("copies")))
        files = [(f"{seed}.png", "ab"[seed % 2], None, encoded(drawing(seed))) for seed in range(20)]
        files.append(("part.png", "a", None, encoded(drawing(50).crop((5, 5, 91, 91)))))
        yield finish(import_pictures("drawings", iter(files), "zip", False))


@pytest.mark.parametrize(
    "changed",
    [
        lambda picture: encoded(picture),
        lambda picture: encoded(picture, "JPEG", quality=60),
        lambda picture: encoded(picture.resize((64, 64))),
        lambda picture: encoded(ImageOps.mirror(picture)),
        lambda picture: encoded(picture.crop((5, 5, 91, 91))),
    ],
    ids=["the same", "JPEG", "smaller", "mirrored", "cropped"],
)
def test_a_copy_finds_its_picture_and_no_other(dataset, changed):
    row = list(dataset.names).index("7.png")
    assert find_copies(dataset, changed(drawing(7)), np.arange(21)).tolist() == [row]


def test_only_the_rows_that_are_asked_for_are_compared(dataset):
    row = list(dataset.names).index("7.png")
    others = np.delete(np.arange(21), row)
    assert find_copies(dataset, encoded(drawing(7)), others).tolist() == []
    assert find_copies(dataset, encoded(drawing(7)), others[:0]).tolist() == []


def test_a_new_picture_is_a_copy_of_none(dataset):
    assert find_copies(dataset, encoded(drawing(99)), np.arange(21)).tolist() == []


def test_a_picture_of_which_the_dataset_has_a_part_is_found_too(dataset):
    assert find_copies(dataset, encoded(drawing(50)), np.arange(21)).tolist() == [list(dataset.names).index("part.png")]
