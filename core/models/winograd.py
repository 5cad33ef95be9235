"""3 x 3 convolutions of many channels after Winograd, with a quarter of the products.

On a CPU that computes in float32 products are what takes the time. Measured for `best`: docs/performance.md.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE, PATCH = 4, 6  # pixels: a patch of 6 x 6 inputs gives a tile of 4 x 4 outputs
TILES_AT_ONCE = 256  # whose patches in all channels stay in the caches

# F(4 x 4, 3 x 3) of Lavin and Gray 2016, "Fast algorithms for convolutional neural networks" (arXiv 1509.09308), in one
# dimension: of a patch and of a filter come 6 numbers each, whose products give the tile
PATCH_TO_FACTORS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
FILTER_TO_FACTORS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
PRODUCTS_TO_TILE = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def conv2d_winograd(images: Tensor, weight: Tensor) -> Tensor:
    """float32 (B, C, H, W) by (O, C, 3, 3) -> (B, O, H, W), padding 1. Its sums are rounded otherwise than torch's: by
    about a millionth, as much as those are."""
    outputs: Tensor = _Winograd.apply(images, weight)
    return outputs


class _Winograd(torch.autograd.Function):
    """Factors of patches, (36, tiles, C), by factors of filters, (36, C, O), as 36 matrix products; and back."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor) -> Tensor:
        (pictures, inputs, height, width), outputs = images.shape, len(weight)
        of_patch, of_filter, to_tile = _matrices()
        plan = _plan(pictures, height, width)
        filters = (of_filter @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, inputs, outputs)
        patches = _Blocks(plan, images, plan.of_patches, of_patch)
        products, tiles = images.new_empty(36, plan.tiles, outputs), images.new_empty(16, plan.tiles * outputs)
        result = images.new_empty(pictures, height, width, outputs)
        for block in range(0, pictures, plan.pictures):
            into = result[block : block + plan.pictures]
            torch.bmm(patches.factors(block), filters, out=products)
            torch.mm(to_tile, products.view(36, -1), out=tiles)
            whole = tiles.view(TILE, TILE, *plan.grid, outputs).permute(2, 3, 0, 4, 1, 5)[: len(into)]
            into.copy_(whole.reshape(len(into), plan.height, plan.width, outputs)[:, :height, :width])
        ctx.save_for_backward(images, filters)
        return result.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        images, filters = ctx.saved_tensors
        _, inputs, outputs = filters.shape
        of_patch, of_filter, to_tile = _matrices()
        plan = _plan(len(images), *images.shape[2:])
        patches = _Blocks(plan, images, plan.of_patches, of_patch)
        tiles = _Blocks(plan, gradient, plan.of_tiles, to_tile.T.contiguous())
        overlaps = _Overlaps(plan, images, of_patch.T.contiguous()) if ctx.needs_input_grad[0] else None
        transposed = filters.transpose(1, 2).contiguous()
        of_filters, of_factors = torch.zeros_like(filters), images.new_empty(36, plan.tiles, inputs)
        for block in range(0, len(images), plan.pictures):
            of_products = tiles.factors(block)
            of_filters.baddbmm_(patches.factors(block).transpose(1, 2), of_products)
            if overlaps:
                overlaps.add(block, torch.bmm(of_products, transposed, out=of_factors))
        of_weight = (of_filter.T @ of_filters.view(36, -1)).view(3, 3, inputs, outputs).permute(3, 2, 0, 1)
        return overlaps.gradient if overlaps else None, of_weight


