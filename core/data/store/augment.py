"""Augmentation of blocks of pictures: each function draws one change for each picture of the block."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample

Augment = Callable[[Tensor, Generator], Tensor]

LARGEST_ANGLE = 15.0  # degrees
JITTER = 0.3  # brightness, contrast and saturation are multiplied by 0.7 to 1.3
LUMA = (0.299, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601), as in PIL's conversion to grey
PIECE_BYTES = 2**19  # of uint8 pictures whose floats fit the cache: a fifth of the time of the block at once


@dataclass(frozen=True)
class Mix:
    """What mixup blended: lam * picture + (1 - lam) * partner."""

    partners: Tensor  # int64 (B,): place in the block
    lam: Tensor  # float32 (B,): 0.5..1


@dataclass(frozen=True)
class Drawn:
    """What was drawn for a block, as far as more than its pixels depend on it."""

    flipped: Tensor | None = None  # bool (B,), on the CPU: the pictures that were flipped; None without flips
    mix: Mix | None = None  # None without mixup


def augment_block(
    images: Tensor, names: tuple[str, ...], generator: Generator, flipped: Tensor | None = None
) -> tuple[Tensor, Drawn]:
    """Apply the named augmentations in order to uint8 (B, H, W, 3). `flipped`: which pictures "flip" flips, bool (B,);
    None: drawn."""
    mix = None
    for name in names:
        if name == "mixup":
            images, mix = mixup(images, generator)
        elif name == "flip":
            flipped = draw_flips(len(images), generator) if flipped is None else flipped
            images = flip_chosen(images, flipped)
        else:
            images = AUGMENTATIONS[name](images, generator)
    return images, Drawn(flipped, mix)


def augment_pictures(images: np.ndarray, names: tuple[str, ...], seed: int) -> np.ndarray:
    """Augmented pictures as in training: uint8 (B, H, W, 3) -> the same, drawn by `seed`."""
    given = torch.from_numpy(np.array(images))  # a copy: a memory-mapped picture cannot be written to
    return augment_block(given, names, Generator().manual_seed(seed))[0].numpy()


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Flip half of the pictures left to right. images uint8 (B, H, W, 3) -> the same."""
    return flip_chosen(images, draw_flips(len(images), generator))


def draw_flips(count: int, generator: Generator) -> Tensor:
    """bool (count,): which pictures are flipped, half of them."""
    return torch.rand(count, generator=generator) < 0.5


def flip_chosen(images: Tensor, flipped: Tensor) -> Tensor:
    """Flip the chosen pictures (bool (B,)) left to right. images uint8 (B, H, W, 3) -> the same."""
    chosen = flipped.nonzero().squeeze(1).to(images.device)
    return images.index_copy(0, chosen, images.index_select(0, chosen).flip(2))


