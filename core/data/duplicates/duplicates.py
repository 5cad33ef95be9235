"""Duplicates: pictures that are the same one re-encoded, resized, flipped or cropped a little, and their groups.

python -m core.data.duplicates.duplicates search FOLDER IMAGES 0 2   a child of find_duplicates; so is refine

Three filters, each more exact and for fewer pairs than the one before. Candidates have similar coefficients of a
cosine transform of the 32-pixel store, compared within cells of similar pictures. Candidates are aligned at 32 pixels
by Gauss-Newton steps over scale and shift, and correlated. Pairs that pass are read again at 96 pixels and correlated
there, where two drawings of a guitar differ and two encodings of one drawing do not.
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

from core.data.datasets.dataset import Dataset, disk_troubles
from core.data.duplicates.similarity import BLOCK, CHUNK, FINE, PAIR, SimilarityIndex, align_pairs, detail_of
from core.data.pictures.child import read_block, start_child, usable_cores, write_block
from core.data.pictures.decode_pool import Task, decode
from core.data.pictures.preprocess import Preprocess
from core.data.storage import HEADER_BYTES, close_images, create_images, root_lock, staging, wait_for
from core.disk import former_name, write_atomic
from core.locks import process_lock
from core.progress import Clock, Progress
from core.settings import load_limits, stores_root

Kind = Literal["bytes", "pixels", "near", "mirrored", "cropped"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Of the method: a file of another version is made again. Runs were split by this version, so a method that finds other
# duplicates needs another value of DataConfig.duplicates.
VERSION = 2

LIKELY = 0.94  # correlation at 32 pixels above which a pair is read at 96
SAME_COARSE = 0.97  # correlation at 32 pixels of duplicates, where one of the two has no detail beyond that
SAME_DETAIL = 0.8  # their details too: planted duplicates in CIFAR-10 are above 0.859, ships at sea below 0.8
SAME_FINE = 0.96  # correlation at 96 pixels of duplicates: 98 % of planted ones are above 0.97, other sketches < 0.947
DETAIL = 0.1  # fraction of the contrast that shows only at 96 pixels: artworks above 0.11, enlarged CIFAR-10 0.02


@dataclass(frozen=True)
class Duplicates:
    """The duplicates in a dataset of N pictures; rows are those of the dataset."""

    groups: np.ndarray  # int64 (N,): the lowest row that a picture is a duplicate of, also through others; else its own
    pairs: np.ndarray  # int64 (P, 2): rows, the lower one first
    kinds: np.ndarray  # uint8 (P,): index into KINDS
    distances: np.ndarray  # float32 (P,): 1 - correlation; 0 where nothing differs

    def across(self, values: np.ndarray) -> np.ndarray:
        """int64: indices of the pairs whose pictures differ in `values` (N,); a negative value differs from nothing.

        With labels these are label conflicts, with parts leakage.
        """
        first, second = values[self.pairs[:, 0]], values[self.pairs[:, 1]]
        return np.flatnonzero((first != second) & (first >= 0) & (second >= 0))

    def test_leakage(self, parts: dict[str, np.ndarray]) -> np.ndarray:
        """int64: the rows of "test" that are duplicates of pictures in "train"."""
        return parts["test"][np.isin(self.groups[parts["test"]], self.groups[parts["train"]])]


def duplicates_path(dataset: Dataset) -> Path:
    """Where find_duplicates stores its result; a copies.npz of version 0.1.0 is renamed first."""
    return former_name(dataset.folder / "duplicates.npz", "copies.npz")


def read_duplicates(dataset: Dataset) -> Duplicates | None:
    """The result of find_duplicates; None where there is none, it is damaged or of other pictures."""
    try:
        with np.load(duplicates_path(dataset), allow_pickle=False) as stored:
            if (str(stored["content_hash"]), int(stored["version"])) != (dataset.content_hash, VERSION):
                return None
            found = Duplicates(stored["groups"], stored["pairs"], stored["kinds"], stored["distances"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if _is_whole(found, dataset.used) else None


def find_duplicates(dataset: Dataset, images: Path, rows: np.ndarray) -> Iterator[Progress]:
    """Compare every picture with every other one, unless the result is there. Closing the generator leaves nothing.

    images: the .npy of the 32-pixel crop store; rows: int64, the dataset's row of each of its pictures.
    """
    stores_root().mkdir(parents=True, exist_ok=True)
    lock = process_lock(stores_root() / f"duplicates-{dataset.id}.lock", thread_local=False)
    for seconds in wait_for(lock):  # a second one waits for the first
        yield Progress("waiting", seconds, 0, None)
    try:
        if read_duplicates(dataset) is None:
            with disk_troubles(), staging(stores_root()) as folder:
                yield from _find(dataset, images, rows, folder)
    finally:
        lock.release()


def _find(dataset: Dataset, images: Path, rows: np.ndarray, folder: Path) -> Iterator[Progress]:
    every = np.load(images, mmap_mode="r", allow_pickle=False)
    yield Progress("comparing", 0, len(every), None)
    identical, kinds, distinct = _find_identical(every, dataset.digests[rows])
    np.save(folder / "distinct.npy", distinct)
    likely = yield from _in_children("search", folder, images, len(distinct), enough=4 * BLOCK)
    if len(likely):
        candidates = np.unique(np.concatenate([likely["first"], likely["second"]]))
        yield from _read_fine(dataset, rows[candidates], folder)
        np.save(folder / "candidates.npy", candidates)
        np.save(folder / "likely.npy", likely)
        likely = yield from _in_children("refine", folder, images, len(likely), enough=BLOCK)
    found = _gather(dataset.used, rows, identical, kinds, likely)
    with root_lock():
        if (dataset.folder / "dataset.json").exists():  # else it was deleted in the meantime
            write_atomic(dataset.folder / "duplicates.npz", _to_bytes(found, dataset.content_hash))


def _find_identical(every: np.ndarray, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (int64 (P, 2)) of identical pictures, each with the first of its kind; their kinds; all first ones."""
    pixels = np.frombuffer(b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in every), np.int64)
    same_pixels, same_bytes = _first_with(pixels), _first_with(digests[:, :8].copy().view(np.int64)[:, 0])
    row = np.arange(len(every))
    first = np.where(same_bytes < row, same_bytes, same_pixels)
    again = np.flatnonzero(first < row)
    kinds = np.where(same_bytes[again] < again, KINDS.index("bytes"), KINDS.index("pixels")).astype(np.uint8)
    return np.stack([first[again], again], axis=1), kinds, np.flatnonzero(same_pixels == row)