class _Plan:
    """How many pictures of a size are computed at once, and where the pixels of their patches and tiles lie."""

    def __init__(self, pictures: int, height: int, width: int) -> None:
        rows, columns = -(-height // TILE), -(-width // TILE)  # of tiles, the last of which may hang over
        self.pictures = min(pictures, max(1, TILES_AT_ONCE // (rows * columns)))
        self.grid = self.pictures, rows, columns
        self.tiles, self.height, self.width = self.pictures * rows * columns, rows * TILE, columns * TILE
        self.pixels = self.pictures * height * width
        self.of_patches, self.of_tiles = (self._places(height, width, *of) for of in ((PATCH, -1), (TILE, 0)))

    def _places(self, height: int, width: int, side: int, first: int) -> Tensor:
        """int64 (side * side * tiles): which pixel of the block each is; `pixels`, a zero, outside of the pictures."""
        _, rows, columns = self.grid
        down, across = (torch.arange(n) * TILE + torch.arange(first, first + side)[:, None] for n in (rows, columns))
        down, across = down[:, None, None, :, None], across[None, :, None, None, :]
        inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
        of_picture = torch.arange(self.pictures)[:, None, None] * height * width
        return torch.where(inside, of_picture + down * width + across, self.pixels).reshape(-1)


@lru_cache(maxsize=64)
def _plan(pictures: int, height: int, width: int) -> _Plan:
    return _Plan(pictures, height, width)


class _Blocks:
    """Reads pixels of one block of pictures after the other, and multiplies them."""

    def __init__(self, plan: _Plan, images: Tensor, places: Tensor, matrix: Tensor) -> None:
        """images: (B, C, H, W). places: of so many pixels a tile as matrix (36, pixels) has columns."""
        self.plan, self.images, self.places, self.matrix = plan, images.permute(0, 2, 3, 1), places, matrix
        channels = images.shape[1]
        self.pixels = images.new_zeros(plan.pixels + 1, channels)
        self.read = images.new_empty(len(places), channels)
        self.found = images.new_empty(36, plan.tiles, channels)

    def factors(self, block: int) -> Tensor:
        """(36, tiles, C) of the pictures from `block` on; it is overwritten by the next."""
        images = self.images[block : block + self.plan.pictures]
        held = images.shape[0] * images.shape[1] * images.shape[2]
        self.pixels[:held].view(images.shape).copy_(images)
        self.pixels[held:].zero_()  # of pictures that the last block lacks
        torch.index_select(self.pixels, 0, self.places, out=self.read)
        torch.mm(self.matrix, self.read.view(self.matrix.shape[1], -1), out=self.found.view(36, -1))
        return self.found


class _Overlaps:
    """The gradient of pictures: patches overlap by two pixels, where what each of them says is added."""

    def __init__(self, plan: _Plan, images: Tensor, to_patch: Tensor) -> None:
        self.plan, self.to_patch = plan, to_patch
        pictures, channels, self.rows, self.columns = images.shape
        self.found = images.new_empty(pictures, self.rows, self.columns, channels)
        self.patches = images.new_empty(36, plan.tiles * channels)
        number, rows, columns = plan.grid
        self.sums = images.new_empty(number, rows + 1, TILE, columns + 1, TILE, channels)

    @property
    def gradient(self) -> Tensor:
        return self.found.permute(0, 3, 1, 2)

    def add(self, block: int, of_factors: Tensor) -> None:
        """of_factors: (36, tiles, C), the gradients of the factors of the pictures from `block` on."""
        torch.mm(self.to_patch, of_factors.view(36, -1), out=self.patches)
        patches = self.patches.view(PATCH, PATCH, *self.plan.grid, -1).permute(2, 3, 0, 4, 1, 5)
        self.sums.zero_()
        self.sums[:, :-1, :, :-1] += patches[:, :, :TILE, :, :TILE]
        self.sums[:, 1:, :2, :-1] += patches[:, :, TILE:, :, :TILE]
        self.sums[:, :-1, :, 1:, :2] += patches[:, :, :TILE, :, TILE:]
        self.sums[:, 1:, :2, 1:, :2] += patches[:, :, TILE:, :, TILE:]
        into = self.found[block : block + self.plan.pictures]
        whole = self.sums.view(self.plan.pictures, self.plan.height + TILE, self.plan.width + TILE, -1)
        into.copy_(whole[: len(into), 1 : self.rows + 1, 1 : self.columns + 1])


@lru_cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """float32 (36, 36), (36, 9), (16, 36): the three for both dimensions."""
    of_patch, of_filter, to_tile = (
        torch.tensor(rows, dtype=torch.float64) for rows in (PATCH_TO_FACTORS, FILTER_TO_FACTORS, PRODUCTS_TO_TILE)
    )
    return (
        torch.kron(of_patch, of_patch).float(),
        torch.kron(of_filter, of_filter).float(),
        torch.kron(to_tile, to_tile).float(),
    )
