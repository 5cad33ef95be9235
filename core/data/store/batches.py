"""Part and Batch: the pictures of one part as a tensor, and an epoch of them as augmented, normalised batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from core.config import Flips
from core.data.pictures.preprocess import Preprocess
from core.data.storage import copy_rows
from core.data.store.augment import Drawn, augment_block, draw_flips
from core.data.store.batch_count import count_batches
from core.data.store.store import TensorStore

RESIDENT_BYTES = 2 * 2**30  # parts up to this size are held in memory, larger ones are read from the map batch by batch
TOGETHER = 256  # pictures that are gathered and normalised at once: with small batches the calls would dominate
BLOCK_BYTES = 6 * 2**20  # pictures that are augmented or copied at once: 2,048 of 32 pixels, few and large copies


@dataclass(frozen=True)
class Part:
    """The pictures of one part of a store."""

    # uint8: in memory Tensor (n, S, S, 3), else the store's map (N, 3, S, S). Or features of a frozen backbone,
    # float32: in memory Tensor (n, F), else a map (N, F)
    images: Tensor | np.ndarray
    labels: Tensor  # int64 (n,)
    indices: Tensor  # int64 (n,) into the store
    preprocess: Preprocess
    device: torch.device
    answers: Tensor | None = None  # float32 (n, 2, classes): a teacher's logits for each picture, and for its flip

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, places: Tensor) -> Tensor:
        """The pictures at `places` (int64 (B,), 0..n-1), on the device: uint8 (B, S, S, 3), or features (B, F)."""
        if isinstance(self.images, Tensor):
            n, *shape = self.images.shape
            # whole pictures as rows: one memory copy each
            return self.images.view(n, -1).index_select(0, places).view(-1, *shape)
        pictures = torch.from_numpy(copy_rows(self.images, self.indices[places].cpu().numpy()))
        return (pictures if self.holds_features else pictures.permute(0, 2, 3, 1)).contiguous().to(self.device)

    def normalise(self, gathered: Tensor) -> Tensor:
        """The result of gather() as input of the network; features stay as they are."""
        return gathered if self.holds_features else normalise(gathered, self.preprocess)

    @property
    def holds_features(self) -> bool:
        """Whether the images are features of a frozen backbone."""
        return self.images.ndim == 2


@dataclass(frozen=True)
class Batch:
    """The pictures of one rank in one step of training or evaluation."""

    images: Tensor  # float (B, 3, S, S), channels last in memory, normalised; or features (B, F)
    labels: Tensor  # int64 (B,)
    indices: Tensor  # int64 (B,) into the store
    global_batch_size: int  # pictures in this batch over all ranks
    mixed_labels: Tensor | None = None  # int64 (B,): with mixup, the label of the picture that was blended in
    lam: Tensor | None = None  # float32 (B,): mixup's lambda, 0.5..1, weight of the picture and of its own label
    answers: Tensor | None = None  # float32 (B, classes): a teacher's logits for the pictures, flipped where they are
    mixed_answers: Tensor | None = None  # float32 (B, classes): with mixup, for the pictures that were blended in


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


def training_batches(
    part: Part,
    batch_size: int,
    augment: tuple[str, ...],
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    skip: int = 0,
    flips: Flips = "random",
) -> Iterator[Batch]:
    """One epoch of the part, in an order drawn by (seed, epoch); each rank yields its own part of every batch.

    Every rank draws the same permutation and the same augmentation and takes its own stride of each batch, so that no
    picture comes twice in an epoch and the ranks together train on the pictures of a single rank. The first `skip`
    batches are drawn but not yielded: the others are bit for bit the same as without skipping.
    """
    generator = _generator(seed, epoch)
    order = torch.randperm(len(part), generator=generator).to(part.device)
    batches = count_batches(len(part), batch_size, world_size)
    together = max(1, TOGETHER // batch_size)
    a_block = block_pictures(part.preprocess.image_size, batch_size) // batch_size if augment else together
    alternate = _flipped_in(epoch, len(part), seed) if flips == "alternating" and "flip" in augment else None
    for first in range(0, batches, a_block):
        block = order[first * batch_size : min((first + a_block) * batch_size, batches * batch_size)]
        flipped = None if alternate is None else alternate[block.cpu()]
        if first + a_block <= skip:
            _draw_only(len(block), part.preprocess.image_size, augment, generator, flipped)
            continue
        mine = [piece[rank::world_size] for piece in torch.arange(len(block), device=part.device).split(batch_size)]
        chosen = torch.cat(mine)
        places, drawn = block[chosen], Drawn()
        if augment:
            pictures, drawn = augment_block(part.gather(block), augment, generator, flipped)
            pictures = pictures if world_size == 1 else pictures[chosen]
        else:
            pictures = part.gather(places)
        sizes = [len(piece) for piece in mine]
        labels, indices = part.labels[places].split(sizes), part.indices[places].split(sizes)
        answers, mix = answers_for(part, block, drawn, chosen).split(sizes), drawn.mix
        if mix:
            partners = mix.partners[chosen]
            mixed_labels, lam = part.labels[block[partners]].split(sizes), mix.lam[chosen].split(sizes)
            mixed_answers = answers_for(part, block, drawn, partners).split(sizes)
        for number in range(0, len(mine), together):
            start, stop = sum(sizes[:number]), sum(sizes[: number + together])
            images = part.normalise(pictures[start:stop]).split(sizes[number : number + together])
            for offset, batch in enumerate(images, start=number):
                if first + offset < skip:
                    continue
                yield Batch(
                    images=batch,
                    labels=labels[offset],
                    indices=indices[offset],
                    global_batch_size=min(batch_size, len(block) - offset * batch_size),
                    mixed_labels=mixed_labels[offset] if mix else None,
                    lam=lam[offset] if mix else None,
                    answers=answers[offset] if part.answers is not None else None,
                    mixed_answers=mixed_answers[offset] if mix and part.answers is not None else None,
                )


def answers_for(part: Part, block: Tensor, drawn: Drawn, chosen: Tensor) -> Tensor:
    """A teacher's logits for the pictures at `chosen` (int64 (B,)) of a block (int64 (n,), places in the part), each as
    it was flipped or not: float32 (B, classes); without a teacher (B, 0)."""
    if part.answers is None:
        return torch.empty(len(chosen), 0)
    flipped = torch.zeros_like(chosen) if drawn.flipped is None else drawn.flipped.to(part.device)[chosen].long()
    return part.answers[block[chosen], flipped]


def ordered_batches(part: Part, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
    """The whole part without augmentation, each picture once, in store order or in `order` (int64 (n,))."""
    places = torch.arange(len(part)) if order is None else order
    for block in (
        places.to(part.device).split(batch_size) if len(places) else ()
    ):  # an empty tensor splits into one empty block
        yield Batch(
            images=part.normalise(part.gather(block)),
            labels=part.labels[block],
            indices=part.indices[block],
            global_batch_size=len(block),
        )


def block_pictures(side: int, batch_size: int) -> int:
    """Pictures of `side` pixels that are augmented at once, a multiple of the batch: they are drawn together."""
    together = max(1, TOGETHER // batch_size)
    return batch_size * together * max(1, _block(side) // (batch_size * together))


def _draw_only(count: int, side: int, augment: tuple[str, ...], generator: Generator, flipped: Tensor | None) -> None:
    """Advance the generator as augmenting `count` pictures does, without reading them from the store."""
    blank = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, side, side, 3)
    augment_block(blank, augment, generator, flipped)


def _flipped_in(epoch: int, pictures: int, seed: int) -> Tensor:
    """bool (pictures,): which pictures of a part are flipped in an epoch (from 1 on), where flips alternate: half of
    them, drawn by the seed, in the odd ones, the others in the even ones (Jordan 2024, arXiv 2404.00498)."""
    return draw_flips(pictures, _generator(seed, 0)) ^ (epoch % 2 == 0)


def _block(side: int) -> int:
    """Pictures of BLOCK_BYTES."""
    return max(1, BLOCK_BYTES // (3 * side * side))


def _generator(seed: int, epoch: int) -> Generator:
    """A generator of its own for each epoch, so that any epoch can be drawn again."""
    return Generator().manual_seed(mixed_seed(seed, epoch))


def mixed_seed(*numbers: int) -> int:
    """A seed for torch, hashed from `numbers`."""
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