def shift_crop(images: Tensor, generator: Generator) -> Tensor:
    """Shift every picture by up to a tenth of its side in both directions, with reflection padding."""
    count, height, width, _ = images.shape
    # 3 pixels of 32: on 5,000 validation pictures the paper's network gains more from it than from the usual 4
    # (30 epochs: 74.6 % with 4, 76.2 % with 2; 90 epochs: 78.0 % with 3, 77.5 % with 2; one seed each)
    reach = max(1, 3 * height // 32)
    offsets = torch.randint(0, 2 * reach + 1, (count, 2), generator=generator)
    if not count:
        return images
    padded = _reflect_edges(images, reach)
    tall, wide = padded.shape[1:3]
    # every run of `width` pixels that begins anywhere in the block, as a view: picking the rows of a shifted picture
    # is then one copy of whole rows (0.2 microseconds a picture; 2.5 with a slice for all that move the same way)
    runs = padded.view(-1).unfold(0, 3 * width, 1)
    tops, lefts = offsets.to(images.device).unbind(1)
    rows = torch.arange(count, device=images.device) * tall + tops
    begins = (rows[:, None] + torch.arange(height, device=images.device)) * wide + lefts[:, None]
    return runs.index_select(0, 3 * begins.view(-1)).view(images.shape)


def cutout(images: Tensor, generator: Generator) -> Tensor:
    """Blank a square of a quarter of the side, anywhere, in mid grey (DeVries and Taylor 2017)."""
    count, height, width, _ = images.shape
    side = max(1, height // 4)
    corners = (torch.rand(count, 2, generator=generator) * torch.tensor([height - side + 1, width - side + 1])).long()
    top, left = corners[:, 0, None].to(images.device), corners[:, 1, None].to(images.device)
    rows = torch.arange(height, device=images.device)[None]
    columns = torch.arange(width, device=images.device)[None]
    inside = ((rows >= top) & (rows < top + side))[:, :, None] & ((columns >= left) & (columns < left + side))[:, None]
    return images.masked_fill(inside[..., None], 127)


def rotate(images: Tensor, generator: Generator) -> Tensor:
    """Rotate every picture around its centre by up to 15 degrees, bilinear, with reflection padding."""
    count, height, width, _ = images.shape
    angles = (2 * torch.rand(count, generator=generator) - 1) * math.radians(LARGEST_ANGLE)
    cosines, sines = (part.to(images.device)[:, None, None] for part in (angles.cos(), angles.sin()))
    down = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    right = torch.arange(width, device=images.device) - (width - 1) / 2
    turned = torch.empty_like(images)
    for piece in _pieces(images):
        c, s = cosines[piece], sines[piece]
        # grid_sample's places: -1 and 1 are the outer sides of the first and of the last pixel
        grid = torch.stack([(c * right - s * down) * (2 / width), (s * right + c * down) * (2 / height)], 3)
        floats = images[piece].float().permute(0, 3, 1, 2)
        _write(grid_sample(floats, grid, padding_mode="reflection", align_corners=False), turned[piece])
    return turned


def colour(images: Tensor, generator: Generator) -> Tensor:
    """Change saturation, contrast and brightness of every picture, each by a factor of 0.7 to 1.3.

    Saturation blends with the grey picture, contrast with its mean; values are clipped to 0..255 once, at the end."""
    factors = 1 + JITTER * (2 * torch.rand(len(images), 3, generator=generator) - 1)
    saturation, contrast, brightness = factors.to(images.device)[:, :, None, None].unbind(1)
    changed = torch.empty_like(images)
    for piece in _pieces(images):
        s, c, b = saturation[piece], contrast[piece], brightness[piece]
        planes = [images[piece, :, :, channel].float() for channel in range(3)]
        grey = LUMA[0] * planes[0] + LUMA[1] * planes[1] + LUMA[2] * planes[2]
        # all three changes at once: each plane times one factor, plus something that is the same for the three planes
        common = grey * (b * c * (1 - s)) + grey.mean((1, 2), keepdim=True) * (b * (1 - c))
        _write(torch.stack([plane * (b * c * s) + common for plane in planes], 1), changed[piece])
    return changed


def mixup(images: Tensor, generator: Generator) -> tuple[Tensor, Mix]:
    """Blend every picture with another one of the block (Zhang et al. 2018, alpha = 1 as in its section 3.2).

    Lambda is 0.5 to 1, so that the picture's own label stays the one that counts for accuracy."""
    count = len(images)
    apart = int(torch.randint(1, max(2, count), (1,), generator=generator))  # a block of training is in random order
    lam = (1 - torch.rand(count, generator=generator) / 2).to(images.device)
    partners = (torch.arange(count, device=images.device) + apart) % max(1, count)
    mixed = torch.empty_like(images)
    for piece in _pieces(images):
        own, other = images[piece].float(), images[partners[piece]].float()
        mixed[piece] = torch.lerp(other, own, lam[piece, None, None, None]).add_(0.5).short().byte()
    return mixed, Mix(partners, lam)


AUGMENTATIONS: dict[str, Augment] = {
    "flip": flip,
    "shift_crop": shift_crop,
    "rotate": rotate,
    "colour": colour,
    "cutout": cutout,
}  # and mixup, which also changes the labels


def _pieces(images: Tensor) -> list[slice]:
    """Slices of a block that are processed one after the other."""
    each = max(1, PIECE_BYTES // max(1, images[:1].numel()))
    return [slice(start, start + each) for start in range(0, len(images), each)]


def _write(planes: Tensor, pixels: Tensor) -> None:
    """Round float (B, 3, H, W) to uint8 (B, H, W, 3), clipped to 0..255."""
    numbers = planes.clamp_(0, 255).add_(0.5).short()  # by way of int16: a fifth of the time of floats to bytes
    for channel in range(3):
        pixels[..., channel] = numbers[:, channel]


def _reflect_edges(images: Tensor, reach: int) -> Tensor:
    """Reflection padding: (B, H, W, 3) -> (B, H + 2 reach, W + 2 reach, 3), the edge pixel not doubled."""
    tall = torch.cat([images[:, 1 : reach + 1].flip(1), images, images[:, -reach - 1 : -1].flip(1)], 1)
    return torch.cat([tall[:, :, 1 : reach + 1].flip(2), tall, tall[:, :, -reach - 1 : -1].flip(2)], 2)
