"""Augmentation: each picture gets its own change, and nothing else about it changes."""

import pytest
import torch
from torch import Generator

from core.data.augment import AUGMENTATIONS, cutout, flip, shift_crop


def noise(count=64, side=16):
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=Generator().manual_seed(1))


def drawn(seed=0):
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("side", [8, 10, 32, 33])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shape_and_kind_stay_and_the_given_pictures_too(name, side):
    pictures = noise(20, side)
    before = pictures.clone()
    changed = AUGMENTATIONS[name](pictures, drawn())
    assert changed.shape == pictures.shape and changed.dtype == torch.uint8 and changed.is_contiguous()
    assert torch.equal(pictures, before) and not torch.equal(changed, before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_generator_alone_decides(name):
    augment = AUGMENTATIONS[name]
    torch.manual_seed(3)
    assert torch.equal(augment(noise(), drawn(4)), augment(noise(), drawn(4)))
    assert not torch.equal(augment(noise(), drawn(4)), augment(noise(), drawn(5)))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_one_picture_and_none_can_be_changed(name):
    for count in (0, 1):
        assert AUGMENTATIONS[name](noise(count), drawn()).shape == (count, 16, 16, 3)


def test_flip_mirrors_about_half_and_leaves_the_others():
    pictures = noise(4000, 8)
    flipped = flip(pictures, drawn())
    mirrored = (flipped == pictures.flip(2)).flatten(1).all(1)
    same = (flipped == pictures).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert abs(mirrored.float().mean() - 0.5) < 0.03  # 4 standard errors of 4,000 draws


def moved(picture, down, right):
    """The picture moved by whole pixels, one pixel after the other; what comes in is the picture's mirror image."""
    side = len(picture)
    result = torch.empty_like(picture)
    for row in range(side):
        for column in range(side):
            y, x = abs(row - down), abs(column - right)
            y, x = (2 * (side - 1) - place if place >= side else place for place in (y, x))
            result[row, column] = picture[y, x]
    return result


@pytest.mark.parametrize(("side", "reach"), [(8, 1), (22, 2)])
def test_shift_crop_is_what_a_slow_loop_over_pixels_gives(side, reach):
    picture = noise(1, side)[0]
    shifts = [(down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)]
    possible = torch.stack([moved(picture, *shift) for shift in shifts])
    results = shift_crop(picture.expand(400, -1, -1, -1).contiguous(), drawn())
    same = (results[:, None] == possible).flatten(2).all(2)
    assert (same.sum(1) == 1).all()  # every result is exactly one of the possible ones
    seen = same.sum(0)
    assert (seen > 0).all() and seen.max() < 3 * 400 / len(shifts)  # and each of those is drawn


def test_shift_crop_gives_each_picture_its_own_pixels():
    pictures = torch.arange(200, dtype=torch.uint8)[:, None, None, None].expand(200, 32, 32, 3).contiguous()
    assert torch.equal(shift_crop(pictures, drawn()), pictures)


def test_cutout_blanks_one_square_of_a_quarter_of_the_side_anywhere():
    white = torch.full((3000, 16, 16, 3), 255, dtype=torch.uint8)
    blanked = (cutout(white, drawn()) == 127).all(3)
    assert (blanked.flatten(1).sum(1) == 16).all()  # 4 x 4
    assert (blanked.any(1).sum(1) == 4).all() and (blanked.any(2).sum(1) == 4).all()  # a square, nothing scattered
    corners = {divmod(int(first), 16) for first in blanked.flatten(1).int().argmax(1)}
    assert corners == {(top, left) for top in range(13) for left in range(13)}
    assert (cutout(white, drawn()) == 255).all(3).flatten(1).sum(1).eq(240).all()
