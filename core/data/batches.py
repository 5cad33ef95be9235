"""Part and Batch: the pictures of one part as a tensor, and an epoch of them in batches, augmented and normalised."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from core.data.augment import augment_block
from core.data.images import copy_rows
from core.data.preprocess import Preprocess
from core.data.store import TensorStore

RESIDENT_BYTES = 2 * 2**30  # parts up to this size are held in memory, larger ones are read from the map batch by batch
TOGETHER = 256  # pictures that are gathered and normalised in one go: a small batch is more calls than work
BLOCK_BYTES = 6 * 2**20  # pictures that are augmented or copied in one go: 2,048 of 32 pixels, few and large copies


@dataclass(frozen=True)
class Part:
    """The pictures of one part of a store."""

    # uint8; held: Tensor (n, S, S, 3); mapped: the store's own (N, 3, S, S). Or what a frozen trunk made of them:
    # float32; held: Tensor (n, F); mapped: (N, F)
    images: Tensor | np.ndarray
    labels: Tensor  # int64 (n,)
    indices: Tensor  # int64 (n,) into the store
    preprocess: Preprocess
    device: torch.device

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, places: Tensor) -> Tensor:
        """Pictures at `places` (int64 (B,), 0 .. n-1) of the part, on its device: uint8 (B, S, S, 3), or their features
        float32 (B, F)."""
        if isinstance(self.images, Tensor):
            n, *shape = self.images.shape
            # whole pictures as rows: one memory copy each
            return self.images.view(n, -1).index_select(0, places).view(-1, *shape)
        pictures = torch.from_numpy(copy_rows(self.images, self.indices[places].cpu().numpy()))
        return (pictures if self.holds_features else pictures.permute(0, 2, 3, 1)).contiguous().to(self.device)

    def normalise(self, gathered: Tensor) -> Tensor:
        """What `gather` gave as the network takes it; features are ready."""
        return gathered if self.holds_features else normalise(gathered, self.preprocess)

    @property
    def holds_features(self) -> bool:
        return self.images.ndim == 2


@dataclass(frozen=True)
class Batch:
    images: Tensor  # float (B, 3, S, S), channels last in memory, normalised; or features (B, F)
    labels: Tensor  # int64 (B,)
    indices: Tensor  # int64 (B,) into the store
    whole: int  # pictures in this batch over all ranks
    blended: Tensor | None = None  # int64 (B,): with mixup, label of the picture that was blended in
    shares: Tensor | None = None  # float32 (B,): of the picture itself, 0.5 .. 1; the blended one has the rest


def load_part(store: TensorStore, part: str, device: torch.device | None = None) -> Part:
    """The pictures of store.parts[part], held on `device` where they fit."""
    device = device or torch.device("cpu")
    chosen = store.parts[part]
    picture_bytes = int(np.prod(store.images.shape[1:]))
    images: Tensor | np.ndarray = store.images
    if len(chosen) * picture_bytes <= RESIDENT_BYTES:
        images = _hold(store.images, chosen).to(device)
    return Part(
        images=images,
        labels=torch.from_numpy(store.labels[chosen]).to(device),
        indices=torch.from_numpy(np.ascontiguousarray(chosen)).to(device),
        preprocess=store.preprocess,
        device=device,
    )


def normalise(images: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 (B, S, S, 3) -> float32 (B, 3, S, S), channels last: (x / 255 - mean) / std, bit for bit what torchvision's
    ToTensor and Normalize give."""
    mean, std = (images.new_tensor(triple, dtype=torch.float32) for triple in (preprocess.mean, preprocess.std))
    floats = images.to(torch.float32).div_(255)
    if len(set(preprocess.mean)) == 1 and len(set(preprocess.std)) == 1:
        # one number for all channels: the same sums, without a broadcast over the innermost three values
        return floats.sub_(preprocess.mean[0]).div_(preprocess.std[0]).permute(0, 3, 1, 2)
    return floats.sub_(mean).div_(std).permute(0, 3, 1, 2)


def count_batches(pictures: int, batch_size: int, world: int = 1) -> int:
    """Batches of an epoch. A rest of fewer than two pictures a rank is left out: batch norm needs two."""
    whole, rest = divmod(pictures, batch_size)
    return whole + (rest >= 2 * world)


