"""Part and Batch: an epoch shows each picture once, whoever shares it, and pictures stay with their labels."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torchvision.transforms import Compose, Normalize, ToTensor

from core.config import Augmentation
from core.data.pictures.preprocess import Preprocess
from core.data.store import batches
from core.data.store.batches import count_batches, load_part, normalise, ordered_batches, training_batches
from tests import tiny

AUGMENT = get_args(Augmentation)


@pytest.fixture
def part():
    """103 pictures of noise, each marked with its number and its class."""
    return load_part(tiny.noise_store(103), "train")


def epoch(part, batch_size=10, augment=(), seed=0, number=1, rank=0, world_size=1, skip=0, flips="random"):
    return list(training_batches(part, batch_size, augment, seed, number, rank, world_size, skip, flips))


def equal(one, other) -> bool:
    """Whether two batches are the same in everything that they carry."""
    mixes = [(one.mixed_labels, other.mixed_labels), (one.lam, other.lam)]
    if not all((a is None) == (b is None) and (a is None or torch.equal(a, b)) for a, b in mixes):
        return False
    same = (torch.equal(getattr(one, name), getattr(other, name)) for name in ("images", "labels", "indices"))
    return all(same) and one.global_batch_size == other.global_batch_size


def shown(epoch_batches) -> list[int]:
    return torch.cat([batch.indices for batch in epoch_batches]).tolist()


def marks(batch) -> torch.Tensor:
    """(number, class) as the first pixel of each picture has them."""
    pixels = (batch.images[:, :, 0, 0] * 0.5 + 0.5).mul(255).round().long()
    return torch.stack([pixels[:, 0] * 256 + pixels[:, 1], pixels[:, 2]], 1)


@pytest.mark.parametrize("mean", [(0.5, 0.5, 0.5), (0.4914, 0.4822, 0.4465)])
@pytest.mark.parametrize("std", [(0.5, 0.5, 0.5), (0.247, 0.2435, 0.2616), (0.1, 0.1, 0.1)])
def test_normalise_is_bit_for_bit_what_torchvision_gives(mean, std):
    values = np.arange(256, dtype=np.uint8)
    picture = np.stack([values, values[::-1], np.roll(values, 99)], 1).reshape(16, 16, 3)
    expected = Compose([ToTensor(), Normalize(mean, std)])(picture)
    ours = normalise(torch.from_numpy(picture)[None], Preprocess(image_size=16, mean=mean, std=std))
    assert ours.dtype == torch.float32 and torch.equal(ours[0], expected)


def test_normalise_leaves_its_pictures_and_lays_channels_last():
    pictures = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    before = pictures.clone()
    floats = normalise(pictures, Preprocess(image_size=16))
    assert torch.equal(pictures, before) and floats.is_contiguous(memory_format=torch.channels_last)
    assert floats.shape == (4, 3, 16, 16) and floats.min() >= -1 and floats.max() <= 1


@pytest.mark.parametrize("augment", [(), AUGMENT])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("count", "batch_size"), [(60, 12), (103, 10), (67, 16), (20, 20), (7, 7)])
def test_an_epoch_shows_each_picture_exactly_once(count, batch_size, world_size, augment):
    part = load_part(tiny.noise_store(count), "train")
    ranks = [epoch(part, batch_size, augment, rank=rank, world_size=world_size) for rank in range(world_size)]
    together = sorted(i for one in ranks for i in shown(one))
    rest = count % batch_size
    left_out = rest if rest < 2 * world_size else 0  # each rank's batch norm needs two pictures
    assert len(together) == len(set(together)) == count - left_out
    assert {len(one) for one in ranks} == {count_batches(count, batch_size, world_size)}
    for shares in zip(*ranks, strict=True):
        sizes = [len(share.labels) for share in shares]
        assert sum(sizes) == shares[0].global_batch_size and min(sizes) >= 2 and max(sizes) - min(sizes) <= 1


def test_pictures_stay_with_their_labels_and_their_numbers(part):
    for batch in [*epoch(part), *ordered_batches(part, 10)]:
        assert torch.equal(marks(batch), torch.stack([batch.indices, batch.labels], 1))


def test_indices_are_those_of_the_store():
    store = tiny.noise_store(50)
    store.parts["val"] = np.array([3, 7, 40, 41, 49])
    for batch in epoch(load_part(store, "val"), 5):
        assert sorted(batch.indices.tolist()) == [3, 7, 40, 41, 49]
        assert torch.equal(marks(batch)[:, 0], batch.indices)
        assert torch.equal(batch.labels, torch.from_numpy(store.labels[batch.indices]))


def test_no_rest_of_one_picture_reaches_batch_norm():
    part = load_part(tiny.noise_store(33), "train")
    left_out = [set(range(33)) - set(shown(epoch(part, 32, number=number))) for number in range(1, 9)]
    assert all(len(pictures) == 1 for pictures in left_out)
    assert len(set.union(*left_out)) > 1  # another one in another epoch


@pytest.mark.parametrize(
    ("pictures", "batch_size", "world_size", "batches"),
    [
        (64, 32, 1, 2),
        (65, 32, 1, 2),
        (66, 32, 1, 3),
        (67, 32, 2, 2),
        (68, 32, 2, 3),
        (69, 32, 3, 2),
        (70, 32, 3, 3),
        (0, 32, 1, 0),
        (1, 1, 1, 1),
        (2, 2, 1, 1),
        (1, 32, 1, 0),
        (50_000, 32, 1, 1563),
    ],
)
def test_batches_are_counted(pictures, batch_size, world_size, batches):
    assert count_batches(pictures, batch_size, world_size) == batches


@pytest.mark.parametrize("augment", [(), AUGMENT])
def test_seed_and_epoch_draw_the_same_epoch_again(part, augment):
    first, again = epoch(part, augment=augment, seed=5, number=3), epoch(part, augment=augment, seed=5, number=3)
    assert shown(first) == shown(again)
    assert all(map(equal, first, again))
    others = [epoch(part, augment=augment, seed=seed, number=number) for seed, number in ((5, 4), (6, 3), (3, 5))]
    assert len({tuple(shown(one)) for one in [first, *others]}) == 4


@pytest.mark.parametrize("augment", [(), AUGMENT])
def test_the_ranks_together_see_what_one_alone_would_see(part, augment):
    alone = epoch(part, 16, augment)
    ranks = [epoch(part, 16, augment, rank=rank, world_size=3) for rank in range(3)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        for rank, share in enumerate(shares):
            assert torch.equal(share.images, whole.images[rank::3])
            assert torch.equal(share.labels, whole.labels[rank::3])
            if "mixup" in augment:
                assert torch.equal(share.mixed_labels, whole.mixed_labels[rank::3])
                assert torch.equal(share.lam, whole.lam[rank::3])


def flipped_in(part, number, **more) -> torch.Tensor:
    """bool (n,): which pictures an epoch shows flipped."""
    (plain,) = ordered_batches(part, len(part))
    found = torch.zeros(len(part), dtype=torch.bool)
    for batch in epoch(part, augment=("flip",), number=number, **more):
        as_they_are = plain.images[batch.indices]
        found[batch.indices] = (batch.images != as_they_are).flatten(1).any(1)
        assert torch.equal(
            batch.images, torch.where(found[batch.indices][:, None, None, None], as_they_are.flip(3), as_they_are)
        )
    return found


def test_alternating_flips_show_each_picture_from_one_side_and_then_from_the_other(part):
    first, second, third = (flipped_in(part, number, flips="alternating") for number in (1, 2, 3))
    assert torch.equal(first, ~second) and torch.equal(first, third) and 30 < first.sum() < 73
    assert not torch.equal(first, flipped_in(part, 1, flips="alternating", seed=1))
    assert not torch.equal(flipped_in(part, 1), ~flipped_in(part, 2))


@pytest.mark.parametrize("flips", ["random", "alternating"])
@pytest.mark.parametrize("augment", [(), AUGMENT])
def test_without_flips_it_does_not_matter_how_they_would_come(part, augment, flips):
    kept = tuple(name for name in augment if name != "flip")
    assert all(map(equal, epoch(part, augment=kept, flips=flips), epoch(part, augment=kept)))


def test_alternating_flips_are_the_same_after_skipped_batches_and_on_every_rank(part, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_BYTES", 25 * 3 * 10 * 10)
    alone = epoch(part, augment=AUGMENT, flips="alternating")
    for skip in (1, 4, 7):
        rest = epoch(part, augment=AUGMENT, skip=skip, flips="alternating")
        assert all(map(equal, rest, alone[skip:])) and len(rest) == len(alone) - skip
    whole = epoch(part, 16, AUGMENT, flips="alternating")
    for rank in (0, 1):
        share = epoch(part, 16, AUGMENT, rank=rank, world_size=2, flips="alternating")
        assert all(torch.equal(one.images, both.images[rank::2]) for one, both in zip(share, whole, strict=True))


@pytest.mark.parametrize("augment", [(), *((name,) for name in AUGMENT), AUGMENT], ids="+".join)
@pytest.mark.parametrize("block", [25, 10_000])  # pictures: what is skipped are whole blocks, or a part of one
@pytest.mark.parametrize("world_size", [1, 2])
def test_what_follows_skipped_batches_is_the_same_as_without_skipping(part, augment, block, world_size, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_BYTES", block * 3 * 10 * 10)
    whole = epoch(part, augment=augment, rank=world_size - 1, world_size=world_size)
    for skip in (1, 4, 7, len(whole)):
        rest = epoch(part, augment=augment, rank=world_size - 1, world_size=world_size, skip=skip)
        assert len(rest) == len(whole) - skip and all(map(equal, rest, whole[skip:]))


def test_with_mixup_a_batch_has_the_label_and_the_weight_of_what_was_blended_in():
    labels = np.arange(60) % 3
    images = np.broadcast_to((100 * labels).astype(np.uint8)[:, None, None, None], (60, 3, 10, 10)).copy()
    for batch in epoch(load_part(tiny.make_store(images, labels), "train"), 8, ("mixup",)):
        expected = 100 * (batch.lam * batch.labels + (1 - batch.lam) * batch.mixed_labels)
        values = (batch.images * 0.5 + 0.5) * 255
        assert ((values - expected[:, None, None, None]).abs() <= 0.51).all()
        assert batch.mixed_labels.dtype == torch.int64 and (batch.mixed_labels != batch.labels).any()


def test_without_mixup_a_batch_has_neither(part):
    assert all(batch.mixed_labels is None and batch.lam is None for batch in epoch(part, augment=("flip", "colour")))


def test_augmentation_goes_on_over_the_ends_of_its_blocks(part, monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_BYTES", 25 * 3 * 10 * 10)  # 25 pictures: two batches of ten
    augmented = epoch(part, augment=("flip",))
    assert sorted(shown(augmented)) == list(range(103)) and len(augmented) == 11
    plain = {
        int(i): image
        for batch in ordered_batches(part, 50)
        for i, image in zip(batch.indices, batch.images, strict=True)
    }
    for batch in augmented:
        for i, image in zip(batch.indices.tolist(), batch.images, strict=True):
            assert torch.equal(image, plain[i]) or torch.equal(image, plain[i].flip(2))


@pytest.mark.parametrize("augment", [(), AUGMENT])
def test_a_part_that_is_read_from_the_map_gives_the_same_batches(augment, monkeypatch, tmp_path):
    store = tiny.noise_store(103)
    np.save(tmp_path / "images.npy", store.images)
    store.parts["train"] = np.arange(1, 100, 2)
    held = load_part(store, "train")
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    object.__setattr__(store, "images", np.load(tmp_path / "images.npy", mmap_mode="r"))
    mapped = load_part(store, "train")
    assert isinstance(mapped.images, np.memmap) and isinstance(held.images, torch.Tensor)
    assert all(map(equal, epoch(held, 8, augment), epoch(mapped, 8, augment)))
    assert all(map(equal, ordered_batches(held, 8), ordered_batches(mapped, 8)))


def test_in_order_each_picture_comes_once_and_nothing_is_augmented(part):
    assert shown(ordered_batches(part, 10)) == list(range(103))
    backwards = list(ordered_batches(part, 10, torch.arange(102, -1, -1)))
    assert shown(backwards) == list(range(102, -1, -1)) and [len(batch.labels) for batch in backwards] == [10] * 10 + [
        3
    ]


def test_an_empty_part_has_no_batches():
    part = load_part(tiny.noise_store(5), "val")
    assert len(part) == 0 and epoch(part) == [] and list(ordered_batches(part, 10)) == []


# ------------------------------------------------------------------------------------------ a teacher's answers


def taught(count=50):
    """A part whose answers for a picture are its number, and 1000 more for its flip."""
    part = load_part(tiny.noise_store(count), "train")
    numbers = torch.arange(count).float()[:, None].repeat(1, 3)
    return replace(part, answers=torch.stack([numbers, 1000 + numbers], 1))


def test_without_flips_a_teacher_answers_for_the_plain_picture():
    for batch in epoch(taught(), 8, ("shift_crop",)):
        assert torch.equal(batch.answers[:, 0], batch.indices.float()) and batch.mixed_answers is None


def test_a_teachers_answer_is_that_for_the_side_that_is_shown():
    part, plain, sides = taught(), load_part(tiny.noise_store(50), "train"), set()
    for batch in epoch(part, 8, ("flip",)):
        for image, index, answer in zip(batch.images, batch.indices.tolist(), batch.answers, strict=True):
            own = plain.normalise(plain.gather(torch.tensor([index])))[0]
            flipped = torch.equal(image, own.flip(2))
            assert flipped or torch.equal(image, own)
            assert answer.tolist() == [1000.0 * flipped + index] * 3
            sides.add(flipped)
    assert sides == {True, False}


def test_with_mixup_the_blended_in_picture_has_its_own_answer():
    part, labels = taught(), {}
    for batch in epoch(part, 8, ("flip", "mixup")):
        numbers = batch.mixed_answers[:, 0].long() % 1000
        assert torch.equal(part.labels[numbers], batch.mixed_labels)
        assert torch.equal(batch.answers[:, 0].long() % 1000, batch.indices)
        labels |= dict(zip(batch.indices.tolist(), numbers.tolist(), strict=True))
    assert sorted(labels.values()) == list(range(50)) and all(one != other for one, other in labels.items())


@pytest.mark.parametrize("augment", [(), ("flip", "cutout", "mixup")])
def test_a_teacher_changes_no_picture_and_every_rank_has_its_share_of_the_answers(augment):
    part = taught(48)
    alone, plain = epoch(part, 8, augment), epoch(replace(part, answers=None), 8, augment)
    assert all(torch.equal(one.images, other.images) for one, other in zip(alone, plain, strict=True))
    assert all(batch.answers is None for batch in plain)
    ranks = [epoch(part, 8, augment, rank=rank, world_size=2) for rank in (0, 1)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        assert torch.equal(torch.cat([share.answers for share in shares]).sort(0)[0], whole.answers.sort(0)[0])
