"""Copies: pictures that are the same one again, re-encoded, resized, mirrored or cropped a little, and their groups.

python -m core.data.copies search FOLDER IMAGES 0 2      a child of find_copies: every second piece; so is refine

Three sieves, each finer and for fewer pairs than the one before. A few coefficients of a cosine transform of the
32-pixel store find candidates, among cells of like pictures. Candidates are laid over each other at 32 pixels by
Gauss-Newton steps over scale and shift and correlated. What passes is read anew at 96 pixels and correlated again:
there two drawings of a guitar are two drawings, while two encodings of one are still the same.
"""

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from filelock import FileLock

from core.data.child import read_block, start_child, usable_cores, write_block
from core.data.dataset import Clock, Dataset, Progress, disk_troubles
from core.data.decoding import Task, decode
from core.data.images import HEADER_BYTES, close_images, create_images, root_lock, staging, wait_for
from core.data.likeness import BLOCK, CHUNK, FINE, PAIR, Catalogue, detail_of, lay_over
from core.data.preprocess import Preprocess
from core.disk import write_atomic
from core.settings import load_limits, stores_root

Kind = Literal["bytes", "pixels", "near", "mirrored", "cropped"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Of what is found: a file of another one is made anew. Runs were split by this one, so whoever finds other copies
# gives DataConfig.copies another word for it.
VERSION = 2

LIKELY = 0.94  # correlation at 32 pixels from which on a pair is read at 96
SAME_COARSE = 0.97  # the same, where one of the two has no more to show
SAME_DETAIL = 0.8  # there also of details: planted copies in CIFAR-10 have more than 0.859, ships at sea less than 0.8
SAME_FINE = 0.96  # correlation at 96 pixels; 98 % of planted copies have more than 0.97, other sketches less than 0.947
DETAIL = 0.1  # share of its contrast that a picture has only at 96 pixels: artworks above 0.11, enlarged CIFAR-10 0.02


@dataclass(frozen=True)
class Copies:
    """What is a copy of what in a dataset; rows are those of the dataset."""

    groups: np.ndarray  # int64 (N,): the lowest row that a picture is a copy of, directly or through others; or its own
    pairs: np.ndarray  # int64 (P, 2): rows, the lower one first
    kinds: np.ndarray  # uint8 (P,): index into KINDS
    distances: np.ndarray  # float32 (P,): 1 - correlation; 0 where nothing differs

    def across(self, values: np.ndarray) -> np.ndarray:
        """Indices of the pairs whose pictures differ in `values` (N,): labels give conflicts, parts give leaks.

        A negative value is none and differs from nothing.
        """
        first, second = values[self.pairs[:, 0]], values[self.pairs[:, 1]]
        return np.flatnonzero((first != second) & (first >= 0) & (second >= 0))

    def leaked(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        """The rows of "test" that are copies of what "train" learns from."""
        return parts["test"][np.isin(self.groups[parts["test"]], self.groups[parts["train"]])]


def read_copies(dataset: Dataset) -> Copies | None:
    """What find_copies has found; None where it was never asked, or the file is damaged or not of these pictures."""
    try:
        with np.load(dataset.folder / "copies.npz", allow_pickle=False) as stored:
            if (str(stored["content_hash"]), int(stored["version"])) != (dataset.content_hash, VERSION):
                return None
            found = Copies(stored["groups"], stored["pairs"], stored["kinds"], stored["distances"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if _is_whole(found, dataset.used) else None


def find_copies(dataset: Dataset, images: Path, rows: np.ndarray) -> Iterator[Progress]:
    """Compare every picture with every other one, unless that is known. Closing the generator leaves nothing behind.

    images: the .npy of the 32-pixel crop store; rows: int64, the dataset's row of each of its pictures.
    """
    stores_root().mkdir(parents=True, exist_ok=True)
    lock = FileLock(stores_root() / f"copies-{dataset.id}.lock", thread_local=False)
    for seconds in wait_for(lock):  # a second one waits for the first
        yield Progress("waiting", seconds, 0, None)
    try:
        if read_copies(dataset) is None:
            with disk_troubles(), staging(stores_root()) as folder:
                yield from _find(dataset, images, rows, folder)
    finally:
        lock.release()


def _find(dataset: Dataset, images: Path, rows: np.ndarray, folder: Path) -> Iterator[Progress]:
    every = np.load(images, mmap_mode="r", allow_pickle=False)
    yield Progress("comparing", 0, len(every), None)
    twins, kinds, alone = _find_twins(every, dataset.digests[rows])
    np.save(folder / "alone.npy", alone)
    likely = yield from _in_children("search", folder, images, len(alone), enough=4 * BLOCK)
    if len(likely):
        seen = np.unique(np.concatenate([likely["first"], likely["second"]]))
        yield from _read_finely(dataset, rows[seen], folder)
        np.save(folder / "seen.npy", seen)
        np.save(folder / "likely.npy", likely)
        likely = yield from _in_children("refine", folder, images, len(likely), enough=BLOCK)
    found = _gather(dataset.used, rows, twins, kinds, likely)
    with root_lock():
        if (dataset.folder / "dataset.json").exists():  # else it was deleted in the meantime
            write_atomic(dataset.folder / "copies.npz", _to_bytes(found, dataset.content_hash))


def _find_twins(every: np.ndarray, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (int64 (P, 2)) and kinds of pictures that do not differ, each with the first of them; who is first."""
    pixels = np.frombuffer(b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in every), np.int64)
    same_pixels, same_bytes = _first_with(pixels), _first_with(digests[:, :8].copy().view(np.int64)[:, 0])
    row = np.arange(len(every))
    twin_of = np.where(same_bytes < row, same_bytes, same_pixels)
    again = np.flatnonzero(twin_of < row)
    kinds = np.where(same_bytes[again] < again, KINDS.index("bytes"), KINDS.index("pixels")).astype(np.uint8)
    return np.stack([twin_of[again], again], axis=1), kinds, np.flatnonzero(same_pixels == row)


def _first_with(keys: np.ndarray) -> np.ndarray:
    """For each of `keys` (N,) the lowest index that has the same."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return first[which].astype(np.int64)


def _in_children(
    mode: str, folder: Path, images: Path, total: int, enough: int
) -> Generator[Progress, None, np.ndarray]:
    """Run a mode of main() in as many processes as there are cores and work for; returns their pairs, best first."""
    count = max(1, min(usable_cores(), total // enough))
    clock, done = Clock(), [0] * count
    with ExitStack() as stack:
        arguments = (mode, str(folder), str(images.resolve()))
        running = {
            share: stack.enter_context(start_child("core.data.copies", *arguments, str(share), str(count)))
            for share in range(count)
        }
        while running:
            for share, pipe in list(running.items()):  # all have as much to do, so they speak in turn
                told = read_block(pipe)
                if told:
                    done[share] = int(told)
                else:
                    del running[share]
            yield Progress("comparing", min(sum(done), total), total, clock.seconds_left(sum(done), total))
    found = np.concatenate([np.load(folder / f"{mode}-{share}.npy") for share in range(count)])
    return _once_each(found)


def _once_each(pairs: np.ndarray) -> np.ndarray:
    """Each pair of pictures once, whichever of the two was cropped: with the higher correlation."""
    low, high = np.minimum(pairs["first"], pairs["second"]), np.maximum(pairs["first"], pairs["second"])
    order = np.lexsort((-pairs["correlation"], high, low))
    low, high = low[order], high[order]
    new = np.ones(len(order), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return pairs[order[new]]


def _read_finely(dataset: Dataset, rows: np.ndarray, folder: Path) -> Iterator[Progress]:
    """The pictures at these rows of the dataset as 96-pixel squares, in fine.npy; read.npy says which could be read."""
    fine = folder / "fine.npy"
    create_images(fine, FINE)
    every = dataset.places[rows]
    tasks = [Task(place, int(offset), int(length)) for place, (offset, length) in enumerate(every)]
    chunks = (tasks[first : first + 64] for first in range(0, len(tasks), 64))
    was_read, done = np.zeros(len(rows), bool), 0
    preprocess = Preprocess(image_size=FINE)
    for outcomes in decode(chunks, dataset.packs, fine, HEADER_BYTES, preprocess, load_limits()):
        was_read[[outcome.row for outcome in outcomes if outcome.refusal is None]] = True
        done += len(outcomes)
        yield Progress("comparing", done, len(rows), None)
    close_images(fine, FINE, np.arange(len(rows)), len(rows))
    np.save(folder / "read.npy", was_read)


def _gather(count: int, rows: np.ndarray, twins: np.ndarray, kinds: np.ndarray, likely: np.ndarray) -> Copies:
    """What was found, in rows of the dataset."""
    wide = np.hypot(likely["right"], likely["down"]) > 0.02
    cropped = (likely["scale"] < 0.975) | wide
    told = np.where(
        likely["flipped"], KINDS.index("mirrored"), np.where(cropped, KINDS.index("cropped"), KINDS.index("near"))
    )
    pairs = np.concatenate([twins, np.stack([likely["first"], likely["second"]], axis=1)])
    pairs = np.sort(rows[pairs], axis=1).astype(np.int64)
    distances = np.concatenate([np.zeros(len(twins)), np.maximum(0, 1 - likely["correlation"])]).astype(np.float32)
    kinds = np.concatenate([kinds, told]).astype(np.uint8)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], distances))
    return Copies(group_pairs(count, pairs), pairs[order], kinds[order], distances[order])


def keep_copies(folder: Path, found: Copies, rows: np.ndarray, content_hash: str) -> None:
    """Write into `folder` what is known of the pictures at `rows` (int64 (N,)) of the dataset in which it was found.

    A group stays one where the picture that held it together is left out.
    """
    _, first, which = np.unique(found.groups[rows], return_index=True, return_inverse=True)
    place = np.full(len(found.groups), -1, np.int64)
    place[rows] = np.arange(len(rows))
    pairs = place[found.pairs]
    there = (pairs >= 0).all(axis=1)
    pairs, kinds, distances = np.sort(pairs[there], axis=1), found.kinds[there], found.distances[there]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], distances))
    kept = Copies(first[which].astype(np.int64), pairs[order], kinds[order], distances[order])
    write_atomic(folder / "copies.npz", _to_bytes(kept, content_hash))


def group_pairs(count: int, pairs: np.ndarray) -> np.ndarray:
    """int64 (count,): the lowest row that each row hangs together with by way of `pairs` (P, 2)."""
    groups = np.arange(count, dtype=np.int64)
    while len(pairs):
        low = groups[pairs].min(axis=1)
        before = groups.copy()
        for side in (0, 1):
            np.minimum.at(groups, groups[pairs[:, side]], low)
            np.minimum.at(groups, pairs[:, side], low)
        groups = groups[groups]
        if np.array_equal(groups, before):
            break
    return groups


def _to_bytes(found: Copies, content_hash: str) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        content_hash=np.array(content_hash),
        version=np.array(VERSION),
        groups=found.groups,
        pairs=found.pairs,
        kinds=found.kinds,
        distances=found.distances,
    )
    return buffer.getvalue()


def _is_whole(found: Copies, count: int) -> bool:
    """Whether the arrays fit together and to a dataset of so many pictures."""
    groups, pairs = found.groups, found.pairs
    if groups.shape != (count,) or groups.dtype != np.int64 or pairs.dtype != np.int64 or pairs.ndim != 2:
        return False
    if pairs.shape != (len(found.kinds), 2) or len(found.kinds) != len(found.distances):
        return False
    return bool(
        ((groups >= 0) & (groups <= np.arange(count))).all()
        and ((pairs >= 0) & (pairs < count)).all()
        and (found.kinds < len(KINDS)).all()
    )


# ------------------------------------------------------------------------------------------- in the children


def _search(every: np.ndarray, folder: Path, share: int, shares: int, tell: Callable[[int], None]) -> np.ndarray:
    """Pairs of like pictures that also lie over each other at 32 pixels; this child looks up its share of pictures."""
    alone = np.load(folder / "alone.npy")
    catalogue = Catalogue(every, alone)
    found, done = [np.zeros(0, PAIR)], 0
    for number, start in enumerate(range(0, len(alone), BLOCK)):
        if number % shares == share:
            queries = alone[start : start + BLOCK]
            pairs = catalogue.look_up(every[queries], queries)
            found.append(lay_over(pairs, every[pairs["first"]], every[pairs["second"]], LIKELY))
            done += len(queries)
            tell(done)
    return np.concatenate(found)


def _refine(every: np.ndarray, folder: Path, share: int, shares: int, tell: Callable[[int], None]) -> np.ndarray:
    """Of the likely pairs those that also lie over each other at 96 pixels, where both have more to show there."""
    likely, seen = np.load(folder / "likely.npy")[share::shares], np.load(folder / "seen.npy")
    fine, was_read = np.load(folder / "fine.npy", mmap_mode="r"), np.load(folder / "read.npy")
    found, done = [np.zeros(0, PAIR)], 0
    for start in range(0, len(likely), CHUNK):
        pairs = likely[start : start + CHUNK]
        first, second = np.searchsorted(seen, pairs["first"]), np.searchsorted(seen, pairs["second"])
        has_more = was_read[first] & was_read[second]
        for place, rows in ((first, pairs["first"]), (second, pairs["second"])):
            has_more &= detail_of(fine[place], every[rows]) > DETAIL
        soft = pairs[~has_more]
        found.append(lay_over(soft, every[soft["first"]], every[soft["second"]], SAME_COARSE, SAME_DETAIL))
        found.append(lay_over(pairs[has_more], fine[first[has_more]], fine[second[has_more]], SAME_FINE))
        done += len(pairs)
        tell(done)
    return np.concatenate(found)


def main(arguments: list[str]) -> int:
    """A child's life: how many are done, again and again, then an empty block; what it found lies in the folder."""
    mode, folder, images, share, shares = arguments
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that prints must not be taken for an answer
    work = {"search": _search, "refine": _refine}[mode]
    every = np.load(images, mmap_mode="r", allow_pickle=False)
    found = work(every, Path(folder), int(share), int(shares), lambda done: write_block(answers, str(done).encode()))
    np.save(Path(folder) / f"{mode}-{share}.npy", found)
    write_block(answers, b"")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