def _first_with(keys: np.ndarray) -> np.ndarray:
    """For each of `keys` (N,) the lowest index that has the same."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return first[which].astype(np.int64)


def _in_children(
    mode: str, folder: Path, images: Path, total: int, enough: int
) -> Generator[Progress, None, np.ndarray]:
    """Run a mode of main() in a process for each core, fewer for little work; returns all pairs, each once."""
    count = max(1, min(usable_cores(), total // enough))
    clock, done = Clock(), [0] * count
    with ExitStack() as stack:
        arguments = (mode, str(folder), str(images.resolve()))
        running = {
            number: stack.enter_context(
                start_child("core.data.duplicates.duplicates", *arguments, str(number), str(count))
            )
            for number in range(count)
        }
        while running:
            for number, pipe in list(running.items()):  # all have the same amount of work, so they are read in turn
                reported = read_block(pipe)
                if reported:
                    done[number] = int(reported)
                else:
                    del running[number]
            yield Progress("comparing", min(sum(done), total), total, clock.seconds_left(sum(done), total))
    found = np.concatenate([np.load(folder / f"{mode}-{number}.npy") for number in range(count)])
    return _unique_pairs(found)


def _unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """Each pair of pictures once, in the direction with the higher correlation."""
    low, high = np.minimum(pairs["first"], pairs["second"]), np.maximum(pairs["first"], pairs["second"])
    order = np.lexsort((-pairs["correlation"], high, low))
    low, high = low[order], high[order]
    new = np.ones(len(order), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return pairs[order[new]]


def _read_fine(dataset: Dataset, rows: np.ndarray, folder: Path) -> Iterator[Progress]:
    """Write the pictures at these rows as 96-pixel squares to fine.npy, and which of them could be read to read.npy."""
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


def _gather(count: int, rows: np.ndarray, identical: np.ndarray, kinds: np.ndarray, likely: np.ndarray) -> Duplicates:
    """All pairs as Duplicates, in rows of the dataset."""
    shifted = np.hypot(likely["right"], likely["down"]) > 0.02
    cropped = (likely["scale"] < 0.975) | shifted
    similar_kinds = np.where(
        likely["flipped"], KINDS.index("mirrored"), np.where(cropped, KINDS.index("cropped"), KINDS.index("near"))
    )
    pairs = np.concatenate([identical, np.stack([likely["first"], likely["second"]], axis=1)])
    pairs = np.sort(rows[pairs], axis=1).astype(np.int64)
    distances = np.concatenate([np.zeros(len(identical)), np.maximum(0, 1 - likely["correlation"])]).astype(np.float32)
    kinds = np.concatenate([kinds, similar_kinds]).astype(np.uint8)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], distances))
    return Duplicates(group_pairs(count, pairs), pairs[order], kinds[order], distances[order])


def store_duplicates(folder: Path, found: Duplicates, rows: np.ndarray, content_hash: str) -> None:
    """Write into `folder` the part of `found` that concerns the pictures at `rows` (int64 (N,)) of its dataset.

    A group stays one even where the picture that connected it is left out.
    """
    _, first, which = np.unique(found.groups[rows], return_index=True, return_inverse=True)
    place = np.full(len(found.groups), -1, np.int64)
    place[rows] = np.arange(len(rows))
    pairs = place[found.pairs]
    there = (pairs >= 0).all(axis=1)
    pairs, kinds, distances = np.sort(pairs[there], axis=1), found.kinds[there], found.distances[there]
    order = np.lexsort((pairs[:, 1], pairs[:, 0], distances))
    kept = Duplicates(first[which].astype(np.int64), pairs[order], kinds[order], distances[order])
    write_atomic(folder / "duplicates.npz", _to_bytes(kept, content_hash))


def group_pairs(count: int, pairs: np.ndarray) -> np.ndarray:
    """int64 (count,): the lowest row of the connected component of each row; pairs: int64 (P, 2), the edges."""
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


def _to_bytes(found: Duplicates, content_hash: str) -> bytes:
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


def _is_whole(found: Duplicates, count: int) -> bool:
    """Whether the arrays fit each other and a dataset of `count` pictures."""
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


def _search(every: np.ndarray, folder: Path, number: int, count: int, report: Callable[[int], None]) -> np.ndarray:
    """Pairs of similar pictures that correlate at 32 pixels; child `number` of `count` queries its part of them."""
    distinct = np.load(folder / "distinct.npy")
    index = SimilarityIndex(every, distinct)
    found, done = [np.zeros(0, PAIR)], 0
    for block, start in enumerate(range(0, len(distinct), BLOCK)):
        if block % count == number:
            queries = distinct[start : start + BLOCK]
            pairs = index.find_similar(every[queries], queries)
            found.append(align_pairs(pairs, every[pairs["first"]], every[pairs["second"]], LIKELY))
            done += len(queries)
            report(done)
    return np.concatenate(found)


def _refine(every: np.ndarray, folder: Path, number: int, count: int, report: Callable[[int], None]) -> np.ndarray:
    """Of the likely pairs those that also correlate at 96 pixels, or at 32 where one has no detail beyond that."""
    likely, candidates = np.load(folder / "likely.npy")[number::count], np.load(folder / "candidates.npy")
    fine, was_read = np.load(folder / "fine.npy", mmap_mode="r"), np.load(folder / "read.npy")
    found, done = [np.zeros(0, PAIR)], 0
    for start in range(0, len(likely), CHUNK):
        pairs = likely[start : start + CHUNK]
        first, second = np.searchsorted(candidates, pairs["first"]), np.searchsorted(candidates, pairs["second"])
        detailed = was_read[first] & was_read[second]
        for place, rows in ((first, pairs["first"]), (second, pairs["second"])):
            detailed &= detail_of(fine[place], every[rows]) > DETAIL
        soft = pairs[~detailed]
        found.append(align_pairs(soft, every[soft["first"]], every[soft["second"]], SAME_COARSE, SAME_DETAIL))
        found.append(align_pairs(pairs[detailed], fine[first[detailed]], fine[second[detailed]], SAME_FINE))
        done += len(pairs)
        report(done)
    return np.concatenate(found)


def main(arguments: list[str]) -> int:
    """The child: writes the number of pictures done as blocks, then an empty one, and its pairs to MODE-NUMBER.npy."""
    mode, folder, images, number, count = arguments
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not be read as an answer
    work = {"search": _search, "refine": _refine}[mode]
    every = np.load(images, mmap_mode="r", allow_pickle=False)
    found = work(every, Path(folder), int(number), int(count), lambda done: write_block(answers, str(done).encode()))
    np.save(Path(folder) / f"{mode}-{number}.npy", found)
    write_block(answers, b"")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