def training_batches(
    part: Part,
    batch_size: int,
    augment: tuple[str, ...],
    seed: int,
    epoch: int,
    rank: int = 0,
    world: int = 1,
    skip: int = 0,
) -> Iterator[Batch]:
    """One epoch of the part in an order that (seed, epoch) draws; each rank yields its own share of every batch.

    Every rank draws the same permutation and the same augmentation and takes its own stride of each batch, so no
    picture is seen twice in an epoch and the ranks together see what one rank alone would see. The first `skip`
    batches are drawn but not shown: what follows is bit for bit what it is without skipping.
    """
    generator = _generator(seed, epoch)
    order = torch.randperm(len(part), generator=generator).to(part.device)
    batches = count_batches(len(part), batch_size, world)
    together = max(1, TOGETHER // batch_size)
    a_block = together * (max(1, _block(part.preprocess.image_size) // (batch_size * together)) if augment else 1)
    for first in range(0, batches, a_block):
        block = order[first * batch_size : min((first + a_block) * batch_size, batches * batch_size)]
        if first + a_block <= skip:
            _draw_only(len(block), part.preprocess.image_size, augment, generator)
            continue
        mine = [piece[rank::world] for piece in torch.arange(len(block), device=part.device).split(batch_size)]
        chosen = torch.cat(mine)
        places, mix = block[chosen], None
        if augment:
            pictures, mix = augment_block(part.gather(block), augment, generator)
            pictures = pictures if world == 1 else pictures[chosen]
        else:
            pictures = part.gather(places)
        sizes = [len(piece) for piece in mine]
        labels, indices = part.labels[places].split(sizes), part.indices[places].split(sizes)
        if mix:
            blended = part.labels[block[mix.partners[chosen]]].split(sizes)
            shares = mix.shares[chosen].split(sizes)
        for number in range(0, len(mine), together):
            start, stop = sum(sizes[:number]), sum(sizes[: number + together])
            images = part.normalise(pictures[start:stop]).split(sizes[number : number + together])
            for offset, batch in enumerate(images, start=number):
                if first + offset < skip:
                    continue
                whole = min(batch_size, len(block) - offset * batch_size)
                yield Batch(
                    images=batch,
                    labels=labels[offset],
                    indices=indices[offset],
                    whole=whole,
                    blended=blended[offset] if mix else None,
                    shares=shares[offset] if mix else None,
                )


def ordered_batches(part: Part, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
    """The whole part, each picture once, nothing augmented: in store order, or in `order` (int64 (n,))."""
    places = torch.arange(len(part)) if order is None else order
    for block in places.to(part.device).split(batch_size) if len(places) else ():  # nothing splits into one nothing
        yield Batch(
            images=part.normalise(part.gather(block)),
            labels=part.labels[block],
            indices=part.indices[block],
            whole=len(block),
        )


def _draw_only(count: int, side: int, augment: tuple[str, ...], generator: Generator) -> None:
    """Leave the generator as augmenting `count` pictures leaves it, without reading them from the store."""
    augment_block(torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, side, side, 3), augment, generator)


def _block(side: int) -> int:
    return max(1, BLOCK_BYTES // (3 * side * side))


def _generator(seed: int, epoch: int) -> Generator:
    """Randomness that can be drawn again for any epoch on its own."""
    return Generator().manual_seed(mixed_seed(seed, epoch))


def mixed_seed(*numbers: int) -> int:
    """A seed for torch that no other numbers are likely to share."""
    mixed = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return int(mixed[0]) << 31 ^ int(mixed[1])


def _hold(images: np.ndarray, chosen: np.ndarray) -> Tensor:
    """Copy the chosen pictures into memory, channels last: uint8 (n, S, S, 3)."""
    held = torch.empty((len(chosen), *images.shape[2:], images.shape[1]), dtype=torch.uint8)
    block = _block(images.shape[2])
    for start in range(0, len(chosen), block):
        rows = chosen[start : start + block]
        held[start : start + len(rows)] = torch.from_numpy(copy_rows(images, rows)).permute(0, 2, 3, 1)
    return held
