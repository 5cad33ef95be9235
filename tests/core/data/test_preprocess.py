"""Preprocess gives what torchvision gives, byte for byte, and the two other fits keep their promises."""

import numpy as np
import pytest
from PIL import Image

from core.data.pictures.preprocess import Preprocess
from tests.pictures import noise

SIDES = (1, 7, 16, 31, 32, 33, 47, 64, 100, 227, 333, 640)


@pytest.mark.parametrize("size", [8, 32, 33, 64, 224])
def test_crop_is_byte_for_byte_what_torchvision_gives(size):
    transforms = pytest.importorskip("torchvision.transforms")
    theirs = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size)])
    ours = Preprocess(image_size=size)
    for width in SIDES:
        for height in SIDES[2:] if width < 16 else SIDES:
            if max(width, height) <= 25 * min(width, height):
                picture = noise(width, height, seed=width * 1000 + height)
                expected = np.asarray(theirs(picture)).transpose(2, 0, 1)
                assert np.array_equal(ours.receive(picture), expected), (width, height)


def test_crop_rounds_odd_margins_as_torchvision_does():
    transforms = pytest.importorskip("torchvision.transforms")
    for width in range(32, 80):  # at the size that is asked for already: only the margins differ
        picture = noise(width, 32, seed=width)
        expected = np.asarray(transforms.CenterCrop(32)(transforms.Resize(32)(picture))).transpose(2, 0, 1)
        assert np.array_equal(Preprocess().receive(picture), expected), width


def test_every_fit_receives_a_square_of_uint8():
    for fit in ("crop", "squash", "pad"):
        for width, height in ((17, 400), (400, 17), (32, 32)):
            received = Preprocess(image_size=48, fit=fit).receive(noise(width, height))
            assert received.shape == (3, 48, 48) and received.dtype == np.uint8 and received.flags.c_contiguous


def test_squash_keeps_what_a_crop_would_cut_off():
    picture = Image.new("RGB", (90, 30), "black")
    picture.paste("red", (0, 0, 20, 30))
    assert Preprocess(fit="crop").receive(picture)[0].max() == 0
    assert Preprocess(fit="squash").receive(picture)[0, :, 0].min() == 255


def test_pad_fills_with_white_bars_and_keeps_the_shape():
    received = Preprocess(fit="pad").receive(Image.new("RGB", (64, 32), "black"))
    assert (received[:, :8] == 255).all() and (received[:, 24:] == 255).all()
    assert (received[:, 8:24] == 0).all()  # 64 x 32 becomes 32 x 16, in the middle


def test_it_survives_json():
    preprocess = Preprocess(image_size=64, fit="pad", mean=(0.1, 0.2, 0.3))
    assert Preprocess.model_validate_json(preprocess.model_dump_json()) == preprocess
