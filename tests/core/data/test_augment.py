"""Augmentation: each picture gets its own change, and nothing else about it changes."""

from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from torch import Generator

from core.config import Augmentation
from core.data.store import augment
from core.data.store.augment import (
    AUGMENTATIONS,
    augment_block,
    augment_pictures,
    colour,
    cutout,
    flip,
    mixup,
    rotate,
    shift_crop,
)

NAMES = get_args(Augmentation)


def changed(name, pictures, generator):
    return augment_block(pictures, (name,), generator)[0]


def noise(count=64, side=16):
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=Generator().manual_seed(1))


def drawn(seed=0):
    return Generator().manual_seed(seed)


def test_every_augmentation_that_can_be_chosen_is_there():
    assert (*AUGMENTATIONS, "mixup") == NAMES


@pytest.mark.parametrize("side", [8, 10, 32, 33])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_kind_stay_and_the_given_pictures_too(name, side):
    pictures = noise(20, side)
    before = pictures.clone()
    result = changed(name, pictures, drawn())
    assert result.shape == pictures.shape and result.dtype == torch.uint8 and result.is_contiguous()
    assert torch.equal(pictures, before) and not torch.equal(result, before)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_alone_decides(name):
    torch.manual_seed(3)
    assert torch.equal(changed(name, noise(), drawn(4)), changed(name, noise(), drawn(4)))
    assert not torch.equal(changed(name, noise(), drawn(4)), changed(name, noise(), drawn(5)))


@pytest.mark.parametrize("name", NAMES)
def test_one_picture_and_none_can_be_changed(name):
    for count in (0, 1):
        assert changed(name, noise(count), drawn()).shape == (count, 16, 16, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_that_is_worked_on_in_pieces_is_the_same(name, monkeypatch):
    whole = changed(name, noise(50), drawn())
    monkeypatch.setattr(augment, "PIECE_BYTES", 7 * 16 * 16 * 3)
    assert torch.equal(changed(name, noise(50), drawn()), whole)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_uniform_grey_picture_moves_out_of_range(name):
    for value in (0, 127, 255):
        result = changed(name, torch.full((64, 16, 16, 3), value, dtype=torch.uint8), drawn()).float()
        if name == "colour":  # brightness alone: between 0.7 and 1.3 times as bright, still without a colour
            assert result.amin((1, 2, 3)).equal(result.amax((1, 2, 3)))
            assert result.min() >= int(0.7 * value) and result.max() <= min(255, 1.3 * value + 1)
        elif name != "cutout":
            assert (result == value).all()


def test_a_preview_is_what_training_would_show():
    pictures = noise(12).numpy()
    shown = augment_pictures(pictures, NAMES, seed=3)
    assert shown.dtype == np.uint8 and np.array_equal(shown, augment_block(noise(12), NAMES, drawn(3))[0].numpy())
    assert not np.array_equal(shown, augment_pictures(pictures, NAMES, seed=4))
    pictures.setflags(write=False)  # as those of a store are
    assert np.array_equal(augment_pictures(pictures, (), seed=3), pictures)


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


def smooth(count=8, side=32):
    """Pictures without sharp edges and without clipped colours, on which two ways of rounding hardly differ."""
    small = torch.randint(70, 180, (count, 3, 5, 5), generator=Generator().manual_seed(2)).float()
    return torch.nn.functional.interpolate(small, side, mode="bicubic").byte().permute(0, 2, 3, 1).contiguous()


@pytest.mark.parametrize("side", [32, 33])
def test_rotate_turns_as_pil_does(side):
    pictures = smooth(side=side)
    angles = (2 * torch.rand(len(pictures), generator=drawn()) - 1) * 15
    inside = slice(side // 5, -(side // 5))  # further out PIL shows black, ours a mirror image
    for picture, turned, angle in zip(pictures, rotate(pictures, drawn()), angles.tolist(), strict=True):
        expected = np.asarray(Image.fromarray(picture.numpy()).rotate(angle, Image.Resampling.BILINEAR), dtype=int)
        assert abs(turned.numpy().astype(int) - expected)[inside, inside].max() <= 2


def test_rotate_by_nothing_changes_nothing(monkeypatch):
    monkeypatch.setattr(augment, "LARGEST_ANGLE", 0.0)
    for side in (8, 31, 32):
        assert torch.equal(rotate(noise(20, side), drawn()), noise(20, side))


def test_rotate_turns_both_ways_and_never_by_more_than_fifteen_degrees():
    spot = torch.zeros(500, 65, 65, 3, dtype=torch.uint8)
    spot[:, 31:34, 61:64] = 255  # 30 pixels right of the centre
    light = rotate(spot, drawn())[..., 0].float()
    height = 32 - (light * torch.arange(65)[:, None]).sum((1, 2)) / light.sum((1, 2))
    right = (light * torch.arange(65)).sum((1, 2)) / light.sum((1, 2)) - 32
    angles = torch.atan2(height, right).rad2deg()
    assert -15.3 < angles.min() < -14 and 14 < angles.max() < 15.3 and abs(angles.mean()) < 1.6  # 4 standard errors


def test_colour_is_saturation_then_contrast_then_brightness_as_pil_has_them():
    pictures = smooth()
    factors = 1 + 0.3 * (2 * torch.rand(len(pictures), 3, generator=drawn()) - 1)
    for picture, result, three in zip(pictures, colour(pictures, drawn()), factors.tolist(), strict=True):
        expected = Image.fromarray(picture.numpy())
        changes = ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness
        for enhance, factor in zip(changes, three, strict=True):
            expected = enhance(expected).enhance(factor)
        assert abs(result.numpy().astype(int) - np.asarray(expected, dtype=int)).max() <= 3  # PIL rounds three times


def test_colour_leaves_every_pixel_in_its_place():
    pictures = torch.zeros(30, 16, 16, 3, dtype=torch.uint8)
    pictures[:, 3, 5] = torch.tensor([200, 40, 90], dtype=torch.uint8)
    others = colour(pictures, drawn())
    assert (others.sum(3).flatten(1).argmax(1) == 3 * 16 + 5).all()


def test_mixup_blends_each_picture_with_another_one_by_less_than_a_half():
    pictures = noise(1000, 8)
    mixed, mix = mixup(pictures, drawn())
    assert (mix.partners != torch.arange(1000)).all() and sorted(mix.partners.tolist()) == list(range(1000))
    assert mix.lam.min() >= 0.5 and mix.lam.max() <= 1 and abs(mix.lam.mean() - 0.75) < 0.02
    share = mix.lam[:, None, None, None].double()
    expected = share * pictures.double() + (1 - share) * pictures[mix.partners].double()
    assert (mixed.double() - expected).abs().max() <= 0.5001


def test_mixup_of_one_picture_blends_it_with_itself():
    mixed, mix = mixup(noise(1), drawn())
    assert torch.equal(mixed, noise(1)) and mix.partners.tolist() == [0]
